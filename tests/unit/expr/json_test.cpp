// Values and their JSON.
#include <onceward/expr/value.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>

using onceward::ErrorCode;
using onceward::List;
using onceward::Map;
using onceward::Value;

namespace {

/// What a text prints as once it was read, or "error".
std::string again(std::string_view text) {
  const auto value = Value::from_json(text);
  return value ? value->to_json() : "error";
}

std::string random_text(std::mt19937_64& random) {
  static const std::vector<std::string> pieces = {"a",    "\"", "\\", "/", "\n", "\x01",
                                                  "\x7f", "é",  "中", "😀", " ",  ""};
  std::string text;
  for (std::size_t i = random() % 6; i > 0; --i) text += pieces[random() % pieces.size()];
  return text;
}

Value random_value(std::mt19937_64& random, int depth) {
  switch (random() % (depth > 0 ? 7 : 5)) {
    case 0: return Value();
    case 1: return Value(random() % 2 == 0);
    case 2:
      return Value(static_cast<std::int64_t>(random() >> (random() % 64)) * (random() % 2 == 0 ? 1 : -1));
    case 3: {
      const double number =
          std::ldexp(static_cast<double>(random() >> 11), static_cast<int>(random() % 1900) - 1000);
      return Value(std::isfinite(number) ? number : 0.1);
    }
    case 4: return Value(random_text(random));
    case 5: {
      List list;
      for (std::size_t i = random() % 5; i > 0; --i) list.push_back(random_value(random, depth - 1));
      return Value(std::move(list));
    }
    default: {
      Map map;
      for (std::size_t i = random() % 5; i > 0; --i)
        map.set(random_text(random), random_value(random, depth - 1));
      return Value(std::move(map));
    }
  }
}

}  // namespace

TEST_CASE("JSON keeps integers integers and doubles doubles") {
  CHECK(again("0") == "0");
  CHECK(again("-9223372036854775808") == "-9223372036854775808");
  CHECK(again("9223372036854775807") == "9223372036854775807");
  CHECK(again("1.0") == "1.0");
  CHECK(again("1e2") == "100.0");
  CHECK(again("0.1") == "0.1");
  CHECK(again("1e300") == "1e+300");
  CHECK(again("9007199254740993.0") == "9007199254740992.0");
  CHECK(again("2.2250738585072014e-308") == "2.2250738585072014e-308");
  CHECK(Value::from_json("-0.0").value().real() != nullptr);
  CHECK(Value::from_json("9223372036854775808").error().code == ErrorCode::out_of_range);
  CHECK(Value::from_json("123456789012345678901234567890").error().code == ErrorCode::out_of_range);
  CHECK(Value::from_json("1e999").error().code == ErrorCode::out_of_range);
}

TEST_CASE("JSON text is escaped and read back") {
  CHECK(again(R"("a\u0041\n\t\"\\\/\u00e9\ud83d\ude00")") == "\"aA\\n\\t\\\"\\\\/é😀\"");
  CHECK(again("\"\\u0001\"") == "\"\\u0001\"");
  CHECK(again(" [ 1 , { \"b\" : null , \"a\" : [ ] } ] ") == R"([1,{"a":[],"b":null}])");
  CHECK(Value(std::numeric_limits<double>::infinity()).to_json() == "null");
}

TEST_CASE("bad JSON is refused with the byte where it went wrong") {
  for (const auto* text : {"",      " ",       "{",   "[1,",      "[1,]",         "{\"a\":1,}",
                           "{a:1}", "tru",     "nul", "01",       "1.",           "+1",
                           ".5",    "'a'",     "\"a", "\"\\x\"",  "\"\\ud83d\"",  "\"\n\"",
                           "[1] 2", "// c\n1", "NaN", "\"\xff\"", "\"\xc0\x80\"", "\xef\xbb\xbf 1"}) {
    INFO(text);
    const auto value = Value::from_json(text);
    REQUIRE_FALSE(value.has_value());
    CHECK(value.error().code == ErrorCode::syntax);
    CHECK(value.error().offset <= std::string_view(text).size());
  }
  CHECK(Value::from_json("[1, x]").error().offset == 4);
  CHECK(Value::from_json("[1] 2").error().offset == 4);
}

