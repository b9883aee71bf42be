#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

namespace onceward::storage_detail {

/// Group commit: concurrent callers become one call. The caller that finds nobody at work leads: it runs
/// everything that is queued, its own request included, wakes the others and hands the lead to the first
/// that came meanwhile. A lone caller runs its request at once, on its own thread; there is no extra thread
/// and no added delay (flat combining: Hendler, Incze, Shavit, Tzafrir, SPAA 2010).
template <class Request>
class Combiner {
 public:
  /// Runs `request`, alone or with others, by `execute(std::span<Request* const>)`, which must not throw and
  /// must leave each request's answer in the request. Returns when it is answered.
  template <class Execute>
  void run(Request& request, const Execute& execute) {
    Waiter self{&request};
    std::unique_lock lock(mutex_);
    queue_.push_back(&self);
    if (led_) {
      self.wake.wait(lock, [&] { return self.done || self.leads; });
      if (self.done) return;
    }
    led_ = true;
    lead(lock, execute);
  }

 private:
  static constexpr std::size_t most_at_once = 512;

  struct Waiter {
    Request* request;
    bool done = false;
    bool leads = false;
    std::condition_variable wake{};
  };

  template <class Execute>
  void lead(std::unique_lock<std::mutex>& lock, const Execute& execute) {
    const std::size_t taken = std::min(queue_.size(), most_at_once);
    const std::vector<Waiter*> group(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
    std::vector<Request*> requests;
    requests.reserve(taken);
    for (const auto* waiter : group) requests.push_back(waiter->request);
    lock.unlock();
    execute(std::span<Request* const>(requests));
    lock.lock();
    // Notified under the lock: a waiter cannot return, and take its condition variable with it, before.
    for (auto* waiter : group) {
      waiter->done = true;
      waiter->wake.notify_one();
    }
    led_ = !queue_.empty();
    if (led_) {
      queue_.front()->leads = true;
      queue_.front()->wake.notify_one();
    }
  }

  std::mutex mutex_;
  std::vector<Waiter*> queue_;
  bool led_ = false;
};

}  // namespace onceward::storage_detail
