#include "idempotency/keeper.hpp"

#include <iterator>
#include <stdexcept>

namespace onceward::guard_detail {

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

Lane& Keeper::lane_of(Storage& storage) {
  if (&storage == &storage_) return main_;
  const std::lock_guard lock(lanes_mutex_);
  for (auto& lane : others_) {
    if (&lane.storage() == &storage) return lane;
  }
  auto& lane = others_.emplace_back(*this, storage);
  any_others_.store(true, std::memory_order_release);
  if (running()) lane.start();
  return lane;
}

std::vector<Lane*> Keeper::lanes() {
  std::vector<Lane*> all{&main_};
  const std::lock_guard lock(lanes_mutex_);
  for (auto& lane : others_) all.push_back(&lane);
  return all;
}

void Keeper::start() {
  const std::lock_guard turn(turn_);
  if (running()) return;
  if (!options_.executor && !runs_) runs_.emplace();
  const std::lock_guard lock(lanes_mutex_);
  main_.start();
  for (auto& lane : others_) lane.start();
  running_.store(true, std::memory_order_release);
}

void Keeper::stop() {
  const std::lock_guard turn(turn_);
  {
    const std::lock_guard lock(lanes_mutex_);
    if (!running()) return;
    running_.store(false, std::memory_order_release);
  }
  for (auto* const lane : lanes()) lane->stop();
}

void Keeper::watch(Claim& claim, SteadyTime claimed_at) {
  auto& lane = lane_of(*claim.storage);
  const auto ends = lane.watch(claim, claimed_at);
  try {
    expect_end_of_lease(ends);
  } catch (...) {  // no thread: the claim does not come to stand anywhere
    lane.unwatch(claim);
    throw;
  }
}

void Keeper::unwatch(Claim& claim) noexcept {
  if (claim.lane != nullptr) claim.lane->unwatch(claim);
}

void Keeper::expect_end_of_lease(SteadyTime when) {
  const std::lock_guard lock(leases_mutex_);
  if (!lease_watch_.joinable())
    lease_watch_ = std::jthread([this](const std::stop_token& stop) { watch_leases(stop); });
  if (when >= looks_at_) return;
  looks_at_ = when;
  leases_changed_.notify_one();
}

void Keeper::tell_lost(std::vector<std::stop_source> losers) {
  if (losers.empty()) return;
  const std::lock_guard lock(leases_mutex_);
  std::move(losers.begin(), losers.end(), std::back_inserter(lost_));
  leases_changed_.notify_one();
}

/// A renewal moves the end of a lease away, so a look finds few that passed; it reads no storage, and so is
/// in time where a storage hangs.
void Keeper::watch_leases(const std::stop_token& stop) {
  std::unique_lock lock(leases_mutex_);
  while (!stop.stop_requested()) {
    const auto until = looks_at_;
    if (lost_.empty() && std::chrono::steady_clock::now() < until) {
      const auto sooner = [&] { return looks_at_ < until || !lost_.empty(); };
      if (until == SteadyTime::max()) {
        leases_changed_.wait(lock, stop, sooner);
      } else {
        leases_changed_.wait_until(lock, stop, until, sooner);
      }
      continue;
    }
    looks_at_ = SteadyTime::max();
    auto losers = std::exchange(lost_, {});
    lock.unlock();
    auto next = SteadyTime::max();
    for (auto* const lane : lanes())
      next = std::min(next, lane->lost_by(std::chrono::steady_clock::now(), losers));
    for (auto& loser : losers) loser.request_stop();
    losers.clear();
    lock.lock();
    looks_at_ = std::min(looks_at_, next);
  }
}

void Keeper::ended(const Claim& claim) {
  waiters_.ended(claim.partition, claim.key);
  const auto hash = hash_of_key(claim.partition, claim.key);
  main_.ended(hash);
  if (!any_others_.load(std::memory_order_acquire)) return;
  for (auto* const lane : lanes()) lane->ended(hash);
}

bool Keeper::post(const std::shared_ptr<Posted>& posted, Duration deadline) {
  return lane_of(posted->trip.storage()).post(posted, deadline);
}
bool Keeper::repeat(const std::shared_ptr<Posted>& posted) {
  return lane_of(posted->trip.storage()).repeat(posted);
}

std::vector<std::shared_ptr<Posted>> Keeper::take_posted(const Storage& storage) {
  if (posted_count_.load(std::memory_order_relaxed) == 0) return {};
  if (&storage == &storage_) return main_.take_posted();
  for (auto* const lane : lanes()) {
    if (&lane->storage() == &storage) return lane->take_posted();
  }
  return {};
}

void Keeper::travelled(std::span<const std::shared_ptr<Posted>> posted) {
  for (const auto& one : posted) lane_of(one->trip.storage()).answer(one);
}

bool Keeper::submit(Job& job) { return lane_of(job.trip().storage()).submit(job); }

void Keeper::run(std::function<void()> work) {
  if (options_.executor) return options_.executor(std::move(work));
  runs_->add(std::move(work));
}

}  // namespace onceward::guard_detail
