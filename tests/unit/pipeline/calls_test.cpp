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
