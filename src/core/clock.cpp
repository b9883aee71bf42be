#include <onceward/core/clock.hpp>

namespace onceward {

SystemClock::SystemClock() noexcept
    : wall_start_(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now())),
      steady_start_(std::chrono::steady_clock::now()) {}

Timestamp SystemClock::now() const noexcept {
  return wall_start_ + std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - steady_start_);
}

}  // namespace onceward
