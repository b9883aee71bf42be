#include "idempotency/trip.hpp"

#include <fmt/format.h>

namespace onceward::guard_detail {

CompletionTrip::CompletionTrip(Claim& claim, Storage& storage, Timing timing, Duration patience)
    : claim_(claim), storage_(storage), patience_(patience) {
  claim_.batch.operations.front().timing = timing;
  write();
}

void CompletionTrip::write() {
  auto& operation = claim_.batch.operations.front();
  const auto revision = claim_.revision.load(std::memory_order_acquire);
  operation.kind = revision == absent ? Operation::Kind::insert : Operation::Kind::replace;
  // Of a claim that is gone the last known one stays: with it a storage that lost its data takes it again.
  if (revision != absent) operation.expected = revision;
  need_ = Need::commit;
}

void CompletionTrip::committed(Result<BatchAnswer> answer, Timestamp) {
  if (answer && answer->applied()) {
    written_ = answer->revision;
    return end({});
  }
  if (answer) {
    const auto now = std::chrono::steady_clock::now();
    if (until_ == SteadyTime{}) until_ = now + patience_;
    if (++refusals_ > most_refusals && now >= until_) {
      may_go_on_ = true;
      return end({Verdict::executed, false, Error{ErrorCode::conflict, "the record changed all the time"}});
    }
    return settle(answer->found);
  }
  auto error = std::move(answer).error();
  // A full storage has room again one day, and the work took effect.
  if (retry_advice(error.code) == RetryAdvice::give_up && error.code != ErrorCode::exhausted)
    return end({Verdict::executed, false, std::move(error)});
  // A timeout says that repeating is harmless, an answer in doubt that somebody must look first.
  const bool look = error.code == ErrorCode::in_doubt;
  again(std::move(error), look);
}

void CompletionTrip::looked(Result<std::optional<Record>> stored, Timestamp) {
  if (!stored) return again(std::move(stored).error(), true);
  settle(*stored);
}

/// What a completion makes of the record it met.
void CompletionTrip::settle(const std::optional<Record>& found) {
  const auto not_ours = [&] {
    if (!only_own_) return end({Verdict::lease_lost, false, std::nullopt});
    end({Verdict::lease_lost, false,
         Error{ErrorCode::conflict,
               fmt::format("the key \"{}\" is no longer this guard's; it was left alone", claim_.key)}});
  };
  if (!found) {
    if (only_own_ || claim_.expired()) return not_ours();
    // The record is gone (flushed) before its time: the completion makes it again.
    claim_.revision.store(absent, std::memory_order_release);
  } else {
    // An own claim is written over, also by a renewal: that an earlier one is there lengthens no lease.
    const auto known = decode_key_record(*found);
    if (!known || known->state != KeyState::claimed || known->owner != claim_.owner) {
      if (found->value != claim_.batch.operations.front().value) return not_ours();
      written_ = found->revision;
      return end({});  // written before, its answer lost
    }
    claim_.revision.store(found->revision, std::memory_order_release);
  }
  write();
}

void CompletionTrip::again(Error error, bool read_first) {
  const auto now = std::chrono::steady_clock::now();
  if (until_ == SteadyTime{}) until_ = now + patience_;
  read_first_ = read_first;
  if (now >= until_) {
    may_go_on_ = true;
    return end({Verdict::executed, false, std::move(error)});
  }
  pause_for(pause_length_, until_);
  pause_length_ = longer(pause_length_);
}

void CompletionTrip::paused(bool) {
  if (!read_first_) return write();
  need_ = Need::read;
}

void CompletionTrip::go_on() {
  may_go_on_ = false;
  paused(false);
}

void CompletionTrip::begin_in_background() noexcept {
  may_go_on_ = true;
  until_ = SteadyTime::min();
  need_ = Need::ended;
}

void CompletionTrip::try_once_more() noexcept { until_ = SteadyTime::min(); }

void CompletionTrip::end(Completion completion) {
  completion_ = std::move(completion);
  need_ = Need::ended;
}

}  // namespace onceward::guard_detail
