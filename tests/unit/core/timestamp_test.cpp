#include <onceward/core/timestamp.hpp>

#include "support/catch.hpp"

#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

/// The instant in RFC 3339 as the C library sees it, east of UTC by `east` minutes. `digits` of fraction.
std::string written(Timestamp instant, int digits = 6, int east = 0) {
  const auto local = instant + std::chrono::minutes(east);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(local);
  const std::time_t time = seconds.time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  std::string result = text.data();
  if (digits > 0) {
    std::snprintf(text.data(), text.size(), ".%06d000", static_cast<int>((local - seconds).count()));
    result += std::string(text.data()).substr(0, static_cast<std::size_t>(digits) + 1);
  }
  if (east == 0) return result + "Z";
  const int off = east < 0 ? -east : east;
  std::snprintf(text.data(), text.size(), "%c%02d:%02d", east < 0 ? '-' : '+', off / 60, off % 60);
  return result + text.data();
}

std::int64_t us(std::string_view text) {
  const auto parsed = parse_timestamp(text);
  INFO(text);
  REQUIRE(parsed.has_value());
  return parsed->time_since_epoch().count();
}

}  // namespace

TEST_CASE("a time of day is read as microseconds since 1970 in UTC") {
  CHECK(us("1970-01-01T00:00:00Z") == 0);
  CHECK(us("2010-12-01T08:26:00Z") == 1'291'191'960'000'000);
  CHECK(us("1969-12-31T23:59:59Z") == -1'000'000);
  CHECK(us("2010-12-01t08:26:00z") == 1'291'191'960'000'000);
}

TEST_CASE("a fraction of one to nine digits is read, and microseconds are kept") {
  CHECK(us("1970-01-01T00:00:00.5Z") == 500'000);
  CHECK(us("1970-01-01T00:00:00.05Z") == 50'000);
  CHECK(us("1970-01-01T00:00:00.123456Z") == 123'456);
  CHECK(us("1970-01-01T00:00:00.000001Z") == 1);
  CHECK(us("1970-01-01T00:00:00.0000019Z") == 1);
  CHECK(us("1970-01-01T00:00:00.999999999Z") == 999'999);
  CHECK(us("1969-12-31T23:59:59.999999Z") == -1);
  CHECK_FALSE(parse_timestamp("1970-01-01T00:00:00.1234567890Z"));
  CHECK_FALSE(parse_timestamp("1970-01-01T00:00:00.Z"));
  CHECK_FALSE(parse_timestamp("1970-01-01T00:00:00,5Z"));
}

TEST_CASE("an offset names the same instant elsewhere") {
  CHECK(us("1970-01-01T01:00:00+01:00") == 0);
  CHECK(us("1969-12-31T18:30:00-05:30") == 0);
  CHECK(us("1970-01-01T05:45:00.25+05:45") == 250'000);
  CHECK(us("1970-01-01T00:00:00+00:00") == 0);
  CHECK(us("1970-01-01T00:00:00-00:00") == 0);
  CHECK(us("1970-01-01T23:59:00+23:59") == 0);
  CHECK_FALSE(parse_timestamp("1970-01-01T00:00:00+24:00"));
  CHECK_FALSE(parse_timestamp("1970-01-01T00:00:00+00:60"));
}

TEST_CASE("a day exists or is refused, leap years by the century's rule") {
  CHECK(us("2024-02-29T00:00:00Z") == us("2024-02-28T23:59:59Z") + 1'000'000);
  CHECK(us("2023-03-01T00:00:00Z") == us("2023-02-28T23:59:59Z") + 1'000'000);
  for (const auto* leap :
       {"0000-02-29", "1600-02-29", "1996-02-29", "2000-02-29", "2024-02-29", "2400-02-29"})
    CHECK(parse_timestamp(std::string(leap) + "T00:00:00Z"));
  for (const auto* day : {"1700-02-29", "1900-02-29", "2023-02-29", "2100-02-29", "2024-02-30", "2024-04-31",
                          "2024-01-32", "2024-01-00", "2024-00-01", "2024-13-01", "2024-99-99"})
    CHECK_FALSE(parse_timestamp(std::string(day) + "T00:00:00Z"));
}

TEST_CASE("years run from 0000 to 9999, and an offset may lead out of them") {
  CHECK(us("0000-01-01T00:00:00Z") == -62'167'219'200'000'000);
  CHECK(us("9999-12-31T23:59:59.999999Z") == 253'402'300'799'999'999);
  CHECK(us("0000-01-01T00:00:00+23:59") == us("0000-01-01T00:00:00Z") - 86'340'000'000);
  CHECK(us("9999-12-31T23:59:59-23:59") == us("9999-12-31T23:59:59Z") + 86'340'000'000);
}

TEST_CASE("an hour, minute or second that no clock shows is refused, a leap second included") {
  for (const auto* time : {"24:00:00", "25:00:00", "12:60:00", "12:00:61", "23:59:60", "99:99:99"})
    CHECK_FALSE(parse_timestamp("2016-12-31T" + std::string(time) + "Z"));
}

TEST_CASE("what is no RFC 3339 is refused") {
  for (const auto* text : {"",
                           "Z",
                           "2010",
                           "2010-12-01",
                           "2010-12-01T08:26Z",
                           "2010-12-01T08:26:00",
                           "2010-12-01T08:26:00.5",
                           "2010-12-01 08:26:00Z",
                           "2010-12-01T08:26:00 Z",
                           " 2010-12-01T08:26:00Z",
                           "2010-12-01T08:26:00Z ",
                           "2010-12-01T08:26:00Z\n",
                           "20101201T082600Z",
                           "2010-12-01T08:26:00+0100",
                           "2010-12-01T08:26:00+01",
                           "2010-12-01T08:26:00+1:00",
                           "2010-12-01T08:26:00Z+01:00",
                           "2010-12-01T08:26:00ZZ",
                           "10-12-01T08:26:00Z",
                           "02010-12-01T08:26:00Z",
                           "-2010-12-01T08:26:00Z",
                           "+2010-12-01T08:26:00Z",
                           "2010-1-01T08:26:00Z",
                           "2010-12-1T08:26:00Z",
                           "2010-12-01T8:26:00Z",
                           "2010/12/01T08:26:00Z",
                           "2010-W48-3T08:26:00Z",
                           "2010-335T08:26:00Z",
                           "1 Dec 2010 08:26",
                           "1291191960",
                           "2010-12-01T08:26:00UTC",
                           "2010-12-01T08:26:00\xe2\x88\x92"
                           "01:00"}) {
    INFO('"' << text << '"');
    CHECK_FALSE(parse_timestamp(text));
  }
}

TEST_CASE("one byte missing, twice or of another kind is never read as a time") {
  for (const std::string right : {"2010-12-01T08:26:00Z", "2010-12-01T08:26:00+01:00"}) {
    REQUIRE(parse_timestamp(right));
    for (std::size_t place = 0; place < right.size(); ++place) {
      INFO(right << " at " << place);
      CHECK_FALSE(parse_timestamp(right.substr(0, place)));
      CHECK_FALSE(parse_timestamp(std::string(right).erase(place, 1)));
      CHECK_FALSE(parse_timestamp(std::string(right).insert(place, 1, right[place])));
      for (int byte = 0; byte < 256; ++byte) {
        const auto c = static_cast<char>(byte);
        const bool digit_for_digit =
            std::isdigit(static_cast<unsigned char>(right[place])) && c >= '0' && c <= '9';
        const bool same = c == right[place] || (right[place] == 'T' && c == 't') ||
                          (right[place] == 'Z' && c == 'z') || (right[place] == '+' && c == '-');
        if (digit_for_digit || same) continue;
        auto wrong = right;
        wrong[place] = c;
        if (parse_timestamp(wrong)) FAIL_CHECK("byte " << byte << " is taken");
      }
    }
  }
}

TEST_CASE("every day from 1600 to 2400 is the one the C library counts") {
  bool equal = true;
  for (auto day = Timestamp(std::chrono::days(-135'140)); day < Timestamp(std::chrono::days(157'060));
       day += 24h)
    equal = equal && parse_timestamp(written(day, 0)) == day;
  CHECK(equal);
}

TEST_CASE("20,000 random instants, written with any offset and 0 or 6 to 9 digits, read back as they were") {
  std::mt19937_64 random(19700101);
  const auto drawn = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  for (int i = 0; i < 20'000; ++i) {
    // A day inside the years of four digits, so that no offset leads out of them.
    const Timestamp instant(Duration(drawn(-62'167'132'800'000'000, 253'402'214'400'000'000)));
    const auto east = static_cast<int>(drawn(-23 * 60 - 59, 23 * 60 + 59));
    const auto digits = static_cast<int>(drawn(6, 9));
    const auto text = written(instant, digits, east);
    INFO(text);
    REQUIRE(parse_timestamp(text) == instant);
    const auto whole = std::chrono::floor<std::chrono::seconds>(instant);
    REQUIRE(parse_timestamp(written(whole, 0, east)) == Timestamp(whole));
  }
}
