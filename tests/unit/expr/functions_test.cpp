// Functions of an application's own: what they take and give, what is refused, how long they live.
#include <onceward/expr/bind.hpp>
#include <onceward/expr/functions.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace onceward;

namespace {

enum class Level { bronze = 1, gold = 3 };

struct Point {
  std::int64_t x = 0;
  std::string name{};
};

struct Order {
  std::string user;
  std::int64_t amount = 0;
  double rate = 0;
  std::optional<std::int64_t> bonus{};
  std::vector<std::string> tags{};
  Point point{};
};

int twice(int value) { return 2 * value; }

Functions made() {
  Functions functions;
  const auto add = [&](std::string_view name, auto function) {
    const auto added = functions.add(name, std::move(function));
    INFO(name);
    REQUIRE(added);
  };
  add("twice", twice);
  add("half", [](double value) { return value / 2; });
  add("shout", [](std::string_view text) { return std::string(text) + "!"; });
  add("first_char", [](const std::string& text) { return std::string_view(text).substr(0, 1); });
  add("always", [] { return true; });
  add("or_zero", [](std::optional<double> value) { return value.value_or(0); });
  add("sum", [](const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum;
  });
  add("is_gold", [](Level level) { return level == Level::gold; });
  add("point_name", [](const Point& point) { return point.name; });
  add("made_point", [](std::int64_t x) { return Point{x, "made"}; });
  add("seconds", [](std::chrono::seconds time) { return time.count(); });
  add("size_of", [](const Map& map) { return static_cast<std::int64_t>(map.size()); });
  add("anything", [](const Value& value) { return value; });
  add("small", [](std::int8_t value) { return static_cast<std::int64_t>(value); });
  add("huge", [](std::int64_t) { return std::numeric_limits<std::uint64_t>::max(); });
  add("nan", [] { return std::numeric_limits<double>::quiet_NaN(); });
  add("long_text", [] { return std::string(limits::value_bytes + 1, 'x'); });
  add("checked", [](std::int64_t value) -> Result<std::int64_t> {
    if (value < 0) return fail(ErrorCode::out_of_range, "negative");
    return value;
  });
  add("throws", [](std::int64_t) -> bool { throw std::runtime_error("out of luck"); });
  add("throws_a_number", [](std::int64_t) -> bool { throw 7; });
  add("eight",
      [](int a, int b, int c, int d, int e, int f, int g, int h) { return a + b + c + d + e + f + g + h; });
  return functions;
}

Value names() {
  return Value(Map{{"n", Value(21)},
                   {"text", Value("abc")},
                   {"nothing", Value()},
                   {"point", Value(Map{{"x", Value(1)}, {"name", Value("north")}})},
                   {"negative", Value(-1)},
                   {"zero", Value(0)}});
}

std::string outcome(std::string_view text) {
  const auto functions = made();
  const auto parsed = Expression::parse(text, functions);
  if (!parsed) return "parse: " + describe(parsed.error());
  const auto value = parsed->evaluate(names());
  return value ? value->to_json() : describe(value.error());
}

Error refused(std::string_view text) {
  auto parsed = Expression::parse(text, made());
  if (!parsed) return parsed.error();
  auto value = parsed->evaluate(names());
  REQUIRE_FALSE(value);
  return value.error();
}

}  // namespace

TEST_CASE("functions take and give every kind") {
  CHECK(outcome("twice(n)") == "42");
  CHECK(outcome("twice(twice(n)) + 1") == "85");
  CHECK(outcome("half(n)") == "10.5");
  CHECK(outcome("half(1.5)") == "0.75");
  CHECK(outcome("shout(text)") == "\"abc!\"");
  CHECK(outcome("first_char(text).toUpperCase()") == "\"A\"");
  CHECK(outcome("always() && n > 20") == "true");
  CHECK(outcome("or_zero(nothing)") == "0.0");
  CHECK(outcome("or_zero(n)") == "21.0");
  CHECK(outcome("sum({1, 2.5, n})") == "24.5");
  CHECK(outcome("is_gold(3) && !is_gold(1)") == "true");
  CHECK(outcome("point_name(point)") == "\"north\"");
  CHECK(outcome("made_point(n).x") == "21");
  CHECK(outcome("seconds(2000000)") == "2");
  CHECK(outcome("size_of(point)") == "2");
  CHECK(outcome("anything(nothing) == null") == "true");
  CHECK(outcome("checked(n)") == "21");
  CHECK(outcome("eight(1, 2, 3, 4, 5, 6, 7, n)") == "49");
  CHECK(outcome("text.concat(shout(text))") == "\"abcabc!\"");
}

