#pragma once
#include <onceward/idempotency/async.hpp>
#include <onceward/idempotency/async_guard.hpp>
#include <onceward/idempotency/idempotent.hpp>

namespace onceward {

namespace guard_detail {

template <class T>
struct AwaitedBy {
  using Type = T;
};
template <Awaitable T>
struct AwaitedBy<T> {
  using Type = std::remove_cvref_t<decltype(std::declval<T&>().await_resume())>;
};

}  // namespace guard_detail

/// A handler whose calls are guarded and which never blocks a thread for the storage: made by
/// idempotent_async(). Any number of threads may call one; it and the Guards must outlive its calls.
template <class Handler, class... Request>
class IdempotentAsync {
  using Given = guard_detail::ReturnedBy<Handler, Request...>;
  using Returned = typename guard_detail::AwaitedBy<Given>::Type;
  using ContentOf = result_detail::ContentOf<Returned>;

 public:
  using Content = typename ContentOf::type;

  IdempotentAsync(Guards& guards, BoundKey<Request...> key, Policy policy, Handler handler,
                  std::array<std::string_view, sizeof...(Request)> names = {})
      : guards_(guards),
        wrapping_(GuardedBy(guards), std::move(key), std::move(policy), names),
        handler_(std::move(handler)) {}

  /// As Idempotent::reconciling; `reconcile` does not suspend.
  [[nodiscard]] IdempotentAsync reconciling(
      std::function<Reconciled<Content>(const Request&..., Attempt&)> reconcile) const {
    auto copy = *this;
    copy.wrapping_.reconcile = std::move(reconcile);
    return copy;
  }

  /// `co_await` it, or start() it. It runs on the caller's thread up to the claim, and from there on where
  /// handlers run (GuardsOptions::executor). What it means is what Idempotent's call means. Arguments are
  /// copied into the call.
  Async<Outcome<Content>> operator()(Request... request, std::stop_token stop = {}) const {
    typename Wrapping::Call call;
    if (auto known = wrapping_.begin(call, request...)) co_return *std::move(known);
    guard_detail::AsyncClaim claiming(guards_, call.key, call.policy, wrapping_.counters(),
                                      call.fingerprint(), std::move(stop));
    auto guard = co_await claiming;
    if (!guard) co_return Wrapping::refused(std::move(guard).error());
    if (!guard->acquired()) co_return wrapping_.answer(call, *guard);
    auto attempt = wrapping_.attempt_of(call, *guard);
    std::optional<Outcome<Content>> outcome;
    std::exception_ptr thrown;
    try {
      if (guard->must_reconcile()) {
        attempt.effects_started();  // the earlier one's may have
        auto settling = reconcile(call, *guard, attempt, request...);
        outcome = co_await settling;
        if (!outcome && guard->attempt() > call.policy->attempts_max) {
          outcome = Wrapping::exhausted(*guard);
          guard_detail::AsyncFinish finish(*guard, {Kind::released, {}, {}});
          (void)co_await finish;  // where that fails the lease ends the claim
        }
        if (!outcome) attempt = wrapping_.attempt_of(call, *guard);
      }
      if (!outcome) {
        auto running = run(call, *guard, attempt, request...);
        outcome.emplace(co_await running);
      }
    } catch (...) {
      thrown = std::current_exception();
    }
    if (!thrown) co_return *std::move(outcome);
    if (guard->acquired()) {
      guard_detail::AsyncEnding ending;
      ending.kind = attempt.have_effects_started() ? Kind::in_doubt : Kind::released;
      ending.error = Error{ErrorCode::in_doubt, "an exception ended the call after its effects had started"};
      guard_detail::AsyncFinish finish(*guard, std::move(ending));
      (void)co_await finish;  // where that fails the lease ends the claim
    }
    std::rethrow_exception(thrown);
  }

 private:
  using Wrapping = guard_detail::Wrapping<Content, Request...>;
  using Call = typename Wrapping::Call;
  using Kind = guard_detail::AsyncEnding::Kind;

