#pragma once
#include "storage/wake.hpp"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <span>
#include <utility>
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
    bool leads = false;
    {
      const std::lock_guard lock(mutex_);
      leads = !std::exchange(led_, true);
      if (!leads) queue_.push_back(&self);
    }
    while (!leads) {
      self.wake.sleep();
      if (self.wake.done()) return;
      leads = self.leads;
    }
    lead(self, execute);
  }

 private:
  static constexpr std::size_t most_at_once = 512;

  struct Waiter {
    Request* request;
    bool leads = false;  ///< written before it is called
    Wake wake{};
  };

  template <class Execute>
  void lead(const Waiter& self, const Execute& execute) {
    std::vector<Waiter*> others;
    {
      const std::lock_guard lock(mutex_);
      const auto end =
          queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), most_at_once - 1));
      others.assign(queue_.begin(), end);
      queue_.erase(queue_.begin(), end);
    }
    std::vector<Request*> requests{self.request};
    requests.reserve(others.size() + 1);
    for (const auto* waiter : others) requests.push_back(waiter->request);
    execute(std::span<Request* const>(requests));
    // The next leader is woken first: it works while the others wake up.
    Wake::Address next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      led_ = !queue_.empty();
      if (led_) {
        queue_.front()->leads = true;
        next = queue_.front()->wake.call();
        queue_.erase(queue_.begin());
      }
    }
    Wake::wake(next);
    for (auto* waiter : others) Wake::wake(waiter->wake.finish());
  }

  std::mutex mutex_;
  std::vector<Waiter*> queue_;
  bool led_ = false;
};

}  // namespace onceward::storage_detail
