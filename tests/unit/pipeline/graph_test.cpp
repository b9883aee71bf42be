// Plans and runs in DOT: every box is reached, and says what it is and what it has come to.
#include <onceward/pipeline/timeline.hpp>

#include "works.hpp"

#include <regex>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// The name of the box whose label begins so; empty where there is none.
std::string box(const std::string& dot, const std::string& label) {
  const auto at = dot.find(" [label=\"" + label);
  const auto line = at == std::string::npos ? at : dot.rfind('\n', at);
  return line == std::string::npos ? std::string() : dot.substr(line + 3, at - line - 3);
}
bool goes(const std::string& dot, const std::string& from, const std::string& to) {
  return dot.find("  " + box(dot, from) + " -> " + box(dot, to) + " [") != std::string::npos;
}

/// The boxes that no edge leads to.
std::size_t entries(const std::string& dot) {
  const std::regex named("\n  (n[0-9]+) \\[");
  std::size_t count = 0;
  for (std::sregex_iterator at(dot.begin(), dot.end(), named), end; at != end; ++at)
    count += dot.find("-> " + (*at)[1].str() + " [") == std::string::npos ? 1U : 0U;
  return count;
}

}  // namespace

TEST_CASE("the graph of a run shows a try's body, catches and finally each as they stand") {
  Works works;
  const auto plan = works.plan(pipeline("dot").attempt(
      "t", [](Body& b) { b.step("a", "book@1"); },
      {on_error("x", [](Body& b) { b.step("c1", "book@1"); }),
       on_error("", [](Body& b) { b.step("c2", "book@1"); })},
      [](Body& b) { b.step("last", "book@1").wait("w", 1h); }));
  const auto drawn = [&](const std::string& key, Reject error) {
    works.next["a"] = {error};
    works.start(plan, Map(), key);
    return run_to_dot(*works.memory, works.catalog, {"dot", "p", key}).value();
  };
  const auto first = drawn("k1", Reject{"x", ""});
  CHECK_FALSE(box(first, "c1\\nbook@1\\ndone").empty());
  CHECK_FALSE(box(first, "c2\\nbook@1\\nnot begun").empty());
  CHECK_FALSE(box(first, "last\\nbook@1\\ndone").empty());
  CHECK_FALSE(box(first, "wait w\\n1h00m\\nwaits").empty());
  const auto second = drawn("k2", Reject{"y", ""});
  CHECK_FALSE(box(second, "a\\nbook@1\\nfailed").empty());
  CHECK_FALSE(box(second, "c1\\nbook@1\\nnot begun").empty());
  CHECK_FALSE(box(second, "c2\\nbook@1\\ndone").empty());
}

TEST_CASE("every box of a graph is reached, also a finally behind a body that fails") {
  Works works;
  const auto plan = works.plan(
      pipeline("dot")
          .input("vip", Value::Kind::boolean)
          .attempt(
              "t", [](Body& b) { b.fail("f", "x"); }, {}, [](Body& b) { b.step("last", "book@1"); }));
  CHECK(entries(to_dot(plan)) == 1);
  CHECK(goes(to_dot(plan), "try t", "last"));
  const auto other = to_dot(works.plan(
      pipeline("other")
          .input("vip", Value::Kind::boolean)
          .attempt(
              "t", [](Body& b) { b.step("a", "book@1"); }, {}, [](Body& b) { b.step("last", "book@1"); })
          .fail("f", "x")
          .when("vip")
          .sequence("s", [](Body& b) { b.step("b", "book@1"); })
          .when("vip")
          .step("end", "book@1")));
  CHECK(entries(other) == 1);
  CHECK(goes(other, "a", "last"));
  CHECK(goes(other, "last", "fail f"));
  CHECK(goes(other, "fail f", "sequence s"));
  CHECK(goes(other, "b", "end"));
  CHECK(goes(other, "sequence s", "end"));
}

TEST_CASE("the graph tells what a construct's condition asks") {
  Works works;
  works.plan(pipeline("inner").step("a", "book@1"));
  const auto body = [](const char* id) { return [id](Body& b) { b.step(id, "book@1"); }; };
  const auto all = pipeline("dot")
                       .input("vip", Value::Kind::boolean)
                       .step("a", "book@1")
                       .when("vip")
                       .sequence("s", body("b"))
                       .when("vip")
                       .parallel("p", Join::all, body("c"))
                       .when("vip")
                       .choose("which", when("vip", body("d")))
                       .when("vip")
                       .foreach ("each", {.items = "{1}", .variable = "i", .item_key = "i"}, body("e"))
                       .when("vip")
                       .attempt("t", body("f"), {})
                       .when("vip")
                       .call("sub", "inner")
                       .when("vip")
                       .wait("w", 1s)
                       .when("vip")
                       .await("go", "go")
                       .when("vip")
                       .set("v", "1")
                       .when("vip")
                       .result("1")
                       .when("vip")
                       .fail("stop", "no")
                       .when("vip")
                       .compile(works.registry, &works.catalog)
                       .value();
  const auto dot = to_dot(all);
  for (const auto* label : {"a\\nbook@1", "sequence s", "parallel p\\nall", "choose which",
                            "foreach each\\ni in {1}", "try t", "call sub\\ninner", "wait w\\n1.000s",
                            "await go\\ngo", "set v\\n1", "result\\n1", "fail stop\\nno"}) {
    INFO(label);
    CHECK_FALSE(box(dot, std::string(label) + "\\nwhen vip").empty());
  }
  CHECK_FALSE(box(dot, "b\\nbook@1\",").empty());  // has none of its own
}
