#include "pipeline/gate.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t first_size = 16;
constexpr std::size_t most_size = 1024;
constexpr Duration soon = std::chrono::milliseconds(5);
constexpr Duration late = std::chrono::milliseconds(50);

}  // namespace

std::size_t Gate::take(std::size_t wanted) {
  std::unique_lock lock(mutex_);
  free_.wait(lock, [&] { return most_ > 0; });
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
  return sizes_.try_emplace(step, first_size).first->second;
}

void Pace::took(const void* step, std::size_t calls, Duration time) {
  const std::lock_guard lock(mutex_);
  auto& size = sizes_.try_emplace(step, first_size).first->second;
  if (time < soon && calls >= size) size = std::min(size * 2, most_size);
  if (time > late) size = std::max<std::size_t>(calls / 2, 1);
}

}  // namespace onceward::pipeline_detail
