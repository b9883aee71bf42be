#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace onceward::pipeline_detail {

/// Renews leases, lets runs go and ends the time of calls on a thread of its own, while other threads are
/// within calls.
class Keeper {
 public:
  using Clock = std::chrono::steady_clock;

  /// Calls that are under way together. It must be left before it ends.
  struct Group {
    std::function<void()> renew{};  ///< writes the leases; called on the keeper's thread
    Clock::time_point renewed{};    ///< when the leases were written last
    Clock::time_point give_up{};    ///< leases are renewed no longer than until then
    /// Called once, on the keeper's thread, at that time or a little later.
    std::function<void()> let_go{};
    Clock::time_point let_go_at = Clock::time_point::max();
    std::vector<std::pair<Clock::time_point, std::stop_source>> timeouts{};
    std::mutex mutex{};  ///< held while leases are written and runs are let go
  };

  explicit Keeper(Clock::duration every) : every_(every) {}
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// The first one starts the thread.
  void enter(Group& group);
  /// Its runs are to be let go now.
  void hurry(Group& group);
  /// Returns when no write of the group is under way: its runs are the caller's again.
  void leave(Group& group);

 private:
  void keep(const std::stop_token& stop);

  Clock::duration every_;
  std::mutex mutex_{};
  std::condition_variable_any wake_{};
  std::vector<Group*> groups_{};
  bool busy_ = false;  ///< a group has come since it looked last
  Clock::time_point next_ = Clock::time_point::max();
  std::jthread thread_{};
};

}  // namespace onceward::pipeline_detail
