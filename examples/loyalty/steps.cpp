#include "steps.hpp"

#include <onceward/task/event.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace loyalty {
namespace {

using onceward::Done;
using onceward::Map;
using onceward::Reject;
using onceward::Result;
using onceward::Retry;
using onceward::Step;
using onceward::StepContext;
using onceward::StepOutcome;
using onceward::StepSpec;
using onceward::Value;

using ValueOf = std::string (*)(const StepContext& step);

/// A step that has one service act on a grant: its effect is named by the step's token and the grant of the
/// run, and `value_of` makes the value the ledger shows of the arguments.
class IssueStep final : public Step {
 public:
  IssueStep(Business* business, StepSpec spec, ValueOf value_of)
      : business_(business), spec_(std::move(spec)), value_of_(value_of) {}

  [[nodiscard]] StepSpec spec() const override { return spec_; }

  StepOutcome run(StepContext& step) override {
    StepOutcome outcome;
    run_many({&step, 1}, {&outcome, 1});
    return outcome;
  }

  void run_many(std::span<StepContext> steps, std::span<StepOutcome> outcomes) override {
    std::vector<Effect> effects;
    std::vector<std::size_t> places;
    effects.reserve(steps.size());
    places.reserve(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      auto grant = onceward::parse_run_key(steps[i].run_key());
      if (!grant) {
        outcomes[i] = Reject{"no-grant", "the run is not the reward of a task"};
        continue;
      }
      effects.push_back({std::string(steps[i].token()), steps[i].arg<std::string>("user"),
                         std::move(grant->task), std::move(grant->cycle), grant->stage,
                         std::string(steps[i].step_id()), value_of_(steps[i])});
      places.push_back(i);
    }
    if (business_ == nullptr) {
      for (const auto place : places)
        outcomes[place] = Reject{"no-service", "this step only checks campaigns"};
      return;
    }
    const auto answers = business_->apply_many(effects);
    for (std::size_t i = 0; i < answers.size(); ++i) outcomes[places[i]] = outcome_of(answers[i], effects[i]);
  }

 private:
  static StepOutcome outcome_of(const Result<bool>& answer, const Effect& effect) {
    if (answer) return Done{Map{{"value", effect.value}}};
    const auto& error = answer.error();
    if (error.code == onceward::ErrorCode::conflict) return Reject{"token-conflict", error.message};
    return Retry{error.message, {}};
  }

  Business* business_;
  StepSpec spec_;
  ValueOf value_of_;
};

StepSpec spec_of(std::string name, std::string argument, Value::Kind kind) {
  return {.name = std::move(name),
          .arguments = {{"user", Value::Kind::string}, {std::move(argument), kind}},
          .results = {{"value", Value::Kind::string}}};
}

Result<void> add_both(onceward::StepRegistry& registry, Business* business) {
  auto points = std::make_unique<IssueStep>(
      business, spec_of("grant-points@1", "amount", Value::Kind::integer),
      [](const StepContext& step) { return std::to_string(step.arg<std::int64_t>("amount")); });
  if (auto added = registry.add(std::move(points)); !added) return added;
  return registry.add(
      std::make_unique<IssueStep>(business, spec_of("grant-coupon@1", "code", Value::Kind::string),
                                  [](const StepContext& step) { return step.arg<std::string>("code"); }));
}

}  // namespace

Result<void> add_steps(onceward::StepRegistry& registry, Business& business) {
  return add_both(registry, &business);
}

Result<void> add_step_specs(onceward::StepRegistry& registry) { return add_both(registry, nullptr); }

}  // namespace loyalty
