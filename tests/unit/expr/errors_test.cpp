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

TEST_CASE("what SpEL has and this language has not is named where it stands") {
  struct Hint {
    const char* text;
    const char* says;
    std::size_t at;
  };
  for (const auto& [text, says, at] :
       std::vector<Hint>{{"Type('java.lang.Math')", "types are not in the language", 0},
                         {"i + T(java.lang.Math).PI", "types are not in the language", 4},
                         {"new String('a')", "objects are not made here", 4},
                         {"i == new Integer(7)", "objects are not made here", 9},
                         {"@bean.x", "beans are not in the language", 0},
                         {"i + @bean", "beans are not in the language", 4},
                         {"i = 5", "there is no assignment: == compares", 2},
                         {"user.name = 'x'", "there is no assignment: == compares", 10},
                         {"i++", "there is no assignment: write x + 1", 2},
                         {"l.![i]", "projections are not in the language", 2},
                         {"l.?[i > 1]", "selections are not in the language", 2},
                         {"l.^[i > 1]", "neither powers nor selections", 2},
                         {"2 ^ 3", "neither powers nor selections", 2},
                         {"t matches '[a-z]+'", "patterns are not in the language", 2},
                         {"t instanceof String", "types are not in the language", 2},
                         {"{a: 1}", "map literals are not in the language", 2},
                         {"user::name", "members are read with '.'", 4}}) {
    INFO(text);
    const auto refused = error(text);
    INFO(refused.message);
    CHECK(refused.message.find(says) != std::string::npos);
    CHECK(refused.offset == at);
    // In a template the byte counts from its start.
    const auto placed = template_error(std::string("key:#{") + text + "}");
    INFO(placed.message);
    CHECK(placed.message.find(says) != std::string::npos);
    CHECK(placed.offset == at + 6);
  }
  CHECK(error("yes == = no").message.find("there is no assignment") != std::string::npos);
  CHECK(error("i === 7").message.find("assignment") != std::string::npos);
  CHECK(error("i == 7 == 7").message.find("assignment") == std::string::npos);
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
