#pragma once
#include <onceward/expr/expression.hpp>

#include "support/catch.hpp"

#include <string>

// What the tests of the language share: an expression in, its value or error out.
namespace language {

using onceward::Error;
using onceward::ErrorCode;
using onceward::Expression;
using onceward::KeyTemplate;
using onceward::Result;
using onceward::Template;
using onceward::Value;

/// The names most cases read.
inline const Value& names() {
  static const Value value = Value::from_json(R"({
    "i": 7, "j": -3, "z": 0, "d": 2.5, "lmax": 9223372036854775807, "lmin": -9223372036854775808,
    "t": "abc", "blank": " \t\n", "empty": "", "yes": true, "no": false, "n": null, "uni": "é中😀",
    "user": {"id": 42, "name": "Ann", "email": null, "tags": ["a", "b"], "score": 12.5},
    "m": {"k": 1, "a.b": 2, "eq": 3, "size": 9}, "l": [1, [2, 3], null], "none": [], "at": 1267401600000000
  })")
                                 .value();
  return value;
}

inline Result<Value> run(std::string_view text, const Value& on = names()) {
  auto parsed = Expression::parse(text);
  if (!parsed) return onceward::fail(parsed.error());
  return parsed->evaluate(on);
}

/// The value as JSON, or "error".
inline std::string result(std::string_view text) {
  const auto value = run(text);
  return value ? value->to_json() : "error";
}

/// The error; a value where none was expected fails the test.
inline Error error(std::string_view text) {
  const auto value = run(text);
  INFO("expression " << text);
  if (value) FAIL("gave " << value->to_json());
  return value.error();
}

inline Error template_error(std::string_view text) {
  auto parsed = Template::parse(text);
  auto rendered = parsed ? parsed->render(names()) : Result<std::string>(onceward::fail(parsed.error()));
  INFO("template " << text);
  if (rendered) FAIL("gave " << *rendered);
  return rendered.error();
}

inline std::string repeat(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace language
