#pragma once
#include "idempotency/lane.hpp"
#include "idempotency/policy_book.hpp"
#include "idempotency/run_queue.hpp"
#include "idempotency/waiters.hpp"

#include <list>

namespace onceward::guard_detail {

/// What the guards of a Guards share: a lane for each storage they keep keys in, and a thread that tells
/// owners when their leases have passed.
class Keeper {
 public:
  Keeper(Storage& storage, GuardsOptions options);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  [[nodiscard]] Storage& storage() const noexcept { return storage_; }
  void start();
  void stop();
  [[nodiscard]] bool running() const noexcept { return running_.load(std::memory_order_acquire); }

  [[nodiscard]] const GuardsOptions& options() const noexcept { return options_; }
  [[nodiscard]] PolicyBook& policies() noexcept { return policies_; }
  [[nodiscard]] CounterBook& counters() noexcept { return counters_; }
  [[nodiscard]] Waiters& waiters() noexcept { return waiters_; }

  /// The lease is renewed from here on, and its owner told when it is lost, also where the lanes have
  /// stopped.
  void watch(Claim& claim, SteadyTime claimed_at);
  static void unwatch(Claim& claim) noexcept;
  /// Tells owners on a thread that makes no trips: what they do then may ask the Guards, and take its time.
  void tell_lost(std::vector<std::stop_source> losers);

  /// Wakes who waits for this key, in this process.
  void ended(const Claim& claim);

  /// Takes a completion over that travels with the next write, `deadline` later at the latest. False where
  /// there are too many already, or the threads have stopped.
  bool post(const std::shared_ptr<Posted>& posted, Duration deadline);
  /// Takes a completion over that found the storage away; false as post.
  bool repeat(const std::shared_ptr<Posted>& posted);
  /// Posted completions that may travel with a write of the caller's to this storage now; give them back with
  /// travelled().
  [[nodiscard]] std::vector<std::shared_ptr<Posted>> take_posted(const Storage& storage);
  void travelled(std::span<const std::shared_ptr<Posted>> posted);
  /// How many are not sent yet, of all lanes.
  [[nodiscard]] std::atomic<std::size_t>& posted_count() noexcept { return posted_count_; }

  /// False where the threads have stopped.
  bool submit(Job& job);
  /// Runs it where handlers run.
  void run(std::function<void()> work);

 private:
  [[nodiscard]] Lane& lane_of(Storage& storage);
  [[nodiscard]] std::vector<Lane*> lanes();
  void expect_end_of_lease(SteadyTime when);
  void watch_leases(const std::stop_token& stop);

  Storage& storage_;
  const GuardsOptions options_;
  std::atomic<bool> running_{false};
  std::atomic<std::size_t> posted_count_{0};
  PolicyBook policies_{options_.storages};
  CounterBook counters_;
  Waiters waiters_;
  std::optional<RunQueue> runs_;

  std::mutex turn_;  ///< of start and stop, from their beginning to their end
  Lane main_{*this, storage_};
  std::mutex lanes_mutex_;
  std::list<Lane> others_;  ///< of the storages that policies name; they stay
  std::atomic<bool> any_others_{false};

  std::mutex leases_mutex_;
  std::condition_variable_any leases_changed_;
  SteadyTime looks_at_ = SteadyTime::max();  ///< when a lease may have passed
  std::vector<std::stop_source> lost_{};     ///< not told yet
  std::jthread lease_watch_;                 ///< begins with the first claim; ends first
};

}  // namespace onceward::guard_detail
