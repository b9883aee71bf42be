#include <onceward/task/period.hpp>

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>

namespace onceward {
namespace {

constexpr std::int64_t second_us = 1'000'000;
constexpr std::int64_t day_us = 86'400 * second_us;

constexpr std::int64_t floor_div(std::int64_t value, std::int64_t by) noexcept {
  return value / by - (value % by < 0 ? 1 : 0);
}

std::int64_t micros(Timestamp time) noexcept { return time.time_since_epoch().count(); }

date::year_month_day civil(std::int64_t day) {
  return date::year_month_day(date::sys_days(date::days(static_cast<int>(day))));
}

}  // namespace

std::string_view to_string(Period period) noexcept {
  switch (period) {
    case Period::once: return "once";
    case Period::day: return "day";
    case Period::week: return "week";
    case Period::month: return "month";
  }
  return "unknown";
}

/// Every change of the zone's offset, in order: what day_of searches instead of asking the database each
/// time.
struct Zone::Offsets {
  struct Change {
    std::int64_t begins;      ///< first instant, microseconds UTC
    std::int64_t offset;      ///< of the wall clock from here on, microseconds
    std::int64_t day_before;  ///< the day the wall clock had reached just before
  };
  std::string name;
  std::vector<Change> changes;
};

Result<Zone> Zone::find(std::string_view name) {
  const date::time_zone* zone = nullptr;
  try {
    (void)date::get_tzdb();
  } catch (const std::exception& exception) {
    return fail(
        ErrorCode::unavailable,
        fmt::format("the system's time zone database cannot be read: {} (install tzdata)", exception.what()));
  }
  try {
    zone = date::locate_zone(std::string(name));
  } catch (const std::exception&) {
    return fail(ErrorCode::not_found,
                fmt::format("there is no time zone \"{}\"; names look like Europe/London or UTC", name));
  }
  auto offsets = std::make_shared<Offsets>();
  offsets->name = name;
  using namespace date::literals;
  const auto last = date::sys_days(2101_y / 1 / 1);
  date::sys_seconds at = date::sys_days(1900_y / 1 / 1);
  while (at < last) {
    const auto info = zone->get_info(at);
    const std::int64_t begins = at.time_since_epoch().count() * second_us;
    const std::int64_t offset = std::chrono::seconds(info.offset).count() * second_us;
    std::int64_t day_before = floor_div(begins + offset, day_us);
    if (!offsets->changes.empty()) {
      day_before = std::max(offsets->changes.back().day_before,
                            floor_div(begins - 1 + offsets->changes.back().offset, day_us));
    }
    offsets->changes.push_back({begins, offset, day_before});
    if (info.end <= at) break;
    at = info.end;
  }
  offsets->changes.front().begins = std::numeric_limits<std::int64_t>::min();
  offsets->changes.front().day_before = std::numeric_limits<std::int64_t>::min();
  return Zone(std::move(offsets));
}

std::int64_t Zone::day_of(Timestamp time) const noexcept {
  const auto& changes = offsets_->changes;
  const std::int64_t at = micros(time);
  const auto after =
      std::upper_bound(changes.begin(), changes.end(), at,
                       [](std::int64_t value, const auto& change) { return value < change.begins; });
  const auto& change = *std::prev(after);
  return std::max(floor_div(at + change.offset, day_us), change.day_before);
}

const std::string& Zone::name() const noexcept { return offsets_->name; }

std::int64_t period_number(Period period, const Zone& zone, Timestamp time) noexcept {
  if (period == Period::once) return 0;
  const std::int64_t day = zone.day_of(time);
  if (period == Period::day) return day;
  if (period == Period::week)
    return floor_div(day + 3, 7);  // 1970-01-01 was a Thursday; weeks begin on Monday
  const auto date = civil(day);
  return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month()) - 1;
}

std::string period_name(Period period, std::int64_t number) {
  switch (period) {
    case Period::once: return "-";
    case Period::day: {
      const auto date = civil(number);
      return fmt::format("D:{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    }
    case Period::week: {
      // ISO 8601: a week belongs to the year its Thursday lies in, and is numbered by the Thursdays before.
      const std::int64_t thursday = number * 7;
      const auto year = civil(thursday).year();
      const std::int64_t first = date::sys_days(year / 1 / 1).time_since_epoch().count();
      return fmt::format("W:{:04}-{:02}", static_cast<int>(year), (thursday - first) / 7 + 1);
    }
    case Period::month:
      return fmt::format("M:{:04}-{:02}", floor_div(number, 12), number - floor_div(number, 12) * 12 + 1);
  }
  return "-";
}

std::string cycle_of(Period period, const Zone& zone, Timestamp time) {
  return period_name(period, period_number(period, zone, time));
}

}  // namespace onceward
