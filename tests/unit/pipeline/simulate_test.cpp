#include <onceward/pipeline/simulate.hpp>

#include "bench.hpp"

#include "support/catch.hpp"

#include <algorithm>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// A registry whose steps must not be called.
struct Untouched {
  StepRegistry registry;
  PlanCatalog catalog;

  Untouched() {
    class Forbidden final : public Step {
     public:
      [[nodiscard]] StepSpec spec() const override {
        return {.name = "pay@1",
                .arguments = {{"amount", Value::Kind::integer}},
                .results = {{"balance", Value::Kind::integer}, {"id", Value::Kind::string}},
                .undo = true};
      }
      StepOutcome run(StepContext&) override { throw std::logic_error("a simulation calls no step"); }
      StepOutcome undo(StepContext&) override { throw std::logic_error("a simulation calls no step"); }
    };
    registry.add(std::make_unique<Forbidden>()).value();
  }
  Plan plan(const PipelineBuilder& builder) const { return builder.compile(registry, &catalog).value(); }
};

std::vector<std::string> calls_of(const Simulation& simulation) {
  std::vector<std::string> calls;
  for (const auto& call : simulation.calls) calls.push_back((call.undo ? "undo " : "") + call.path);
  return calls;
}
bool came_by(const Simulation& simulation, const std::string& line) {
  return std::find(simulation.path.begin(), simulation.path.end(), line) != simulation.path.end();
}

using Paths = std::vector<std::string>;

}  // namespace

TEST_CASE(
    "a simulation calls no step, shows the tokens a runner would send, and takes stubs from the schema") {
  const Untouched untouched;
  const auto plan = untouched.plan(pipeline("r")
                                       .input("n", Value::Kind::integer)
                                       .step("a", "pay@1", {{"amount", "n"}})
                                       .step("b", "pay@1", {{"amount", "steps.a.balance + 5"}})
                                       .result("steps.b.id"));
  const auto simulation = simulate(plan, Map{{"n", 3}}, {.partition = "shop", .key = "k7"}).value();
  CHECK(simulation.end == SimulationEnd::ended);
  CHECK(simulation.run.state == RunState::succeeded);
  CHECK(simulation.run.result == Value("id"));
  CHECK(calls_of(simulation) == Paths{"a", "b"});
  CHECK(simulation.calls[0].token == step_token("onceward", "r", "shop", "k7", "a"));
  CHECK(simulation.calls[1].arguments == Value(Map{{"amount", 5}}));
  CHECK(simulation.took == 0s);
  CHECK_FALSE(simulate(plan, Map()));
}

TEST_CASE("a simulation goes the way of its stubs: retries in virtual time, a branch, an undo") {
  const Untouched untouched;
  auto builder = pipeline("r").recover(Recover::backward).input("vip", Value::Kind::boolean);
  builder.step("a", "pay@1", {{"amount", "1"}})
      .retry({.attempts = 5, .first = 10s, .factor = 2, .jitter = false});
  builder.choose("which",
                 when("vip",
                      [](Body& b) {
                        b.step("gold", "pay@1", {{"amount", "2"}});
                      }),
                 otherwise([](Body& b) {
                   b.step("plain", "pay@1", {{"amount", "3"}});
                 }));
  builder.step("end", "pay@1", {{"amount", "4"}});
  const auto plan = untouched.plan(builder);
  SimulationOptions options;
  options.steps["a"] = [](StepContext& step) -> StepOutcome {
    if (step.attempt() < 3) return Retry{"busy"};
    return Done{Map{{"balance", 1}, {"id", "x"}}};
  };
  options.steps["end"] = [](StepContext&) -> StepOutcome { return Reject{"closed", "no account"}; };
  options.undos["a"] = [](StepContext& step) -> StepOutcome {
    CHECK(*step.result() == Value(Map{{"balance", 1}, {"id", "x"}}));
    return Done{};
  };
  const auto simulation = simulate(plan, Map{{"vip", true}}, options).value();
  CHECK(simulation.run.state == RunState::failed);
  CHECK(simulation.run.reason == "closed: no account");
  CHECK(calls_of(simulation) == Paths{"a", "a", "a", "gold", "end", "undo gold", "undo a"});
  CHECK(simulation.took == 30s);
  CHECK(simulation.calls[2].at == 30s);
  CHECK(came_by(simulation, "which: done, branch 0"));
  CHECK(came_by(simulation, "end: failed: closed: no account"));
  const auto text = to_text(simulation);
  CHECK(text.find("reject: closed: no account") != std::string::npos);
  CHECK(text.find("ended after 30.000s: failed, closed: no account") != std::string::npos);
}

