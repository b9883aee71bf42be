#include "idempotency/finish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>

namespace onceward {
namespace guard_detail {
namespace {

constexpr auto at_once = Duration::zero();

class Sleeper final : public Pauser {
 public:
  bool pause(Duration length) override {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable().wait_for(lock, length);
    return false;
  }
};

/// Nothing is held: moved from, never acquired, or ended before.
Completion not_held(const Claim* claim) {
  const bool answered = claim != nullptr && claim->verdict != Verdict::executed;
  return {answered ? claim->verdict : Verdict::lease_lost,
          false,
          Error{ErrorCode::wrong_state,
                answered ? fmt::format("this guard does not hold its key (it is {}): nothing was stored",
                                       to_string(claim->verdict))
                         : std::string("this guard's claim has ended before: nothing was stored")},
          {}};
}

/// From here on the key is not given back, whatever happens. Null where nothing is held.
Storage* let_go(Claim& claim) noexcept {
  claim.acquired = false;
  if (claim.keeper != nullptr) claim.keeper->unwatch(claim);
  return std::exchange(claim.storage, nullptr);
}

/// How an ending is stored, and what is said of it.
struct Stored {
  Timing timing;
  Duration patience;
  CallEnd end = CallEnd::executed;
  std::optional<Verdict> verdict{};
  std::optional<Error> error{};
  bool may_be_posted = true;
  bool only_over_own_claim = false;
};

Completion amended(Completion completion, const Stored& stored) {
  if (completion.verdict == Verdict::executed && stored.verdict) completion.verdict = *stored.verdict;
  if (!completion.error) completion.error = stored.error;
  return completion;
}

std::shared_ptr<Posted> posted_of(const SharedClaim& claim, Storage& storage, const Stored& stored) {
  auto posted = std::make_shared<Posted>(claim, storage, stored.timing, stored.patience);
  claim->posted = true;
  if (stored.only_over_own_claim) posted->trip.only_over_own_claim();
  posted->verdict = stored.verdict;
  posted->error = stored.error;
  posted->end = stored.end;
  return posted;
}

/// After the trip: counts, wakes, and leaves to the background what the storage was away for.
Completion concluded(const SharedClaim& claim, CompletionTrip& trip, const Stored& stored) {
  auto* const keeper = claim->keeper;
  auto completion = amended(trip.completion(), stored);
  claim->count(end_of(completion, stored.end));
  if (keeper == nullptr) return completion;
  keeper->ended(*claim);
  if (trip.may_go_on() && !stored.only_over_own_claim) {
    auto posted = posted_of(claim, trip.storage(), stored);
    posted->told = true;
    posted->trip.begin_in_background();
    if (keeper->repeat(posted)) completion.acknowledgement = Acknowledgement(std::move(posted));
  }
  return completion;
}

/// Stores what stands in the claim's operation.
Completion store(const SharedClaim& claim, Storage& storage, Stored stored, Then then) {
  auto* const keeper = claim->keeper;
  const bool post = stored.may_be_posted && claim->policy->acknowledge == Acknowledge::post;
  if (keeper != nullptr && (post || then)) {
    auto posted = posted_of(claim, storage, stored);
    posted->then = std::move(then);
    if (keeper->post(posted, post ? keeper->options().flush_deadline : at_once)) {
      return amended({Verdict::executed, false, std::nullopt, Acknowledgement(std::move(posted))}, stored);
    }
    then = std::move(posted->then);  // too many are under way, or the Guards have stopped: it is awaited
  }
  CompletionTrip trip(*claim, storage, stored.timing, stored.patience);
  if (stored.only_over_own_claim) trip.only_over_own_claim();
  Sleeper sleeper;
  drive(trip, sleeper);
  auto completion = concluded(claim, trip, stored);
  if (then) then(completion);
  return completion;
}

/// A claim without a storage: it ran unguarded, or is not held.
Completion unstored(const Claim& claim, bool was_held, const Stored& stored, Then& then) {
  if (was_held) claim.count(CallEnd::unguarded);
  auto completion =
      was_held ? amended({Verdict::executed, false, std::nullopt, {}}, stored) : not_held(&claim);
  if (then) then(completion);
  return completion;
}

/// Puts the record of the claim's end into its operation.
void write_end(Claim& claim, KeyRecordView record) {
  record.owner = claim.owner;
  record.attempt = claim.attempt;
  record.fence = claim.fence;
  record.fingerprint = claim.fingerprint;
  encode_into(operation_of(claim).value, record);
}

Completion end_with(const SharedClaim& claim, const KeyRecordView& record, Stored stored, Then then) {
  const bool held = claim != nullptr && claim->acquired;
  if (claim == nullptr) return not_held(nullptr);
  Storage* const storage = let_go(*claim);
  if (storage == nullptr) return unstored(*claim, held, stored, then);
  write_end(*claim, record);
  return store(claim, *storage, std::move(stored), std::move(then));
}

Stored ended_as(const Claim& claim, CallEnd end) {
  return {{std::nullopt, claim.policy->retention}, claim.policy->record_limit, end};
}

/// Of work that nobody knows the end of.
Stored in_doubt_as(const Claim& claim, const Error& plain) {
  auto stored = ended_as(claim, CallEnd::left_in_doubt);
  stored.timing.due_in = Duration::zero();  // listed at once, with the stale ones
  stored.verdict = Verdict::in_doubt;
  stored.error = plain;
  stored.may_be_posted = false;
  return stored;
}

}  // namespace

Completion finish_json(const SharedClaim& claim, std::string_view json, Then then) {
  if (claim == nullptr) return not_held(nullptr);
  const auto& policy = *claim->policy;
  if (json.size() > policy.result_bytes_max) {
    return finish_unstored(
        claim,
        {ErrorCode::limit_exceeded, fmt::format("the result of \"{}\" has {} bytes, at most {} are stored",
                                                policy.operation, json.size(), policy.result_bytes_max)},
        std::move(then));
  }
  if (!reads_back(json)) {
    return finish_unstored(claim,
                           {ErrorCode::invalid_argument,
                            fmt::format("the result of \"{}\" is no UTF-8, or nested too deeply, and is "
                                        "not stored; encode bytes as text",
                                        policy.operation)},
                           std::move(then));
  }
  return end_with(claim, {.state = KeyState::done, .result = json}, ended_as(*claim, CallEnd::executed),
                  std::move(then));
}

std::vector<Completion> finish_many(std::span<const Ended> ended) {
  std::vector<Completion> completions(ended.size());
  std::deque<CompletionTrip> trips;  // they stay where they are
  std::vector<Trip*> under_way;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < ended.size(); ++i) {
    const auto& [claim, json] = ended[i];
    const bool plain = claim != nullptr && claim->acquired && claim->storage != nullptr &&
                       claim->policy->acknowledge == Acknowledge::await &&
                       json.size() <= claim->policy->result_bytes_max && reads_back(json);
    if (!plain) {
      completions[i] = finish_json(claim, json);
      continue;
    }
    Storage& storage = *let_go(*claim);
    write_end(*claim, {.state = KeyState::done, .result = json});
    const auto stored = ended_as(*claim, CallEnd::executed);
    under_way.push_back(&trips.emplace_back(*claim, storage, stored.timing, stored.patience));
    places.push_back(i);
  }
  Sleeper sleeper;
  drive(under_way, sleeper);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& claim = ended[places[i]].claim;
    completions[places[i]] = concluded(claim, trips[i], ended_as(*claim, CallEnd::executed));
  }
  return completions;
}

