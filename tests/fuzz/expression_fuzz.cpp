// Feeds bytes to the language and looks whether what it promises holds: it never crashes or hangs, errors say
// where, the same question has the same answer, keys are keys. The first byte says what the rest is.
#include <onceward/expr/bind.hpp>
#include <onceward/expr/functions.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <string_view>

using namespace onceward;

namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

struct User {
  std::int64_t id;
  std::string name;
  std::optional<std::string> email;
};
struct Event {
  User user;
  std::int64_t low;
  std::uint64_t big;
  std::int32_t n;
  bool yes;
  double rate;
  std::string text;
  std::vector<std::int64_t> list;
  std::map<std::string, std::int64_t> map;
  std::optional<std::int64_t> none;
};

Event make_event() {
  Event event{};
  event.user = {42, "Ann: 5%", {}};
  event.low = std::numeric_limits<std::int64_t>::min();
  event.big = std::numeric_limits<std::uint64_t>::max();
  event.n = -1;
  event.yes = true;
  event.rate = 0.1;
  event.text = "a\tb\xc3\xa9";
  event.list = {1, 2, std::numeric_limits<std::int64_t>::max()};
  event.map = {{"k", 7}, {"size", 1}};
  return event;
}

const Event event = make_event();
// Without `big`: as a value it is text, bound it is a number.
const Value names = [] {
  Value all = to_value(event);
  all.map()->set("big", Value(std::numeric_limits<std::int64_t>::max()));
  return all;
}();

const Functions functions = [] {
  Functions own;
  const auto add = [&](std::string_view name, auto function) {
    must(own.add(name, std::move(function)).has_value(), "a function is added");
  };
  add("zero", [] { return 0; });
  add("next", [](std::int32_t n) { return std::int64_t{n} + 1; });
  add("half", [](std::optional<double> n) { return n.value_or(1) / 2; });
  add("mark", [](std::string_view text) { return std::string(text) + "!"; });
  add("same", [](const Value& value) { return value; });
  add("sum", [](const std::vector<double>& all, const Map& map) -> Result<double> {
    if (map.empty()) return fail(ErrorCode::out_of_range, "an empty map");
    double sum = 0;
    for (const double one : all) sum += one;
    return sum;
  });
  add("named", [](const User& user) { return user.name; });
  return own;
}();

void check_error(const Error& error, std::string_view text) {
  must(!error.message.empty(), "an error has a message");
  must(error.offset <= text.size(), "an error has a place in the text");
}

void check_expression(std::string_view text) {
  const auto parsed = Expression::parse(text, functions);
  if (!parsed) return check_error(parsed.error(), text);
  must(parsed->text() == text, "an expression keeps its text");
  const auto value = parsed->evaluate(names);
  if (!value) check_error(value.error(), text);
  const auto again = parsed->evaluate(names);
  must(again.has_value() == value.has_value() && (!value || *again == *value), "the same again");
  if (value) {
    const auto read = Value::from_json(value->to_json());
    must(read && *read == *value, "a result is JSON, and the same when read");
  }
  const auto test = parsed->test(names);
  must(test.has_value() == (value && value->boolean() != nullptr), "a test is a result that is a bool");
  if (test) must(*test == *value->boolean(), "a test is the result");

  const bool reads_big = text.find("big") != std::string_view::npos;
  const auto bound = BoundExpression<Event>::bind(*parsed);
  if (!bound) return check_error(bound.error(), text);
  const auto by_struct = bound->evaluate(event);
  if (!by_struct) check_error(by_struct.error(), text);
  const bool by_position =
      text.find("p0") != std::string_view::npos || text.find("a0") != std::string_view::npos;
  if (reads_big || by_position) return;
  must(by_struct.has_value() == value.has_value(), "bound it works where it works on values");
  if (value) must(*by_struct == *value, "bound it gives the same");
  const auto bound_test = bound->test(event);
  must(bound_test.has_value() == test.has_value() && (!test || *bound_test == *test),
       "bound it tests the same");
}

void check_template(std::string_view text) {
  const auto parsed = Template::parse(text, functions);
  if (!parsed) return check_error(parsed.error(), text);
  const auto rendered = parsed->render(names);
  if (!rendered) return check_error(rendered.error(), text);
  must(*parsed->render(names) == *rendered, "the same text again");
}

void check_key(std::string_view text) {
  const auto parsed = KeyTemplate::parse(text, functions);
  if (!parsed) {
    must(!parsed.error().message.empty(), "an error has a message");
    return;
  }
  const auto key = parsed->render(names);
  if (key) must(!key->empty() && key->size() <= limits::key_bytes, "a key has 1 to 512 bytes");
  const auto bound = BoundKey<Event>::bind(*parsed);
  if (!bound) return check_error(bound.error(), text);
  KeyBuffer buffer;
  const auto bound_key = bound->render(buffer, event);
  if (bound_key)
    must(!bound_key->empty() && bound_key->size() <= limits::key_bytes, "a key has 1 to 512 bytes");
  if (key && bound_key && text.find("big") == std::string_view::npos &&
      text.find("p0") == std::string_view::npos && text.find("a0") == std::string_view::npos)
    must(*key == *bound_key, "bound the key is the same");
}

void check_json(std::string_view text) {
  const auto value = Value::from_json(text);
  if (!value) {
    must(!value.error().message.empty(), "an error has a message");
    return;
  }
  const auto read = Value::from_json(value->to_json());
  must(read && *read == *value, "what was written reads as the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: check_template(text); break;
    case 1: check_key(text); break;
    case 2: check_json(text); break;
    default: check_expression(text);
  }
  return 0;
}
