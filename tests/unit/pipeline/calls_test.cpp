// What a pipeline that calls another one is told when it is compiled.
#include "works.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// The mistakes of a caller, each as "code: message".
std::vector<std::string> mistakes(const PipelineBuilder& caller, const Works& works) {
  std::vector<Diagnostic> diagnostics;
  const auto plan = Plan::compile(caller.definition(), works.registry, &diagnostics, &works.catalog);
  CHECK(plan.has_value() == diagnostics.empty());
  std::vector<std::string> all;
  for (const auto& diagnostic : diagnostics) all.push_back(diagnostic.code + ": " + diagnostic.message);
  return all;
}

using Mistakes = std::vector<std::string>;

PipelineBuilder backward() { return pipeline("caller").recover(Recover::backward); }

}  // namespace

TEST_CASE("a pipeline that recovers backward calls none with a step that cannot be undone") {
  Works works;
  works.add(
      "look@1", [](StepContext&) { return Done{}; }, Effect::pure);
  works.plan(pipeline("callee").step("a", "credit@1"));
  CHECK(mistakes(backward().call("c", "callee"), works) ==
        Mistakes{"no-undo: step \"c/a\": credit@1 cannot be undone, and the pipeline recovers backward"});
  CHECK(mistakes(pipeline("caller").call("c", "callee"), works).empty());
  // Also further down, and within constructs; what is left as it is, undone or pure is no mistake.
  works.plan(pipeline("deep")
                 .input("l", Value::Kind::list)
                 .foreach ("e", {.items = "l", .variable = "i", .item_key = "i"}, [](Body& b) {
                   b.step("left", "credit@1").undo({.skip = true});
                   b.step("undone", "book@1").step("pure", "look@1").step("effect", "credit@1");
                 }));
  const auto middle =
      pipeline("middle").call("d", "deep", {{"l", "{1}"}}).compile(works.registry, &works.catalog);
  works.catalog.add(middle.value()).value();
  CHECK(mistakes(backward().call("c", "middle"), works) ==
        Mistakes{
            "no-undo: step \"c/d/effect\": credit@1 cannot be undone, and the pipeline recovers backward"});
}

TEST_CASE("what a called pipeline without a result gives is null, and must be handled") {
  Works works;
  works.plan(pipeline("callee").step("a", "book@1"));
  const auto calls = [&](const std::string& amount) {
    return pipeline("caller").call("c", "callee").step("b", "book@1", {{"amount", amount}});
  };
  CHECK(mistakes(calls("steps.c.amount"), works) ==
        Mistakes{"nullable: amount \"steps.c.amount\": what has \"amount\" may be null here; write ?. and "
                 "give a default with ?: (at byte 8)"});
  CHECK(mistakes(calls("steps.c?.amount ?: 1"), works).empty());
}

TEST_CASE("what a called pipeline gives has the kinds of its results, and is null where it may give none") {
  Works works;
  const auto one = [](const char* value) {
    return [value](Body& b) { b.result(value, value[0] == '\'' ? "r-text" : std::string("r-") + value); };
  };
  const auto of = [&](PipelineBuilder callee) {
    Works fresh;
    fresh.plan(callee.input("flag", Value::Kind::boolean));
    const auto all =
        mistakes(pipeline("caller").call("c", "callee", {{"flag", "true"}}).set("x", "steps.c + 1"), fresh);
    return all.empty() ? std::string() : all[0].substr(0, all[0].find(':'));
  };
  const auto callee = [] { return pipeline("callee"); };
  const auto nothing = [](Body& b) { b.step("a", "book@1"); };
  const auto fails = [](Body& b) { b.fail("f", "no"); };
  CHECK(of(callee().result("1")).empty());
  CHECK(of(callee().result("true")) == "wrong-kind");
  CHECK(of(callee().result("1").when("flag")) == "nullable");
  CHECK(of(callee().result("1").when("flag").result("2", "r-2")).empty());
  CHECK(of(callee().choose("w", when("flag", one("1")), otherwise(one("2")))).empty());
  CHECK(of(callee().choose("w", when("flag", one("1")), otherwise(fails))).empty());
  CHECK(of(callee().choose("w", when("flag", one("1")), otherwise(nothing))) == "nullable");
  CHECK(of(callee().choose("w", when("flag", one("1")))) == "nullable");
  CHECK(of(callee().parallel("p", Join::all, [&](Branches& b) { nothing(b), one("1")(b); })).empty());
  CHECK(of(callee().parallel("p", Join::any, [&](Branches& b) { nothing(b), one("1")(b); })) == "nullable");
  CHECK(of(callee().attempt("t", one("1"), {})).empty());
  CHECK(of(callee().attempt("t", one("1"), {on_error("x", nothing)})) == "nullable");
  CHECK(of(callee().attempt("t", one("1"), {on_error("x", one("2"))})).empty());
  CHECK(of(callee().attempt("t", nothing, {on_error("x", fails)}, one("1"))).empty());
  CHECK(of(callee().foreach ("e", {.items = "{1}", .variable = "i", .item_key = "i"}, one("1"))) ==
        "nullable");
}

TEST_CASE("the payload of a signal may be null, and must be handled") {
  const Works works;
  const auto awaits = [&](const std::string& amount) {
    return pipeline("p").await("c", "go").step("b", "book@1", {{"amount", amount}});
  };
  CHECK(mistakes(awaits("steps.c.amount"), works).size() == 1);
  CHECK(mistakes(awaits("steps.c + 1"), works).size() == 1);
  CHECK(mistakes(awaits("steps.c?.amount"), works).empty());
  CHECK(mistakes(awaits("(steps.c ?: 0) + 1"), works).empty());
  CHECK(mistakes(awaits("steps.c.amount").when("steps.c != null"), works).empty());
}

TEST_CASE("what a called pipeline says of its runs must be said by its caller too") {
  const auto of = [](PipelineBuilder callee, PipelineBuilder caller) {
    Works works;
    works.plan(callee.input("user", Value::Kind::string).step("a", "book@1"));
    return mistakes(caller.input("user", Value::Kind::string).call("c", "callee", {{"user", "user"}}), works);
  };
  const auto callee = [] { return pipeline("callee"); };
  const auto caller = [] { return pipeline("caller"); };
  const auto unheeded = [](const std::string& what) {
    return Mistakes{"unheeded: the call \"c\" does not heed the " + what + " of \"callee\""};
  };
  CHECK(of(callee().key("#{user}"), caller()).empty());
  CHECK(of(callee().deadline(10s), caller()) == unheeded("deadline"));
  CHECK(of(callee().deadline(10s), caller().deadline(11s)) == unheeded("deadline"));
  CHECK(of(callee().deadline(10s), caller().deadline(10s)).empty());
  CHECK(of(callee().recover(Recover::backward), caller()) == unheeded("recover"));
  CHECK(of(callee().recover(Recover::backward), backward()).empty());
  CHECK(of(callee().serial_by("user"), caller()) == unheeded("serial-by"));
  CHECK(of(callee().serial_by("user"), caller().serial_by("user")).empty());
  CHECK(of(callee().priority(3), caller().priority(2)) == unheeded("priority"));
  CHECK(of(callee().priority(3), caller().priority(3)).empty());
}
