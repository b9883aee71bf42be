#pragma once
#include <onceward/core/clock.hpp>

#include <atomic>

namespace onceward::testing {

/// A clock that stands until it is moved. Safe from any thread.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Timestamp start = Timestamp(std::chrono::days(19'000))) noexcept
      : now_(start.time_since_epoch().count()) {}
  [[nodiscard]] Timestamp now() const noexcept override { return Timestamp(Duration(now_.load())); }
  void advance(Duration by) noexcept { now_ += by.count(); }
  void set(Timestamp to) noexcept { now_ = to.time_since_epoch().count(); }

 private:
  std::atomic<std::int64_t> now_;
};

}  // namespace onceward::testing
