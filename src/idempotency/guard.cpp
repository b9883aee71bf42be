#include <onceward/core/digest.hpp>
#include <onceward/core/ids.hpp>
#include <onceward/idempotency/guard.hpp>

#include "idempotency/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace onceward {
namespace {

using guard_detail::Decision;
using guard_detail::KeyRecord;
using guard_detail::encode;
using guard_detail::KeyState;

constexpr std::uint64_t partitions_of_operation = 256;
constexpr int most_rounds = 64;
constexpr int most_lost = 3;
constexpr auto first_pause = std::chrono::milliseconds(5);
constexpr auto longest_pause = std::chrono::milliseconds(200);

/// Sleeps for about this long, unless the caller is stopped. Jitter keeps waiters from asking in step.
void pause_for(Duration pause, const std::stop_token& stop) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto half = pause.count() / 2;
  const Duration length(half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half + 1)));
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, length, [] { return false; });
}

bool is_down(ErrorCode code) noexcept { return code == ErrorCode::unavailable || code == ErrorCode::timeout; }

}  // namespace

std::string guard_partition(std::string_view operation, std::string_view key) {
  std::string partition("guard/");
  partition.reserve(operation.size() + 10);
  partition.append(operation).append("/").append(std::to_string(stable_hash(key) % partitions_of_operation));
  return partition;
}

/// One claim on its way: asks the storage until there is an answer.
class Claimant {
 public:
  Claimant(Storage& storage, Guard& guard, std::stop_token stop)
      : storage_(storage),
        guard_(guard),
        stop_(std::move(stop)),
        waits_until_(Clock::now() + guard.policy_.wait_limit) {}

  Result<void> run() {
    std::optional<Record> found;
    Timestamp now;
    for (int round = 0; round < most_rounds; ++round) {
      auto answer = ask(found, now);
      if (!answer) return answer;
      if (settled_) return {};
      // Nothing found: the record vanished between the refusal and the look, so the claim is written again.
      while (found && !settled_) {
        const auto next = act(*found, now);
        if (next == Next::write) break;
        if (next == Next::look) {
          auto looked = look(found, now);
          if (!looked) return down(looked.error());
        }
      }
      if (settled_) return {};
    }
    return fail(ErrorCode::conflict,
                fmt::format("the key \"{}\" changed {} times while it was claimed; call again", guard_.key_,
                            most_rounds));
  }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Next : std::uint8_t { settled, write, look };

  /// Writes the claim: a new record, or over `found`. Leaves what stood in its way in `found`.
  Result<void> ask(std::optional<Record>& found, Timestamp& now) {
    const auto& policy = guard_.policy_;
    const Timing timing{policy.lease, policy.retention};
    auto value = encode({KeyState::claimed, guard_.owner_, attempt_, absent, guard_.fingerprint_});
    Batch batch{guard_.partition_, {}};
    batch.operations.push_back(
        found ? Operation::replace(guard_.key_, found->revision, std::move(value), timing)
              : Operation::insert(guard_.key_, std::move(value), timing));
    auto answer = storage_.commit({&batch, 1});
    if (answer && answer->batches[0].applied()) {
      acquire(attempt_, answer->batches[0].revision, answer->batches[0].revision);
      return {};
    }
    if (answer) {
      found = std::move(answer->batches[0].found);
      now = answer->now;
      return {};
    }
    const auto code = answer.error().code;
    if (code != ErrorCode::in_doubt && code != ErrorCode::timeout) return down(answer.error());
    // Either the claim stands, and is found as this owner's, or nothing was written.
    if (auto looked = look(found, now); !looked) return down(looked.error());
    // A storage that let one write time out is not asked to try a new key again on this caller's time.
    if (++lost_ > most_lost || (!found && code == ErrorCode::timeout)) return down(answer.error());
    return {};
  }

  Result<void> look(std::optional<Record>& found, Timestamp& now) {
    const RecordRef ref{guard_.partition_, guard_.key_};
    auto stored = storage_.read({&ref, 1});
    if (!stored) return fail(std::move(stored).error());
    found = std::move(stored->records[0]);
    now = stored->now;
    return {};
  }

