#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace onceward::pipeline_detail {

/// Renews leases, and ends the time of calls, on a thread of its own while other threads are within calls.
class Keeper {
 public:
  using Clock = std::chrono::steady_clock;

  /// Calls that are under way together. It must be left before it ends.
  struct Group {
    std::function<void()> renew{};  ///< writes the leases; called on the keeper's thread
    Clock::time_point renewed{};    ///< when the leases were written last
    Clock::time_point give_up{};    ///< leases are renewed no longer than until then
    std::vector<std::pair<Clock::time_point, std::stop_source>> timeouts{};
    std::mutex mutex{};  ///< held while leases are written
  };

  explicit Keeper(Clock::duration every) : every_(every) {}
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// The first one starts the thread.
  void enter(Group& group);
  /// Returns when no renewal of the group is under way: its runs are the caller's again.
  void leave(Group& group);

 private:
  void keep(const std::stop_token& stop);

  Clock::duration every_;
  std::mutex mutex_{};
  std::condition_variable_any wake_{};
  std::vector<Group*> groups_{};
  Clock::time_point next_ = Clock::time_point::max();
  std::jthread thread_{};
};

}  // namespace onceward::pipeline_detail
