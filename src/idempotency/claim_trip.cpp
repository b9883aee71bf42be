#include "idempotency/machine.hpp"
#include "idempotency/trip.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace onceward::guard_detail {
namespace {

constexpr int most_rounds = 64;
constexpr int most_lost = 3;

}  // namespace

Operation& operation_of(Claim& claim) {
  claim.batch.partition = claim.partition;
  claim.batch.operations.resize(1);
  auto& operation = claim.batch.operations.front();
  operation.key = claim.key;
  return operation;
}

ClaimTrip::ClaimTrip(Claim& claim, Storage& storage) : claim_(claim), asked_(&storage) { write(); }

/// Writes the claim: a new record, or over what was found.
void ClaimTrip::write() {
  if (++rounds_ > most_rounds) {
    error_ = Error{ErrorCode::conflict, fmt::format("the key \"{}\" changed {} times while it was claimed; "
                                                    "call again",
                                                    claim_.key, most_rounds)};
    return end();
  }
  at_ = At::claiming;
  if (!found_) stood_.reset();
  asked_at_ = since_boot();
  if (claim_.policy->auto_renew) written_at_ = std::chrono::steady_clock::now();
  auto& operation = operation_of(claim_);
  operation.kind = found_ ? Operation::Kind::replace : Operation::Kind::insert;
  operation.expected = found_ ? found_->revision : absent;
  operation.timing = {claim_.policy->lease, claim_.policy->retention};
  encode_into(operation.value, {KeyState::claimed, claim_.owner, attempt_, absent, claim_.fingerprint});
  need_ = Need::commit;
}

void ClaimTrip::committed(Result<BatchAnswer> answer, Timestamp now) {
  if (at_ != At::claiming) return end();  // whatever came of it: the lease ends what could not be written
  if (answer && answer->applied()) return acquire(attempt_, answer->revision, answer->revision);
  if (answer) {
    found_ = std::move(answer->found);
    now_ = now;
    return act();
  }
  const auto code = answer.error().code;
  if (code != ErrorCode::in_doubt && code != ErrorCode::timeout) return down(std::move(answer).error());
  // Either the claim stands, and is found as this owner's, or nothing was written.
  unanswered_ = std::move(answer).error();
  need_ = Need::read;
}

void ClaimTrip::looked(Result<std::optional<Record>> stored, Timestamp now) {
  if (at_ == At::asking_fallback) {
    if (!stored) return ask_fallback_again(std::move(stored).error());
    return judge_fallback(*stored, now);
  }
  if (!stored) return down(std::move(stored).error());
  found_ = *std::move(stored);
  now_ = now;
  if (unanswered_) {
    // A storage that let one write time out is not asked to try a new key again on this caller's time.
    const bool enough = ++lost_ > most_lost || (!found_ && unanswered_->code == ErrorCode::timeout);
    auto error = *std::exchange(unanswered_, std::nullopt);
    if (enough) return down(std::move(error));
  }
  // Nothing found: the record vanished between the refusal and the look, so the claim is written again.
  found_ ? act() : write();
}

void ClaimTrip::act() {
  if (!found_) return write();
  auto known = decode_key_record(*found_);
  if (!known) {
    claim_.error = std::move(known).error();
    return settle(Verdict::result_unavailable);
  }
  const Duration lease_left = found_->due ? Duration(*found_->due - now_) : Duration::zero();
  const auto decision = decide(*known, lease_left, *claim_.policy, claim_.owner, claim_.fingerprint);
  switch (decision.kind) {
    case Decision::Kind::resume:
      return acquire(known->attempt, known->fence == absent ? found_->revision : known->fence,
                     found_->revision);
    case Decision::Kind::take:
      attempt_ = known->attempt + 1;
      reconcile_ = decision.reconcile;
      keep_what_stands(*known);
      // A caller without a payload keeps what is known of it.
      if (claim_.fingerprint.empty()) claim_.fingerprint = std::move(known->fingerprint);
      return write();
    case Decision::Kind::wait: return waits(decision.retry_after);
    case Decision::Kind::answer: break;
  }
  claim_.retry_after = decision.retry_after;
  if (decision.verdict != Verdict::key_reused) take_result(*known);
  settle(decision.verdict);
}

