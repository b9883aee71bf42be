#include "idempotency/keeper.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

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
struct Keeper::Renewal final : Trip {
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
struct Keeper::Round {
  std::vector<std::unique_ptr<Renewal>> renewals;
  std::vector<std::shared_ptr<Posted>> posted;
  std::vector<Job*> jobs;
  std::vector<Trip*> trips;
};

Keeper::Keeper(Storage& storage, GuardsOptions options) : storage_(storage), options_(std::move(options)) {
  using namespace std::chrono_literals;
  constexpr std::size_t most = 1'000'000;
  if (options_.flush_deadline < 100us || options_.flush_deadline > 1s)
    throw std::invalid_argument("GuardsOptions::flush_deadline must lie between 100 us and 1 s");
  if (options_.posted_max < 1 || options_.posted_max > most)
    throw std::invalid_argument("GuardsOptions::posted_max must lie between 1 and 1000000");
  if (options_.background_max > most)
    throw std::invalid_argument("GuardsOptions::background_max is at most 1000000");
}

Keeper::~Keeper() { stop(); }

void Keeper::start() {
  const std::lock_guard turn(turn_);
  const std::lock_guard lock(mutex_);
  if (running()) return;
  stopping_ = false;
  working_ = true;
  if (!options_.executor && !runs_) runs_.emplace();
  running_.store(true, std::memory_order_release);
  thread_ = std::thread([this] { work(); });
}

void Keeper::stop() {
  const std::lock_guard turn(turn_);
  {
    const std::lock_guard lock(mutex_);
    if (!running()) return;
    running_.store(false, std::memory_order_release);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Keeper::wake_by(SteadyTime when) {
  if (when >= wakes_at_) return;
  wakes_at_ = SteadyTime::min();  // it is called once
  wake_.notify_one();
}

/// The next renewal, so long after `now`. Claims of one length stand in the order of their times.
void Keeper::line_up(Claim& claim, Duration length, SteadyTime now) {
  claim.renew_every = length;
  claim.renew_at = after(now, length);
  auto& line = lines_[length];
  claim.previous = line.last;
  claim.next = nullptr;
  (line.last == nullptr ? line.first : line.last->next) = &claim;
  line.last = &claim;
}

void Keeper::remove(Claim& claim) noexcept {
  auto& line = lines_.find(claim.renew_every)->second;
  (claim.previous == nullptr ? line.first : claim.previous->next) = claim.next;
  (claim.next == nullptr ? line.last : claim.next->previous) = claim.previous;
  claim.next = claim.previous = nullptr;
}

void Keeper::watch(Claim& claim, SteadyTime claimed_at) {
  const std::lock_guard lock(mutex_);
  claim.lost.emplace();
  claim.renewing = false;
  claim.lease_ends = after(claimed_at, claim.policy->lease);
  line_up(claim, between_renewals(claim.policy->lease), claimed_at);
  claim.watched = true;  // now that it stands there: no memory, no place
  wake_by(claim.renew_at);
}

void Keeper::unwatch(Claim& claim) noexcept {
  const std::lock_guard lock(mutex_);
  if (!claim.watched) return;
  claim.watched = false;
  if (!claim.renewing) remove(claim);
}

void Keeper::ended(const Claim& claim) {
  waiters_.ended(claim.partition, claim.key);
  if (pausing_count_.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = pausing_keys_.equal_range(hash_of_key(claim.partition, claim.key));
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
void Keeper::let_pause(Job& job, SteadyTime until) {
  const auto& claim = job.claim();
  pausing_keys_.emplace(hash_of_key(claim.partition, claim.key), pausing_.emplace(until, &job));
  ++pausing_count_;
}

/// Those whose pause is over go on; all of them where the thread ends. Under the lock.
void Keeper::end_pauses(SteadyTime now) {
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

bool Keeper::post(const std::shared_ptr<Posted>& posted, Duration deadline) {
  const std::lock_guard lock(mutex_);
  if (!running() || posted_.size() + again_.size() >= options_.posted_max) return false;
  posted->due = after(Steady::now(), deadline);
  posted_.push_back(posted);
  posted_count_.store(posted_.size(), std::memory_order_relaxed);
  posted_due_ = std::min(posted_due_, posted->due);
  wake_by(posted_due_);
  return true;
}

bool Keeper::repeat(const std::shared_ptr<Posted>& posted) {
  const std::lock_guard lock(mutex_);
  if (!running() || again_.size() >= options_.background_max) return false;
  posted->due = after(Steady::now(), longest_pause);
  again_.emplace(posted->due, posted);
  wake_by(posted->due);
  return true;
}

/// The oldest ones. Under the lock.
std::vector<std::shared_ptr<Posted>> Keeper::take(std::size_t most) {
  const auto end = posted_.begin() + static_cast<std::ptrdiff_t>(std::min(posted_.size(), most));
  std::vector<std::shared_ptr<Posted>> taken(std::make_move_iterator(posted_.begin()),
                                             std::make_move_iterator(end));
  posted_.erase(posted_.begin(), end);
  posted_count_.store(posted_.size(), std::memory_order_relaxed);
  posted_due_ = never;
  for (const auto& left : posted_) posted_due_ = std::min(posted_due_, left->due);
  return taken;
}

std::vector<std::shared_ptr<Posted>> Keeper::take_posted(const Storage& storage) {
  if (posted_count_.load(std::memory_order_relaxed) == 0) return {};
  const std::lock_guard lock(mutex_);
  // A storage that is away must not hold up who asks another one.
  const auto end =
      posted_.begin() + static_cast<std::ptrdiff_t>(std::min(posted_.size(), posted_with_a_write));
  const auto others = std::stable_partition(
      posted_.begin(), end, [&](const auto& posted) { return &posted->trip.storage() == &storage; });
  return take(static_cast<std::size_t>(others - posted_.begin()));
}

void Keeper::travelled(std::span<const std::shared_ptr<Posted>> posted) {
  for (const auto& one : posted) answer(one);
}

/// Leaves it to the thread; false where that has ended.
bool Keeper::wait_again(const std::shared_ptr<Posted>& posted) {
  const std::lock_guard lock(mutex_);
  if (!working_) return false;
  posted->due = after(Steady::now(), posted->trip.pause());
  again_.emplace(posted->due, posted);
  wake_by(posted->due);
  return true;
}

/// After a round: it is over, or is tried again later.
void Keeper::answer(const std::shared_ptr<Posted>& posted) {
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

void Keeper::tell(Posted& posted) {
  auto completion = posted.trip.completion();
  if (completion.verdict == Verdict::executed && posted.verdict) completion.verdict = *posted.verdict;
  if (!completion.error) completion.error = posted.error;
  const bool first = !std::exchange(posted.told, true);
  if (first) posted.claim->count(end_of(completion, posted.end));
  ended(*posted.claim);
  {
    const std::lock_guard lock(posted.mutex);
    posted.answer = completion;
  }
  posted.changed.notify_all();
  if (first && posted.then) posted.then(completion);
}

bool Keeper::submit(Job& job) {
  const std::lock_guard lock(mutex_);
  if (!running()) return false;
  jobs_.push_back(&job);
  wake_by(SteadyTime::min());
  return true;
}

void Keeper::run(std::function<void()> work) {
  if (options_.executor) return options_.executor(std::move(work));
  runs_->add(std::move(work));
}

SteadyTime Keeper::next_time() const {
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
bool Keeper::gather(Round& round, SteadyTime now) {
  for (auto& [length, line] : lines_) {
    while (line.first != nullptr && line.first->renew_at <= now + together_with &&
           round.renewals.size() < most_of_a_round) {
      auto& claim = *line.first;
      remove(claim);
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
std::optional<std::stop_source> Keeper::renewed(Renewal& renewal, SteadyTime now) {
  auto& claim = *renewal.claim;
  const std::lock_guard lock(mutex_);
  claim.renewing = false;
  if (!claim.watched) return std::nullopt;
  if (renewal.renewed) claim.lease_ends = after(renewal.asked_at, claim.policy->lease);
  claim.watched = !renewal.lost;
  const auto length = between_renewals(claim.policy->lease);
  if (claim.watched) line_up(claim, renewal.renewed ? length : length / 4, now);
  return renewal.lost || (!renewal.renewed && now >= claim.lease_ends) ? claim.lost : std::nullopt;
}

void Keeper::settle(Round& round) {
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
  // Without the lock, and last: what is called then may ask the Guards, and take its time.
  for (auto& loser : losers) loser.request_stop();
}

void Keeper::work() {
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
