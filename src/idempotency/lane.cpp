#include "idempotency/lane.hpp"

#include "idempotency/keeper.hpp"

#include <algorithm>

namespace onceward::guard_detail {
namespace {

using Steady = std::chrono::steady_clock;
constexpr auto never = SteadyTime::max();
constexpr std::size_t posted_with_a_write = 128;
constexpr std::size_t most_of_a_round = 1024;
constexpr std::size_t most_lines = 64;  ///< beyond, those without a claim are given up
/// Renewals that are due so soon go along with those that are due now.
constexpr auto together_with = std::chrono::milliseconds(5);

SteadyTime after(SteadyTime now, Duration length) {
  return now + std::chrono::duration_cast<Steady::duration>(length);
}

Duration between_renewals(Duration lease) { return std::max(Duration(1000), lease / 3); }

}  // namespace

/// One renewal under way.
struct Lane::Renewal final : Trip {
  Renewal(std::shared_ptr<Claim> held, SteadyTime now)
      : claim(std::move(held)), place(*claim->storage), asked_at(now) {
    const auto revision = claim->revision.load(std::memory_order_acquire);
    write.partition = claim->partition;
    write.operations.push_back(Operation::replace(
        claim->key, revision,
        encode({KeyState::claimed, claim->owner, claim->attempt, claim->fence, claim->fingerprint}),
        {claim->policy->lease, claim->policy->retention}));
    claim->renewals.fetch_add(1, std::memory_order_relaxed);
  }
  ~Renewal() override { claim->renewals.fetch_sub(1, std::memory_order_release); }
  Renewal(const Renewal&) = delete;
  Renewal& operator=(const Renewal&) = delete;

  [[nodiscard]] Storage& storage() const noexcept override { return place; }
  [[nodiscard]] Batch& batch() noexcept override { return write; }
  [[nodiscard]] RecordRef ref() const noexcept override { return {claim->partition, claim->key}; }
  void committed(Result<BatchAnswer> given, Timestamp) override {
    need_ = Need::ended;
    if (!given) {
      // An answer in doubt may have written: the next renewal is refused then, and reads whose it is.
      return;
    }
    renewed = given->applied();
    if (renewed) {
      claim->revision.store(given->revision, std::memory_order_release);
      return claim->kept_at(booted_at);
    }
    const auto known = given->found ? decode_key_record(*given->found)
                                    : Result<KeyRecord>(fail(ErrorCode::not_found, "gone"));
    lost = !known || known->state != KeyState::claimed || known->owner != claim->owner;
    if (lost) return;
    claim->revision.store(given->found->revision, std::memory_order_release);
    if (std::exchange(refused, true)) return;
    // What stands there is an earlier renewal: its lease ends before the one asked for now.
    write.operations.front().expected = given->found->revision;
    need_ = Need::commit;
  }
  void looked(Result<std::optional<Record>>, Timestamp) override {}
  void paused(bool) override {}

  std::shared_ptr<Claim> claim;
  Storage& place;  ///< the claim's, which its guard lets go of while the renewal is under way
  SteadyTime asked_at;
  Duration booted_at = since_boot();
  Batch write;
  bool refused = false;
  bool renewed = false;
  bool lost = false;
};

/// What the thread does at once.
struct Lane::Round {
  std::vector<std::unique_ptr<Renewal>> renewals;
  std::vector<std::shared_ptr<Posted>> posted;
  std::vector<Job*> jobs;
  std::vector<Trip*> trips;
};

void Lane::start() {
  const std::lock_guard lock(mutex_);
  if (running_) return;
  stopping_ = false;
  working_ = true;
  running_ = true;
  thread_ = std::thread([this] { work(); });
}

void Lane::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!running_) return;
    running_ = false;
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Lane::wake_by(SteadyTime when) {
  if (when >= wakes_at_) return;
  wakes_at_ = SteadyTime::min();  // it is called once
  wake_.notify_one();
}

