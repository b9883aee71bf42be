#include "steps.hpp"

#include <onceward/task/event.hpp>

#include <memory>
#include <utility>

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

/// Sends one effect downstream, named by the step's token and its grant; `value` is what the ledger shows.
StepOutcome issue(Business* business, const StepContext& step, std::string value) {
  if (business == nullptr) return Reject{"no-service", "this registry only checks campaigns"};
  auto grant = onceward::parse_run_key(step.run_key());
  if (!grant) return Reject{"no-grant", "the run is not the reward of a task"};
  const Effect effect{std::string(step.token()),
                      step.arg<std::string>("user"),
                      std::move(grant->task),
                      std::move(grant->cycle),
                      grant->stage,
                      std::string(step.step_id()),
                      std::move(value)};
  const auto applied = business->apply(effect);
  if (applied) return Done{Map{{"value", effect.value}}};
  const auto& error = applied.error();
  if (onceward::retry_advice(error.code) == onceward::RetryAdvice::give_up) {
    return Reject{std::string(onceward::to_string(error.code)), error.message};
  }
  return Retry{error.message, {}};
}

class GrantPoints final : public Step {
 public:
  explicit GrantPoints(Business* business) noexcept : business_(business) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}},
            .results = {{"value", Value::Kind::string}}};
  }
  StepOutcome run(StepContext& step) override {
    return issue(business_, step, std::to_string(step.arg<std::int64_t>("amount")));
  }

 private:
  Business* business_;
};

class GrantCoupon final : public Step {
 public:
  explicit GrantCoupon(Business* business) noexcept : business_(business) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-coupon@1",
            .arguments = {{"user", Value::Kind::string}, {"code", Value::Kind::string}},
            .results = {{"value", Value::Kind::string}}};
  }
  StepOutcome run(StepContext& step) override {
    return issue(business_, step, step.arg<std::string>("code"));
  }

 private:
  Business* business_;
};

Result<void> add_both(onceward::StepRegistry& registry, Business* business) {
  if (auto added = registry.add(std::make_unique<GrantPoints>(business)); !added) return added;
  return registry.add(std::make_unique<GrantCoupon>(business));
}

}  // namespace

Result<void> add_steps(onceward::StepRegistry& registry, Business& business) {
  return add_both(registry, &business);
}

Result<void> add_step_specs(onceward::StepRegistry& registry) { return add_both(registry, nullptr); }

}  // namespace loyalty