TEST_CASE("a simulation waits for timers and signals at once, and says what it would wait for") {
  const Untouched untouched;
  const auto plan = untouched.plan(pipeline("r")
                                       .wait("day", 24h)
                                       .await("paid", "paid", 48h)
                                       .step("a", "pay@1", {{"amount", "steps.paid ?: 0"}}));
  const auto told = simulate(plan, Map(), {.signals = {{"paid", 7, 30h}}}).value();
  CHECK(told.run.state == RunState::succeeded);
  CHECK(told.took == 30h);
  CHECK(told.calls[0].arguments == Value(Map{{"amount", 7}}));
  const auto early = simulate(plan, Map(), {.signals = {{"paid", 7, 1h}}}).value();
  CHECK(early.took == 24h);
  const auto late = simulate(plan, Map()).value();
  CHECK(late.run.state == RunState::failed);
  CHECK(late.took == 72h);
  const auto endless = untouched.plan(pipeline("w").await("paid", "paid"));
  const auto waits = simulate(endless, Map()).value();
  CHECK(waits.end == SimulationEnd::waits);
  CHECK(waits.run.awaits == Paths{"paid"});
  CHECK(simulate(plan, Map(), {.longest = 1h}).value().end == SimulationEnd::too_long);
}

TEST_CASE("a simulation is bounded, whatever its stubs do") {
  const Untouched untouched;
  const auto plan = untouched.plan(pipeline("r").step("a", "pay@1", {{"amount", "1"}}));
  SimulationOptions options{.most_calls = 500};
  options.steps["pay@1"] = [](StepContext&) -> StepOutcome { return Park{Duration::zero()}; };
  const auto parked = simulate(plan, Map(), options).value();
  CHECK(parked.end == SimulationEnd::too_many);
  CHECK(parked.calls.size() == 500);
  options.most_calls = 1'000'000'000;
  options.patience = 20ms;
  CHECK(simulate(plan, Map(), options).value().end == SimulationEnd::impatient);
  options.patience = 10s;
  options.steps["pay@1"] = [](StepContext&) -> StepOutcome { throw std::runtime_error("broken"); };
  const auto thrown = simulate(plan, Map(), options).value();
  CHECK(thrown.run.state == RunState::needs_attention);
  CHECK(thrown.calls.size() == 20);
}

TEST_CASE("a simulation comes to what a runner comes to") {
  Bench bench;
  std::map<std::string, int> seen;
  const auto answer = [](int call) -> StepOutcome {
    if (call == 1) return Unknown{"lost"};
    if (call == 2) return Retry{"busy", 3s};
    return Done{Map{{"amount", 9}}};
  };
  bench.add("often@1", [&](StepContext& step) { return answer(++seen[std::string(step.step_id())]); });
  const auto plan =
      bench.plan(pipeline("r")
                     .input("items", Value::Kind::list)
                     .foreach ("each", {.items = "items", .variable = "i", .item_key = "i", .concurrency = 2},
                               [](Body& b) { b.step("pay", "often@1").retry(steady(5)); })
                     .step("end", "credit@1", {{"amount", "steps.each.count"}}));
  const Value input = Map{{"items", List{"a", "b", "c"}}};
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto begun = bench.clock.now();
  auto view = runner.start(plan, "p", "k", input).value();
  while (view.state == RunState::running) {
    bench.clock.set(*view.due);
    runner.work().value();
    view = runner.find("r", "p", "k").value().value();
  }
  std::map<std::string, int> again;
  SimulationOptions options{.partition = "p", .key = "k"};
  options.steps["often@1"] = [&](StepContext& step) { return answer(++again[std::string(step.step_id())]); };
  options.steps["credit@1"] = [](StepContext& step) { return Done{step.arguments()}; };
  const auto simulation = simulate(plan, input, options).value();
  CHECK(simulation.run.state == view.state);
  REQUIRE(simulation.run.steps.size() == view.steps.size());
  for (std::size_t i = 0; i < view.steps.size(); ++i) {
    CHECK(simulation.run.steps[i].id == view.steps[i].id);
    CHECK(simulation.run.steps[i].result == view.steps[i].result);
  }
  CHECK(simulation.took == bench.clock.now() - begun);
  CHECK(again == seen);
}
