#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/storage/record.hpp>

#include <chrono>

namespace onceward::sqlite::detail {

/// The time of a file. Where the machine's clock stepped back since the file was written, it counts on from
/// there: a lease that one process took is not over for another. A step of less than a second cannot be told
/// from the revisions that a writer keeps ahead, and prolongs leases by as much.
class FileClock {
 public:
  /// `given` null: the machine's clock. `high`: the file's, up to which revisions may have been given.
  FileClock(const Clock* given, Revision high) noexcept : clock_(given != nullptr ? *given : own_) {
    const Timestamp reached{Duration(high)};
    const auto now = clock_.now();
    if (reached > now + unnoticed) ahead_ = reached - now;
  }
  FileClock(const FileClock&) = delete;
  FileClock& operator=(const FileClock&) = delete;

  [[nodiscard]] Timestamp now() const noexcept { return clock_.now() + ahead_; }

 private:
  static constexpr Duration unnoticed = std::chrono::seconds(1);

  SystemClock own_;
  const Clock& clock_;
  Duration ahead_{};
};

}  // namespace onceward::sqlite::detail
