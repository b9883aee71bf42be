// The fragments of docs/pipelines.md.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/ledger.hpp>

/// Stands for the service behind the step.
class PointsService {
 public:
  std::int64_t credit(std::string_view token, const std::string& user, int amount) {
    return ledger_.credit(token, user, amount).value().balance;
  }
  [[nodiscard]] std::size_t effects() const { return ledger_.effects().size(); }

 private:
  onceward::testing::Ledger ledger_;
};

#include "pipeline_step.inc"

class SendMail : public Step {
 public:
  StepSpec spec() const override {
    return {.name = "send-mail@1", .arguments = {{"user", Value::Kind::string}}};
  }
  StepOutcome run(StepContext&) override { return Done{}; }
};

int main() {
  PointsService points;
  const auto storage = open_memory().value();
#include "pipeline_plan.inc"
#include "pipeline_run.inc"
  return run.state == RunState::succeeded && run.steps.size() == 2 && points.effects() == 1 ? 0 : 1;
}
