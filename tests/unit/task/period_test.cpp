#include "support.hpp"

#include "support/catch.hpp"

#include <date/tz.h>

using namespace task_test;

namespace {

std::string cycle(Period period, std::string_view zone, std::string_view time) {
  return cycle_of(period, Zone::find(zone).value(), at(time));
}

}  // namespace

TEST_CASE("a day begins at midnight of the zone [task-16]") {
  CHECK(cycle(Period::day, "Asia/Shanghai", "2024-03-10T15:59:59.999Z") == "D:2024-03-10");
  CHECK(cycle(Period::day, "Asia/Shanghai", "2024-03-10T16:00:00Z") == "D:2024-03-11");
}

TEST_CASE("a day the clocks change in is one cycle, 23 or 25 hours long [task-17] [task-18]") {
  CHECK(cycle(Period::day, "America/New_York", "2024-03-10T05:30:00Z") == "D:2024-03-10");
  CHECK(cycle(Period::day, "America/New_York", "2024-03-10T16:00:00Z") == "D:2024-03-10");
  CHECK(cycle(Period::day, "America/New_York", "2024-03-11T03:59:59Z") == "D:2024-03-10");
  CHECK(cycle(Period::day, "America/New_York", "2024-03-11T04:00:00Z") == "D:2024-03-11");
  CHECK(cycle(Period::day, "America/New_York", "2024-11-03T05:30:00Z") == "D:2024-11-03");
  CHECK(cycle(Period::day, "America/New_York", "2024-11-03T06:30:00Z") == "D:2024-11-03");
  CHECK(cycle(Period::day, "America/New_York", "2024-11-04T04:59:59Z") == "D:2024-11-03");
}

TEST_CASE("a day without a midnight begins at its first instant [task-20]") {
  CHECK(cycle(Period::day, "America/Havana", "2024-03-10T04:59:59Z") == "D:2024-03-09");
  CHECK(cycle(Period::day, "America/Havana", "2024-03-10T05:00:00Z") == "D:2024-03-10");
}

TEST_CASE("a clock that goes back over midnight does not bring yesterday back") {
  // Goose Bay, 2008-11-02: at 00:01 daylight time the clocks went back to 23:01 of the day before.
  CHECK(cycle(Period::day, "America/Goose_Bay", "2008-11-02T03:00:30Z") == "D:2008-11-02");
  CHECK(cycle(Period::day, "America/Goose_Bay", "2008-11-02T03:02:00Z") == "D:2008-11-02");
}

TEST_CASE("weeks are ISO weeks and belong to the year of their Thursday [task-23]") {
  CHECK(cycle(Period::week, "UTC", "2024-12-30T00:00:00Z") == "W:2025-01");
  CHECK(cycle(Period::week, "UTC", "2024-01-01T00:00:00Z") == "W:2024-01");
  CHECK(cycle(Period::week, "UTC", "2021-01-03T23:59:59Z") == "W:2020-53");
  CHECK(cycle(Period::week, "UTC", "2021-01-04T00:00:00Z") == "W:2021-01");
}

TEST_CASE("months and once") {
  CHECK(cycle(Period::month, "Europe/London", "2011-03-31T22:59:59Z") == "M:2011-03");
  CHECK(cycle(Period::month, "Europe/London", "2011-03-31T23:00:00Z") == "M:2011-04");
  CHECK(cycle(Period::month, "UTC", "1969-12-31T00:00:00Z") == "M:1969-12");
  CHECK(cycle(Period::once, "UTC", "2011-03-31T23:00:00Z") == "-");
}

TEST_CASE("an unknown zone is refused by name") {
  const auto zone = Zone::find("Mars/Base");
  REQUIRE_FALSE(zone.has_value());
  CHECK(zone.error().code == ErrorCode::not_found);
  CHECK(zone.error().message.find("Mars/Base") != std::string::npos);
}

TEST_CASE("a month begins at its anchor, or at its last day where it is shorter [task-24]") {
  const Calendar months({Period::month, 31}, Zone::find("UTC").value());
  CHECK(months.cycle_of(at("2024-02-28T23:59:59Z")) == "M:2024-01");
  CHECK(months.cycle_of(at("2024-02-29T00:00:00Z")) == "M:2024-02");
  CHECK(months.cycle_of(at("2024-03-30T23:59:59Z")) == "M:2024-02");
  CHECK(months.cycle_of(at("2024-03-31T00:00:00Z")) == "M:2024-03");
  CHECK(months.cycle_of(at("2023-02-27T23:59:59Z")) == "M:2023-01");
  CHECK(months.cycle_of(at("2023-02-28T00:00:00Z")) == "M:2023-02");
}

TEST_CASE("a day may begin at four in the morning") {
  const auto zone = Zone::find("Asia/Shanghai").value().with_day_at(std::chrono::hours(4));
  CHECK(cycle_of(Period::day, zone, at("2024-03-10T19:59:59Z")) == "D:2024-03-10");
  CHECK(cycle_of(Period::day, zone, at("2024-03-10T20:00:00Z")) == "D:2024-03-11");
}

