#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/storage/record.hpp>

namespace onceward::sqlite::detail {

/// The time of a file. Where the machine's clock stepped back since the file was written, it counts on from
/// there: a lease that one process took is not over for another.
class FileClock {
 public:
  /// `given` null: the machine's clock. `high`: the largest revision in the file.
  FileClock(const Clock* given, Revision high) noexcept : clock_(given != nullptr ? *given : own_) {
    const Timestamp reached{Duration(high)};
    const auto now = clock_.now();
    if (reached > now) ahead_ = reached - now;
  }
  FileClock(const FileClock&) = delete;
  FileClock& operator=(const FileClock&) = delete;

  [[nodiscard]] Timestamp now() const noexcept { return clock_.now() + ahead_; }

 private:
  SystemClock own_;
  const Clock& clock_;
  Duration ahead_{};
};

}  // namespace onceward::sqlite::detail
