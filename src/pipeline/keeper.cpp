#include "pipeline/keeper.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {

Keeper::~Keeper() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Keeper::enter(Group& group) {
  const std::lock_guard lock(mutex_);
  groups_.push_back(&group);
  auto first = group.renewed + every_;
  for (const auto& [time, source] : group.timeouts) first = std::min(first, time);
  // The thread looks often enough for leases by itself; only a call's own time may end before.
  const bool sooner = first < next_;
  if (sooner && !group.timeouts.empty()) {
    next_ = first;
    wake_.notify_all();
  }
  if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { keep(stop); });
}

void Keeper::leave(Group& group) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(groups_, &group);
  }
  const std::lock_guard written(group.mutex);
}

void Keeper::keep(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto now = Clock::now();
    // Half of it, so that a lease is never older than one and a half of `every_` when it is renewed.
    next_ = now + every_ / 2;
    Group* late = nullptr;
    for (auto* group : groups_) {
      for (auto& [time, source] : group->timeouts) {
        if (time <= now)
          source.request_stop();
        else
          next_ = std::min(next_, time);
      }
      if (late == nullptr && now - group->renewed >= every_ && now < group->give_up) late = group;
    }
    if (late == nullptr) {
      const auto until = next_;
      wake_.wait_until(lock, stop, until, [&] { return next_ < until; });
      continue;
    }
    late->renewed = now;
    // Taken before the list is let go: leave() waits for it.
    std::unique_lock writing(late->mutex);
    lock.unlock();
    late->renew();
    writing.unlock();
    lock.lock();
  }
}

}  // namespace onceward::pipeline_detail