Completion finish_unstored(const SharedClaim& claim, const Error& why, Then then) {
  if (claim == nullptr) return not_held(nullptr);
  // The effect took place. What cannot be given again must not be run again either.
  const auto error = as_stored(why);
  auto stored = ended_as(*claim, CallEnd::result_unavailable);
  stored.verdict = Verdict::result_unavailable;
  stored.error = error;
  return end_with(claim, {.state = KeyState::done, .error = &error}, std::move(stored), std::move(then));
}

Completion finish_with_error(const SharedClaim& claim, const Error& error, Then then) {
  if (claim == nullptr) return not_held(nullptr);
  const auto plain = as_stored(error);
  return end_with(claim, {.state = KeyState::failed, .error = &plain}, ended_as(*claim, CallEnd::failed),
                  std::move(then));
}

Completion finish_in_doubt(const SharedClaim& claim, const Error& why, Then then) {
  if (claim == nullptr) return not_held(nullptr);
  const auto plain = as_stored(why);
  return end_with(claim, {.state = KeyState::in_doubt, .error = &plain}, in_doubt_as(*claim, plain),
                  std::move(then));
}

void give_up(const SharedClaim& claim) {
  if (!claim->acquired || !claim->reconcile) {
    // A release that fails leaves the claim as it is: the lease ends it.
    (void)release(claim);
    return;
  }
  // As above: where it fails the claim is stale after its lease, and the next caller reconciles as well.
  const Error silent{ErrorCode::in_doubt, "who was to find out about an earlier attempt gave up"};
  auto stored = in_doubt_as(*claim, silent);
  stored.patience = at_once;
  stored.only_over_own_claim = true;
  (void)end_with(claim, {.state = KeyState::in_doubt, .error = &silent}, std::move(stored), {});
}