  Next act(const Record& record, Timestamp now) {
    auto known = guard_detail::decode_key_record(record);
    if (!known) {
      settle(Verdict::result_unavailable);
      guard_.error_ = std::move(known).error();
      return Next::settled;
    }
    const Duration lease_left = record.due ? Duration(*record.due - now) : Duration::zero();
    const auto decision = decide(*known, lease_left, guard_.policy_, guard_.owner_, guard_.fingerprint_);
    switch (decision.kind) {
      case Decision::Kind::resume:
        acquire(known->attempt, known->fence == absent ? record.revision : known->fence, record.revision);
        return Next::settled;
      case Decision::Kind::take:
        attempt_ = known->attempt + 1;
        // A caller without a payload keeps what is known of it.
        if (guard_.fingerprint_.empty()) guard_.fingerprint_ = std::move(known->fingerprint);
        return Next::write;
      case Decision::Kind::wait:
        if (stop_.stop_requested() || Clock::now() >= waits_until_) {
          settle(Verdict::in_progress);
          guard_.retry_after_ = decision.retry_after;
          return Next::settled;
        }
        pause_for(std::min({Duration(pause_), decision.retry_after,
                            std::chrono::duration_cast<Duration>(waits_until_ - Clock::now())}),
                  stop_);
        pause_ = std::min<std::chrono::milliseconds>(pause_ * 2, longest_pause);
        return Next::look;
      case Decision::Kind::answer: break;
    }
    settle(decision.verdict);
    guard_.retry_after_ = decision.retry_after;
    if (decision.verdict == Verdict::replayed || decision.verdict == Verdict::result_unavailable) {
      guard_.attempt_ = known->attempt;
      guard_.fence_ = known->fence;
      guard_.result_ = std::move(known->result);
      if (known->has_error()) guard_.error_ = std::move(known->error);
    }
    return Next::settled;
  }

  void acquire(int attempt, Revision fence, Revision revision) {
    settled_ = true;
    guard_.acquired_ = true;
    guard_.storage_ = &storage_;
    guard_.attempt_ = attempt;
    guard_.fence_ = fence;
    guard_.revision_ = revision;
  }
  void settle(Verdict verdict) {
    settled_ = true;
    guard_.verdict_ = verdict;
  }
  Result<void> down(const Error& error) {
    const bool open = guard_.policy_.on_storage_down == OnStorageDown::fail_open;
    if (!open || !(is_down(error.code) || error.code == ErrorCode::in_doubt)) return fail(error);
    settled_ = true;
    guard_.acquired_ = true;  // without a storage to record in: unguarded()
    guard_.attempt_ = 1;
    return {};
  }

  Storage& storage_;
  Guard& guard_;
  std::stop_token stop_;
  Clock::time_point waits_until_;
  std::chrono::milliseconds pause_ = first_pause;
  int attempt_ = 1;
  int lost_ = 0;
  bool settled_ = false;
};

Result<Guard> Guard::claim(Storage& storage, std::string_view key, const Policy& policy,
                           std::string_view fingerprint, std::stop_token stop) {
  if (auto checked = policy.check(); !checked) return fail(std::move(checked).error());
  if (key.empty() || key.size() > limits::key_bytes) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the key of operation \"{}\" has {} bytes; it needs 1 to {}", policy.operation,
                            key.size(), limits::key_bytes));
  }
  Guard guard;
  guard.policy_ = policy;
  guard.partition_ = guard_partition(policy.operation, key);
  guard.key_ = key;
  guard.owner_ = new_owner_id();
  guard.fingerprint_ = fingerprint;
  if (auto claimed = Claimant(storage, guard, std::move(stop)).run(); !claimed)
    return fail(std::move(claimed).error());
  return guard;
}

Guard::Guard(Guard&& other) noexcept { *this = std::move(other); }

Guard& Guard::operator=(Guard&& other) noexcept {
  if (this == &other) return *this;
  drop();
  storage_ = std::exchange(other.storage_, nullptr);
  acquired_ = std::exchange(other.acquired_, false);
  policy_ = std::move(other.policy_);
  partition_ = std::move(other.partition_);
  key_ = std::move(other.key_);
  owner_ = std::move(other.owner_);
  fingerprint_ = std::move(other.fingerprint_);
  verdict_ = other.verdict_;
  result_ = std::move(other.result_);
  error_ = std::move(other.error_);
  attempt_ = other.attempt_, fence_ = other.fence_, revision_ = other.revision_,
  retry_after_ = other.retry_after_;
  return *this;
}

Guard::~Guard() { drop(); }

void Guard::drop() noexcept {
  if (storage_ == nullptr) return;
  try {
    // A release that fails leaves the claim as it is: the lease ends it.
    (void)release();
  } catch (const std::exception&) {
    return;  // out of memory while the stack unwinds: again the lease ends the claim
  }
}

/// From here on the key is not given back, whatever happens.
Storage* Guard::let_go() noexcept {
  acquired_ = false;
  return std::exchange(storage_, nullptr);
}

std::string Guard::ended(Ended how, const Value* result, const Error* error) const {
  return encode({how == Ended::failed ? KeyState::failed : KeyState::done, owner_, attempt_, fence_,
                 fingerprint_, result, error});
}

Completion Guard::complete(const Value& result) {
  Storage* const held = let_go();
  auto value = ended(Ended::done, &result, nullptr);
  if (value.size() > policy_.result_bytes_max) {
    return end_unstored(held, {ErrorCode::limit_exceeded,
                               fmt::format("the result of \"{}\" has {} bytes, at most {} are stored",
                                           policy_.operation, value.size(), policy_.result_bytes_max)});
  }
  if (!guard_detail::reads_back(value, result)) {
    return end_unstored(held, {ErrorCode::invalid_argument,
                               fmt::format("the result of \"{}\" is no UTF-8, or nested too deeply, and is "
                                           "not stored; encode bytes as text",
                                           policy_.operation)});
  }
  return record(held, std::move(value));
}

