#include <onceward/core/digest.hpp>
#include <onceward/pipeline/reward_steps.hpp>

#include <exception>

namespace onceward {
namespace {

constexpr std::size_t fingerprint_digits = 32;

/// The same for every attempt of an order, and for no other order.
std::string fingerprint_of(const RewardOrder& order) {
  Sha256 hash;
  hash.update(Value(List{to_string(order.kind), order.user, order.amount, order.code}).to_json());
  return to_hex(hash.finish(), fingerprint_digits);
}

Value value_of(const RewardReceipt& receipt) { return Map{{"id", receipt.id}, {"balance", receipt.balance}}; }

Result<RewardReceipt> receipt_of(const Value& value) {
  const auto* id = value.find("id");
  const auto* balance = value.find("balance");
  if (id == nullptr || id->string() == nullptr || balance == nullptr || balance->integer() == nullptr)
    return fail(ErrorCode::corrupt, "the stored receipt of a reward is not what this version wrote");
  return RewardReceipt{*id->string(), *balance->integer()};
}

/// What a guard says that did not get the right to run.
Result<RewardReceipt> answer_of(const Guard& guard) {
  switch (guard.verdict()) {
    case Verdict::replayed:
      if (guard.error()) return fail(*guard.error());
      return receipt_of(guard.result());
    case Verdict::in_progress:
      return fail(ErrorCode::unavailable, "another caller grants this reward right now");
    case Verdict::key_reused: return fail(ErrorCode::conflict, "this token came before with another order");
    case Verdict::in_doubt: return fail(ErrorCode::in_doubt, "nobody knows whether this reward was granted");
    case Verdict::attempts_exhausted:
      return fail(ErrorCode::exhausted, "this reward was tried as often as allowed");
    case Verdict::result_unavailable:
      return fail(ErrorCode::corrupt, "this reward was granted; its receipt cannot be read");
    default: break;
  }
  if (guard.error()) return fail(*guard.error());
  return fail(ErrorCode::unavailable, "the storage of the guards cannot be asked");
}

/// Calls the service; what it throws leaves open what happened.
template <class Call>
auto asked(const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::in_doubt, thrown.what());
  }
}

}  // namespace

GuardedRewards::GuardedRewards(GuardedBy where, RewardService& service, Policy policy)
    : where_(where), service_(service), policy_(std::move(policy)) {
  policy_.on_stale = OnStale::reconcile;
}

Result<Guard> GuardedRewards::claim(std::string_view token, const RewardOrder& order) const {
  return Guard::claim(where_, token, policy_, fingerprint_of(order));
}

Result<RewardReceipt> GuardedRewards::grant(const RewardOrder& order) {
  auto guard = claim(order.token, order);
  if (!guard) return fail(std::move(guard).error());
  if (!guard->acquired()) return answer_of(*guard);
  if (guard->must_reconcile()) {
    auto found = asked([&] { return service_.find(order); });
    if (!found) {
      (void)guard->leave_in_doubt(
          found.error());  // where that fails, the lease ends and it is in doubt all the same
      return fail(ErrorCode::in_doubt, found.error().message);
    }
    if (*found) {
      (void)guard->complete(value_of(**found));  // where that fails, the next caller finds it again
      return **std::move(found);
    }
  }
  auto receipt = asked([&] { return service_.grant(order); });
  if (receipt) {
    // It took effect: a receipt that cannot be stored now is found again, or in doubt, and never a second
    // grant.
    (void)guard->complete(value_of(*receipt));
    return receipt;
  }
  switch (retry_advice(receipt.error().code)) {
    case RetryAdvice::retry: (void)guard->release(); break;  // where that fails, the lease ends the claim
    case RetryAdvice::read_back: (void)guard->leave_in_doubt(receipt.error()); break;
    case RetryAdvice::give_up: (void)guard->complete_with_error(receipt.error()); break;
  }
  return receipt;
}

Result<std::optional<RewardReceipt>> GuardedRewards::look(const RewardOrder& order, bool close) {
  auto guard = claim(order.token, order);
  if (!guard) return fail(std::move(guard).error());
  if (!guard->acquired()) {
    if (guard->verdict() == Verdict::replayed && guard->error()) return std::optional<RewardReceipt>();
    auto answer = answer_of(*guard);
    if (!answer) return fail(std::move(answer).error());
    return std::optional(*std::move(answer));
  }
  if (guard->must_reconcile()) {
    auto found = asked([&] { return service_.find(order); });
    if (!found) {
      (void)guard->leave_in_doubt(found.error());
      return fail(ErrorCode::in_doubt, found.error().message);
    }
    if (*found) {
      (void)guard->complete(value_of(**found));
      return found;
    }
  }
  if (!close) return std::optional<RewardReceipt>();
  const auto closed = guard->complete_with_error(
      {ErrorCode::wrong_state, "this reward was taken back before it was granted"});
  if (!closed.recorded)
    return fail(ErrorCode::unavailable, "that the reward is taken back could not be recorded");
  return std::optional<RewardReceipt>();
}

Result<void> GuardedRewards::take_back(const RewardOrder& order, std::string_view undo_token) {
  auto guard = claim(undo_token, order);
  if (!guard) return fail(std::move(guard).error());
  if (!guard->acquired()) {
    const auto answer = answer_of(*guard);
    if (guard->verdict() == Verdict::replayed && !guard->error()) return {};
    return fail(answer.error());
  }
  const auto granted = look(order, true);
  if (!granted) {
    if (guard->must_reconcile()) (void)guard->leave_in_doubt(granted.error());
    return fail(granted.error());
  }
  if (!*granted) {
    (void)guard->complete({});
    return {};
  }
  if (guard->must_reconcile()) {
    const Error unknown{ErrorCode::in_doubt, "nobody knows whether this reward was taken back"};
    (void)guard->leave_in_doubt(unknown);
    return fail(unknown);
  }
  auto taken = asked([&] { return service_.take_back(order, undo_token); });
  if (taken) {
    (void)guard->complete({});
    return taken;
  }
  switch (retry_advice(taken.error().code)) {
    case RetryAdvice::retry: break;
    case RetryAdvice::read_back: (void)guard->leave_in_doubt(taken.error()); break;
    case RetryAdvice::give_up: (void)guard->complete_with_error(taken.error()); break;
  }
  return taken;
}

Result<std::optional<RewardReceipt>> GuardedRewards::find(const RewardOrder& order) {
  return look(order, false);
}

}  // namespace onceward
