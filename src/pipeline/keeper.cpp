#include "pipeline/keeper.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

/// While groups come and go it looks so often by itself: to be woken for each costs more.
constexpr auto tick = std::chrono::milliseconds(50);

}  // namespace

Keeper::~Keeper() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Keeper::enter(Group& group) {
  const std::lock_guard lock(mutex_);
  groups_.push_back(&group);
  busy_ = true;
  auto first = group.let_go_at;
  for (const auto& [time, source] : group.timeouts) first = std::min(first, time);
  // The thread looks often enough for leases by itself.
  if (first < next_) {
    next_ = first;
    wake_.notify_all();
  }
  if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { keep(stop); });
}

void Keeper::hurry(Group& group) {
  const std::lock_guard lock(mutex_);
  next_ = group.let_go_at = std::min(group.let_go_at, Clock::now());
  wake_.notify_all();
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
    next_ = now + (std::exchange(busy_, false) ? std::min<Clock::duration>(tick, every_ / 2) : every_ / 2);
    Group* due = nullptr;
    for (auto* group : groups_) {
      for (auto& [time, source] : group->timeouts) {
        if (time <= now)
          source.request_stop();
        else
          next_ = std::min(next_, time);
      }
      const bool leaves = group->let_go != nullptr && group->let_go_at <= now;
      const bool late = now - group->renewed >= every_ && now < group->give_up;
      if (due == nullptr && (leaves || late)) due = group;
      if (group->let_go != nullptr && !leaves) next_ = std::min(next_, group->let_go_at);
    }
    if (due == nullptr) {
      const auto until = next_;
      wake_.wait_until(lock, stop, until, [&] { return next_ < until; });
      continue;
    }
    std::function<void()> work;
    if (due->let_go != nullptr && due->let_go_at <= now) {
      work = std::exchange(due->let_go, nullptr);
    } else {
      due->renewed = now;
      work = due->renew;
    }
    // Taken before the list is let go: leave() waits for it.
    std::unique_lock writing(due->mutex);
    lock.unlock();
    work();
    writing.unlock();
    lock.lock();
  }
}

}  // namespace onceward::pipeline_detail
