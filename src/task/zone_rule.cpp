#include "task/zone_rule.hpp"

#include <date/date.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::int64_t day_s = 86'400;

/// Reads the parts of the text one after another.
class Parts {
 public:
  explicit Parts(std::string_view text) : rest_(text) {}

  bool skip(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool name() {
    const bool quoted = skip('<');
    const auto end = quoted ? rest_.find('>') : std::min(rest_.find_first_of("+-0123456789,"), rest_.size());
    if (end == std::string_view::npos || end == 0) return false;
    rest_.remove_prefix(end + (quoted ? 1 : 0));
    return true;
  }
  std::optional<int> number() {
    int value = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size() && digits < 4 && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits)
      value = value * 10 + (rest_[digits] - '0');
    if (digits == 0) return std::nullopt;
    rest_.remove_prefix(digits);
    return value;
  }
  /// [+-]hh[:mm[:ss]]
  std::optional<std::int64_t> time() {
    const bool minus = skip('-');
    if (!minus) skip('+');
    const auto hours = number();
    if (!hours) return std::nullopt;
    std::int64_t seconds = std::int64_t{*hours} * 3600;
    for (const int unit : {60, 1}) {
      if (!skip(':')) break;
      const auto more = number();
      if (!more) return std::nullopt;
      seconds += std::int64_t{*more} * unit;
    }
    return minus ? -seconds : seconds;
  }
  std::optional<ZoneRule::Date> date() {
    using Kind = ZoneRule::Date::Kind;
    ZoneRule::Date date;
    if (skip('M')) {
      const auto month = number();
      const bool first = skip('.');
      const auto week = number();
      const bool second = skip('.');
      const auto day = number();
      if (!month || !first || !week || !second || !day || *month < 1 || *month > 12 || *week < 1 ||
          *week > 5 || *day > 6) {
        return std::nullopt;
      }
      date = {Kind::weekday, *month, *week, *day};
    } else {
      date.kind = skip('J') ? Kind::julian : Kind::day;
      const auto day = number();
      if (!day || *day > 366) return std::nullopt;
      date.day = *day;
    }
    if (!skip('/')) return date;
    const auto at = time();
    if (!at) return std::nullopt;
    date.time_s = *at;
    return date;
  }
  [[nodiscard]] bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// In seconds since 1970, by the wall clock.
std::int64_t wall_s(const ZoneRule::Date& date, int year) {
  using Kind = ZoneRule::Date::Kind;
  const date::year y(year);
  date::sys_days day = date::sys_days(y / 1 / 1);
  if (date.kind == Kind::weekday) {
    const date::weekday weekday(static_cast<unsigned>(date.day));
    const auto month = y / date.month;
    day = date.week == 5 ? date::sys_days(month / weekday[date::last])
                         : date::sys_days(month / weekday[static_cast<unsigned>(date.week)]);
  } else {
    // Julian days leave February 29 out.
    const bool after = date.kind == Kind::julian && y.is_leap() && date.day >= 60;
    day += date::days(date.day - (date.kind == Kind::julian ? 1 : 0) + (after ? 1 : 0));
  }
  return std::int64_t{day.time_since_epoch().count()} * day_s + date.time_s;
}

}  // namespace

std::vector<ZoneRule::Change> ZoneRule::of_year(int year) const {
  std::vector<Change> changes = {{wall_s(begins, year) - standard_s, summer_s},
                                 {wall_s(ends, year) - summer_s, standard_s}};
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.begins_s < b.begins_s; });
  return changes;
}

std::optional<ZoneRule> parse_zone_rule(std::string_view text) {
  Parts parts(text);
  ZoneRule rule;
  if (!parts.name()) return std::nullopt;
  const auto standard = parts.time();
  if (!standard || parts.done() || !parts.name()) return std::nullopt;
  // POSIX counts west of Greenwich.
  rule.standard_s = -*standard;
  rule.summer_s = rule.standard_s + 3600;
  if (!parts.skip(',')) {
    const auto summer = parts.time();
    if (!summer || !parts.skip(',')) return std::nullopt;
    rule.summer_s = -*summer;
  }
  const auto begins = parts.date();
  const bool comma = parts.skip(',');
  const auto ends = parts.date();
  if (!begins || !comma || !ends || !parts.done()) return std::nullopt;
  rule.begins = *begins;
  rule.ends = *ends;
  return rule;
}

}  // namespace onceward::task_detail