/// Nearly always the last: who claimed long before it came here goes before some.
void Lane::Line::add(Claim& claim) noexcept {
  auto* before = last;
  while (before != nullptr && before->renew_at > claim.renew_at) before = before->previous;
  claim.previous = before;
  claim.next = before == nullptr ? first : before->next;
  (before == nullptr ? first : before->next) = &claim;
  (claim.next == nullptr ? last : claim.next->previous) = &claim;
}

void Lane::Line::remove(Claim& claim) noexcept {
  (claim.previous == nullptr ? first : claim.previous->next) = claim.next;
  (claim.next == nullptr ? last : claim.next->previous) = claim.previous;
  claim.next = claim.previous = nullptr;
}

/// The next renewal, so long after `now`. Claims of one length stand in the order of their times.
void Lane::line_up(Claim& claim, Duration length, SteadyTime now) {
  claim.renew_every = length;
  claim.renew_at = after(now, length);
  lines_[length].add(claim);
}

SteadyTime Lane::watch(Claim& claim, SteadyTime claimed_at) {
  const std::lock_guard lock(mutex_);
  claim.lane = this;
  claim.lost.emplace();
  claim.lost_told = false;
  claim.renewing = false;
  claim.lease_ends = after(claimed_at, claim.policy->lease);
  line_up(claim, between_renewals(claim.policy->lease), claimed_at);
  claim.watched = true;  // now that it stands there: no memory, no place
  wake_by(claim.renew_at);
  return claim.lease_ends;
}

void Lane::unwatch(Claim& claim) noexcept {
  const std::lock_guard lock(mutex_);
  claim.lane = nullptr;
  if (!std::exchange(claim.watched, false)) return;
  (claim.renewing ? under_way_ : lines_.find(claim.renew_every)->second).remove(claim);
}

void Lane::renewed_by_hand(Claim& claim, SteadyTime asked_at) noexcept {
  const std::lock_guard lock(mutex_);
  if (claim.watched) claim.lease_ends = std::max(claim.lease_ends, after(asked_at, claim.policy->lease));
}

SteadyTime Lane::lost_by(SteadyTime now, std::vector<std::stop_source>& losers) {
  auto next = never;
  const std::lock_guard lock(mutex_);
  const auto look = [&](const Line& line) {
    for (auto* claim = line.first; claim != nullptr; claim = claim->next) {
      if (claim->lost_told) continue;
      if (claim->lease_ends > now) {
        next = std::min(next, claim->lease_ends);
      } else {
        claim->lost_told = true;
        losers.push_back(*claim->lost);
      }
    }
  };
  for (const auto& [length, line] : lines_) look(line);
  look(under_way_);
  return next;
}

