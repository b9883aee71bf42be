#include <onceward/pipeline/timeline.hpp>

#include "bench.hpp"

#include "support/catch.hpp"

#include <algorithm>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// Steps that reject when they are told to, and can be undone.
struct Shop : Bench {
  bool open = true;

  Shop() {
    class Pay final : public Step {
     public:
      explicit Pay(Shop& shop) : shop_(shop) {}
      [[nodiscard]] StepSpec spec() const override { return {.name = "pay@1", .undo = true}; }
      StepOutcome run(StepContext& step) override {
        if (!shop_.open && step.step_id() == "last") return Reject{"closed", "no \"account\"\n\x1b[31m"};
        shop_.clock.advance(2s);
        return Done{Map{{"n", 1}}};
      }
      StepOutcome undo(StepContext&) override {
        shop_.clock.advance(1s);
        return Done{};
      }

     private:
      Shop& shop_;
    };
    registry.add(std::make_unique<Pay>(*this)).value();
  }
  std::vector<TimelineEntry> entries(const std::string& pipeline) {
    return timeline(storage, {pipeline, "p", "k"}).value().entries;
  }
};

std::string line(const TimelineEntry& entry) { return entry.what + " " + entry.path; }
std::vector<std::string> lines(const std::vector<TimelineEntry>& entries) {
  std::vector<std::string> all;
  for (const auto& entry : entries) all.push_back(line(entry));
  return all;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a timeline tells when each step began and ended, and the run's end") {
  Shop shop;
  const auto plan = shop.plan(
      pipeline("r").step("a", "pay@1").step("b", "pay@1").when("1 > 2").wait("pause", 1h).step("c", "pay@1"));
  Runner runner(shop.storage, shop.catalog, shop.options);
  const auto start = shop.clock.now();
  runner.start(plan, "p", "k", Map()).value();
  auto entries = shop.entries("r");
  CHECK(lines(entries) == Lines{"started ", "begun a", "done a", "skipped b", "now pause"});
  CHECK(entries[2].at == start + 2s);
  CHECK(entries[4].detail.find("waits until ") == 0);
  shop.clock.advance(1h);
  runner.work().value();
  entries = shop.entries("r");
  CHECK(lines(entries) ==
        Lines{"started ", "begun a", "done a", "skipped b", "done pause", "begun c", "done c", "succeeded "});
  CHECK(entries[0].at == start);
  CHECK(entries[1].at == start);
  CHECK(entries[4].at == start + 1h + 2s);
  CHECK(entries[5].at == start + 1h + 2s);
  CHECK(entries[6].at == start + 1h + 4s);
  CHECK(entries[7].at == start + 1h + 4s);
  CHECK(entries[6].detail == "{\"n\":1}");
}

TEST_CASE("a timeline tells what was undone, and what operators did") {
  Shop shop;
  shop.open = false;
  const auto plan =
      shop.plan(pipeline("r").recover(Recover::backward).step("a", "pay@1").step("last", "pay@1"));
  const auto forward = shop.plan(pipeline("f").step("a", "pay@1").step("last", "pay@1"));
  Runner runner(shop.storage, shop.catalog, shop.options);
  const auto start = shop.clock.now();
  runner.start(plan, "p", "k", Map()).value();
  auto entries = shop.entries("r");
  CHECK(lines(entries) ==
        Lines{"started ", "begun a", "done a", "begun last", "failed last", "undone a", "failed "});
  CHECK(entries[5].at == start + 3s);

  runner.start(forward, "p", "k", Map()).value();
  shop.open = true;
  shop.clock.advance(1min);
  runner.retry({"f", "p", "k"}, {"ann", "the account is open"}).value();
  runner.work().value();
  entries = shop.entries("f");
  CHECK(lines(entries) ==
        Lines{"started ", "begun a", "done a", "begun last", "retry ", "done last", "succeeded "});
  CHECK(entries[4].who == "ann");
  CHECK(entries[4].detail == "the account is open (failed -> running)");
  CHECK(entries[3].who == "worker");
  CHECK(timeline(shop.storage, {"f", "p", "none"}).error().code == ErrorCode::not_found);
}

TEST_CASE("the text of a timeline has one line for each entry, and no byte that a terminal acts on") {
  Shop shop;
  shop.open = false;
  const auto plan = shop.plan(pipeline("f").step("last", "pay@1"));
  Runner runner(shop.storage, shop.catalog, shop.options);
  runner.start(plan, "p", "k", Map()).value();
  const auto told = timeline(shop.storage, {"f", "p", "k"}).value();
  const auto text = to_text(told);
  CHECK(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == told.entries.size() + 2);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("closed: no \"account\"\\x0A\\x1B[31m") != std::string::npos);
  CHECK(text.find("2022-01-08T00:00:00.000Z  started") != std::string::npos);
}

TEST_CASE("a plan and its runs are drawn in DOT, with every text escaped") {
  Shop shop;
  auto inner = pipeline("inner");
  shop.plan(inner.step("in", "pay@1"));
  auto builder = pipeline("g").input("who", Value::Kind::string).input("items", Value::Kind::list);
  builder.step("a", "pay@1");
  builder.parallel("fan", Join::any, [](Branches& b) { b.step("b1", "pay@1").step("b2", "pay@1"); });
  builder.choose("which", when("who == \"x\\\\y\"", [](Body& b) { b.step("c", "pay@1"); }));
  builder.foreach ("each", {.items = "items", .variable = "i", .item_key = "i"},
                   [](Body& b) { b.step("d", "pay@1"); });
  builder.attempt(
      "try", [](Body& b) { b.step("e", "pay@1"); },
      {on_error("closed", [](Body& b) { b.step("f", "pay@1"); })}, [](Body& b) { b.step("g", "pay@1"); });
  builder.call("sub", "inner").wait("pause", 90s).await("go", "go").set("v", "1").result("v");
  builder.fail("stop", "asked").when("who == 'z'");
  const auto plan = builder.compile(shop.registry, &shop.catalog).value();
  shop.catalog.add(plan).value();
  const auto dot = to_dot(plan);
  CHECK(dot.starts_with("digraph plan {"));
  CHECK(dot.find("[label=\"a\\npay@1\", shape=box, fillcolor=white]") != std::string::npos);
  CHECK(dot.find("label=\"who == \\\"x\\\\\\\\y\\\"\"") != std::string::npos);
  for (const auto* label : {"parallel fan\\nany", "foreach each\\ni in items", "catch closed", "finally",
                            "call sub\\ninner", "wait pause\\n1m30s", "await go\\ngo", "fail stop\\nasked"})
    CHECK(dot.find(label) != std::string::npos);

  Runner runner(shop.storage, shop.catalog, shop.options);
  runner.start(plan, "p", "k", Map{{"who", "ann"}, {"items", List{"1", "2"}}}).value();
  const auto run = run_to_dot(shop.storage, shop.catalog, {"g", "p", "k"}).value();
  CHECK(run.find("label=\"a\\npay@1\\ndone\", shape=box, fillcolor=palegreen") != std::string::npos);
  CHECK(run.find("label=\"d\\npay@1\\n2 done\"") != std::string::npos);
  CHECK(run.find("label=\"c\\npay@1\\nnot begun\", shape=box, fillcolor=white") != std::string::npos);
  CHECK(run.find("pause\\n1m30s\\nwaits") != std::string::npos);
  const PlanCatalog empty;
  CHECK(run_to_dot(shop.storage, empty, {"g", "p", "k"}).error().code == ErrorCode::not_found);
}
