#pragma once
#include <onceward/core/clock.hpp>

#include <atomic>

/// The clock of a case, which also goes on while somebody waits for it, as real ones do.
class WaitedClock final : public onceward::Clock {
 public:
  explicit WaitedClock(const onceward::Clock& base) noexcept : base_(base) {}
  [[nodiscard]] onceward::Timestamp now() const noexcept override {
    return base_.now() + onceward::Duration(waited_.load());
  }
  void wait(onceward::Duration duration) noexcept { waited_ += duration.count(); }

 private:
  const onceward::Clock& base_;
  std::atomic<std::int64_t> waited_ = 0;
};
