#pragma once
#include "idempotency/policy_book.hpp"
#include "idempotency/run_queue.hpp"
#include "idempotency/trip.hpp"
#include "idempotency/waiters.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace onceward::guard_detail {

/// A completion that nobody waits for on a thread of his own.
struct Posted {
  Posted(std::shared_ptr<Claim> ended, Storage& storage, Timing timing, Duration patience)
      : claim(std::move(ended)), trip(*claim, storage, timing, patience) {}

  std::shared_ptr<Claim> claim;  ///< let go by its guard
  CompletionTrip trip;
  std::optional<Verdict> verdict{};  ///< of a completion that says more than "executed"
  std::optional<Error> error{};
  CallEnd end = CallEnd::executed;  ///< counted once it is stored
  bool told = false;                ///< counted, and `then` called
  SteadyTime due{};                 ///< when it must go out, or is tried again
  /// Called once, without a lock, on the thread that got the answer.
  std::function<void(const Completion&)> then{};

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Completion> answer;
};

/// A trip the keeper makes for a call that waits on no thread. It lives in the call and is told when it is
/// over.
class Job {
 public:
  virtual ~Job() = default;
  [[nodiscard]] virtual Trip& trip() noexcept = 0;
  [[nodiscard]] virtual const Claim& claim() const noexcept = 0;
  /// Whether its caller was stopped: it waits no longer then.
  [[nodiscard]] virtual bool stopped() const noexcept = 0;
  /// Once, without a lock. The job may be gone afterwards.
  virtual void arrived() noexcept = 0;

 protected:
  Job() = default;
  Job(const Job&) = default;
  Job& operator=(const Job&) = default;
};

/// What the guards of one storage share. One thread makes all of its trips in shared rounds.
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

  [[nodiscard]] PolicyBook& policies() noexcept { return policies_; }
  [[nodiscard]] CounterBook& counters() noexcept { return counters_; }

  // Leases.
  void watch(Claim& claim, SteadyTime claimed_at);
  void unwatch(Claim& claim) noexcept;

  // Waiters.
  [[nodiscard]] Waiters& waiters() noexcept { return waiters_; }
  /// Wakes who waits for this key, in this process.
  void ended(const Claim& claim);

  // Completions.
  /// Takes a completion over that travels with the next write, `deadline` later at the latest. False where
  /// there are too many already, or the thread has stopped.
  bool post(const std::shared_ptr<Posted>& posted, Duration deadline);
  /// Takes a completion over that found the storage away; false as post.
  bool repeat(const std::shared_ptr<Posted>& posted);
  /// Posted completions that may travel with a write of the caller's to this storage now; give them back with
  /// travelled().
  [[nodiscard]] std::vector<std::shared_ptr<Posted>> take_posted(const Storage& storage);
  void travelled(std::span<const std::shared_ptr<Posted>> posted);
  [[nodiscard]] const GuardsOptions& options() const noexcept { return options_; }

  // Calls that wait on no thread.
  /// False where the thread has stopped.
  bool submit(Job& job);
  /// Runs it where handlers run.
  void run(std::function<void()> work);

 private:
  struct Renewal;
  struct Round;
  struct Line {  ///< claims that are renewed after one length of time, the earliest first
    Claim* first = nullptr;
    Claim* last = nullptr;
  };
  void work();
  bool gather(Round& round, SteadyTime now);
  void let_pause(Job& job, SteadyTime until);
  void end_pauses(SteadyTime now);
  [[nodiscard]] SteadyTime next_time() const;
  void settle(Round& round);
  void tell(Posted& posted);
  void answer(const std::shared_ptr<Posted>& posted);
  bool wait_again(const std::shared_ptr<Posted>& posted);
  [[nodiscard]] std::optional<std::stop_source> renewed(Renewal& renewal, SteadyTime now);
  void line_up(Claim& claim, Duration length, SteadyTime now);
  void remove(Claim& claim) noexcept;
  std::vector<std::shared_ptr<Posted>> take(std::size_t most);
  void wake_by(SteadyTime when);

  Storage& storage_;
  const GuardsOptions options_;
  std::atomic<bool> running_{false};
  std::atomic<std::size_t> posted_count_{0};

  std::mutex turn_;  ///< of start and stop, from their beginning to their end
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  SteadyTime wakes_at_ = SteadyTime::min();  ///< when the thread looks next by itself
  bool stopping_ = false;
  bool working_ = false;  ///< the thread looks once more before it ends
  std::map<Duration, Line> lines_;
  std::vector<std::shared_ptr<Posted>> posted_;               ///< not sent yet
  SteadyTime posted_due_ = SteadyTime::max();                 ///< the earliest of their deadlines
  std::multimap<SteadyTime, std::shared_ptr<Posted>> again_;  ///< the storage was away
  std::vector<Job*> jobs_;                                    ///< can go on
  std::multimap<SteadyTime, Job*> pausing_;                   ///< wait for an owner to end
  std::unordered_multimap<std::uint64_t, std::multimap<SteadyTime, Job*>::iterator> pausing_keys_;
  std::atomic<std::size_t> pausing_count_{0};

  PolicyBook policies_{options_.storages};
  CounterBook counters_;
  Waiters waiters_;
  std::thread thread_;
  std::optional<RunQueue> runs_;
};

}  // namespace onceward::guard_detail
