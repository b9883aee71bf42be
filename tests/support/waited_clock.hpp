#pragma once
#include <onceward/core/clock.hpp>

#include <atomic>
#include <memory>

/// The clock of a case, which also goes on while somebody waits for it, as real ones do.
class WaitedClock final : public onceward::Clock {
 public:
  using Waited = std::shared_ptr<std::atomic<std::int64_t>>;

  /// `waited`: microseconds, of clocks that stood here before: time that was waited for stays passed.
  explicit WaitedClock(const onceward::Clock& base,
                       Waited waited = std::make_shared<std::atomic<std::int64_t>>(0)) noexcept
      : base_(base), waited_(std::move(waited)) {}
  [[nodiscard]] onceward::Timestamp now() const noexcept override {
    return base_.now() + onceward::Duration(waited_->load());
  }
  void wait(onceward::Duration duration) noexcept { *waited_ += duration.count(); }

 private:
  const onceward::Clock& base_;
  Waited waited_;
};
