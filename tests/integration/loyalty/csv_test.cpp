#include "csv.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <random>

using loyalty::CsvReader;
using loyalty::CsvRow;

namespace {

using Rows = std::vector<std::vector<std::string>>;

/// Gives a text away in pieces of a given size.
CsvReader::Source pieces(std::string text, std::size_t size) {
  return [text = std::move(text), size,
          at = std::size_t{0}](std::span<char> buffer) mutable -> onceward::Result<std::size_t> {
    const auto count = std::min({size, buffer.size(), text.size() - at});
    std::copy_n(text.data() + at, count, buffer.data());
    at += count;
    return count;
  };
}

struct Read {
  std::vector<std::string> header;
  Rows rows;
  std::vector<std::uint64_t> lines;
  std::string error;
};

Read read_all(const std::string& text, std::size_t piece = 7, loyalty::CsvLimits limits = {}) {
  CsvReader reader(pieces(text, piece), "f.csv", limits);
  Read read;
  auto header = reader.header();
  if (!header) {
    read.error = header.error().message;
    return read;
  }
  read.header = std::move(*header);
  CsvRow row;
  for (;;) {
    const auto more = reader.next(row);
    if (!more) read.error = more.error().message;
    if (!more || !*more) return read;
    read.rows.emplace_back(row.fields.begin(), row.fields.end());
    read.lines.push_back(row.line);
  }
}

std::string error_of(const std::string& text, loyalty::CsvLimits limits = {}) {
  return read_all(text, 7, limits).error;
}

bool begins(const std::string& text, std::string_view with) { return text.substr(0, with.size()) == with; }

}  // namespace

TEST_CASE("csv reads plain and quoted fields with either line end") {
  const auto read = read_all("a,b\r\n1,\"x,y\"\n\"he said \"\"no\"\"\",\"two\r\nlines\"\n\n,\n");
  CHECK(read.error.empty());
  CHECK(read.header == std::vector<std::string>{"a", "b"});
  CHECK(read.rows == Rows{{"1", "x,y"}, {"he said \"no\"", "two\r\nlines"}, {"", ""}});
  CHECK(read.lines == std::vector<std::uint64_t>{2, 3, 6});
}

TEST_CASE("csv passes over a byte order mark and needs no line end on the last row") {
  const auto read = read_all(
      "\xEF\xBB\xBF"
      "a,b\n1,2");
  CHECK(read.header == std::vector<std::string>{"a", "b"});
  CHECK(read.rows == Rows{{"1", "2"}});
  CHECK(read_all("a,b\n1,\"2\"").rows == Rows{{"1", "2"}});
  CHECK(read_all("a,b\n1,").rows == Rows{{"1", ""}});
  CHECK(read_all("a\n").rows.empty());
}

TEST_CASE("csv names the place of what is wrong") {
  CHECK(begins(error_of(""), "f.csv:1:1: the file is empty"));
  CHECK(begins(error_of("\n\r\n"), "f.csv:3:1: the file is empty"));
  CHECK(begins(error_of("a,,c\n"), "f.csv:1:3: column 2 has no name"));
  CHECK(begins(error_of("a,b,a\n"), "f.csv:1:5: a second column \"a\""));
  CHECK(begins(error_of("a,b,c\n1,2,3\n4,5\n"), "f.csv:3:4: too few fields: 2 instead of 3"));
  CHECK(error_of("a,b,c\n1,2,3\n4,5\n6,7,8\n").find("cut off") == std::string::npos);
  CHECK(error_of("a,b,c\n1,2,3\n4,5").find("cut off") != std::string::npos);
  CHECK(begins(error_of("a,b\n1,2,3,4\n"), "f.csv:2:5: too many fields: 4 instead of 2"));
  CHECK(begins(error_of("a,b\n1,\"open\n2,3\n"), "f.csv:2:3: a quote that is never closed"));
  CHECK(begins(error_of("a,b\n\"1\n1\",x\"\n"), "f.csv:3:5: a quote inside a field"));
  CHECK(begins(error_of("a,b\n\"1\"x,2\n"), "f.csv:2:4: text after a closing quote"));
  CHECK(begins(error_of("a,b\n1\rx,2\n"), "f.csv:2:2: a carriage return"));
  CHECK(begins(error_of("a,b\n1,2\r"), "f.csv:2:4: a carriage return"));
  CHECK(begins(error_of("a,b\n1,x\xff\n"), "f.csv:2:4: bytes that are no UTF-8"));
  CHECK(begins(error_of(std::string("a,b\n1,x\0y\n", 10)), "f.csv:2:4: a zero byte"));
}

