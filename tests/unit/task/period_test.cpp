#include "support.hpp"

#include "support/catch.hpp"

#include <iostream>

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

TEST_CASE("days never go back and never skip more than the date line does, in any zone, 2000 to 2040") {
  const char* zones[] = {
      "Europe/London",    "America/New_York", "America/Havana",      "Asia/Beirut",  "Asia/Kathmandu",
      "America/Santiago", "Pacific/Apia",     "Australia/Lord_Howe", "Africa/Cairo", "America/Asuncion",
      "Asia/Tehran",      "Atlantic/Azores",  "Antarctica/Troll",    "UTC",          "Africa/Casablanca"};
  for (const auto* name : zones) {
    INFO(name);
    const auto zone = Zone::find(name).value();
    std::int64_t day = zone.day_of(at("2000-01-01T00:00:00Z"));
    std::int64_t week = period_number(Period::week, zone, at("2000-01-01T00:00:00Z"));
    bool fine = true;
    for (auto time = at("2000-01-01T00:00:00Z"); time < at("2040-01-01T00:00:00Z");
         time += std::chrono::minutes(30)) {
      const auto next = zone.day_of(time);
      const auto next_week = period_number(Period::week, zone, time);
      fine = fine && next >= day && next <= day + 2 && next_week >= week && next_week <= week + 1;
      day = next;
      week = next_week;
    }
    CHECK(fine);
  }
}
