// The rules of the language, case by case: what each expression gives on the names of language.hpp.
#include "language.hpp"

#include <vector>

using namespace language;

namespace {

struct Case {
  const char* text;
  const char* gives;  ///< JSON, or "error"
};

void check(const std::vector<Case>& cases) {
  for (const auto& [text, gives] : cases) {
    INFO(text);
    CHECK(result(text) == gives);
  }
}

}  // namespace

TEST_CASE("literals are 64-bit integers, doubles, texts and words") {
  check({{"0", "0"},
         {"10L", "10"},
         {"5000000000", "5000000000"},
         {"0xFF", "255"},
         {"0X1fL", "31"},
         {"1.5", "1.5"},
         {"1e3", "1000.0"},
         {"2.5E-1", "0.25"},
         {"9223372036854775807", "9223372036854775807"},
         {"9223372036854775808", "error"},
         {"1e999", "error"},
         {"1.5d", "error"},
         {"1_000", "error"},
         {"1e", "error"},
         {"0xG", "error"},
         {"1.", "error"},
         {".5", "error"},
         {"'it''s'", R"("it's")"},
         {R"("say ""hi""")", R"("say \"hi\"")"},
         {"''", R"("")"},
         {"'abc", "error"},
         {"true", "true"},
         {"TRUE", "error"},
         {"null", "null"},
         {"{}", "[]"},
         {"{1,'a',{true}}", R"([1,"a",[true]])"},
         {"{,1}", "error"},
         {"{1,}", "error"}});
}

TEST_CASE("names are read as they are written, and a missing one is an error") {
  check({{"user.id", "42"},
         {"#user.id", "42"},
         {"# user.id", "error"},
         {"user . id", "42"},
         {"(user).id", "42"},
         {"User.id", "error"},
         {"nope", "error"},
         {"user.nope", "error"},
         {"t.nope", "error"},
         {"m.eq", "3"},
         {"m.size", "9"},
         {"m.size()", "4"},
         {"#this", "error"},
         {"#root.id", "error"},
         {"a$b", "error"}});
  CHECK(error("nope").code == ErrorCode::unknown_name);
  CHECK(error("user.nope").code == ErrorCode::unknown_name);
  CHECK(error("t.length").message.find("parentheses") != std::string::npos);
}

TEST_CASE("brackets read lists by place and maps by name") {
  check({{"l[0]", "1"},
         {"l[1][1]", "3"},
         {"l[3]", "error"},
         {"l[-1]", "error"},
         {"l['0']", "error"},
         {"l[1.0]", "error"},
         {"m['k']", "1"},
         {"m['a.b']", "2"},
         {"m['nope']", "null"},
         {"m[1]", "error"},
         {"t[0]", "error"},
         {"n[0]", "error"},
         {"n?.[0]", "null"},
         {"{5,6}[1]", "6"}});
  CHECK(error("l[3]").code == ErrorCode::out_of_range);
}

TEST_CASE("null goes through one safe step, and nowhere else by itself") {
  check({{"n?.x", "null"},
         {"n?.x.y", "error"},
         {"n?.x?.y", "null"},
         {"n.x", "error"},
         {"n?.length()", "null"},
         {"n.length()", "error"},
         {"user.email ?: 'none'", R"("none")"},
         {"empty ?: 'x'", R"("x")"},
         {"no ?: true", "false"},
         {"none ?: 'x'", "[]"},
         {"n == null", "true"},
         {"1 == null", "false"},
         {"n < 1", "error"},
         {"n <= n", "error"},
         {"-n", "error"},
         {"1 + n", "error"},
         {"'a' + n", "error"},
         {"n && yes", "error"},
         {"n ? 1 : 2", "error"},
         {"n in l", "true"},
         {"n in {1, null}", "true"},
         {"1 in n", "error"},
         {"n between {1, 2}", "error"}});
  CHECK(error("n < 1").code == ErrorCode::wrong_kind);
}

TEST_CASE("a safe call that meets null skips its arguments") {
  CHECK(result("n?.substring(1 / 0)") == "null");
  CHECK(result("t?.substring(1 / 0)") == "error");
}

TEST_CASE("kinds are never converted in silence") {
  check({{"1 == '1'", "error"},
         {"yes == 1", "error"},
         {"yes == 'true'", "error"},
         {"1 < 'a'", "error"},
         {"yes < no", "error"},
         {"t - 1", "error"},
         {"t * 2", "error"},
         {"yes + 1", "error"},
         {"none + none", "error"},
         {"'a' + 1.5", "error"},
         {"'a' + none", "error"},
         {"'a' + user", "error"},
         {"!1", "error"},
         {"1 && yes", "error"},
         {"yes && 1", "error"},
         {"1 ? 2 : 3", "error"},
         {"user == user", "error"},
         {"l == {1}", "false"},
         {"1 in 5", "error"},
         {"i between 5", "error"},
         {"i between {1}", "error"},
         {"i between {'a', 'b'}", "error"},
         {"upper(1)", "error"}});
  CHECK(error("1 == '1'").code == ErrorCode::wrong_kind);
}

TEST_CASE("integers are checked and never wrap") {
  check({{"lmax + 1", "error"},  {"lmin - 1", "error"},
         {"lmax * 2", "error"},  {"-lmin", "error"},
         {"lmin / -1", "error"}, {"lmin % -1", "0"},
         {"abs(lmin)", "error"}, {"1 / 0", "error"},
         {"1 % 0", "error"},     {"i / z", "error"},
         {"-7 / 2", "-3"},       {"-7 % 3", "-1"},
         {"7 % -3", "1"},        {"lmax + 1.0", "9223372036854775808.0"},
         {"1.0 / 0", "error"},   {"1e308 * 10", "error"},
         {"1.0 % 0", "error"},   {"2147483647 + 1", "2147483648"},
         {"1-1", "0"},           {"- -3", "3"}});
  CHECK(error("lmax + 1").code == ErrorCode::out_of_range);
  CHECK(error("lmin / -1").code == ErrorCode::out_of_range);
  CHECK(error("1 / 0").code == ErrorCode::out_of_range);
}

TEST_CASE("integers and doubles are compared exactly") {
  check({{"9007199254740993 == 9007199254740992.0", "false"},
         {"9007199254740993 > 9007199254740992.0", "true"},
         {"lmax < 9223372036854775808.0", "true"},
         {"lmin == -9223372036854775808.0", "true"},
         {"7 == 7.0", "true"},
         {"-1 > -1.5", "true"},
         {"-2 < -1.5", "true"},
         {"1 < 1e300", "true"},
         {"1 > -1e300", "true"},
         {"2 in {2.0}", "true"}});
}

TEST_CASE("texts are compared by their bytes") {
  check({{"'Z' < 'a'", "true"},
         {"'10' < '9'", "true"},
         {"'é' > 'z'", "true"},
         {"'ABC' == 'abc'", "false"},
         {"'' < 'a'", "true"}});
}

TEST_CASE("and, or and the ternary leave alone what they do not need") {
  check({{"false && 1/0 == 1", "false"},
         {"true || 1/0 == 1", "true"},
         {"1/0 == 1 && false", "error"},
         {"no ? 1/0 : 2", "2"},
         {"yes ? 1 : nope", "1"},
         {"t ?: nope", R"("abc")"},
         {"yes && nope", "error"},
         {"no and nope", "false"}});
}

TEST_CASE("a constant part that fails is an error only where it is reached") {
  const auto parsed = Expression::parse("no && 1 / 0 == 1");
  REQUIRE(parsed.has_value());
  CHECK(parsed->test(names()).value() == false);
  CHECK(Expression::parse("1 / 0").has_value());
  CHECK(Expression::parse("1 / 0")->is_constant());
}

TEST_CASE("operators bind as in Java, and relations do not chain") {
  check({{"1 + 2 * 3 > 6 && true", "true"},
         {"10 - 4 - 3", "3"},
         {"2 * 3 % 4", "2"},
         {"true || false && false", "true"},
         {"(true || false) && false", "false"},
         {"!no || no", "true"},
         {"-2 + 3", "1"},
         {"i ?: 0 > 2", "7"},
         {"false ? 1 : true ? 2 : 3", "2"},
         {"1 < 2 < 3", "error"},
         {"1 == 1 == true", "error"},
         {"1 + 1 between {1, 3}", "true"}});
}

TEST_CASE("words are operators in any case, and names where a name stands") {
  check({{"1 eq 1 AND 2 NE 3", "true"},
         {"1 lt 2 or nope", "true"},
         {"7 DIV 2", "3"},
         {"7 Mod 2", "1"},
         {"NOT no", "true"},
         {"2 ge 3", "false"},
         {"3 le 3", "true"},
         {"3 gt 3", "false"},
         {"1 not in {2}", "true"},
         {"1 NOT  IN {1}", "false"},
         {"'k' in m", "true"},
         {"'q' in m", "false"},
         {"1 in m", "error"},
         {"1lt 2", "error"},
         {"true xor false", "error"}});
  const Value odd = Value::from_json(R"({"notify":1,"eqx":2,"index":3,"andy":4,"eq":5})").value();
  CHECK(run("notify + eqx + index + andy + eq", odd).value() == Value(15));
}

TEST_CASE("between takes both bounds in") {
  check({{"i between {7, 7}", "true"},
         {"i between {8, 10}", "false"},
         {"i between {10, 1}", "false"},
         {"d between {2, 3}", "true"},
         {"t between {'abc', 'b'}", "true"}});
}

TEST_CASE("texts have Java's methods, counted in code points") {
  check({{"uni.length()", "3"},
         {"uni.substring(1, 2)", R"("中")"},
         {"uni.indexOf('😀')", "2"},
         {"t.indexOf('q')", "-1"},
         {"t.substring(1)", R"("bc")"},
         {"t.substring(3)", R"("")"},
         {"t.substring(4)", "error"},
         {"t.substring(2, 1)", "error"},
         {"t.substring(-1)", "error"},
         {"t.startsWith('ab')", "true"},
         {"t.endsWith('bc')", "true"},
         {"t.contains('')", "true"},
         {"empty.isEmpty()", "true"},
         {"blank.isEmpty()", "false"},
         {"blank.isBlank()", "true"},
         {"' x '.trim()", R"("x")"},
         {"t.replace('b', '')", R"("ac")"},
         {"'aaa'.replace('aa', 'b')", R"("ba")"},
         {"t.replace('', 'x')", "error"},
         {"t.toUpperCase()", R"("ABC")"},
         {"'ÀB'.toLowerCase()", R"("Àb")"},
         {"'ABC'.equalsIgnoreCase(t)", "true"},
         {"t.equals('abc')", "true"},
         {"t.equals(1)", "error"},
         {"t.concat(1)", R"("abc1")"},
         {"t.length(1)", "error"},
         {"t.substring()", "error"},
         {"i.length()", "error"},
         {"t.nope()", "error"}});
}

TEST_CASE("lists and maps have methods of their own") {
  check({{"l.size()", "3"},
         {"none.isEmpty()", "true"},
         {"l.contains(1)", "true"},
         {"{1,2}.indexOf(2)", "1"},
         {"{1}.indexOf(3)", "-1"},
         {"l.get(0)", "1"},
         {"l.get(9)", "error"},
         {"m.get('k')", "1"},
         {"m.get('q')", "null"},
         {"m.containsKey('q')", "false"},
         {"m.isEmpty()", "false"},
         {"m.contains('k')", "error"},
         {"t.size()", "error"},
         {"{1,2}.contains('a')", "error"}});
}

TEST_CASE("functions are pure and few") {
  check({{"size(l)", "3"},
         {"lower('AbÉ')", R"("abÉ")"},
         {"upper(t)", R"("ABC")"},
         {"min(i, j, 0.5)", "-3"},
         {"max(i, 7.5)", "7.5"},
         {"min(1)", "1"},
         {"min()", "error"},
         {"max('a', 'b')", "error"},
         {"abs(j)", "3"},
         {"abs(-2.5)", "2.5"},
         {"floor(d)", "2"},
         {"floor(-2.5)", "-3"},
         {"round(d)", "3"},
         {"round(-d)", "-3"},
         {"floor(1e300)", "error"},
         {"int('12')", "12"},
         {"int(' 12')", "error"},
         {"int('9223372036854775808')", "error"},
         {"int(-2.9)", "-2"},
         {"int(yes)", "error"},
         {"double('1.5')", "1.5"},
         {"double('inf')", "error"},
         {"double(3)", "3.0"},
         {"string(i)", R"("7")"},
         {"string(no)", R"("false")"},
         {"string(d)", "error"},
         {"string(n)", "error"},
         {"concat('a', 1, true)", R"("a1true")"},
         {"fixed(0.125, 2)", R"("0.12")"},
         {"fixed(7, 1)", R"("7.0")"},
         {"fixed(2.5, 0)", R"("2")"},
         {"fixed(d, -1)", "error"},
         {"fixed(d, 19)", "error"},
         {"join(user.tags, '-')", R"("a-b")"},
         {"join(none, ',')", R"("")"},
         {"join(l, ',')", "error"},
         {"join({1, 2}, '')", R"("12")"},
         {"sha256('abc')", R"("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")"},
         {"nope(1)", "error"}});
}

TEST_CASE("date() tells the day of a time, in UTC or in a zone") {
  check({{"date(0)", R"("1970-01-01")"},
         {"date(at)", R"("2010-03-01")"},
         {"date(at - 1)", R"("2010-02-28")"},
         {"date('2011-01-01T00:30:00+01:00')", R"("2010-12-31")"},
         {"date('2011-07-01T23:30:00Z', 'Europe/London')", R"("2011-07-02")"},
         {"date('2011-01-01T03:00:00Z', 'America/New_York')", R"("2010-12-31")"},
         {"date(-1)", "error"},
         {"date(lmax)", "error"},
         {"date('yesterday')", "error"},
         {"date(at, 'Nowhere/Town')", "error"},
         {"date(d)", "error"},
         {"date(n)", "error"}});
}

TEST_CASE("a template writes texts, integers and booleans, and nothing else") {
  const auto render = [](std::string_view text) {
    auto parsed = Template::parse(text);
    return parsed ? parsed->render(names()).value_or("error") : std::string("error");
  };
  CHECK(render("k:#{user.id}:#{t}:#{yes}") == "k:42:abc:true");
  CHECK(render("#{ '}' }#{'#{'}") == "}#{");
  CHECK(render("$${i} }{ #x") == "$${i} }{ #x");
  CHECK(render("#{{1,2}.size()}") == "2");
  CHECK(render("") == "");
  for (const auto* text : {"#{n}", "#{d}", "#{l}", "#{user}", "#{ }", "#{", "#{i", "#{nope}"}) {
    INFO(text);
    CHECK(render(text) == "error");
  }
  CHECK(render("#{fixed(d, 2)}|#{join(user.tags, '+')}|#{n ?: ''}") == "2.50|a+b|");
}

TEST_CASE("an expression tells the paths it reads and whether it is constant") {
  const auto parsed =
      Expression::parse("user.id == m['k'] && user.name.length() > 0 && user.id > 1 && a?.b == null").value();
  const std::vector<std::string> wanted = {"user.id", "m", "user.name", "a.b"};
  CHECK(std::vector<std::string>(parsed.paths().begin(), parsed.paths().end()) == wanted);
  CHECK_FALSE(parsed.is_constant());
  CHECK(Expression::parse("1 + 2 > 3 || 'a' in {'a'}")->is_constant());
  const auto parts = Template::parse("#{b.c}:#{a}:#{b.c}").value();
  CHECK(std::vector<std::string>(parts.paths().begin(), parts.paths().end()) ==
        std::vector<std::string>{"b.c", "a"});
}

TEST_CASE("test() takes nothing but true and false") {
  CHECK(Expression::parse("i > 5")->test(names()).value());
  CHECK(Expression::parse("i")->test(names()).error().code == ErrorCode::wrong_kind);
  CHECK(Expression::parse("n")->test(names()).error().code == ErrorCode::wrong_kind);
}

TEST_CASE("names may be missing altogether, and a name's value is never changed") {
  CHECK(run("1 + 1", Value()).value() == Value(2));
  CHECK_FALSE(run("i", Value(5)).has_value());
  const Value before = names();
  (void)run("l.size() + user.tags.size()");
  CHECK(names() == before);
}