void Lane::ended(std::uint64_t hash_of_key) {
  if (pausing_count_.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = pausing_keys_.equal_range(hash_of_key);
  if (begin == end) return;
  for (auto place = begin; place != end; ++place) {
    auto* const job = place->second->second;
    job->trip().paused(job->stopped());
    jobs_.push_back(job);
    pausing_.erase(place->second);
    --pausing_count_;
  }
  pausing_keys_.erase(begin, end);
  wake_by(SteadyTime::min());
}

/// Under the lock.
void Lane::let_pause(Job& job, SteadyTime until) {
  const auto& claim = job.claim();
  pausing_keys_.emplace(hash_of_key(claim.partition, claim.key), pausing_.emplace(until, &job));
  ++pausing_count_;
}

/// Those whose pause is over go on; all of them where the thread ends. Under the lock.
void Lane::end_pauses(SteadyTime now) {
  while (!pausing_.empty() && (stopping_ || pausing_.begin()->first <= now)) {
    const auto first = pausing_.begin();
    auto* const job = first->second;
    const auto [begin, end] =
        pausing_keys_.equal_range(hash_of_key(job->claim().partition, job->claim().key));
    pausing_keys_.erase(std::find_if(begin, end, [&](const auto& known) { return known.second == first; }));
    pausing_.erase(first);
    --pausing_count_;
    job->trip().paused(stopping_ || job->stopped());
    jobs_.push_back(job);
  }
}

bool Lane::post(const std::shared_ptr<Posted>& posted, Duration deadline) {
  const std::lock_guard lock(mutex_);
  if (!running_ || posted_.size() + again_.size() >= keeper_.options().posted_max) return false;
  posted->due = after(Steady::now(), deadline);
  posted_.push_back(posted);
  keeper_.posted_count().fetch_add(1, std::memory_order_relaxed);
  posted_due_ = std::min(posted_due_, posted->due);
  wake_by(posted_due_);
  return true;
}

bool Lane::repeat(const std::shared_ptr<Posted>& posted) {
  const std::lock_guard lock(mutex_);
  if (!running_ || again_.size() >= keeper_.options().background_max) return false;
  posted->due = after(Steady::now(), longest_pause);
  again_.emplace(posted->due, posted);
  wake_by(posted->due);
  return true;
}

/// The oldest ones. Under the lock.
std::vector<std::shared_ptr<Posted>> Lane::take(std::size_t most) {
  const auto end = posted_.begin() + static_cast<std::ptrdiff_t>(std::min(posted_.size(), most));
  std::vector<std::shared_ptr<Posted>> taken(std::make_move_iterator(posted_.begin()),
                                             std::make_move_iterator(end));
  posted_.erase(posted_.begin(), end);
  keeper_.posted_count().fetch_sub(taken.size(), std::memory_order_relaxed);
  posted_due_ = never;
  for (const auto& left : posted_) posted_due_ = std::min(posted_due_, left->due);
  return taken;
}

std::vector<std::shared_ptr<Posted>> Lane::take_posted() {
  const std::lock_guard lock(mutex_);
  return take(posted_with_a_write);
}

/// Leaves it to the thread; false where that has ended.
bool Lane::wait_again(const std::shared_ptr<Posted>& posted) {
  const std::lock_guard lock(mutex_);
  if (!working_) return false;
  posted->due = after(Steady::now(), posted->trip.pause());
  again_.emplace(posted->due, posted);
  wake_by(posted->due);
  return true;
}

void Lane::answer(const std::shared_ptr<Posted>& posted) {
  auto& trip = posted->trip;
  if (trip.need() == Trip::Need::pause) {
    if (wait_again(posted)) return;
    // The thread has ended, and who carried this is the last one to know of it.
    trip.try_once_more();
    trip.paused(false);
    Trip* const last = &trip;
    drive_round({&last, 1});
  }
  // Who was told that it is not recorded hears of it again when it is, or when it is given up.
  if (trip.may_go_on() && posted->told && repeat(posted)) return;
  const bool first = !posted->told;
  tell(*posted);
  if (trip.may_go_on() && first) (void)repeat(posted);
}

void Lane::tell(Posted& posted) {
  auto completion = posted.trip.completion();
  if (completion.verdict == Verdict::executed && posted.verdict) completion.verdict = *posted.verdict;
  if (!completion.error) completion.error = posted.error;
  const bool first = !std::exchange(posted.told, true);
  if (first) posted.claim->count(end_of(completion, posted.end));
  keeper_.ended(*posted.claim);
  {
    const std::lock_guard lock(posted.mutex);
    posted.answer = completion;
  }
  posted.changed.notify_all();
  if (first && posted.then) posted.then(completion);
}

bool Lane::submit(Job& job) {
  const std::lock_guard lock(mutex_);
  if (!running_) return false;
  jobs_.push_back(&job);
  wake_by(SteadyTime::min());
  return true;
}

SteadyTime Lane::next_time() const {
  auto next = never;
  for (const auto& [length, line] : lines_) {
    if (line.first != nullptr) next = std::min(next, line.first->renew_at);
  }
  next = std::min(next, posted_due_);
  if (!again_.empty()) next = std::min(next, again_.begin()->first);
  if (!pausing_.empty()) next = std::min(next, pausing_.begin()->first);
  return next;
}

/// Takes what must be done now; true where there is anything. Under the lock.
bool Lane::gather(Round& round, SteadyTime now) {
  for (auto& [length, line] : lines_) {
    while (line.first != nullptr && line.first->renew_at <= now + together_with &&
           round.renewals.size() < most_of_a_round) {
      auto& claim = *line.first;
      line.remove(claim);
      under_way_.add(claim);
      claim.renewing = true;
      round.renewals.push_back(std::make_unique<Renewal>(claim.shared_from_this(), now));
    }
  }
  if (lines_.size() > most_lines) std::erase_if(lines_, [](const auto& line) { return !line.second.first; });
  end_pauses(now);
  const auto jobs = std::min(jobs_.size(), most_of_a_round);
  round.jobs.assign(jobs_.begin(), jobs_.begin() + static_cast<std::ptrdiff_t>(jobs));
  jobs_.erase(jobs_.begin(), jobs_.begin() + static_cast<std::ptrdiff_t>(jobs));
  while (!again_.empty() && (stopping_ || again_.begin()->first <= now) &&
         round.posted.size() < most_of_a_round) {
    auto& posted = *again_.begin()->second;
    if (stopping_) posted.trip.try_once_more();
    posted.trip.may_go_on() ? posted.trip.go_on() : posted.trip.paused(false);
    round.posted.push_back(std::move(again_.begin()->second));
    again_.erase(again_.begin());
  }
  const bool writes = !round.renewals.empty() || !round.jobs.empty() || !round.posted.empty() || stopping_;
  if (writes || posted_due_ <= now) {
    auto taken = take(most_of_a_round);
    std::move(taken.begin(), taken.end(), std::back_inserter(round.posted));
  }
  return !round.renewals.empty() || !round.jobs.empty() || !round.posted.empty();
}

/// Who must be told that the lease is lost.
std::optional<std::stop_source> Lane::renewed(Renewal& renewal, SteadyTime now) {
  auto& claim = *renewal.claim;
  const std::lock_guard lock(mutex_);
  claim.renewing = false;
  if (!claim.watched) return std::nullopt;
  under_way_.remove(claim);
  if (renewal.renewed) claim.lease_ends = after(renewal.asked_at, claim.policy->lease);
  claim.watched = !renewal.lost;
  const auto length = between_renewals(claim.policy->lease);
  if (claim.watched) line_up(claim, renewal.renewed ? length : length / 4, now);
  return renewal.lost && !std::exchange(claim.lost_told, true) ? claim.lost : std::nullopt;
}

void Lane::settle(Round& round) {
  const auto now = Steady::now();
  std::vector<std::stop_source> losers;
  for (auto& renewal : round.renewals) {
    if (auto lost = renewed(*renewal, now)) losers.push_back(*std::move(lost));
  }
  for (const auto& posted : round.posted) answer(posted);
  for (auto* const job : round.jobs) {
    if (job->trip().need() == Trip::Need::pause) {
      const std::lock_guard lock(mutex_);
      let_pause(*job, after(now, job->trip().pause()));
    } else {
      job->arrived();
    }
  }
  keeper_.tell_lost(std::move(losers));
}

void Lane::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Round round;
    if (gather(round, Steady::now())) {
      lock.unlock();
      for (const auto& renewal : round.renewals) round.trips.push_back(renewal.get());
      for (const auto& posted : round.posted) round.trips.push_back(&posted->trip);
      for (auto* const job : round.jobs) round.trips.push_back(&job->trip());
      drive_round(round.trips);
      settle(round);
      round = {};  // what it holds ends without the lock
      lock.lock();
      continue;
    }
    if (stopping_) break;
    wakes_at_ = next_time();
    if (wakes_at_ == never) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, wakes_at_);
    }
    wakes_at_ = SteadyTime::min();
  }
  working_ = false;
}

}  // namespace onceward::guard_detail
