// What errors say, and where they point.
#include "language.hpp"

#include <vector>

using namespace language;

TEST_CASE("what is left out of the language is refused, with what to write instead") {
  struct Hint {
    const char* text;
    const char* says;
  };
  for (const auto& [text, says] : std::vector<Hint>{{"T(java.lang.Math)", "types are not"},
                                                    {"new String('a')", "not expected"},
                                                    {"@bean.x", "expected"},
                                                    {"i = 5", "=="},
                                                    {"user->id", "'.'"},
                                                    {"yes & no", "&&"},
                                                    {"i <> 7", "!="},
                                                    {"{a:1}", "expected"},
                                                    {"user.getId()", "user.id"},
                                                    {"i.toString()", "string(x)"},
                                                    {"t.upper()", "upper(x)"},
                                                    {"length(t)", "x.length()"},
                                                    {"i; 1", "not expected"},
                                                    {"i << 2", "expected"},
                                                    {"user.1", "expected"}}) {
    INFO(text);
    const auto refused = error(text);
    INFO(refused.message);
    CHECK(refused.message.find(says) != std::string::npos);
    CHECK(refused.offset < std::string_view(text).size());
  }
}

TEST_CASE("a syntax error says in words what was expected") {
  const auto says = [](const char* text) { return error(text).message; };
  CHECK(says("i >= >= 7") == "an operand was expected here");
  CHECK(says("1 +") == "an operand was expected here");
  CHECK(says("!") == "an operand was expected here");
  CHECK(says("()") == "an expression was expected here");
  CHECK(says("yes ? 1 :") == "an expression was expected here");
  CHECK(says("user.") == "a member's name was expected here");
  CHECK(says("l[0") == "']' was expected here");
  CHECK(says("{1, 2") == "'}' was expected here");
  CHECK(says("max(1, 2") == "')' was expected here");
  CHECK(says("yes ? 1") == "':' was expected here");
}

TEST_CASE("an error tells the byte of the operator or name that failed") {
  CHECK(error("1 + 2 +").offset == 7);
  CHECK(error("i == 'x'").offset == 2);
  CHECK(error("i + nope").offset == 4);
  CHECK(error("(1 + 2").offset == 6);
  CHECK(error("'é' + (lmax + 1)").offset == 13);
  CHECK(error("user.name.nope()").offset == 10);
  CHECK(error("1 ? 2 : 3").offset == 2);
}

TEST_CASE("an error in a placeholder counts from the start of the whole template") {
  CHECK(template_error("order:#{nope}").offset == 8);
  CHECK(template_error("ключ:#{user.id}:#{i +}").offset == 25);
  CHECK(template_error("a#{i}b#{user.email}").offset == 13);
  CHECK(template_error("a#{i").offset == 1);
  CHECK(template_error("a#{i j}").offset == 5);
}
