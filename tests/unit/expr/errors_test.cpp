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

TEST_CASE("what SpEL has and this language has not is refused at its byte, with a hint") {
  struct Refused {
    const char* text;
    std::size_t offset;
    const char* hint;
  };
  for (const auto& [text, offset, hint] :
       std::vector<Refused>{{"T(java.lang.Math).PI", 0, "types are not in the language"},
                            {"1 + T(java.lang.Math).random()", 4, "types are not in the language"},
                            {"Type('x')", 0, "types are not in the language"},
                            {"new String('a')", 4, "there is no new in the language"},
                            {"1 + new  Date()", 9, "there is no new in the language"},
                            {"new (1)", 0, "types are not in the language"},
                            {"@rewards.limit", 0, "beans are not in the language"},
                            {"1 + @rewards", 4, "beans are not in the language"},
                            {"i = 5", 2, "there is no assignment: == compares"},
                            {"i += 5", 3, "there is no assignment: == compares"},
                            {"i === 5", 4, "there is no assignment: == compares"},
                            {"i++", 2, "there is no assignment: write x + 1"},
                            {"i--", 3, "there is no assignment: write x - 1"},
                            {"l.![size()]", 2, "projections are not in the language"},
                            {"l.?[true]", 2, "selections are not in the language"},
                            {"l.^[true]", 2, "neither powers nor selections"},
                            {"l.$[true]", 2, "the last is list[list.size() - 1]"},
                            {"2 ^ 3", 2, "neither powers nor selections"},
                            {"t matches 'a.c'", 2, "startsWith, endsWith and contains are"},
                            {"t matches('a.c')", 2, "startsWith, endsWith and contains are"},
                            {"t instanceof String", 2, "types are not in the language"},
                            {"user->id", 4, "members are read with '.'"},
                            {"user::id", 4, "members are read with '.'"},
                            {"yes & no", 4, "write && and ||"},
                            {"yes | no", 4, "write && and ||"},
                            {"i <> 7", 2, "write !="},
                            {"{a:1}", 2, "map literals are not in the language"},
                            {"user.getName()", 5, "name the member, such as user.id"},
                            {"user?.getName()", 6, "name the member, such as user.id"},
                            {"user.toString()", 5, "write string(x)"},
                            {"t.upper()", 2, "write upper(x)"},
                            {"length(t)", 0, "write x.length()"},
                            {"#this > 1", 0, "#this is not in the language"},
                            {"#root.i", 0, "#root is not in the language"}}) {
    INFO(text);
    const auto refused = error(text);
    INFO(refused.message);
    CHECK(refused.offset == offset);
    CHECK(refused.message.find(hint) != std::string::npos);
    // In a placeholder it is the same, counted from the start of the whole template.
    const auto placed = template_error("é:#{" + std::string(text) + "}");
    CHECK(placed.offset == offset + 5);
    if (std::string_view(text).size() != offset) CHECK(placed.message == refused.message);
  }
}

TEST_CASE("names that look like words of SpEL are names, and get no hint for what they are not") {
  const Value on(onceward::Map{{"new", 1}, {"renew", 2}, {"matches", 3}, {"T", 4}, {"Type", 5}});
  CHECK(run("new + renew + matches + T + Type", on).value() == Value(15));
  CHECK(error("renew i").message.find("new in the language") == std::string::npos);
  CHECK(error("i matchesAll t").message.find("patterns") == std::string::npos);
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
  CHECK(error("1 +  * 2").offset == 5);
  CHECK(error("1 +  ").offset == 5);
}

TEST_CASE("an error in a placeholder counts from the start of the whole template") {
  CHECK(template_error("order:#{nope}").offset == 8);
  CHECK(template_error("ключ:#{user.id}:#{i +}").offset == 25);
  CHECK(template_error("a#{i}b#{user.email}").offset == 13);
  CHECK(template_error("a#{i").offset == 1);
  CHECK(template_error("a#{i j}").offset == 5);
}
