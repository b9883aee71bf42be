// What a run's deadline does to what is under way, and what it leaves alone.
#include "works.hpp"

#include <onceward/pipeline/simulate.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

Plan slow_undo(Works& works) {
  return works.plan(pipeline("late")
                        .recover(Recover::backward)
                        .deadline(10s)
                        .step("a", "book@1")
                        .undo({.retry = {.attempts = 5, .first = 60s, .jitter = false}})
                        .step("b", "book@1"));
}

}  // namespace

TEST_CASE("an undo that waits for its next attempt past the deadline is looked at when that comes") {
  Works works;
  const auto plan = slow_undo(works);
  works.next["b"] = {Reject{"no", "no"}};
  works.next_undo["a"] = {Retry{"not now"}, Retry{"not now"}};
  works.start(plan);
  works.clock.advance(11s);
  Runner runner(works.storage, works.catalog, works.options);
  const auto before = works.commits();
  for (int i = 0; i < 50; ++i) runner.work().value();
  CHECK(works.commits() - before <= 2);
  CHECK(runner.find("late", "p", "k").value().value().due.value() > works.clock.now());
  works.later(plan, 1min);
  CHECK(works.later(plan, 2min).state == RunState::failed);
  CHECK(works.undone.size() == 3);
}

TEST_CASE("a simulation of an undo that waits past the deadline ends") {
  Works works;
  const auto plan = slow_undo(works);
  int asked = 0;
  SimulationOptions options;
  options.steps["b"] = [](StepContext&) -> StepOutcome { return Reject{"no", "no"}; };
  options.undos["a"] = [&](StepContext&) -> StepOutcome {
    return ++asked < 3 ? StepOutcome(Retry{"x"}) : Done{};
  };
  options.patience = 2s;
  CHECK(simulate(plan, Map(), options).value().end == SimulationEnd::ended);
}
