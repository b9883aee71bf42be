#pragma once
#include <chrono>

namespace onceward {

using Duration = std::chrono::microseconds;
/// UTC, microseconds since 1970-01-01. The one time type of the library.
using Timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/// A source of time. Inject one where a test must travel; production uses SystemClock.
/// Implementations are safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Timestamp now() const noexcept = 0;

 protected:
  Clock() = default;
  Clock(const Clock&) = default;
  Clock& operator=(const Clock&) = default;
};

/// Wall time that never runs backwards within a process: the wall clock is read once, at construction,
/// and advanced by the steady clock, so that an adjustment of the machine's clock cannot revive a lease.
class SystemClock final : public Clock {
 public:
  SystemClock() noexcept;
  [[nodiscard]] Timestamp now() const noexcept override;

 private:
  Timestamp wall_start_;
  std::chrono::steady_clock::time_point steady_start_;
};

}  // namespace onceward