TEST_CASE("what a function cannot take or give is an error at its place") {
  auto error = refused("n + shout(n)");
  CHECK(error.code == ErrorCode::wrong_kind);
  CHECK(error.message == "the function shout() needs a string here, this is an int");
  CHECK(error.offset == 4);

  error = refused("n > 0 && small(n * 100) > 0");
  CHECK(error.code == ErrorCode::out_of_range);
  CHECK(error.offset == 9);

  error = refused("checked(negative)");
  CHECK(error.code == ErrorCode::out_of_range);
  CHECK(error.message == "checked(): negative");
  CHECK(error.offset == 0);

  CHECK(refused("throws(n)").message == "throws(): out of luck");
  CHECK(refused("throws(n)").code == ErrorCode::invalid_argument);
  CHECK(refused("throws_a_number(n)").message.find("no std::exception") != std::string::npos);
  CHECK(refused("huge(n)").code == ErrorCode::out_of_range);
  CHECK(refused("nan() + n").code == ErrorCode::out_of_range);
  CHECK(refused("long_text()").code == ErrorCode::limit_exceeded);
  CHECK(refused("sum({1, 'x'})").code == ErrorCode::wrong_kind);
  CHECK(refused("point_name({1})").code == ErrorCode::wrong_kind);
}

TEST_CASE("a wrong number of arguments and an unknown name are refused when parsed") {
  const auto functions = made();
  const auto parse = [&](std::string_view text) {
    auto parsed = Expression::parse(text, functions);
    REQUIRE_FALSE(parsed);
    return parsed.error();
  };
  CHECK(parse("1 + twice()").message == "twice() takes 1 argument, not 0");
  CHECK(parse("1 + twice()").offset == 4);
  CHECK(parse("false && twice(1, 2)").code == ErrorCode::invalid_argument);
  CHECK(parse("thrice(1)").code == ErrorCode::unknown_name);
  CHECK(parse("text.shout()").message.find("write shout(x)") != std::string::npos);
  CHECK(Expression::parse("twice(1)").error().code == ErrorCode::unknown_name);
}

TEST_CASE("names that are taken or no names are refused") {
  Functions functions;
  const auto f = [](int value) { return value; };
  for (const char* name : {"", "1st", "a b", "a.b", "größe", "f()"}) {
    INFO(name);
    const auto added = functions.add(name, f);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == ErrorCode::invalid_argument);
  }
  CHECK(functions.add(std::string(65, 'a'), f).error().code == ErrorCode::invalid_argument);
  for (const char* name : {"size", "sha256", "true", "null", "and", "AND", "between", "T", "new"}) {
    INFO(name);
    const auto added = functions.add(name, f);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == ErrorCode::conflict);
  }
  CHECK(functions.names().empty());
  REQUIRE(functions.add("_f1", f));
  CHECK(functions.add("_f1", f).error().code == ErrorCode::conflict);
  const std::string long_name(64, 'a');
  REQUIRE(functions.add(long_name, f));
  CHECK(functions.names() == std::vector<std::string_view>{"_f1", long_name});
}

TEST_CASE("calls of constants are computed once, unless they fail") {
  std::atomic<int> calls{0};
  Functions functions;
  REQUIRE(functions.add("counted", [&](int value) { return ++calls, value; }));
  REQUIRE(functions.add("fails", [](int) -> Result<int> { return fail(ErrorCode::conflict, "no"); }));
  const auto constant = Expression::parse("counted(1) + 1 == n", functions);
  REQUIRE(constant);
  CHECK(calls == 1);
  for (int i = 0; i < 3; ++i) CHECK(constant->test(Value(Map{{"n", Value(2)}})).value());
  CHECK(calls == 1);
  const auto late = Expression::parse("n > 5 ? fails(1) : counted(n)", functions);
  REQUIRE(late);
  CHECK(late->evaluate(Value(Map{{"n", Value(2)}})).value() == Value(2));
  CHECK(late->evaluate(Value(Map{{"n", Value(6)}})).error().code == ErrorCode::conflict);
}

