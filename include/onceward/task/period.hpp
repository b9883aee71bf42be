#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// How often a task starts anew for a user; but for fixed and rolling also the unit of a streak and of a
/// quota.
enum class Period : std::uint8_t {
  once,     ///< one cycle for ever, "-"
  day,      ///< "D:2024-03-10"
  week,     ///< ISO weeks, from Monday: "W:2025-01"
  month,    ///< "M:2024-02", named by the month it begins in
  fixed,    ///< equal lengths from the task's start, the same for every user: "F:2024-03-10T00:00:00Z"
  rolling,  ///< equal lengths from the user's own start: "R:2024-03-10T11:20:00Z"
};
[[nodiscard]] std::string_view to_string(Period period) noexcept;

/// A zone of the system's time zone database, read once, up to the year 2100: also beyond the last change
/// the database lists, by the rule it gives for the years after. Immutable and cheap to copy.
class Zone {
 public:
  /// Errors: not_found (no such zone; the message says how names look), unavailable (no database on this
  /// system).
  static Result<Zone> find(std::string_view name);

  /// The same zone with days that begin at this time of the wall clock instead of midnight; -12 h to 24 h.
  [[nodiscard]] Zone with_day_at(Duration time_of_day) const;

  /// The day of an instant, in days since 1970-01-01: a day begins at the first instant whose wall clock
  /// reaches midnight (or with_day_at's time), so days never repeat and never go back, whatever the clocks of
  /// the zone do.
  [[nodiscard]] std::int64_t day_of(Timestamp time) const noexcept;
  /// The first instant of a day, for days of 1900 to 2100. A day the zone left out begins where the next
  /// does.
  [[nodiscard]] Timestamp begin_of_day(std::int64_t day) const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;

 private:
  struct Offsets;
  static void add_unlisted(std::string_view name, Offsets& offsets);
  explicit Zone(std::shared_ptr<const Offsets> offsets) noexcept : offsets_(std::move(offsets)) {}
  std::shared_ptr<const Offsets> offsets_;
};

/// The number of the period an instant lies in: consecutive periods have consecutive numbers; 0 for once.
/// Of once, day, week and month; fixed and rolling need a Calendar.
[[nodiscard]] std::int64_t period_number(Period period, const Zone& zone, Timestamp time) noexcept;
/// The name of a period by its number, as cycles are named. Of once, day, week and month.
[[nodiscard]] std::string period_name(Period period, std::int64_t number);
/// The cycle of an instant: period_name(period, period_number(period, zone, time)).
[[nodiscard]] std::string cycle_of(Period period, const Zone& zone, Timestamp time);

/// The cycles of one task, for one user where the zone or the start is the user's own: they follow each other
/// without overlap and without gap. A plain value, for any thread.
class Calendar {
 public:
  struct Rule {
    Period period = Period::once;
    int month_day = 1;  ///< months begin at this day, or at their last where they are shorter; 1..31
    Duration every{};   ///< fixed and rolling: > 0
    Timestamp from{};   ///< fixed and rolling: where a cycle begins
  };
  Calendar(Rule rule, Zone zone) noexcept : rule_(rule), zone_(std::move(zone)) {}

  [[nodiscard]] std::int64_t number_of(Timestamp time) const noexcept;
  [[nodiscard]] std::string name_of(std::int64_t number) const;
  /// The number of the cycle with this name; empty where name_of gives no cycle of 1900 to 2099 this name.
  [[nodiscard]] std::optional<std::int64_t> number_named(std::string_view name) const;
  /// The first instant; the smallest Timestamp for once.
  [[nodiscard]] Timestamp begin_of(std::int64_t number) const noexcept;
  /// The first instant after it; the largest Timestamp for once.
  [[nodiscard]] Timestamp end_of(std::int64_t number) const noexcept;
  [[nodiscard]] std::string cycle_of(Timestamp time) const { return name_of(number_of(time)); }
  [[nodiscard]] const Zone& zone() const noexcept { return zone_; }
  [[nodiscard]] const Rule& rule() const noexcept { return rule_; }

 private:
  Rule rule_;
  Zone zone_;
};

}  // namespace onceward
