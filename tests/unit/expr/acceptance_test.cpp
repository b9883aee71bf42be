// The acceptance cases of the language, one JSON object a line.
#include <onceward/expr/bind.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <fstream>
#include <iostream>

namespace {

using onceward::Expression;
using onceward::Template;
using onceward::Value;

/// Equal, with doubles as near as their printed form.
bool matches(const Value& got, const Value& wanted, const std::string& type) {
  if (type == "double") {
    const auto* number = wanted.real();
    const double expected = number != nullptr ? *number : static_cast<double>(*wanted.integer());
    return got.real() != nullptr && std::fabs(*got.real() - expected) <= 1e-12 * std::fabs(expected);
  }
  return got == wanted;
}

void check(const Value& test) {
  const std::string& text = *test.find("text")->string();
  const Value& context = *test.find("context");
  INFO(*test.find("id")->string() << ": " << text << " on " << context.to_json());
  onceward::Result<Value> got = Value();
  if (*test.find("kind")->string() == "template") {
    auto parsed = Template::parse(text);
    auto rendered =
        parsed ? parsed->render(context) : onceward::Result<std::string>(onceward::fail(parsed.error()));
    got = rendered ? onceward::Result<Value>(Value(*rendered))
                   : onceward::Result<Value>(onceward::fail(rendered.error()));
  } else {
    auto parsed = Expression::parse(text);
    got = parsed ? parsed->evaluate(context) : onceward::Result<Value>(onceward::fail(parsed.error()));
    // Bound to a dynamic value it is the same, but that some errors come before there is any.
    const auto bound =
        parsed ? onceward::BoundExpression<Value>::bind(*parsed) : onceward::fail(onceward::Error{});
    const auto again = bound ? bound->evaluate(context) : onceward::fail(bound.error());
    CHECK(again.has_value() == got.has_value());
    if (got && again) CHECK(*again == *got);
  }
  if (test.find("error") != nullptr) {
    CHECK_FALSE(got.has_value());
    if (!got) CHECK(got.error().offset <= text.size());
    return;
  }
  if (!got) {
    FAIL_CHECK(describe(got.error()));
    return;
  }
  const auto& expect = *test.find("expect");
  INFO("got " << got->to_json());
  CHECK(matches(*got, *expect.find("value"), *expect.find("type")->string()));
}

}  // namespace

TEST_CASE("every acceptance case of the language gives what it says") {
  std::ifstream file(std::string(ONCEWARD_SHARED_DIR) + "/acceptance/expressions.jsonl");
  if (!file) {
    std::cout << "skipped: there is no acceptance/expressions.jsonl beside this checkout\n";
    return;
  }
  std::size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    auto test = Value::from_json(line);
    REQUIRE(test.has_value());
    check(*test);
  }
  CHECK(cases >= 531);
}
