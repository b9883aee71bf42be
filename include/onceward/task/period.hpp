#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// How often a task starts anew for a user; also the unit of a streak and of a quota.
enum class Period : std::uint8_t {
  once,   ///< one cycle for ever, "-"
  day,    ///< "D:2024-03-10"
  week,   ///< ISO weeks, from Monday: "W:2025-01"
  month,  ///< "M:2024-02"
};
[[nodiscard]] std::string_view to_string(Period period) noexcept;

/// A zone of the system's time zone database, read once, up to the year 2100. Immutable and cheap to copy.
/// The database lists most zones' changes up to 2037: later ones keep the offset of the last change listed.
class Zone {
 public:
  /// Errors: not_found (no such zone; the message says how names look), unavailable (no database on this
  /// system).
  static Result<Zone> find(std::string_view name);

  /// The day of an instant, in days since 1970-01-01: a day begins at the first instant whose wall clock
  /// reaches midnight, so days never repeat and never go back, whatever the clocks of the zone do.
  [[nodiscard]] std::int64_t day_of(Timestamp time) const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;

 private:
  struct Offsets;
  explicit Zone(std::shared_ptr<const Offsets> offsets) noexcept : offsets_(std::move(offsets)) {}
  std::shared_ptr<const Offsets> offsets_;
};

/// The number of the period an instant lies in: consecutive periods have consecutive numbers; 0 for once.
[[nodiscard]] std::int64_t period_number(Period period, const Zone& zone, Timestamp time) noexcept;
/// The name of a period by its number, as cycles are named.
[[nodiscard]] std::string period_name(Period period, std::int64_t number);
/// The cycle of an instant: period_name(period, period_number(period, zone, time)).
[[nodiscard]] std::string cycle_of(Period period, const Zone& zone, Timestamp time);

}  // namespace onceward
