// Structs as values and back, and what a key literal knows of them.
#include <onceward/expr/expression.hpp>
#include <onceward/expr/key_literal.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <map>

namespace {

using namespace std::chrono_literals;
using onceward::ErrorCode;
using onceward::KeyLiteral;
using onceward::KeyTemplate;
using onceward::Value;

enum class Colour : std::uint8_t { red = 1, blue = 7 };

struct Address {
  std::string city;
  int zip = 0;
  friend bool operator==(const Address&, const Address&) = default;
};

struct Everything {
  bool flag = false;
  std::int8_t small = 0;
  std::uint16_t port = 0;
  std::int64_t big = 0;
  std::uint64_t huge = 0;
  float ratio = 0;
  double exact = 0;
  Colour colour = Colour::red;
  std::string text;
  std::optional<int> maybe;
  std::optional<Address> home;
  std::vector<Address> others;
  std::array<int, 3> triple{};
  std::map<std::string, int> counts;
  std::chrono::seconds wait{};
  onceward::Timestamp at{};
  Address address;
  Value raw;
  friend bool operator==(const Everything&, const Everything&) = default;
};

/// Not an aggregate: reflection needs its codec.
class Money {
 public:
  explicit Money(std::int64_t pence = 0) : pence_(pence) {}
  [[nodiscard]] std::int64_t pence() const { return pence_; }

 private:
  std::int64_t pence_;
};

struct Order {
  std::string id;
  Money price;
};

struct Empty {};
struct Viewed {
  std::string_view name;
};

Everything example() {
  Everything e;
  e.flag = true;
  e.small = -128;
  e.port = 65535;
  e.big = std::numeric_limits<std::int64_t>::min();
  e.huge = std::numeric_limits<std::uint64_t>::max();
  e.ratio = 0.5F;
  e.exact = 0.1;
  e.colour = Colour::blue;
  e.text = "é\n";
  e.home = Address{"Oslo", 150};
  e.others = {{"Bergen", 1}, {"Tromsø", 2}};
  e.triple = {1, 2, 3};
  e.counts = {{"a", 1}, {"b", 2}};
  e.wait = 90s;
  e.at = onceward::Timestamp(1267401600123456us);
  e.address = {"Paris", 75000};
  e.raw = Value(onceward::List{1, "x", Value()});
  return e;
}

}  // namespace

template <>
struct onceward::ValueCodec<Money> {
  static Value to_value(const Money& money) { return Value(money.pence()); }
  static Result<void> from_value(const Value& value, Money& money) {
    if (value.integer() == nullptr) return fail(ErrorCode::wrong_kind, "money is an int");
    money = Money(*value.integer());
    return {};
  }
};

TEST_CASE("field names are known at compile time, in order") {
  static_assert(onceward::Reflected<Address>);
  static_assert(!onceward::Reflected<std::string>);
  static_assert(!onceward::Reflected<Money>);
  constexpr auto names = onceward::field_names<Everything>();
  static_assert(names.size() == 18);
  static_assert(names[0] == "flag" && names[4] == "huge" && names[10] == "home" && names[17] == "raw");
  static_assert(onceward::field_names<Empty>().size() == 0);
  std::string seen;
  const Address address{"x", 1};
  onceward::for_each_field(address,
                           [&](std::string_view name, const auto&) { seen.append(name).append(","); });
  CHECK(seen == "city,zip,");
}

TEST_CASE("a struct of every kind of field comes back from its value, also through JSON") {
  const auto e = example();
  const Value value = onceward::to_value(e);
  Everything back;
  REQUIRE(onceward::from_value(value, back).has_value());
  CHECK(back == e);
  Everything read;
  REQUIRE(onceward::from_value(Value::from_json(value.to_json()).value(), read).has_value());
  CHECK(read == e);
}

TEST_CASE("fields take the kinds the language knows") {
  const Value value = onceward::to_value(example());
  CHECK(*value.find("wait")->integer() == 90'000'000);
  CHECK(*value.find("at")->integer() == 1267401600123456);
  CHECK(*value.find("colour")->integer() == 7);
  CHECK(*value.find("huge")->string() == "18446744073709551615");
  CHECK(value.find("maybe")->is_null());
  CHECK(value.find("ratio")->real() != nullptr);
  CHECK(*value.find("home")->find("city")->string() == "Oslo");
  CHECK(*onceward::to_value(Viewed{"seen"}).find("name")->string() == "seen");
}

