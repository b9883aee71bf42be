#pragma once
#include "idempotency/trip.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace onceward::guard_detail {

class Keeper;

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

/// What the guards of one storage share: one thread makes all trips to it in shared rounds, so that a storage
/// that hangs holds up its own guards only.
class Lane {
 public:
  Lane(Keeper& keeper, Storage& storage) : keeper_(keeper), storage_(storage) {}
  ~Lane() { stop(); }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] Storage& storage() const noexcept { return storage_; }
  void start();
  /// Sends what is posted, and ends the thread.
  void stop();

  // Leases.
  /// The time its lease ends, unless it is renewed.
  SteadyTime watch(Claim& claim, SteadyTime claimed_at);
  void unwatch(Claim& claim) noexcept;
  /// Its owner renewed the lease itself.
  void renewed_by_hand(Claim& claim, SteadyTime asked_at) noexcept;
  /// Adds whose lease has passed without a renewal, once each; the time the next one would.
  SteadyTime lost_by(SteadyTime now, std::vector<std::stop_source>& losers);

  // Completions.
  bool post(const std::shared_ptr<Posted>& posted, Duration deadline);
  bool repeat(const std::shared_ptr<Posted>& posted);
  [[nodiscard]] std::vector<std::shared_ptr<Posted>> take_posted();
  /// After a round: it is over, or is tried again later.
  void answer(const std::shared_ptr<Posted>& posted);

  // Calls that wait on no thread.
  bool submit(Job& job);
  /// Jobs that pause for this key go on.
  void ended(std::uint64_t hash_of_key);

 private:
  struct Renewal;
  struct Round;
  struct Line {  ///< claims that are renewed after one length of time, the earliest first
    Claim* first = nullptr;
    Claim* last = nullptr;
    void add(Claim& claim) noexcept;
    void remove(Claim& claim) noexcept;
  };
  void work();
  bool gather(Round& round, SteadyTime now);
  void let_pause(Job& job, SteadyTime until);
  void end_pauses(SteadyTime now);
  [[nodiscard]] SteadyTime next_time() const;
  void settle(Round& round);
  void tell(Posted& posted);
  bool wait_again(const std::shared_ptr<Posted>& posted);
  [[nodiscard]] std::optional<std::stop_source> renewed(Renewal& renewal, SteadyTime now);
  void line_up(Claim& claim, Duration length, SteadyTime now);
  std::vector<std::shared_ptr<Posted>> take(std::size_t most);
  void wake_by(SteadyTime when);

  Keeper& keeper_;
  Storage& storage_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  SteadyTime wakes_at_ = SteadyTime::min();  ///< when the thread looks next by itself
  bool running_ = false;
  bool stopping_ = false;
  bool working_ = false;  ///< the thread looks once more before it ends
  std::map<Duration, Line> lines_;
  Line under_way_;                                            ///< claims that are being renewed
  std::vector<std::shared_ptr<Posted>> posted_;               ///< not sent yet
  SteadyTime posted_due_ = SteadyTime::max();                 ///< the earliest of their deadlines
  std::multimap<SteadyTime, std::shared_ptr<Posted>> again_;  ///< the storage was away
  std::vector<Job*> jobs_;                                    ///< can go on
  std::multimap<SteadyTime, Job*> pausing_;                   ///< wait for an owner to end
  std::unordered_multimap<std::uint64_t, std::multimap<SteadyTime, Job*>::iterator> pausing_keys_;
  std::atomic<std::size_t> pausing_count_{0};
  std::thread thread_;
};

}  // namespace onceward::guard_detail
