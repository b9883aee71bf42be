#pragma once
#include <onceward/idempotency/wrapping.hpp>

namespace onceward {

/// A handler whose calls are guarded: made by idempotent(). Any number of threads may call one; the storage
/// (or the Guards) must outlive it. Copies share the results kept in this process.
template <class Handler, class... Request>
class Idempotent {
  using Returned = guard_detail::ReturnedBy<Handler, Request...>;
  using ContentOf = result_detail::ContentOf<Returned>;

 public:
  using Content = typename ContentOf::type;

  Idempotent(GuardedBy where, BoundKey<Request...> key, Policy policy, Handler handler,
             std::array<std::string_view, sizeof...(Request)> names = {})
      : wrapping_(where, std::move(key), std::move(policy), names), handler_(std::move(handler)) {}

  /// The same, asking `reconcile(request..., attempt)` before a stale attempt's work is run again, where the
  /// policy says OnStale::reconcile. Without one such a key is left in doubt. An exception of it leaves the
  /// key in doubt and passes through.
  [[nodiscard]] Idempotent reconciling(
      std::function<Reconciled<Content>(const Request&..., Attempt&)> reconcile) const {
    auto copy = *this;
    copy.wrapping_.reconcile = std::move(reconcile);
    return copy;
  }

  /// Runs the handler, unless the request's key is taken: then it says so, or gives the stored result again.
  /// An exception of the handler passes through; its key is given back, or, after
  /// Attempt::effects_started(), left in doubt. An error it returns is treated by its class
  /// (Policy::classify), and given as it is stored: the first 4096 bytes of its message, in UTF-8. Throws
  /// DuplicateCall where the policy says raise.
  Outcome<Content> operator()(const Request&... request, std::stop_token stop = {}) const {
    typename Wrapping::Call call;
    if (auto known = wrapping_.begin(call, request...)) return *std::move(known);
    auto guard = guard_detail::GuardAccess::claim(wrapping_.where(), call.key, call.policy,
                                                  wrapping_.counters(), call.fingerprint(), std::move(stop));
    if (!guard) return Wrapping::refused(std::move(guard).error());
    if (!guard->acquired()) return wrapping_.answer(call, *guard);
    auto attempt = wrapping_.attempt_of(call, *guard);
    try {
      if (guard->must_reconcile()) {
        attempt.effects_started();  // the earlier one's may have
        if (auto settled = reconcile(call, *guard, attempt, request...)) return *std::move(settled);
        if (guard->attempt() > call.policy->attempts_max) return exhausted(*guard);
        attempt = wrapping_.attempt_of(call, *guard);
      }
      return run(call, *guard, attempt, request...);
    } catch (...) {
      // Where that fails the lease ends the claim; the handler's exception is what the caller must see.
      if (guard->acquired()) give_up(*guard, attempt);
      throw;
    }
  }

 private:
  using Wrapping = guard_detail::Wrapping<Content, Request...>;

  static void give_up(Guard& guard, const Attempt& attempt) noexcept {
    try {
      if (!attempt.have_effects_started()) return (void)guard.release();
      (void)guard.leave_in_doubt(
          {ErrorCode::in_doubt, "an exception ended the call after its effects had started"});
    } catch (const std::exception&) {  // no memory: the claim stays as it is, and is stale after its lease
      return;
    }
  }

  static Outcome<Content> exhausted(Guard& guard) {
    auto outcome = Wrapping::exhausted(guard);
    (void)guard.release();  // where that fails, the lease ends the claim
    return outcome;
  }

  std::optional<Outcome<Content>> reconcile(typename Wrapping::Call& call, Guard& guard, Attempt& attempt,
                                            const Request&... request) const {
    using State = typename Reconciled<Content>::State;
    const Error unknown{ErrorCode::in_doubt, "nobody knows whether an earlier attempt took effect"};
    if (!wrapping_.reconcile) return Wrapping::failed(guard, guard.leave_in_doubt(unknown), unknown);
    auto found = wrapping_.reconcile(request..., attempt);
    if (found.state() == State::none) return std::nullopt;
    if (found.state() == State::unknown)
      return Wrapping::failed(guard, guard.leave_in_doubt(unknown), unknown);
    guard_detail::GuardAccess::tell_as(guard, Verdict::replayed);
    auto completion = store(guard, found.result());
    return wrapping_.ended(call, guard, std::move(completion), std::move(found.result()), Verdict::replayed);
  }

  Outcome<Content> run(typename Wrapping::Call& call, Guard& guard, Attempt& attempt,
                       const Request&... request) const {
    if constexpr (ContentOf::fallible) {
      Returned returned = guard_detail::call(handler_, attempt, request...);
      if (!returned) return end_with_error(call, guard, attempt, std::move(returned).error());
      if constexpr (std::is_void_v<Content>) {
        return end_with(call, guard, attempt, {});
      } else {
        return end_with(call, guard, attempt, *std::move(returned));
      }
    } else if constexpr (std::is_void_v<Returned>) {
      guard_detail::call(handler_, attempt, request...);
      return end_with(call, guard, attempt, {});
    } else {
      return end_with(call, guard, attempt, guard_detail::call(handler_, attempt, request...));
    }
  }