TEST_CASE("expressions read a struct by its fields") {
  const Value value = onceward::to_value(example());
  const auto test = [&](std::string_view text) { return onceward::Expression::parse(text)->test(value); };
  CHECK(test("address.zip == 75000 && colour == 7 && maybe == null && triple[2] == 3").value());
  CHECK(test("date(at) == '2010-03-01' && others[1].city == 'Tromsø' && counts.a == 1").value());
  CHECK(test("home?.city == 'Oslo' && raw[1] == 'x'").value());
  CHECK(test("nothing == 1").error().code == ErrorCode::unknown_name);
}

TEST_CASE("a value that does not fit is refused by the name of its field") {
  const auto refused = [](std::string_view name, Value wrong) {
    Value value = onceward::to_value(example());
    value.map()->set(std::string(name), std::move(wrong));
    Everything out;
    auto read = onceward::from_value(value, out);
    INFO(name);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().message.find(name) == 0);
    return read.error().code;
  };
  CHECK(refused("flag", 1) == ErrorCode::wrong_kind);
  CHECK(refused("small", 128) == ErrorCode::out_of_range);
  CHECK(refused("port", -1) == ErrorCode::out_of_range);
  CHECK(refused("port", "65536") == ErrorCode::wrong_kind);
  CHECK(refused("huge", "18446744073709551616") == ErrorCode::wrong_kind);
  CHECK(refused("huge", "") == ErrorCode::wrong_kind);
  CHECK(refused("big", "1") == ErrorCode::wrong_kind);
  CHECK(refused("exact", 1) == ErrorCode::wrong_kind);
  CHECK(refused("colour", 256) == ErrorCode::out_of_range);
  CHECK(refused("text", Value()) == ErrorCode::wrong_kind);
  CHECK(refused("triple", onceward::List{1, 2}) == ErrorCode::out_of_range);
  CHECK(refused("counts", onceward::List{}) == ErrorCode::wrong_kind);
  CHECK(refused("wait", 1.5) == ErrorCode::wrong_kind);
  CHECK(refused("address", onceward::Map{{"city", "x"}}) == ErrorCode::unknown_name);
  Everything out;
  CHECK(onceward::from_value(Value(5), out).error().code == ErrorCode::wrong_kind);
}

TEST_CASE("a type with a codec is a field like any other") {
  const Value value = onceward::to_value(Order{"o1", Money(250)});
  CHECK(value.to_json() == R"({"id":"o1","price":250})");
  Order back;
  REQUIRE(onceward::from_value(value, back).has_value());
  CHECK(back.price.pence() == 250);
  CHECK_FALSE(onceward::from_value(Value(onceward::Map{{"id", "o1"}, {"price", "2"}}), back).has_value());
}

TEST_CASE("a key literal takes what the language takes") {
  constexpr KeyLiteral<Everything> plain("k:#{text}:#{address.city}:#{#big}");
  static_assert(plain.text() == "k:#{text}:#{address.city}:#{#big}");
  // Each of these compiles: strings, calls, words, numbers, lists, safe steps and literal text hide no field.
  const KeyLiteral<Everything> many[] = {"no placeholder at all",
                                         "}{ $#x text",
                                         "#{'nope ' + text + \"nope\"}",
                                         "#{text.toUpperCase().substring(0, 1)}",
                                         "#{upper(text)}:#{max(small, port)}",
                                         "#{flag and not false or true}",
                                         "#{flag AND NOT true}",
                                         "#{flag Or big GE 0xFF}",
                                         "#{home?.city ?: 'none'}",
                                         "#{{1,2}.size()}:#{text}",
                                         "#{counts['nope']}:#{counts.nope}",
                                         "#{big between {1L, 2}}",
                                         "#{'#{'}#{'}'}",
                                         "#{raw.anything}",
                                         "#{text . length()}",
                                         "#{upper (text)}",
                                         "#{1e3 > exact ? 1 : 2}",
                                         "#{others[0].city}",
                                         "#{'it''s'}#{text}"};
  for (const auto& literal : many) {
    INFO(literal.text());
    CHECK_FALSE(literal.text().empty());
  }
  const auto key = KeyTemplate::parse(plain.text())->render(onceward::to_value(example()));
  CHECK(key.value() == "k:é%0A:Paris:-9223372036854775808");
}
