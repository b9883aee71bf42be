#include <onceward/core/timestamp.hpp>
#include <onceward/task/period.hpp>

#include "task/zone_rule.hpp"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

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

std::int64_t month_number(const date::year_month_day& date) noexcept {
  return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month()) - 1;
}

/// RFC 3339 in UTC, with a fraction only where there is one.
std::string written(Timestamp time) {
  const auto at = micros(time);
  const auto day = floor_div(at, day_us);
  const auto rest = at - day * day_us;
  const auto date = civil(day);
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                          rest / (3600 * second_us), rest / (60 * second_us) % 60, rest / second_us % 60);
  if (rest % second_us != 0) text += fmt::format(".{:06}", rest % second_us);
  return text + "Z";
}

/// The day a month begins at, where months begin at `month_day`.
std::int64_t first_day_of_month(std::int64_t number, int month_day) {
  const auto years = floor_div(number, 12);
  const auto month = date::year(static_cast<int>(years)) / static_cast<int>(number - years * 12 + 1);
  const auto last = static_cast<int>(static_cast<unsigned>((month / date::last).day()));
  return date::sys_days(month / std::min(month_day, last)).time_since_epoch().count();
}

}  // namespace

std::string_view to_string(Period period) noexcept {
  switch (period) {
    case Period::once: return "once";
    case Period::day: return "day";
    case Period::week: return "week";
    case Period::month: return "month";
    case Period::fixed: return "fixed";
    case Period::rolling: return "rolling";
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

  /// Computes every day_before.
  void settle() noexcept {
    changes.front().begins = std::numeric_limits<std::int64_t>::min();
    changes.front().day_before = std::numeric_limits<std::int64_t>::min();
    for (std::size_t i = 1; i < changes.size(); ++i) {
      const auto& last = changes[i - 1];
      changes[i].day_before =
          std::max(last.day_before, floor_div(changes[i].begins - 1 + last.offset, day_us));
    }
  }
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
    offsets->changes.push_back({at.time_since_epoch().count() * second_us,
                                std::chrono::seconds(info.offset).count() * second_us, 0});
    if (info.end <= at) break;
    at = info.end;
  }
  add_unlisted(name, *offsets);
  offsets->settle();
  return Zone(std::move(offsets));
}

/// The database lists most zones up to 2037; the last line of a zone's file says what it does afterwards.
void Zone::add_unlisted(std::string_view name, Offsets& offsets) {
  std::ifstream file("/usr/share/zoneinfo/" + std::string(name), std::ios::binary);
  std::string last;
  for (std::string line; std::getline(file, line);) last = std::move(line);
  const auto rule = task_detail::parse_zone_rule(last);
  if (!rule) return;
  const auto listed = offsets.changes.back().begins;
  constexpr int last_year = 2100;
  const auto known = date::floor<date::days>(date::sys_time<Duration>(Duration(listed)));
  for (int year = static_cast<int>(date::year_month_day(known).year()); year <= last_year; ++year) {
    for (const auto& change : rule->of_year(year)) {
      const auto begins = change.begins_s * second_us;
      if (begins > listed) offsets.changes.push_back({begins, change.offset_s * second_us, 0});
    }
  }
}

Zone Zone::with_day_at(Duration time_of_day) const {
  if (time_of_day == Duration::zero()) return *this;
  auto offsets = std::make_shared<Offsets>(*offsets_);
  // A day that begins at four is a day of a clock that runs four hours behind.
  for (auto& change : offsets->changes) change.offset -= time_of_day.count();
  offsets->settle();
  return Zone(std::move(offsets));
}

Timestamp Zone::begin_of_day(std::int64_t day) const noexcept {
  // Offsets lie within two days of UTC; in between days never go back.
  std::int64_t before = (day - 3) * day_us;
  std::int64_t at_or_after = (day + 3) * day_us;
  while (at_or_after - before > 1) {
    const std::int64_t middle = before + (at_or_after - before) / 2;
    (day_of(Timestamp(Duration(middle))) >= day ? at_or_after : before) = middle;
  }
  return Timestamp(Duration(at_or_after));
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
  return month_number(civil(day));
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
    case Period::fixed:
    case Period::rolling: break;
  }
  return "-";
}

std::string cycle_of(Period period, const Zone& zone, Timestamp time) {
  return period_name(period, period_number(period, zone, time));
}

std::int64_t Calendar::number_of(Timestamp time) const noexcept {
  switch (rule_.period) {
    case Period::fixed:
    case Period::rolling: return floor_div((time - rule_.from).count(), rule_.every.count());
    case Period::month: {
      const auto day = zone_.day_of(time);
      const auto number = month_number(civil(day));
      return day < first_day_of_month(number, rule_.month_day) ? number - 1 : number;
    }
    default: return period_number(rule_.period, zone_, time);
  }
}

std::string Calendar::name_of(std::int64_t number) const {
  if (rule_.period != Period::fixed && rule_.period != Period::rolling)
    return period_name(rule_.period, number);
  return (rule_.period == Period::fixed ? "F:" : "R:") + written(begin_of(number));
}

namespace {

/// An instant of the cycle a name stands for, if it stands for one: the instant's UTC date says which.
std::optional<Timestamp> instant_named(std::string_view name) {
  const auto rest = name.substr(std::min<std::size_t>(name.size(), 2));
  if (name.starts_with("D:")) return parse_timestamp(std::string(rest) + "T00:00:00Z");
  if (name.starts_with("M:")) return parse_timestamp(std::string(rest) + "-01T00:00:00Z");
  if (name.starts_with("F:") || name.starts_with("R:")) return parse_timestamp(rest);
  if (!name.starts_with("W:") || rest.size() != 7) return std::nullopt;
  // The 4th of January lies in the first week of its year.
  auto time = parse_timestamp(std::string(rest.substr(0, 4)) + "-01-04T00:00:00Z");
  int week = 0;
  if (!time || std::from_chars(rest.data() + 5, rest.data() + 7, week).ec != std::errc()) return std::nullopt;
  return *time + std::chrono::days(7 * (week - 1));
}

}  // namespace

std::optional<std::int64_t> Calendar::number_named(std::string_view name) const {
  if (rule_.period == Period::once) return name == name_of(0) ? std::optional<std::int64_t>(0) : std::nullopt;
  const auto time = instant_named(name);
  constexpr auto from = Timestamp(std::chrono::days(-25567));
  constexpr auto until = Timestamp(std::chrono::days(47482));
  if (!time || *time < from || *time >= until) return std::nullopt;
  const auto day = floor_div(micros(*time), day_us);
  auto number = day;
  if (rule_.period == Period::week) number = floor_div(day + 3, 7);
  if (rule_.period == Period::month) number = month_number(civil(day));
  if (rule_.period == Period::fixed || rule_.period == Period::rolling) number = number_of(*time);
  // Whatever else the text says, the name has to be the one such a cycle has.
  return name_of(number) == name ? std::optional(number) : std::nullopt;
}

Timestamp Calendar::begin_of(std::int64_t number) const noexcept {
  switch (rule_.period) {
    case Period::once: return Timestamp::min();
    case Period::day: return zone_.begin_of_day(number);
    case Period::week: return zone_.begin_of_day(number * 7 - 3);
    case Period::month: return zone_.begin_of_day(first_day_of_month(number, rule_.month_day));
    case Period::fixed:
    case Period::rolling: break;
  }
  return rule_.from + rule_.every * number;
}

Timestamp Calendar::end_of(std::int64_t number) const noexcept {
  return rule_.period == Period::once ? Timestamp::max() : begin_of(number + 1);
}

}  // namespace onceward
