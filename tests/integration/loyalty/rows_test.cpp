#include "rows.hpp"
#include "support/catch.hpp"

#include <onceward/core/timestamp.hpp>

using loyalty::CsvReader;
using loyalty::CsvRow;
using loyalty::RowMapper;
using onceward::parse_timestamp;

namespace {

CsvReader reader_of(std::string text) {
  return {[text = std::move(text)](std::span<char> buffer) mutable -> onceward::Result<std::size_t> {
            const auto count = text.copy(buffer.data(), buffer.size());
            text.erase(0, count);
            return count;
          },
          "f.csv"};
}

/// What check() says of the first row under a header.
std::string verdict(const std::string& header, const std::string& row) {
  auto reader = reader_of(header + "\n" + row + "\n");
  auto columns = reader.header();
  REQUIRE(columns);
  const auto mapper = RowMapper::make(*columns, "shop", "f.csv");
  if (!mapper) return mapper.error().message;
  CsvRow found;
  REQUIRE(reader.next(found).value());
  const auto checked = mapper->check(found, reader);
  return checked ? "" : checked.error().message;
}

std::int64_t microseconds(std::string_view text) {
  const auto time = parse_timestamp(text);
  REQUIRE(time);
  return time->time_since_epoch().count();
}

constexpr std::int64_t eight_26 = 1'291'191'960'000'000;  // 2010-12-01T08:26:00Z

}  // namespace

TEST_CASE("a time is read with Z, a fraction and an offset") {
  CHECK(microseconds("1970-01-01T00:00:00Z") == 0);
  CHECK(microseconds("2010-12-01T08:26:00Z") == eight_26);
  CHECK(microseconds("2010-12-01t08:26:00z") == eight_26);
  CHECK(microseconds("2010-12-01T08:26:00.5Z") == eight_26 + 500'000);
  CHECK(microseconds("2010-12-01T08:26:00.123456789Z") == eight_26 + 123'456);
  CHECK(microseconds("2010-12-01T10:26:00+02:00") == eight_26);
  CHECK(microseconds("2010-12-01T02:56:00.000001-05:30") == eight_26 + 1);
  CHECK(microseconds("2012-02-29T00:00:00Z") == 1'330'473'600'000'000);
  CHECK(microseconds("1969-12-31T23:59:59Z") == -1'000'000);
}

TEST_CASE("what is no time is not taken for one") {
  for (const auto* text :
       {"", "2010-12-01", "2010-12-01 08:26:00Z", "2010-12-01T08:26:00", "2010-12-01T08:26Z",
        "2010-13-01T08:26:00Z", "2011-02-29T08:26:00Z", "2010-12-01T24:00:00Z", "2010-12-01T08:60:00Z",
        "2010-12-01T08:26:60Z", "2010-12-01T08:26:00.Z", "2010-12-01T08:26:00.1234567890Z",
        "2010-12-01T08:26:00+24:00", "2010-12-01T08:26:00+01", "2010-12-01T08:26:00Zx",
        "+010-12-01T08:26:00Z", "2010-12-00T08:26:00Z"}) {
    INFO(text);
    CHECK_FALSE(parse_timestamp(text));
  }
}

TEST_CASE("a row becomes an event with an attribute for every column") {
  auto reader = reader_of(
      "invoice,type,customer,at,amount,code,large,minus,note\n"
      "7,order.paid,12,2010-12-01T08:26:00Z,100,007,99999999999999999999,-5,\"a,b\"\n");
  auto columns = reader.header();
  REQUIRE(columns);
  const auto mapper = RowMapper::make(*columns, "shop", "f.csv");
  REQUIRE(mapper);
  CsvRow row;
  REQUIRE(reader.next(row).value());
  CHECK(mapper->check(row, reader));
  CHECK(mapper->user_of(row) == "12");
  onceward::Event event;
  mapper->fill(row, event);
  CHECK(event.merchant == "shop");
  CHECK(event.id == "7");
  CHECK(event.user == "12");
  CHECK(event.type == "order.paid");
  CHECK(event.at.time_since_epoch().count() == eight_26);
  CHECK(event.attributes == onceward::Map{{"invoice", 7},
                                          {"type", "order.paid"},
                                          {"customer", 12},
                                          {"at", "2010-12-01T08:26:00Z"},
                                          {"amount", 100},
                                          {"code", 7},
                                          {"large", "99999999999999999999"},
                                          {"minus", "-5"},
                                          {"note", "a,b"}});
  std::string shape;
  mapper->shape(row, shape);
  CHECK(shape == "order.paid\nititiittt");
}

TEST_CASE("id and user stand in for invoice and customer") {
  CHECK(verdict("id,user,type,at", "1,2,t,2010-12-01T08:26:00Z").empty());
  CHECK(verdict("id,type", "1,t") ==
        "f.csv:1:1: missing columns: customer (or user), at; the first line names the columns");
}

TEST_CASE("a bad row is named by line and column") {
  const std::string header = "id,user,type,at";
  CHECK(verdict(header, ",2,t,2010-12-01T08:26:00Z") == "f.csv:2:1: id is empty");
  CHECK(verdict(header, "1,,t,2010-12-01T08:26:00Z") == "f.csv:2:3: user is empty");
  CHECK(verdict(header, "1,2,,2010-12-01T08:26:00Z") == "f.csv:2:5: type is empty");
  CHECK(verdict(header, std::string(201, 'x') + ",2,t,2010-12-01T08:26:00Z") ==
        "f.csv:2:1: id has 201 bytes; 200 are allowed");
  CHECK(verdict(header, "1,2,t,noon").rfind("f.csv:2:7: \"noon\" is no time", 0) == 0);
  CHECK(verdict(header, "1,2,t,2100-01-01T00:00:00Z").rfind("f.csv:2:7: ", 0) == 0);
  CHECK(verdict(header, "1,2,t,2099-12-31T23:59:59Z").empty());
}
