#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace onceward::task_detail {

/// What a zone does in years the database does not list: a POSIX TZ text, "GMT0BST,M3.5.0/1,M10.5.0".
struct ZoneRule {
  /// A day of a year and a time of it, by the clock that is in force before.
  struct Date {
    enum class Kind : std::uint8_t { weekday, julian, day };
    Kind kind = Kind::weekday;
    int month = 1;
    int week = 1;  ///< 5: the last
    int day = 0;   ///< of the week, or of the year
    std::int64_t time_s = 7200;
  };
  std::int64_t standard_s = 0;  ///< of the wall clock against UTC
  std::int64_t summer_s = 0;
  Date begins{};  ///< of summer time
  Date ends{};

  struct Change {
    std::int64_t begins_s;  ///< UTC, since 1970
    std::int64_t offset_s;
  };
  /// The changes of a year, in order.
  [[nodiscard]] std::vector<Change> of_year(int year) const;
};

/// Empty where the text names no summer time, or is none.
[[nodiscard]] std::optional<ZoneRule> parse_zone_rule(std::string_view text);

}  // namespace onceward::task_detail
