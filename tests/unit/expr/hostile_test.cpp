// Hostile text: it may be refused, never crash, hang or take much memory.
#include "language.hpp"

#include <chrono>
#include <cmath>
#include <random>

using namespace language;
namespace limits = onceward::limits;

TEST_CASE("nesting beyond the limit is refused, whatever nests") {
  for (const auto* open :
       {"(", "!", "-", "not ", "{", "a[", "f(", "true ? ", "1 ?: ", "a.b(", "a?.[", "- !", "({"}) {
    const std::string text = repeat(open, limits::expression_bytes / std::string_view(open).size());
    INFO(open);
    const auto parsed = Expression::parse(text);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error().code == ErrorCode::limit_exceeded);
    CHECK(parsed.error().offset <= text.size());
    CHECK_FALSE(Template::parse("#{" + text.substr(0, 4000)).has_value());
  }
}

TEST_CASE("nesting up to the limit is read") {
  for (const std::size_t depth : {1u, 40u, 63u}) {
    CHECK(result(repeat("(", depth) + "1" + repeat(")", depth)) == "1");
    CHECK(result(repeat("-", depth) + "1") == (depth % 2 == 0 ? "1" : "-1"));
  }
  CHECK(error(repeat("(", 65) + "1" + repeat(")", 65)).code == ErrorCode::limit_exceeded);
}

TEST_CASE("text, instructions and list elements have a bound") {
  CHECK(run("'" + std::string(limits::expression_bytes - 2, 'x') + "'").has_value());
  CHECK(error("'" + std::string(limits::expression_bytes - 1, 'x') + "'").code == ErrorCode::limit_exceeded);
  CHECK(Template::parse(std::string(limits::expression_bytes + 1, 'x')).error().code ==
        ErrorCode::limit_exceeded);
  CHECK(error(std::string(limits::expression_bytes + 9, '1')).offset == limits::expression_bytes);
  CHECK(error("i" + repeat("+i", 256)).offset < 513);
  CHECK(run("i" + repeat("+i", 255)).has_value());
  CHECK(error("i" + repeat("+i", 256)).code == ErrorCode::limit_exceeded);
  CHECK(run("1" + repeat("+1", 2000)).value() == Value(2001));
  CHECK(run("{1" + repeat(",1", 63) + "}").has_value());
  CHECK(error("{1" + repeat(",1", 64) + "}").code == ErrorCode::limit_exceeded);
  CHECK(error("{i" + repeat(",i", 64) + "}").code == ErrorCode::limit_exceeded);
}