  Outcome<Content> end_with(typename Wrapping::Call& call, Guard& guard, Attempt& attempt,
                            typename Wrapping::Content content) const {
    attempt.effects_started();  // it took effect: what is thrown from here on must not give the key back
    auto completion = store(guard, content);
    return wrapping_.ended(call, guard, std::move(completion), std::move(content));
  }

  static Completion store(Guard& guard, const typename Wrapping::Content& content) {
    guard_detail::Scratch json;
    if (auto why = Wrapping::encode_result(json.text, content)) return guard.complete_unstored(*why);
    return guard_detail::GuardAccess::complete_json(guard, json.text);
  }

  Outcome<Content> end_with_error(typename Wrapping::Call& call, Guard& guard, Attempt& attempt,
                                  Error error) const {
    const bool started = attempt.have_effects_started();
    attempt.effects_started();  // where nobody can say what the error means (classify throws), it is in doubt
    switch (Wrapping::class_of(*call.policy, error, started)) {
      case ErrorClass::retryable: (void)guard.release(); break;  // where that fails, the lease ends the claim
      case ErrorClass::final: return Wrapping::failed(guard, guard.complete_with_error(error), error);
      case ErrorClass::in_doubt: return Wrapping::failed(guard, guard.leave_in_doubt(error), error);
    }
    return Wrapping::failed(guard, {}, error);
  }

  Wrapping wrapping_;
  Handler handler_;
};

namespace guard_detail {

template <class Literal, std::size_t n>
std::array<std::string_view, n> names_of(const Literal& literal) {
  std::array<std::string_view, n> names{};
  std::copy(literal.names().begin(), literal.names().end(), names.begin());
  return names;
}

/// A member function as a handler: which of its forms there is, is its object's to say.
template <class Member, class Object, class... Request>
struct MemberOf {
  Member member;
  Object* object;
  decltype(auto) operator()(
      const Request&... request) const requires std::is_invocable_v<Member, Object&, const Request&...> {
    return std::invoke(member, *object, request...);
  }
  decltype(auto) operator()(const Request&... request, Attempt& attempt)
      const requires std::is_invocable_v<Member, Object&, const Request&..., Attempt&> {
    return std::invoke(member, *object, request..., attempt);
  }
};

template <class... Request>
BoundKey<Request...> bound(const KeyLiteral<Request...>& key) {
  auto parsed = BoundKey<Request...>::parse(key);
  if (parsed) return *std::move(parsed);
  throw std::invalid_argument("key template \"" + std::string(key.text()) +
                              "\": " + describe(parsed.error()));
}

}  // namespace guard_detail

/// As below, with a key that was bound before: with functions of the application's own, or a template that is
/// no literal.
template <class... Request, class Handler>
[[nodiscard]] auto idempotent(GuardedBy where, BoundKey<std::type_identity_t<Request>...> key, Policy policy,
                              Handler handler) {
  return Idempotent<Handler, Request...>(where, std::move(key), std::move(policy), std::move(handler));
}

/// Guards a handler: the annotation of this library, written once at start-up. `key` is a literal template
/// over the request's fields; one that names no field does not compile. The handler takes `const Request&...`
/// and, if it likes, an `Attempt&` behind them; it returns a value, nothing, or a Result. With several
/// arguments the template names them: `{params("order", "user"), "#{order.id}:#{user.id}"}`, or `p0`, `p1`.
/// Throws std::invalid_argument for a template that does not parse or can never make a key of the request, or
/// a policy that does not hold together.
template <class... Request, class Handler>
[[nodiscard]] auto idempotent(GuardedBy where, KeyLiteral<std::type_identity_t<Request>...> key,
                              Policy policy, Handler handler) {
  return Idempotent<Handler, Request...>(where, guard_detail::bound<Request...>(key), std::move(policy),
                                         std::move(handler),
                                         guard_detail::names_of<decltype(key), sizeof...(Request)>(key));
}

/// Guards a member function of an object, which must outlive the wrapper; it may take an `Attempt&` behind
/// the request: `idempotent<GrantRequest>(storage, "...", {...}, &Ledger::grant, ledger)`.
template <class... Request, class Member, class Object>
requires std::is_member_function_pointer_v<Member>
[[nodiscard]] auto idempotent(GuardedBy where, KeyLiteral<std::type_identity_t<Request>...> key,
                              Policy policy, Member member, Object& object) {
  return idempotent<Request...>(where, key, std::move(policy),
                                guard_detail::MemberOf<Member, Object, Request...>{member, &object});
}

}  // namespace onceward
