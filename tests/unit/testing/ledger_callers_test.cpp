// What the ledger is for: a guard and a pipeline whose downstream loses replies have one effect all the same.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/ledger.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace std::chrono_literals;
using testing::Ledger;
using Fault = Ledger::Fault;

namespace {

struct GrantRequest {
  std::string grant;
  std::string user;
  std::int64_t points = 0;
};

/// A step that credits the ledger under its token, as docs/pipelines.md asks for.
class CreditPoints final : public Step {
 public:
  explicit CreditPoints(Ledger& ledger) : ledger_(ledger) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "credit-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override {
    const auto receipt =
        ledger_.credit(step.token(), step.arg<std::string>("user"), step.arg<std::int64_t>("amount"));
    if (receipt) return Done{Map{{"balance", receipt->balance}}};
    switch (retry_advice(receipt.error().code)) {
      case RetryAdvice::retry: return Retry{receipt.error().message};
      case RetryAdvice::read_back: return Unknown{receipt.error().message};
      case RetryAdvice::give_up: break;
    }
    return Reject{std::string(to_string(receipt.error().code)), receipt.error().message};
  }

 private:
  Ledger& ledger_;
};

}  // namespace

TEST_CASE("a guarded call whose downstream loses replies is repeated and has one effect") {
  const auto storage = open_memory().value();
  Ledger ledger;
  const auto grant = idempotent<GrantRequest>(
      *storage, "#{grant}", {.operation = "points.grant"},
      [&](const GrantRequest& it) { return ledger.credit(it.grant, it.user, it.points); });
  ledger.fail_next(Fault::before);
  ledger.fail_next(Fault::after, 2);
  const GrantRequest request{"g1", "ann", 50};
  for (const auto code : {ErrorCode::unavailable, ErrorCode::in_doubt, ErrorCode::in_doubt}) {
    const auto outcome = grant(request);
    CHECK_FALSE(outcome.has_value());
    CHECK(outcome.error()->code == code);
  }
  const auto outcome = grant(request);
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(outcome.attempt() == 4);
  CHECK(outcome.value().balance == 50);
  const auto again = grant(request);
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.value() == outcome.value());
  CHECK(ledger.calls() == 4);
  CHECK(ledger.effects().size() == 1);
  CHECK(ledger.balance("ann") == 50);
}

TEST_CASE("a run whose downstream loses replies goes on to its end and has one effect") {
  testing::FakeClock clock;
  const auto storage = open_memory({.clock = &clock}).value();
  Ledger ledger;
  StepRegistry registry;
  registry.add(std::make_unique<CreditPoints>(ledger)).value();
  const auto plan = pipeline("reward")
                        .input("user", Value::Kind::string)
                        .step("points", "credit-points@1", {{"user", "user"}, {"amount", "50"}})
                        .retry({.attempts = 10})
                        .compile(registry)
                        .value();
  PlanCatalog catalog;
  catalog.add(plan).value();
  Runner runner(*storage, catalog);
  ledger.fail_next(Fault::after);
  ledger.fail_next(Fault::before, 2);
  ledger.fail_next(Fault::after);
  auto run = runner.start(plan, "shop/user/ann", "k", Map{{"user", "ann"}}).value();
  for (int round = 0; run.state == RunState::running && round < 10; ++round) {
    clock.advance(5min);
    runner.work().value();
    run = *runner.find("reward", run.partition, run.key).value();
  }
  CHECK(run.state == RunState::succeeded);
  REQUIRE(run.steps.size() == 1);
  CHECK(run.steps[0].result == Value(Map{{"balance", 50}}));
  CHECK(ledger.calls() == 5);
  REQUIRE(ledger.effects().size() == 1);
  CHECK(ledger.effects()[0].token == step_token("onceward", "reward", "shop/user/ann", "k", "points"));
  CHECK(ledger.balance("ann") == 50);
}
