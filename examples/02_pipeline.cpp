// A reward of two steps. The coupon service fails twice; the points are granted once all the same.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/open.hpp>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

/// Stands for a remote service that knows tokens: a second call with one has no second effect.
std::map<std::string, std::string> effects;

class GrantPoints : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override {
    const auto text =
        step.arg<std::string>("user") + " gets " + std::to_string(step.arg<int>("amount")) + " points";
    effects.emplace(step.token(), text);
    return Done{Map{{"text", text}}};
  }
};

class GrantCoupon : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-coupon@1",
            .arguments = {{"user", Value::Kind::string}, {"code", Value::Kind::string}}};
  }
  StepOutcome run(StepContext& step) override {
    std::printf("  coupon service, attempt %d\n", step.attempt());
    if (step.attempt() < 3) return Retry{"the coupon service is busy", 50ms};
    effects.emplace(step.token(),
                    step.arg<std::string>("user") + " gets the coupon " + step.arg<std::string>("code"));
    return Done{};
  }
};

int main(int argc, char** argv) {
  auto storage = open_storage(argc > 1 ? argv[1] : "memory:");
  if (!storage) {
    std::fprintf(stderr, "02_pipeline: %s\n", describe(storage.error()).c_str());
    return 2;
  }
  StepRegistry registry;
  registry.add(std::make_unique<GrantPoints>()).value();
  registry.add(std::make_unique<GrantCoupon>()).value();

  const Plan plan = pipeline("task-reward")
                        .input("user", Value::Kind::string)
                        .input("points", Value::Kind::integer)
                        .input("coupon", Value::Kind::string, false)
                        .step("points", "grant-points@1", {{"user", "user"}, {"amount", "points"}})
                        .step("coupon", "grant-coupon@1", {{"user", "user"}, {"code", "coupon"}})
                        .when("coupon != null")
                        .compile(registry)
                        .value();
  std::printf("%s\n", to_xml(plan.definition()).c_str());

  PlanCatalog catalog;
  catalog.add(plan).value();
  Runner runner(**storage, catalog);
  const Value input = Map{{"user", "ann"}, {"points", 600}, {"coupon", "GOLD10"}};
  auto run = runner.start(plan, "gifts-uk/user/ann", "spend/M:2024-03/2", input).value();
  while (run.state == RunState::running) {
    std::printf("  %s; again when its time has come\n", run.reason.c_str());
    std::this_thread::sleep_for(runner.work().value().next_in.value_or(0ms));
    run = *runner.find("task-reward", run.partition, run.key).value();
  }
  runner.start(plan, run.partition, run.key, input)
      .value();  // started again: the run as it stands, and no effect

  std::printf("the run has %s; effects:\n", std::string(to_string(run.state)).c_str());
  for (const auto& [token, text] : effects) std::printf("  %s  %s\n", token.c_str(), text.c_str());
  return run.state == RunState::succeeded && effects.size() == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