/// A claim that is given back leaves what stood here, for the next caller to decide about. Of a claim only
/// the doubt: should its owner wake up, another storage's may have taken its place.
void ClaimTrip::keep_what_stands(const KeyRecord& known) {
  if (claim_.policy->on_storage_down != OnStorageDown::fallback) return;
  const bool claimed = known.state == KeyState::claimed;
  const Error silent{ErrorCode::in_doubt, "its owner was not heard of again"};
  stood_ = claimed ? encode({.state = KeyState::in_doubt,
                             .owner = known.owner,
                             .attempt = known.attempt,
                             .fence = known.fence == absent ? found_->revision : known.fence,
                             .fingerprint = known.fingerprint,
                             .error = &silent})
                   : found_->value;
  stood_timing_ = {};
  if (found_->due) stood_timing_.due_in = Duration::zero();
  if (found_->expires) stood_timing_.expires_in = std::max(Duration(1), Duration(*found_->expires - now_));
}

/// What the record tells about how the key's work ended.
void ClaimTrip::take_result(KeyRecord& known) {
  if (known.state == KeyState::claimed || known.state == KeyState::released) return;
  claim_.attempt = known.attempt;
  claim_.fence = known.fence;
  claim_.result = std::move(known.result);
  if (known.has_error()) claim_.error = std::move(known.error);
  if (found_ && found_->expires) claim_.replay_left = *found_->expires - now_;
}

void ClaimTrip::waits(Duration lease_left) {
  const auto now = std::chrono::steady_clock::now();
  claim_.retry_after = lease_left;
  if (!waits_until_) waits_until_ = now + claim_.policy->wait_limit;
  if (stopped_ || now >= *waits_until_) {
    if (at_ == At::asking_fallback) return give_back(Verdict::in_progress, lease_left);
    return settle(Verdict::in_progress);
  }
  pause_for(pause_length_, *waits_until_);
  pause_length_ = longer(pause_length_);
}

void ClaimTrip::paused(bool stopped) {
  stopped_ = stopped_ || stopped;
  waited_for_fallback_ = at_ == At::asking_fallback;
  need_ = Need::read;
}

void ClaimTrip::acquire(int attempt, Revision fence, Revision revision) {
  claim_.acquired = true;
  claim_.reconcile = reconcile_ || known_doubt_;
  claim_.storage = asked_;
  claim_.attempt = attempt;
  claim_.fence = fence;
  claim_.revision.store(revision, std::memory_order_relaxed);
  claim_.kept_at(asked_at_);
  claim_.retry_after = {};
  const auto& policy = *claim_.policy;
  if (policy.on_storage_down != OnStorageDown::fallback || on_fallback_) return end();
  // While this storage was away the key may have been claimed in the other one: by whom this caller must see.
  at_ = At::asking_fallback;
  asked_ = policy.fallback;
  need_ = Need::read;
}

/// The fallback holds nothing against this claim. Its lease ran while this caller waited there, and another
/// one may have it: it is written again, and the fallback looked at again.
void ClaimTrip::hold() {
  if (!std::exchange(waited_for_fallback_, false)) return end();
  attempt_ = claim_.attempt;
  reconcile_ = claim_.reconcile;
  found_ = Record{claim_.key, {}, claim_.revision.load(std::memory_order_relaxed)};
  asked_ = std::exchange(claim_.storage, nullptr);
  claim_.acquired = false;
  write();
}

/// Until the fallback has told what it knows nothing runs: the key may have ended there.
void ClaimTrip::ask_fallback_again(Error error) {
  const auto now = std::chrono::steady_clock::now();
  if (!asks_until_) asks_until_ = now + claim_.policy->record_limit;
  if (stopped_ || now >= *asks_until_ || retry_advice(error.code) == RetryAdvice::give_up) {
    error_ = std::move(error);
    return give_back(Verdict::storage_down, {});
  }
  pause_for(pause_length_, *asks_until_);
  pause_length_ = longer(pause_length_);
}