TEST_CASE("fixed and rolling cycles are as long as they say") {
  const Calendar fixed({Period::fixed, 1, std::chrono::hours(72), at("2024-03-01T06:00:00Z")},
                       Zone::find("UTC").value());
  CHECK(fixed.cycle_of(at("2024-03-01T06:00:00Z")) == "F:2024-03-01T06:00:00Z");
  CHECK(fixed.cycle_of(at("2024-03-04T05:59:59.999999Z")) == "F:2024-03-01T06:00:00Z");
  CHECK(fixed.cycle_of(at("2024-03-04T06:00:00Z")) == "F:2024-03-04T06:00:00Z");
  CHECK(fixed.cycle_of(at("2024-02-29T00:00:00Z")) == "F:2024-02-27T06:00:00Z");
}

TEST_CASE("a cycle is found by the name it has, and by no other") {
  const auto zone = Zone::find("Europe/London").value();
  const std::vector<Calendar> calendars = {
      Calendar({Period::once}, zone),
      Calendar({Period::day}, zone),
      Calendar({Period::week}, zone),
      Calendar({Period::month}, zone),
      Calendar({Period::month, 31}, zone),
      Calendar({.period = Period::fixed, .every = std::chrono::hours(36), .from = at("2024-01-01T04:00:00Z")},
               zone),
      Calendar(
          {.period = Period::rolling, .every = std::chrono::days(7), .from = at("2024-01-01T04:00:00.25Z")},
          zone)};
  for (const auto& calendar : calendars) {
    for (const auto* time : {"1900-01-02T12:00:00Z", "2020-12-31T12:00:00Z", "2021-01-03T12:00:00Z",
                             "2024-02-29T12:00:00Z", "2024-12-30T12:00:00Z", "2099-12-01T12:00:00Z"}) {
      const auto number = calendar.number_of(at(time));
      INFO(calendar.name_of(number));
      if (calendar.rule().period == Period::week || at(time) > at("1901-01-01T00:00:00Z"))
        CHECK(calendar.number_named(calendar.name_of(number)) == number);
    }
    for (const auto* name : {"",
                             "-2",
                             "bogus",
                             "D:9999-99-99",
                             "D:2023-02-29",
                             "D:2024-2-1",
                             "D:2024-02-01 ",
                             "d:2024-02-01",
                             "D:1899-12-31",
                             "D:2100-01-01",
                             "W:2021-53",
                             "W:2024-00",
                             "W:2024-1",
                             "W:2024-1x",
                             "W:2024-+1",
                             "M:2024-13",
                             "M:2024-1",
                             "F:2024-01-01T05:00:00Z",
                             "F:2024-01-01T04:00:00.0Z",
                             "R:2024-01-01T04:00:00Z",
                             "a/b"})
      CHECK_FALSE(calendar.number_named(name).has_value());
  }
}

TEST_CASE("summer time goes on after the last year the database lists") {
  CHECK(cycle(Period::day, "Europe/London", "2039-06-30T22:59:59Z") == "D:2039-06-30");
  CHECK(cycle(Period::day, "Europe/London", "2039-06-30T23:00:00Z") == "D:2039-07-01");
  CHECK(cycle(Period::day, "Europe/London", "2039-12-31T23:59:59Z") == "D:2039-12-31");
  CHECK(cycle(Period::day, "America/Havana", "2040-07-01T03:59:59Z") == "D:2040-06-30");
  CHECK(cycle(Period::day, "America/Havana", "2040-07-01T04:00:00Z") == "D:2040-07-01");
  CHECK(cycle(Period::day, "Pacific/Chatham", "2039-12-31T10:15:00Z") == "D:2040-01-01");
}

TEST_CASE("in every zone, 2000 to 2040, cycles follow each other without overlap and without gap") {
  const auto from = at("2000-01-01T00:00:00Z");
  const auto to = at("2040-12-31T00:00:00Z");
  std::size_t zones = 0;
  for (const auto& listed : date::get_tzdb().zones) {
    const auto zone = Zone::find(listed.name()).value();
    ++zones;
    for (const auto hours : {0, 4}) {
      const auto shifted = zone.with_day_at(std::chrono::hours(hours));
      for (const auto& [period, anchor] :
           {std::pair{Period::day, 1}, {Period::week, 1}, {Period::month, 31}}) {
        if (hours != 0 && period != Period::month) continue;
        const Calendar calendar({period, anchor}, shifted);
        auto number = calendar.number_of(from);
        auto begin = calendar.begin_of(number);
        bool fine = begin <= from;
        for (; begin < to; ++number) {
          const auto end = calendar.end_of(number);
          // A day the zone left out (Apia, 2011-12-30) is empty; every other has its instants for itself.
          fine = fine && end >= begin && end == calendar.begin_of(number + 1);
          if (end > begin) {
            fine = fine && calendar.number_of(begin) == number &&
                   calendar.number_of(end - Duration(1)) == number && calendar.number_of(end) > number;
          }
          begin = end;
        }
        INFO(listed.name() << " " << to_string(period) << " at " << hours);
        if (!fine) CHECK(fine);
      }
    }
  }
  CHECK(zones > 300);
}