  Async<std::optional<Outcome<Content>>> reconcile(Call& call, Guard& guard, Attempt& attempt,
                                                   const Request&... request) const {
    using State = typename Reconciled<Content>::State;
    const Error unknown{ErrorCode::in_doubt, "nobody knows whether an earlier attempt took effect"};
    auto found =
        wrapping_.reconcile ? wrapping_.reconcile(request..., attempt) : Reconciled<Content>::unknown();
    if (found.state() == State::none) co_return std::nullopt;
    if (found.state() == State::unknown) {
      guard_detail::AsyncFinish finish(guard, {Kind::in_doubt, {}, unknown});
      const auto completion = co_await finish;
      co_return Wrapping::failed(guard, completion, unknown);
    }
    guard_detail::GuardAccess::tell_as(guard, Verdict::replayed);
    auto ending = ending_of(found.result());
    guard_detail::AsyncFinish finish(guard, std::move(ending));
    auto completion = co_await finish;
    co_return wrapping_.ended(call, guard, std::move(completion), std::move(found.result()),
                              Verdict::replayed);
  }

  Async<Outcome<Content>> run(Call& call, Guard& guard, Attempt& attempt, const Request&... request) const {
    typename Wrapping::Content content{};
    if constexpr (Awaitable<Given>) {
      auto work = guard_detail::call(handler_, attempt, request...);
      if constexpr (ContentOf::fallible) {
        Returned returned = co_await work;
        if (!returned) {
          auto failing = end_with_error(call, guard, attempt, std::move(returned).error());
          co_return co_await failing;
        }
        if constexpr (!std::is_void_v<Content>) content = *std::move(returned);
      } else if constexpr (std::is_void_v<Returned>) {
        co_await work;
      } else {
        content = co_await work;
      }
    } else if constexpr (ContentOf::fallible) {
      Returned returned = guard_detail::call(handler_, attempt, request...);
      if (!returned) {
        auto failing = end_with_error(call, guard, attempt, std::move(returned).error());
        co_return co_await failing;
      }
      if constexpr (!std::is_void_v<Content>) content = *std::move(returned);
    } else if constexpr (std::is_void_v<Returned>) {
      guard_detail::call(handler_, attempt, request...);
    } else {
      content = guard_detail::call(handler_, attempt, request...);
    }
    attempt.effects_started();  // it took effect: what is thrown from here on must not give the key back
    guard_detail::AsyncFinish finish(guard, ending_of(content));
    auto completion = co_await finish;
    co_return wrapping_.ended(call, guard, std::move(completion), std::move(content));
  }

  static guard_detail::AsyncEnding ending_of(const typename Wrapping::Content& content) {
    guard_detail::AsyncEnding ending;
    ending.error = Wrapping::encode_result(ending.json, content);
    if (ending.error) ending.kind = Kind::unstored;
    return ending;
  }

  Async<Outcome<Content>> end_with_error(Call& call, Guard& guard, Attempt& attempt, Error error) const {
    const bool started = attempt.have_effects_started();
    attempt.effects_started();  // where nobody can say what the error means (classify throws), it is in doubt
    const auto error_class = Wrapping::class_of(*call.policy, error, started);
    guard_detail::AsyncEnding ending{Kind::released, {}, error};
    if (error_class == ErrorClass::final) ending.kind = Kind::failed;
    if (error_class == ErrorClass::in_doubt) ending.kind = Kind::in_doubt;
    guard_detail::AsyncFinish finish(guard, std::move(ending));
    auto completion = co_await finish;
    // A key that could not be given back is ended by its lease: the caller's error is the handler's.
    if (error_class == ErrorClass::retryable) completion = {};
    co_return Wrapping::failed(guard, completion, error);
  }

  Guards& guards_;
  Wrapping wrapping_;
  Handler handler_;
};

/// Guards a coroutine (or a function): the handler returns an Async<T>, or anything else that can be awaited,
/// of a value or a Result; or a plain value. Arguments, key and errors as idempotent(). The Guards must be
/// started before the first call.
template <class... Request, class Handler>
[[nodiscard]] auto idempotent_async(Guards& guards, KeyLiteral<std::type_identity_t<Request>...> key,
                                    Policy policy, Handler handler) {
  return IdempotentAsync<Handler, Request...>(guards, guard_detail::bound<Request...>(key), std::move(policy),
                                              std::move(handler),
                                              guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

}  // namespace onceward
