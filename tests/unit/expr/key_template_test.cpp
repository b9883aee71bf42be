// Keys: escaping, and that two different inputs never share one.
#include "language.hpp"

#include <fstream>
#include <map>
#include <random>

using namespace language;
using onceward::Map;

namespace {

std::string key(std::string_view text, const Value& on = names()) {
  auto parsed = KeyTemplate::parse(text);
  if (!parsed) return "refused";
  return parsed->render(on).value_or("error");
}

/// The values whose mistaking for one another would be worst: separators, escapes, nothing, control bytes.
std::string random_part(std::mt19937_64& random) {
  static const std::string bytes("ab:%3A2501 \n\x01\x7f\x00\xc3\xa9", 16);
  std::string part;
  for (std::size_t i = random() % 5; i > 0; --i) part += bytes[random() % bytes.size()];
  return part;
}

}  // namespace

TEST_CASE("a key writes ':', '%' and bytes below 0x21 of its values as %XX, and its own text as it is") {
  CHECK(key("a:b%c #{t}") == "a:b%c abc");
  CHECK(key("k:#{'a:b'}:#{'50%'}") == "k:a%3Ab:50%25");
  CHECK(key("k:#{blank}") == "k:%20%09%0A");
  CHECK(key("k:#{uni}") == "k:é中😀");
  CHECK(key("k:#{user.id + ':' + t}") == "k:42%3Aabc");
  std::string out = "x";
  onceward::append_key_part(out, std::string_view("\0\x1f!:", 4));
  CHECK(out == "x%00%1F!%3A");
}

TEST_CASE("a key is neither empty nor longer than a record's key may be") {
  CHECK(KeyTemplate::parse("").error().code == ErrorCode::invalid_argument);
  CHECK(KeyTemplate::parse("#{empty}")->render(names()).error().code == ErrorCode::invalid_argument);
  CHECK(KeyTemplate::parse(std::string(513, 'x')).error().code == ErrorCode::limit_exceeded);
  const Value full(Map{{"x", std::string(510, 'x')}});
  CHECK(key("k:#{x}", full).size() == 512);
  CHECK(KeyTemplate::parse("kk:#{x}")->render(full).error().code == ErrorCode::invalid_argument);
  CHECK(key("kk:#{sha256(x)}", full).size() == 67);
  const Value colons(Map{{"x", std::string(200, ':')}});
  CHECK(KeyTemplate::parse("k:#{x}")->render(colons).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a key has no place for null, doubles, lists and maps") {
  for (const auto* text : {"k:#{n}", "k:#{d}", "k:#{l}", "k:#{user}", "k:#{user.email}", "k:#{nope}"}) {
    INFO(text);
    CHECK(key(text) == "error");
  }
  CHECK(key("k:#{user.email ?: ''}:#{user.id}") == "k::42");
}

TEST_CASE("different inputs have different keys") {
  std::mt19937_64 random(6);
  const auto two = KeyTemplate::parse("k:#{a}:#{b}").value();
  const auto three = KeyTemplate::parse("k:#{a}:#{b}:#{c}").value();
  std::map<std::string, std::vector<std::string>> seen;
  std::size_t same = 0;
  for (int i = 0; i < 100000; ++i) {
    std::vector<std::string> parts = {random_part(random), random_part(random)};
    if (i % 2 == 0) parts.push_back(random_part(random));
    const Value on(Map{{"a", parts[0]}, {"b", parts[1]}, {"c", parts.back()}});
    const auto made = (parts.size() == 2 ? two : three).render(on);
    REQUIRE(made.has_value());
    const auto [place, is_new] = seen.emplace(*made, parts);
    if (!is_new) ++same;
    if (place->second != parts) FAIL_CHECK("two inputs share the key " << *made);
  }
  CHECK(same > 0);
}

TEST_CASE("no byte of a value can end its part of the key") {
  for (int byte = 0; byte < 256; ++byte) {
    std::string part;
    onceward::append_key_part(part, std::string(1, static_cast<char>(byte)));
    const bool plain = byte >= 0x21 && byte != ':' && byte != '%';
    CHECK(part.size() == (plain ? 1u : 3u));
    CHECK(part.find(':') == std::string::npos);
  }
}

TEST_CASE("every key of the cookbook in docs/expressions.md makes a key") {
  const Value on =
      Value::from_json(
          R"({"user": {"id": 42}, "task": {"id": "t-9"}, "stage": 1, "merchant": "m", "order": {"id": "o"},
    "at": 1267401600000000, "zone": "Europe/London", "request_id": "r", "email": " Ann@x.org", "a": 2, "b": 1, "lat": 59.91273,
    "lng": 10.74609, "campaign": null, "skus": ["A", "B"], "kind": "refund"})")
          .value();
  const Value plain_user = [&] {
    Value changed = on;
    changed.map()->set("user", 42);
    return changed;
  }();
  std::ifstream file(std::string(ONCEWARD_SOURCE_DIR) + "/docs/expressions.md");
  std::size_t keys = 0;
  bool cookbook = false;
  for (std::string line; std::getline(file, line);) {
    cookbook = cookbook || line == "## Cookbook";
    const auto begin = line.find('`');
    if (!cookbook || begin == std::string::npos) continue;
    const auto text = line.substr(begin + 1, line.rfind('`') - begin - 1);
    INFO(text);
    const auto made = key(text, text.find("user.id") == std::string::npos ? plain_user : on);
    CHECK(made != "refused");
    CHECK(made != "error");
    ++keys;
  }
  CHECK(keys >= 10);
}
