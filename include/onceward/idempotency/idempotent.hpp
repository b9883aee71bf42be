#pragma once
#include <onceward/expr/bind.hpp>
#include <onceward/idempotency/guard.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace onceward {

namespace guard_detail {

/// 32 hexadecimal digits of SHA-256 over the canonical JSON of a payload.
[[nodiscard]] std::string fingerprint_of(const Value& payload);

}  // namespace guard_detail

/// A handler whose calls are guarded: made by idempotent(). Any number of threads may call one; the storage
/// must outlive it. Copies share nothing but the storage.
template <class Handler, class... Request>
class Idempotent {
 public:
  using Returned = std::remove_cvref_t<std::invoke_result_t<const Handler&, const Request&...>>;
  using Content = typename result_detail::ContentOf<Returned>::type;

  Idempotent(Storage& storage, BoundKey<Request...> key, Policy policy, Handler handler)
      : storage_(&storage), key_(std::move(key)), policy_(std::move(policy)), handler_(std::move(handler)) {}

  /// Runs the handler, unless the request's key is taken: then it says so, or gives the stored result again.
  /// An exception of the handler gives the key back and passes through. An error it returns is stored and
  /// given again where repeating cannot help (retry_advice: give_up), else the key is given back. Throws
  /// DuplicateCall where the policy says raise.
  Outcome<Content> operator()(const Request&... request, std::stop_token stop = {}) const {
    // Key and fingerprint are computed once: a handler that changes what it was given cannot move its record.
    KeyBuffer place;
    auto key = key_.render(place, request...);
    if (!key) return Outcome<Content>(Verdict::storage_down).with_error(std::move(key).error());
    auto guard = Guard::claim(*storage_, *key, policy_, guard_detail::fingerprint_of(payload_of(request...)),
                              std::move(stop));
    if (!guard) return Outcome<Content>(Verdict::storage_down).with_error(std::move(guard).error());
    if (!guard->acquired()) return answer(*guard);
    return run(*guard, request...);
  }

 private:
  /// What a key is used for, whole: one argument as it is, several as a list.
  static Value payload_of(const Request&... request) {
    if constexpr (sizeof...(Request) == 1) {
      return (to_value(request), ...);
    } else {
      return List{to_value(request)...};
    }
  }

  Outcome<Content> answer(const Guard& guard) const {
    if (policy_.on_duplicate == OnDuplicate::raise &&
        (guard.verdict() == Verdict::replayed || guard.verdict() == Verdict::in_progress)) {
      throw DuplicateCall(guard.verdict());
    }
    Outcome<Content> outcome(guard.verdict());
    outcome.with_claim(guard.attempt(), guard.fence(), guard.retry_after()).with_error(guard.error());
    if (guard.verdict() != Verdict::replayed || guard.error() || policy_.on_duplicate == OnDuplicate::code)
      return outcome;
    typename Outcome<Content>::Content content{};
    if constexpr (!std::is_void_v<Content>) {
      if (auto read = from_value(guard.result(), content); !read) {
        // It ran; that its result has another shape now is no reason to run it again.
        return Outcome<Content>(Verdict::result_unavailable)
            .with_claim(guard.attempt(), guard.fence())
            .with_error(std::move(read).error());
      }
    }
    return outcome.with_value(std::move(content));
  }

  Outcome<Content> run(Guard& guard, const Request&... request) const {
    Outcome<Content> outcome(Verdict::executed);
    outcome.with_claim(guard.attempt(), guard.fence());
    if constexpr (result_detail::ContentOf<Returned>::fallible) {
      Returned returned = handler_(request...);
      if (!returned) {
        outcome.with_error(returned.error());
        if (retry_advice(returned.error().code) != RetryAdvice::give_up) {
          (void)guard.release();  // where that fails, the lease ends the claim
          return outcome;
        }
        return finish(outcome, guard.complete_with_error(returned.error()));
      }
      if constexpr (std::is_void_v<Content>) {
        return finish(outcome.with_value({}), guard.complete(Value()));
      } else {
        const auto completion = store(guard, *returned);
        return finish(outcome.with_value(*std::move(returned)), completion);
      }
    } else if constexpr (std::is_void_v<Returned>) {
      handler_(request...);
      return finish(outcome.with_value({}), guard.complete(Value()));
    } else {
      Returned returned = handler_(request...);
      const auto completion = store(guard, returned);
      return finish(outcome.with_value(std::move(returned)), completion);
    }
  }

  /// The work took effect: a codec that throws must not give its key back.
  template <class Stored>
  static Completion store(Guard& guard, const Stored& result) {
    std::optional<Value> encoded;
    std::string why = "its codec threw something that is no std::exception";
    try {
      encoded = to_value(result);
    } catch (const std::exception& thrown) {
      why = thrown.what();
    } catch (...) {
    }
    if (encoded) return guard.complete(*encoded);
    return guard.complete_unstored({ErrorCode::invalid_argument, "the result cannot be stored: " + why});
  }

  static Outcome<Content> finish(const Outcome<Content>& outcome, const Completion& completion) {
    Outcome<Content> finished(completion.verdict);
    finished.with_claim(outcome.attempt(), outcome.fence()).with_recorded(completion.recorded);
    if (outcome.has_value()) finished.with_value(outcome.value());
    return finished.with_error(completion.error ? completion.error : outcome.error());
  }

  Storage* storage_;
  BoundKey<Request...> key_;
  Policy policy_;
  Handler handler_;
};

/// As below, with a key that was bound before: with functions of the application's own, or a template that is
/// no literal.
template <class... Request, class Handler>
[[nodiscard]] auto idempotent(Storage& storage, BoundKey<std::type_identity_t<Request>...> key, Policy policy,
                              Handler handler) {
  if (auto checked = policy.check(); !checked) throw std::invalid_argument(describe(checked.error()));
  return Idempotent<Handler, Request...>(storage, std::move(key), std::move(policy), std::move(handler));
}

/// Guards a handler: the annotation of this library, written once at start-up. `key` is a literal template
/// over the request's fields; one that names no field does not compile. The handler takes `const Request&`
/// and returns a value, nothing, or a Result. Of several arguments, idempotent<Order, User>, each is named by
/// position (`p0.id`) or by the names given, {params("order", "user"), "pay:#{order.id}:#{user.id}"}; what a
/// key was used for is all of them. Throws std::invalid_argument for a template that does not parse
/// or can never make a key of the request, or a policy that does not hold together.
template <class... Request, class Handler>
[[nodiscard]] auto idempotent(Storage& storage, KeyLiteral<std::type_identity_t<Request>...> key,
                              Policy policy, Handler handler) {
  auto parsed = BoundKey<Request...>::parse(key);
  if (!parsed)
    throw std::invalid_argument("key template \"" + std::string(key.text()) +
                                "\": " + describe(parsed.error()));
  return idempotent<Request...>(storage, *std::move(parsed), std::move(policy), std::move(handler));
}

}  // namespace onceward
