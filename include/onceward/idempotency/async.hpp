#pragma once
#include <onceward/core/result.hpp>

#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace onceward {

namespace async_detail {

/// What a coroutine's promise keeps until it is asked for.
template <class T>
struct Returning {
  template <class U>
  void return_value(U&& given) {
    value.emplace(std::forward<U>(given));
  }
  T take() {
    if (thrown) std::rethrow_exception(thrown);
    return *std::move(value);
  }
  std::optional<T> value{};
  std::exception_ptr thrown{};
};
template <>
struct Returning<void> {
  void return_void() const noexcept {}
  void take() const {
    if (thrown) std::rethrow_exception(thrown);
  }
  std::exception_ptr thrown{};
};

}  // namespace async_detail

/// A coroutine that begins when it is awaited and resumes who awaits it when it ends; its exception passes
/// through. Awaited once, by one coroutine; moved, never copied. Destroying one that has not ended destroys
/// its frame: only do so where it was never started.
template <class T>
class [[nodiscard]] Async {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  struct promise_type : async_detail::Returning<T> {
    Async get_return_object() noexcept { return Async(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    struct Last {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(Handle ended) const noexcept { return ended.promise().awaiting; }
      void await_resume() const noexcept {}
    };
    Last final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { this->thrown = std::current_exception(); }

    std::coroutine_handle<> awaiting = std::noop_coroutine();
  };

  Async(Async&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Async& operator=(Async&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Async() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    handle_.promise().awaiting = awaiting;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  explicit Async(Handle handle) noexcept : handle_(handle) {}
  Handle handle_;
};

/// How a started coroutine ended: one of the two is there. Must not throw.
template <class T>
using Done = std::function<void(std::optional<T>, std::exception_ptr)>;

namespace async_detail {

/// A coroutine nobody awaits: it destroys itself.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }  // `done` threw
  };
};

template <class T>
Detached run(Async<T> work, Done<T> done) {
  std::optional<T> value;
  std::exception_ptr thrown;
  try {
    value.emplace(co_await work);
  } catch (...) {
    thrown = std::current_exception();
  }
  done(std::move(value), thrown);
}

}  // namespace async_detail

/// Begins a coroutine on this thread and tells `done` how it ended, on the thread that ended it. For event
/// loops and mains.
template <class T>
void start(Async<T> work, std::type_identity_t<Done<T>> done) {
  async_detail::run(std::move(work), std::move(done));
}

/// What `co_await` takes and gives.
template <class A>
concept Awaitable = requires(A& awaitable) {
  awaitable.await_ready();
  awaitable.await_resume();
};

}  // namespace onceward