TEST_CASE("many calls without arguments cannot overflow the evaluation") {
  Functions functions;
  REQUIRE(functions.add("none", [] { return 1; }));
  std::string text = "n";
  for (int i = 0; i < 60; ++i) text = "(n + none() * " + text + ")";
  const auto parsed = Expression::parse(text, functions);
  if (parsed) {
    (void)parsed->evaluate(Value(Map{{"n", Value(0)}}));
  } else {
    CHECK(parsed.error().code == ErrorCode::limit_exceeded);
  }
  std::string list = "{n";
  for (std::size_t i = 1; i < limits::list_elements; ++i) list += ", none()";
  const auto wide = Expression::parse("size(" + list + "})", functions);
  REQUIRE(wide);
  CHECK(wide->evaluate(Value(Map{{"n", Value(0)}})).value() ==
        Value(static_cast<std::int64_t>(limits::list_elements)));
}

TEST_CASE("bound forms know what functions take and give") {
  const auto functions = made();
  const Order order{"ann", 21, 0.5, std::nullopt, {"a"}, {4, "south"}};
  const auto key = BoundKey<Order>::parse("grant:#{user}:#{twice(amount)}:#{shout(user)}", functions);
  REQUIRE(key);
  CHECK(key->render(order).value() == "grant:ann:42:ann!");
  const auto test =
      BoundExpression<Order>::parse("twice(amount) >= 42 && point_name(point) == 'south'", functions);
  REQUIRE(test);
  CHECK(test->test(order).value());
  CHECK(BoundExpression<Order>::parse("or_zero(bonus) == 0.0", functions)->test(order).value());

  const auto wrong = BoundExpression<Order>::parse("amount > 0 && shout(amount) == ''", functions);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == ErrorCode::wrong_kind);
  CHECK(wrong.error().offset == 14);
  CHECK(wrong.error().message == "the function shout() needs a string here, this is an int");
  CHECK(BoundExpression<Order>::parse("shout(user) > 3", functions).error().code == ErrorCode::wrong_kind);
  CHECK(BoundKey<Order>::parse("k:#{half(amount)}", functions).error().code == ErrorCode::wrong_kind);
}

TEST_CASE("templates call functions, offsets count from the start of the template") {
  const auto functions = made();
  CHECK(Template::parse("hi #{shout(text)}", functions)->render(names()).value() == "hi abc!");
  CHECK(KeyTemplate::parse("k:#{shout(':')}#{n}", functions)->render(names()).value() == "k:%3A!21");
  const auto failed = KeyTemplate::parse("key:#{throws(n)}", functions)->render(names());
  REQUIRE_FALSE(failed);
  CHECK(failed.error().offset == 6);
}

TEST_CASE("expressions keep the functions they call, and nothing else") {
  auto used = std::make_shared<int>(5);
  auto unused = std::make_shared<int>(6);
  std::optional<Expression> kept;
  {
    Functions functions;
    REQUIRE(functions.add("five", [used](int n) { return *used + n; }));
    REQUIRE(functions.add("six", [unused](int n) { return *unused + n; }));
    kept = Expression::parse("five(n)", functions).value();
  }
  CHECK(unused.use_count() == 1);
  CHECK(used.use_count() == 2);
  CHECK(kept->evaluate(Value(Map{{"n", Value(1)}})).value() == Value(6));
  kept.reset();
  CHECK(used.use_count() == 1);
}

TEST_CASE("threads call one function at once") {
  std::atomic<std::int64_t> calls{0};
  Functions functions;
  REQUIRE(functions.add("counted", [&](std::int64_t value) {
    calls.fetch_add(1, std::memory_order_relaxed);
    return value + 1;
  }));
  const auto expression = Expression::parse("counted(n) == n + 1", functions).value();
  constexpr int rounds = 2000;
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < rounds; ++i) {
          const auto holds = expression.test(Value(Map{{"n", Value(t * rounds + i)}}));
          if (holds && *holds) ++right;
        }
      });
    }
  }
  CHECK(right == 4 * rounds);
  CHECK(calls == 4 * rounds);
}
