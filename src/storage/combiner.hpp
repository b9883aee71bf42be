#pragma once
#include "storage/wake.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <mutex>
#include <span>
#include <vector>

namespace onceward::storage_detail {

/// Group commit: concurrent callers become one call. The caller that finds nobody at work leads: it runs
/// everything that is queued, its own request included, wakes the others and hands the lead to the first
/// that came meanwhile. Where what they run on works on one call while another travels, more than one may
/// lead, each of callers of its own. A lone caller runs its request at once, on its own thread; there is no
/// extra thread and no added delay (flat combining: Hendler, Incze, Shavit, Tzafrir, SPAA 2010).
template <class Request>
class Combiner {
 public:
  explicit Combiner(unsigned leaders = 1, std::size_t most_at_once = 512) noexcept
      : most_at_once_(most_at_once), idle_(leaders) {}

  /// Runs `request`, alone or with others, by `execute(std::span<Request* const>)`, which must leave each
  /// request's answer in the request. Returns when it is answered. What `execute` throws reaches each of its
  /// callers: nobody is left asleep, and nobody knows what became of his request.
  template <class Execute>
  void run(Request& request, const Execute& execute) {
    Waiter self{&request};
    bool leads = false;
    {
      const std::lock_guard lock(mutex_);
      leads = idle_ != 0;
      leads ? static_cast<void>(--idle_) : queue_.push_back(&self);
    }
    while (!leads) {
      self.wake.sleep();
      if (self.wake.done()) {
        if (self.thrown) std::rethrow_exception(self.thrown);
        return;
      }
      leads = self.leads;
    }
    lead(self, execute);
  }

 private:
  struct Waiter {
    Request* request;
    bool leads = false;           ///< written before it is called
    std::exception_ptr thrown{};  ///< the same, before it is finished
    Wake wake{};
  };

  template <class Execute>
  void lead(const Waiter& self, const Execute& execute) {
    std::vector<Waiter*> others;
    std::exception_ptr thrown;
    try {
      take(others);
      std::vector<Request*> requests{self.request};
      requests.reserve(others.size() + 1);
      for (const auto* waiter : others) requests.push_back(waiter->request);
      execute(std::span<Request* const>(requests));
    } catch (...) {
      thrown = std::current_exception();
    }
    // The next leader is woken first: it works while the others wake up.
    Wake::Address next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) {
        ++idle_;
      } else {
        queue_.front()->leads = true;
        next = queue_.front()->wake.call();
        queue_.erase(queue_.begin());
      }
    }
    Wake::wake(next);
    for (auto* waiter : others) {
      waiter->thrown = thrown;
      Wake::wake(waiter->wake.finish());
    }
    if (thrown) std::rethrow_exception(thrown);
  }

  void take(std::vector<Waiter*>& others) {
    const std::lock_guard lock(mutex_);
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), most_at_once_ - 1));
    others.assign(queue_.begin(), end);
    queue_.erase(queue_.begin(), end);
  }

  const std::size_t most_at_once_;
  std::mutex mutex_;
  std::vector<Waiter*> queue_;
  unsigned idle_;  ///< how many more may lead; where it is not 0, nobody is queued
};

}  // namespace onceward::storage_detail
