#include "pipeline/gate.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t most_size = 1024;
constexpr Duration soon = std::chrono::milliseconds(5);
constexpr Duration late = std::chrono::milliseconds(50);

}  // namespace

std::size_t Gate::take(std::size_t wanted, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!free_.wait(lock, stop, [&] { return most_ > 0; }) || stop.stop_requested()) return 0;
  const auto taken = std::min(wanted, most_);
  most_ -= taken;
  return taken;
}

void Gate::give_back(std::size_t count) {
  {
    const std::lock_guard lock(mutex_);
    most_ += count;
  }
  free_.notify_all();
}

std::size_t Pace::size(const void* step) {
  const std::lock_guard lock(mutex_);
  return known_[step].size;
}

bool Pace::may_be_slow(const void* step) {
  const std::lock_guard lock(mutex_);
  return known_[step].slow;
}

void Pace::took(const void* step, std::size_t calls, Duration time) {
  const std::lock_guard lock(mutex_);
  auto& known = known_[step];
  known.slow = time > late;
  if (time < soon && calls >= known.size) known.size = std::min(known.size * 2, most_size);
  if (known.slow) known.size = std::max<std::size_t>(calls / 2, 1);
}

}  // namespace onceward::pipeline_detail
