#pragma once
#include <onceward/idempotency/idempotent_async.hpp>

#include <atomic>
#include <memory>

namespace onceward {

/// How a handler of an event loop answers: call it once, from any thread, when the work has ended. Calls
/// after the first do nothing, and an exception of the handler after its reply neither. An exception before
/// it ends the call; the work is in doubt then where a copy is kept elsewhere. Where all copies are gone and
/// none was called, the work is in doubt.
template <class T>
class Reply;

namespace guard_detail {

template <class T>
class Replying {
 public:
  explicit Replying(Guards& guards) noexcept : guards_(guards) {}

  void reply(Result<T> given) {
    if (replied_.exchange(true)) return;
    given_.emplace(std::move(given));
    if (met_.exchange(true)) GuardAccess::run(guards_, [waiting = waiting_] { waiting.resume(); });
  }
  /// No reply counts any more; false where one was there first.
  bool close() noexcept { return !replied_.exchange(true); }
  /// False where the reply was there first.
  bool wait(std::coroutine_handle<> waiting) {
    waiting_ = waiting;
    return !met_.exchange(true);
  }
  Result<T> take() { return *std::move(given_); }

 private:
  Guards& guards_;
  std::atomic<bool> replied_{false};
  std::atomic<bool> met_{false};  ///< set by whoever comes first, reply or wait: the second goes on
  std::optional<Result<T>> given_{};
  std::coroutine_handle<> waiting_{};
};

/// Shared by the copies of a Reply; the last one that goes says that there is none.
template <class T>
struct ReplyToken {
  explicit ReplyToken(std::shared_ptr<Replying<T>> to) noexcept : replying(std::move(to)) {}
  ReplyToken(const ReplyToken&) = delete;
  ReplyToken& operator=(const ReplyToken&) = delete;
  ~ReplyToken() { replying->reply(fail(ErrorCode::in_doubt, "the handler ended without a reply")); }
  std::shared_ptr<Replying<T>> replying;
};

template <class T>
class AwaitReply {
 public:
  explicit AwaitReply(std::shared_ptr<Replying<T>> replying) noexcept : replying_(std::move(replying)) {}
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) {
    const auto replying = replying_;  // this may be gone before the call returns
    return replying->wait(waiting);
  }
  Result<T> await_resume() { return replying_->take(); }

 private:
  std::shared_ptr<Replying<T>> replying_;
};

}  // namespace guard_detail

template <class T>
class Reply {
 public:
  explicit Reply(std::shared_ptr<guard_detail::ReplyToken<T>> token) noexcept : token_(std::move(token)) {}
  void operator()(Result<T> given) const { token_->replying->reply(std::move(given)); }

 private:
  std::shared_ptr<guard_detail::ReplyToken<T>> token_;
};

/// A guarded handler for event loops, made by idempotent_callback(). It and the Guards must outlive its
/// calls.
template <class T, class Handler, class... Request>
class IdempotentCallback {
 public:
  IdempotentCallback(Guards& guards, KeyLiteral<std::type_identity_t<Request>...> key, Policy policy,
                     Handler handler)
      : call_(idempotent_async<Request...>(guards, key, std::move(policy),
                                           Work{&guards, std::move(handler)})) {}

  /// Returns at once. `done(outcome, exception)` is told how the call ended, where handlers run
  /// (GuardsOptions::executor), or on this thread where there is nothing to wait for: one of the two is
  /// there; the exception is the handler's, or DuplicateCall. It must not throw. `stop` ends a wait for
  /// another owner.
  void operator()(Request... request, Done<Outcome<T>> done, std::stop_token stop = {}) const {
    start(call_(std::move(request)..., std::move(stop)), std::move(done));
  }

 private:
  struct Work {
    Guards* guards;
    Handler handler;

    guard_detail::AwaitReply<T> operator()(const Request&... request, Attempt& attempt) const {
      auto replying = std::make_shared<guard_detail::Replying<T>>(*guards);
      const auto token = std::make_shared<guard_detail::ReplyToken<T>>(replying);
      try {
        handler(request..., attempt, Reply<T>(token));
      } catch (...) {
        // The first answer counts: a reply, which was given before, or else the exception.
        if (replying->close()) {
          // Who still has a copy may be at work, and would reply to nobody.
          if (token.use_count() > 1) attempt.effects_started();
          throw;
        }
      }
      return guard_detail::AwaitReply<T>(std::move(replying));
    }
  };

  IdempotentAsync<Work, Request...> call_;
};

/// Guards a handler `void(const Request&..., Attempt&, Reply<T>)` that begins its work and replies later,
/// with a T or an error: `idempotent_callback<GrantReceipt, GrantRequest>(guards, "...", {...}, handler)`.
/// The arguments and the attempt live until the reply. Key and errors as idempotent().
template <class T, class... Request, class Handler>
[[nodiscard]] auto idempotent_callback(Guards& guards, KeyLiteral<std::type_identity_t<Request>...> key,
                                       Policy policy, Handler handler) {
  return IdempotentCallback<T, Handler, Request...>(guards, key, std::move(policy), std::move(handler));
}

}  // namespace onceward