TEST_CASE("csv bounds rows, fields and columns") {
  const loyalty::CsvLimits limits{.row_bytes = 200'000, .field_bytes = 10, .columns = 3};
  CHECK(read_all("a,b\n1234567890,2\n", 7, limits).error.empty());
  CHECK(begins(error_of("a,b\n1,12345678901\n", limits), "f.csv:2:3: a field of 11 bytes; 10 are allowed"));
  CHECK(begins(error_of("a,b,c,d\n", limits), "f.csv:1:1: 4 columns; 3 are allowed"));
  CHECK(begins(error_of("a,b\n1,\"" + std::string(300'000, 'x'), limits), "f.csv:2:1: a row of"));
}

TEST_CASE("csv takes only well-formed UTF-8") {
  for (const std::string good :
       {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    CHECK(read_all("a\nabcdefghi" + good + "x\n").error.empty());
  }
  for (const std::string bad : {"\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                "\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    CHECK(begins(error_of("a\nabcdefghi" + bad + "\n"), "f.csv:2:10: bytes that are no UTF-8"));
  }
}

TEST_CASE("csv gives back any rows that were written, whatever the pieces they come in") {
  std::mt19937 random(20101201);
  const auto draw = [&](std::size_t most) { return static_cast<std::size_t>(random() % (most + 1)); };
  const std::string letters = "ab,\"\n\r 1\xC3\xA9";
  for (int round = 0; round < 300; ++round) {
    const auto columns = 1 + draw(5);
    std::string text;
    for (std::size_t i = 0; i < columns; ++i) text += (i == 0 ? "c" : ",c") + std::to_string(i);
    text += draw(1) == 0 ? "\n" : "\r\n";
    Rows rows;
    for (auto count = draw(20); count > 0; --count) {
      auto& row = rows.emplace_back();
      for (std::size_t i = 0; i < columns; ++i) {
        std::string field;
        for (auto length = draw(12); length > 0; --length) {
          const auto at = draw(letters.size() - 2);
          field += at >= letters.size() - 2 ? letters.substr(letters.size() - 2) : letters.substr(at, 1);
        }
        const bool quote = field.find_first_of(",\"\r\n") != std::string::npos || draw(3) == 0 ||
                           (columns == 1 && field.empty());
        if (i != 0) text += ',';
        if (quote) text += '"';
        for (const char c : field) text += quote && c == '"' ? std::string("\"\"") : std::string(1, c);
        if (quote) text += '"';
        row.push_back(std::move(field));
      }
      text += draw(1) == 0 ? "\n" : "\r\n";
    }
    const auto read = read_all(text, 1 + draw(40));
    INFO(text);
    REQUIRE(read.error.empty());
    REQUIRE(read.rows == rows);
  }
}

TEST_CASE("csv never crashes on bytes of any kind and always comes to an end") {
  std::mt19937 random(7);
  const std::string bytes = "a,,\"\"\n\r\n1\xC3\xA9\xFF ";
  std::size_t errors = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto length = random() % 60; length > 0; --length) text += bytes[random() % bytes.size()];
    const auto read = read_all(text, 1 + random() % 9);
    errors += read.error.empty() ? 0U : 1U;
    if (!read.error.empty()) CHECK(begins(read.error, "f.csv:"));
  }
  CHECK(errors > 500);
}

TEST_CASE("csv reads a row that is longer than its first buffer") {
  const std::string large(60'000, 'x');
  const auto read = read_all(
      "a,b,c,d\n1,2,3,4\n" + large + ',' + large + ',' + large + ',' + large + "\n5,6,7,8\n", 10'000);
  CHECK(read.error.empty());
  REQUIRE(read.rows.size() == 3);
  CHECK(read.rows[1] == std::vector<std::string>(4, large));
  CHECK(read.rows[2] == std::vector<std::string>{"5", "6", "7", "8"});
}