TEST_CASE("a member named twice is refused by name") {
  const auto twice = Value::from_json(R"({"a":1,"b":2,"\u0061":3})");
  REQUIRE_FALSE(twice.has_value());
  CHECK(twice.error().code == ErrorCode::invalid_argument);
  CHECK(twice.error().message.find("\"a\"") != std::string::npos);
  CHECK(Value::from_json(R"({"a":{"a":1},"b":{"a":1}})").has_value());
}

TEST_CASE("JSON has a bound on its size and its depth") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(Value::from_json(nested(onceward::limits::json_depth)).has_value());
  CHECK(Value::from_json(nested(onceward::limits::json_depth + 1)).error().code == ErrorCode::limit_exceeded);
  CHECK(Value::from_json(std::string(100000, '[')).error().code == ErrorCode::limit_exceeded);
  const std::string full = '"' + std::string(onceward::limits::json_bytes - 2, 'x') + '"';
  CHECK(Value::from_json(full).has_value());
  CHECK(Value::from_json(full + ' ').error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("an object with as many members as fit is read in order of its size, whatever their order") {
  std::string text = "{";
  for (int i = 99999; i >= 10000; --i) text += '"' + std::to_string(i) + "\":1" + (i > 10000 ? "," : "}");
  const auto value = Value::from_json(text);
  REQUIRE(value.has_value());
  CHECK(value->map()->size() == 90000);
  CHECK(value->map()->begin()->first == "10000");
}

TEST_CASE("any value comes back from its JSON as it was") {
  std::mt19937_64 random(4);
  for (int i = 0; i < 20000; ++i) {
    const Value value = random_value(random, 4);
    const auto text = value.to_json();
    const auto back = Value::from_json(text);
    if (!back || *back != value || back->to_json() != text) {
      INFO(text);
      REQUIRE(back.has_value());
      REQUIRE(*back == value);
      REQUIRE(back->to_json() == text);
    }
  }
  SUCCEED();
}

TEST_CASE("cut and mangled JSON never does more than fail") {
  std::mt19937_64 random(5);
  for (int i = 0; i < 50000; ++i) {
    auto text = random_value(random, 4).to_json();
    if (random() % 2 == 0) text.resize(random() % (text.size() + 1));
    for (std::size_t j = random() % 4; j > 0 && !text.empty(); --j)
      text[random() % text.size()] = static_cast<char>(random());
    const auto value = Value::from_json(text);
    if (value ? !Value::from_json(value->to_json()).has_value() : value.error().offset > text.size()) {
      FAIL_CHECK(text);
    }
  }
  SUCCEED();
}

TEST_CASE("a map is the same whatever the order it was filled in") {
  Map map{{"b", 1}, {"a", 2}, {"b", 3}};
  CHECK(map.size() == 2);
  CHECK(*map.find("b")->integer() == 3);
  CHECK(map.find("c") == nullptr);
  CHECK(map.begin()->first == "a");
  Map other;
  CHECK(other.empty());
  other.set("a", 2);
  other.set("b", 3);
  CHECK(map == other);
  CHECK(Map::from_entries({{"b", 1}, {"a", 2}, {"b", 3}}) == map);
}

TEST_CASE("a value gives its content by its own kind alone") {
  const Value number = 5;
  CHECK(number.kind() == Value::Kind::integer);
  CHECK(number.real() == nullptr);
  CHECK(number.string() == nullptr);
  CHECK(number.find("x") == nullptr);
  CHECK_FALSE(number == Value(5.0));
  CHECK(Value("x").kind() == Value::Kind::string);
  CHECK(Value(true).kind() == Value::Kind::boolean);
  CHECK(to_string(Value(Map()).kind()) == "map");
}
