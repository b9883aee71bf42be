// The fragments of docs/pipeline-operations.md.
#include <onceward/pipeline/health.hpp>
#include <onceward/pipeline/replay_scheduler.hpp>
#include <onceward/pipeline/reward_steps.hpp>
#include <onceward/pipeline/simulate.hpp>
#include <onceward/pipeline/timeline.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_steps.hpp>
#include <onceward/testing/ledger.hpp>

#include <fstream>
#include <iostream>

#include "operations_service.inc"

using namespace onceward;

int main() {
  Shop shop;
  const auto storage = open_memory().value();
  StepRegistry registry;
  add_reward_steps(registry, shop).value();
  auto builder =
      pipeline("task-reward").input("user", Value::Kind::string).input("points", Value::Kind::integer);
  builder.step("points", "grant-points@1", {{"user", "user"}, {"amount", "points"}})
      .step("coupon", "grant-coupon@1", {{"user", "user"}, {"code", "'GOLD10'"}});
  const Plan plan = builder.compile(registry).value();
  PlanCatalog catalog;
  catalog.add(plan).value();
  Runner runner(*storage, catalog);
  shop.open = false;
  const Value input = Map{{"user", "ann"}, {"points", 600}};
  runner.start(plan, "gifts-uk/user/ann", "spend/M:2024-03/2", input).value();
#include "operations_timeline.inc"
#include "operations_graph.inc"
  shop.open = true;
#include "operations_redrive.inc"
  runner.work().value();
#include "operations_health.inc"
#include "operations_simulate.inc"
#include "operations_repeat.inc"
  PlanCatalog repeating;
  repeating.add(twice).value();
  const auto other = open_memory().value();
  Runner(*other, repeating).start(twice, "gifts-uk/user/bob", "k", input).value();
  const bool fine = life.state == RunState::failed && report.pushed == 1 && health.stuck == 0 &&
                    health.states.at(RunState::succeeded) == 1 && simulation.calls.size() == 4 &&
                    repeated.differences().empty() && shop.ledger.effects().size() == 4;
  return fine ? 0 : 1;
}
