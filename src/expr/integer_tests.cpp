#include "expr/integer_tests.hpp"

#include "expr/field.hpp"

#include <algorithm>
#include <limits>

namespace onceward::expr_detail {
namespace {

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

/// Tests that an integer lies in the range, or, where `holds` is false, that it does not.
struct Asked {
  IntegerTest test;
  bool holds;
};
Asked range(std::int64_t least, std::int64_t most, bool holds = true) {
  IntegerTest test;
  test.least = least;
  test.span = static_cast<std::uint64_t>(most) - static_cast<std::uint64_t>(least);
  return {std::move(test), holds};
}

/// What `x form constant` asks of x; none where it asks no range of integers.
std::optional<Asked> make_test(Form form, const Value& constant) {
  if (const auto* value = constant.integer()) {
    switch (form) {
      case Form::equal: return range(*value, *value);
      case Form::not_equal: return range(*value, *value, false);
      case Form::less: return range(*value, highest, false);
      case Form::less_equal: return range(lowest, *value);
      case Form::greater: return range(lowest, *value, false);
      case Form::greater_equal: return range(*value, highest);
      default: return std::nullopt;
    }
  }
  const auto* list = constant.list();
  if (list == nullptr || list->empty() ||
      !std::all_of(list->begin(), list->end(), [](const Value& each) { return each.integer() != nullptr; }))
    return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const auto& each : *list) numbers.push_back(*each.integer());
  if (form == Form::between) {
    if (numbers.size() != 2 || numbers[0] > numbers[1]) return std::nullopt;
    return range(numbers[0], numbers[1]);
  }
  if (form != Form::in && form != Form::not_in) return std::nullopt;
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  auto asked = range(numbers.front(), numbers.back(), form == Form::in);
  if (asked.test.span != numbers.size() - 1) asked.test.among = std::move(numbers);
  return asked;
}

const Value* find(const Map& map, const std::string& name, const PlaceHint& hint) noexcept {
  const auto place = hint.get();
  if (place < map.size()) {
    const auto& entry = map.begin()[place];
    if (entry.first == name) return &entry.second;
  }
  const auto* found = map.find(name);
  if (found == nullptr) return nullptr;
  // Entries are pairs in one array: the value's entry is where its name is.
  const auto* entry =
      std::lower_bound(map.begin(), map.end(), name,
                       [](const Map::Entry& each, const std::string& wanted) { return each.first < wanted; });
  hint.set(static_cast<std::uint32_t>(entry - map.begin()));
  return found;
}

bool load_by_name(const IntegerTest& test, const Program& program, const Names& names,
                  std::int64_t& out) noexcept {
  const Map* map = names.map();
  std::size_t at = 0;
  if (map == nullptr) {
    const auto root = names.find(program.texts[test.path[0].text]);
    if (!root) return false;
    if (test.path.size() == 1) {
      out = root->integer;
      return root->is(Value::Kind::integer);
    }
    if (!root->is(Value::Kind::map)) return false;
    map = root->map;
    at = 1;
  }
  for (;; ++at) {
    const auto* value = find(*map, program.texts[test.path[at].text], test.path[at].hint);
    if (value == nullptr) return false;
    if (at + 1 == test.path.size()) {
      const auto* integer = value->integer();
      if (integer == nullptr) return false;
      out = *integer;
      return true;
    }
    map = value->map();
    if (map == nullptr) return false;
  }
}

/// Where a program goes once a test came out: over the jumps to the next test, or the end.
std::uint16_t next_of(const Program& program, std::size_t at, bool top,
                      const std::vector<std::uint16_t>& test_at) noexcept {
  const auto& code = program.instructions;
  while (at < code.size()) {
    const auto& i = code[at++];
    switch (i.code) {
      case Code::need_bool: break;
      case Code::logical_not: top = !top; break;
      case Code::and_jump:
        if (!top) at = i.a;
        break;
      case Code::or_jump:
        if (top) at = i.a;
        break;
      default: return test_at[at - 1];
    }
  }
  return top ? IntegerTest::ends_true : IntegerTest::ends_false;
}

}  // namespace

std::optional<IntegerTests> make_integer_tests(const Program& program) {
  const auto& code = program.instructions;
  IntegerTests tests;
  std::vector<bool> holds;
  std::vector<std::size_t> ends;  // of each test, in the code
  std::vector<std::uint16_t> test_at(code.size());
  for (std::size_t at = 0; at < code.size();) {
    const auto& i = code[at];
    if (i.code == Code::need_bool || i.code == Code::logical_not || i.code == Code::and_jump ||
        i.code == Code::or_jump) {
      ++at;
      continue;
    }
    if (i.code != Code::root && i.code != Code::field) return std::nullopt;
    test_at[at] = static_cast<std::uint16_t>(tests.size());
    std::vector<IntegerTest::Step> path;
    if (i.code == Code::root) path.push_back({i.a});
    for (++at; at < code.size() && code[at].code == Code::member && code[at].b == 0 && !path.empty(); ++at)
      path.push_back({code[at].a});
    if (at + 2 > code.size() || code[at].code != Code::constant || code[at + 1].code != Code::binary)
      return std::nullopt;
    auto asked = make_test(static_cast<Form>(code[at + 1].a), program.constants[code[at].a]);
    if (!asked || (path.empty() && !is_integer(program.fields[i.a].layout))) return std::nullopt;
    asked->test.path = std::move(path);
    if (i.code == Code::field) asked->test.field = program.fields[i.a];
    tests.push_back(std::move(asked->test));
    holds.push_back(asked->holds);
    at += 2;
    ends.push_back(at);
  }
  if (tests.empty()) return std::nullopt;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    tests[i].if_in = next_of(program, ends[i], holds[i], test_at);
    tests[i].if_out = next_of(program, ends[i], !holds[i], test_at);
  }
  return tests;
}

std::optional<bool> run(const IntegerTests& tests, const Program& program, const Names& names) noexcept {
  for (std::size_t at = 0;;) {
    const auto& test = tests[at];
    std::int64_t value = 0;
    if (test.path.empty()) {
      if (!load_integer(test.field.layout, names.at(test.field), value)) return std::nullopt;
    } else if (!load_by_name(test, program, names, value)) {
      return std::nullopt;
    }
    bool in = static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(test.least) <= test.span;
    if (in && !test.among.empty())
      in = std::find(test.among.begin(), test.among.end(), value) != test.among.end();
    at = in ? test.if_in : test.if_out;
    if (at >= IntegerTest::ends_false) return at == IntegerTest::ends_true;
  }
}

}  // namespace onceward::expr_detail