TEST_CASE("a constant that fails under a long chain is compiled in no time") {
  const auto start = std::chrono::steady_clock::now();
  const auto chain = Expression::parse("1/0" + repeat("+1", 200));
  REQUIRE(chain.has_value());
  CHECK(chain->evaluate(names()).error().code == ErrorCode::out_of_range);
  CHECK(Expression::parse(repeat("-(", 30) + "1/0" + repeat(")", 30)).has_value());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("text cannot be grown beyond a record's value") {
  const Value big(onceward::Map{{"s", std::string(limits::value_bytes - 1, 'x')}});
  CHECK(run("s + 'y'", big).has_value());
  for (const auto* text :
       {"s + s", "concat(s, s)", "s.concat(s)", "s.replace('x', 'yy')", "join({s, s}, '')"}) {
    INFO(text);
    const auto grown = run(text, big);
    REQUIRE_FALSE(grown.has_value());
    CHECK(grown.error().code == ErrorCode::limit_exceeded);
  }
  // 10 GB, if it were joined first and measured then.
  const Value many(onceward::Map{{"l", onceward::List(10000, Value(1))}, {"s", *big.find("s")}});
  CHECK(run("join(l, s)", many).error().code == ErrorCode::limit_exceeded);
  CHECK(Template::parse("#{s}#{s}")->render(big).error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("a double that is no number is never compared") {
  const Value odd(onceward::Map{{"x", std::nan("")}, {"inf", HUGE_VAL}});
  for (const auto* text : {"x == x", "x < 1", "1 > x", "x in {1}", "x between {1, 2}", "min(x, 1)",
                           "floor(x)", "int(inf)", "fixed(x, 2)", "x + 1", "inf - inf"}) {
    INFO(text);
    CHECK_FALSE(run(text, odd).has_value());
  }
  CHECK(run("inf > 9223372036854775807", odd).value() == Value(true));
}

TEST_CASE("bytes that are no text are refused outside quotes") {
  for (const auto& text : {std::string("\0", 1), std::string("i\0", 2), std::string("\xff"),
                           std::string("i \xa0 + 1"), std::string("é")}) {
    CHECK_FALSE(Expression::parse(text).has_value());
  }
}

namespace {

const std::vector<std::string> seeds = {"user.id == 42 && t.startsWith('ab') || !(i in {1,2,3})",
                                        "user?.email ?: 'none' + string(i)",
                                        "l[1][0] * -lmax % (j - 3)",
                                        "m['a.b'] between {1, 10} ? fixed(d, 2) : join(user.tags, ',')",
                                        "uni.substring(1, 2).replace('中', t).toUpperCase()",
                                        "k:#{user.id}:#{'#{'}:#{n ?: ''}:#{{1,2}.size()}",
                                        "min(i, j, 0x1F) + round(1.5e3) not in {l.get(0), lmin}",
                                        "date(at, 'UTC')"};

std::string mutate(std::string text, std::mt19937_64& random) {
  static const std::vector<std::string> tokens = {"(",
                                                  ")",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  ".",
                                                  "?.",
                                                  "?:",
                                                  "?",
                                                  ":",
                                                  "'",
                                                  "\"",
                                                  "#{",
                                                  "-",
                                                  "!",
                                                  "==",
                                                  "&&",
                                                  " in ",
                                                  " not ",
                                                  "null",
                                                  "n",
                                                  "1/0",
                                                  "lmin",
                                                  "1e308",
                                                  ",",
                                                  "\xff",
                                                  std::string("\0", 1),
                                                  "9223372036854775807",
                                                  "t",
                                                  "l",
                                                  "user",
                                                  "é"};
  for (std::size_t edits = 1 + random() % 4; edits > 0; --edits) {
    const std::size_t at = text.empty() ? 0 : random() % text.size();
    switch (random() % 5) {
      case 0: text.insert(at, tokens[random() % tokens.size()]); break;
      case 1: text.erase(at, 1 + random() % 4); break;
      case 2: text.insert(at, seeds[random() % seeds.size()].substr(random() % 12, 12)); break;
      case 3: text.insert(at, text.substr(random() % (text.size() + 1), 10)); break;
      default:
        if (!text.empty()) text[at] = static_cast<char>(random());
    }
  }
  return text;
}

}  // namespace

TEST_CASE("300,000 mangled expressions and templates give a value or an error within their text") {
  std::mt19937_64 random(7);
  std::size_t values = 0;
  for (int i = 0; i < 300000; ++i) {
    const auto text = mutate(seeds[random() % seeds.size()], random);
    const auto value = run(text);
    auto parsed = Template::parse(text);
    const auto rendered =
        parsed ? parsed->render(names()) : Result<std::string>(onceward::fail(parsed.error()));
    if (value) ++values;
    if (!value && value.error().offset > text.size())
      FAIL_CHECK("no offset: " << text << ": " << describe(value.error()));
    if (!rendered && rendered.error().offset > text.size())
      FAIL_CHECK("no offset: " << text << ": " << describe(rendered.error()));
  }
  CHECK(values > 1000);
}

TEST_CASE("text that is no UTF-8 is refused at its byte") {
  for (const std::string_view bad : {"'a\xff'", "'\xc3'", "'\xed\xa0\x80'", "n + '\x80'"}) {
    const auto refused = Expression::parse(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == onceward::ErrorCode::syntax);
    CHECK(static_cast<unsigned char>(bad[refused.error().offset]) >= 0x80);
  }
  CHECK_FALSE(onceward::KeyTemplate::parse("k\xff:#{n}"));
}