void ClaimTrip::judge_fallback(const std::optional<Record>& found, Timestamp now) {
  if (!found) return hold();
  auto known = decode_key_record(*found);
  if (!known) {
    claim_.error = std::move(known).error();
    return give_back(Verdict::result_unavailable, {});
  }
  const Duration lease_left = found->due ? Duration(*found->due - now) : Duration::zero();
  const auto decision = decide(*known, lease_left, *claim_.policy, claim_.owner, claim_.fingerprint);
  if (decision.kind == Decision::Kind::wait) return waits(decision.retry_after);
  if (decision.kind != Decision::Kind::answer) {
    claim_.attempt = std::max(claim_.attempt, known->attempt + 1);
    claim_.reconcile = claim_.reconcile || decision.reconcile;
    return hold();
  }
  found_ = found;
  now_ = now;
  const bool ended = known->state == KeyState::done || known->state == KeyState::failed;
  if (decision.verdict == Verdict::key_reused || !ended)
    return give_back(decision.verdict, decision.retry_after);
  // How it ended is brought along, so that the first storage knows it from here on.
  take_result(*known);
  const auto json = claim_.result.to_json();
  verdict_after_ = decision.verdict;
  auto& operation = over_own(At::adopting);
  operation.timing = {std::nullopt,
                      std::max(Duration(1), claim_.replay_left.value_or(claim_.policy->retention))};
  encode_into(operation.value, {known->state, known->owner, known->attempt, known->fence, known->fingerprint,
                                json, known->has_error() ? &*claim_.error : nullptr});
}

/// Leaves the key as if this claim had not been: its payload must not stand for the key, and an earlier
/// attempt's doubt must not end with it.
void ClaimTrip::give_back(Verdict verdict, Duration retry_after) {
  claim_.retry_after = retry_after;
  verdict_after_ = verdict;
  auto& operation = over_own(At::giving_back);
  if (!stood_) operation.kind = Operation::Kind::remove;
  operation.timing = stood_ ? stood_timing_ : Timing();
  operation.value = stood_ ? *std::move(stood_) : std::string();
}

/// Writes over the claim this trip has just written, and ends without it.
Operation& ClaimTrip::over_own(At what) {
  at_ = what;
  asked_ = claim_.storage;
  auto& operation = operation_of(claim_);
  operation.kind = Operation::Kind::replace;
  operation.expected = claim_.revision.load(std::memory_order_relaxed);
  claim_.acquired = false;
  claim_.storage = nullptr;
  claim_.verdict = verdict_after_;
  need_ = Need::commit;
  return operation;
}

void ClaimTrip::settle(Verdict verdict) {
  claim_.verdict = verdict;
  end();
}

void ClaimTrip::down(Error error) {
  const auto& policy = *claim_.policy;
  const bool away = is_down(error.code) || error.code == ErrorCode::in_doubt;
  // Who saw the owner at work knows more than that the storage is away: it does not run beside him.
  if (away && waits_until_ && policy.on_storage_down != OnStorageDown::fail_closed)
    return settle(Verdict::in_progress);
  if (away && policy.on_storage_down == OnStorageDown::fallback && !on_fallback_) {
    on_fallback_ = true;
    asked_ = policy.fallback;
    found_.reset();
    // A doubt that is known stays one, wherever the key is claimed.
    known_doubt_ = std::exchange(reconcile_, false);
    if (!known_doubt_) attempt_ = 1;
    return write();
  }
  if (away && policy.on_storage_down == OnStorageDown::fail_open) {
    claim_.acquired = true;  // without a storage to record in: unguarded
    claim_.attempt = attempt_;
    claim_.reconcile = reconcile_;
    return end();
  }
  error_ = std::move(error);
  end();
}

}  // namespace onceward::guard_detail