Result<void> release(const SharedClaim& claim, Then then) {
  if (claim == nullptr || !claim->acquired) {
    if (then) then(not_held(claim.get()));
    return {};
  }
  Stored stored{{std::nullopt, claim->policy->retention}, at_once, CallEnd::released};
  stored.may_be_posted = false;
  stored.only_over_own_claim = true;
  const bool unguarded = claim->storage == nullptr;
  auto completion = end_with(claim, {.state = KeyState::released}, std::move(stored), std::move(then));
  if (completion.error && !unguarded) return fail(*std::move(completion.error));
  return {};
}

/// Writes over this guard's claim. A claim found under another revision is this guard's too, where the answer
/// to a renewal was lost; it is written over once more.
Result<void> renew(const SharedClaim& claim) {
  if (claim == nullptr || claim->storage == nullptr)
    return fail(ErrorCode::wrong_state, "there is no claim to renew");
  const auto asked_at = since_boot();
  const auto steadily = std::chrono::steady_clock::now();
  encode_into(operation_of(*claim).value,
              {KeyState::claimed, claim->owner, claim->attempt, claim->fence, claim->fingerprint});
  CompletionTrip trip(*claim, *claim->storage, {claim->policy->lease, claim->policy->retention}, at_once);
  trip.only_over_own_claim();
  Sleeper sleeper;
  drive(trip, sleeper);
  if (trip.completion().error) return fail(*std::move(trip.completion().error));
  claim->revision.store(trip.written(), std::memory_order_release);
  claim->kept_at(asked_at);
  if (claim->lane != nullptr) claim->lane->renewed_by_hand(*claim, steadily);
  return {};
}

Completion GuardAccess::complete_json(Guard& guard, std::string_view json) {
  return finish_json(guard.claim_, json);
}
Error GuardAccess::as_stored(const Error& error) { return guard_detail::as_stored(error); }

}  // namespace guard_detail

bool Acknowledgement::ready() const noexcept {
  if (posted_ == nullptr) return false;
  const std::lock_guard lock(posted_->mutex);
  return posted_->answer.has_value();
}

Completion Acknowledgement::wait() const {
  if (posted_ == nullptr) throw std::logic_error("an Acknowledgement of a completion that was not posted");
  std::unique_lock lock(posted_->mutex);
  posted_->changed.wait(lock, [&] { return posted_->answer.has_value(); });
  return *posted_->answer;
}

std::optional<Completion> Acknowledgement::wait_for(Duration limit) const {
  if (posted_ == nullptr) return std::nullopt;
  std::unique_lock lock(posted_->mutex);
  // Longer than any clock can tell is as long as it takes.
  posted_->changed.wait_for(lock, std::min(limit, Duration(limits::duration_us)),
                            [&] { return posted_->answer.has_value(); });
  return posted_->answer;
}

}  // namespace onceward
