// The steps of examples/02_pipeline.cpp, every call made twice: the program itself, under another name.
#define main example_main
#include "02_pipeline.cpp"
#undef main

#include <onceward/testing/faulty_steps.hpp>

#include "support/catch.hpp"

namespace {

/// What the example's service has after one run; its tokens are those of the run, so they compare.
std::map<std::string, std::string> books(bool twice) {
  effects.clear();
  StepRegistry registry;
  registry.add(std::make_unique<GrantPoints>()).value();
  registry.add(std::make_unique<GrantCoupon>()).value();
  testing::RepeatedSteps repeated(registry);
  const auto plan = pipeline("task-reward")
                        .input("user", Value::Kind::string)
                        .step("points", "grant-points@1", {{"user", "user"}, {"amount", "600"}})
                        .step("coupon", "grant-coupon@1", {{"user", "user"}, {"code", "'GOLD10'"}})
                        .compile(twice ? repeated.registry() : registry)
                        .value();
  PlanCatalog catalog;
  catalog.add(plan).value();
  const auto storage = open_storage("memory:").value();
  Runner runner(*storage, catalog);
  auto run = runner.start(plan, "gifts/user/ann", "k", Map{{"user", "ann"}}).value();
  while (run.state == RunState::running) {
    std::this_thread::sleep_for(runner.work().value().next_in.value_or(0ms));
    run = *runner.find("task-reward", run.partition, run.key).value();
  }
  CHECK(run.state == RunState::succeeded);
  CHECK(repeated.repeated() == (twice ? 2U : 0U));
  CHECK(repeated.differences().empty());
  return effects;
}

}  // namespace

TEST_CASE("the pipeline example's steps made twice leave its service as one pass does [pipeline-14]") {
  const auto once = books(false);
  CHECK(once.size() == 2);
  CHECK(books(true) == once);
}