Completion Guard::complete_unstored(const Error& why) { return end_unstored(let_go(), why); }

Completion Guard::end_unstored(Storage* storage, const Error& why) {
  // The effect took place. What cannot be given again must not be run again either.
  auto completion = record(storage, ended(Ended::unstored, nullptr, &why));
  if (completion.verdict == Verdict::executed) completion.verdict = Verdict::result_unavailable;
  if (!completion.error) completion.error = why;
  return completion;
}

Completion Guard::complete_with_error(const Error& error) {
  Storage* const held = let_go();
  auto value = ended(Ended::failed, nullptr, &error);
  if (!guard_detail::reads_back(value, {})) {
    auto plain = error;
    std::replace_if(
        plain.message.begin(), plain.message.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    value = ended(Ended::failed, nullptr, &plain);
  }
  return record(held, std::move(value));
}

/// What a completion makes of the record it met; nothing where it should write again.
std::optional<Completion> Guard::settle(const std::optional<Record>& found, const std::string& value) {
  if (!found) {
    revision_ = absent;  // the record is gone (flushed, expired): the completion makes it again
    return std::nullopt;
  }
  if (found->value == value) return Completion{};  // written before, its answer lost
  const auto known = guard_detail::decode_key_record(*found);
  if (known && known->state == KeyRecord::State::claimed && known->owner == owner_) {
    revision_ = found->revision;
    return std::nullopt;
  }
  return Completion{Verdict::lease_lost, false, std::nullopt};
}

Completion Guard::record(Storage* held, std::string value) {
  if (held == nullptr) return {Verdict::executed, false, std::nullopt};
  Storage& storage = *held;
  const auto until = std::chrono::steady_clock::now() + policy_.record_limit;
  std::chrono::milliseconds pause = first_pause;
  const Timing timing{std::nullopt, policy_.retention};
  Batch batch{partition_, {}};
  batch.operations.push_back(Operation::insert(key_, std::move(value), timing));
  auto& operation = batch.operations.front();
  for (;;) {
    operation.kind = revision_ == absent ? Operation::Kind::insert : Operation::Kind::replace;
    operation.expected = revision_;
    auto answer = commit_one(storage, batch);
    if (answer && answer->applied()) return {};
    if (!answer && retry_advice(answer.error().code) == RetryAdvice::give_up) {
      return {Verdict::executed, false, std::move(answer).error()};
    }
    std::optional<Record> found;
    if (answer) {
      found = std::move(answer->found);
    } else {
      if (std::chrono::steady_clock::now() >= until)
        return {Verdict::executed, false, std::move(answer).error()};
      pause_for(pause, {});
      pause = std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
      if (is_down(answer.error().code)) continue;
      auto stored = read_one(storage, partition_, key_);
      if (!stored) continue;
      found = *std::move(stored);
    }
    if (auto completion = settle(found, operation.value)) return *std::move(completion);
    if (std::chrono::steady_clock::now() >= until) {
      return {Verdict::executed, false, Error{ErrorCode::conflict, "the record changed all the time"}};
    }
  }
}

/// Writes over this guard's claim. A claim found under another revision is this guard's too, where the answer
/// to a renewal was lost; it is written over once more.
Result<void> Guard::rewrite(Storage& storage, const std::string& value, Timing timing) {
  constexpr int tries = 2;
  for (int i = 0; i < tries; ++i) {
    const auto answer =
        commit_one(storage, {partition_, {Operation::replace(key_, revision_, value, timing)}});
    if (!answer) return fail(answer.error());
    if (answer->applied()) {
      revision_ = answer->revision;
      return {};
    }
    if (!answer->found) break;
    const auto known = guard_detail::decode_key_record(*answer->found);
    if (!known || known->state != KeyRecord::State::claimed || known->owner != owner_) break;
    revision_ = answer->found->revision;
  }
  return fail(ErrorCode::conflict,
              fmt::format("the key \"{}\" is no longer this guard's; it was left alone", key_));
}

Result<void> Guard::release() {
  if (storage_ == nullptr) return {};
  Storage& storage = *let_go();
  const auto value = encode({KeyState::released, owner_, attempt_, fence_, fingerprint_});
  return rewrite(storage, value, {std::nullopt, policy_.retention});
}

Result<void> Guard::renew() {
  if (storage_ == nullptr) return fail(ErrorCode::wrong_state, "there is no claim to renew");
  const auto value = encode({KeyState::claimed, owner_, attempt_, fence_, fingerprint_});
  return rewrite(*storage_, value, {policy_.lease, policy_.retention});
}

}  // namespace onceward
