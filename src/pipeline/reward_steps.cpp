#include <onceward/pipeline/reward_steps.hpp>

namespace onceward {
namespace {

class RewardStep final : public Step {
 public:
  RewardStep(RewardService& service, RewardOrder::Kind kind) : service_(service), kind_(kind) {}

  [[nodiscard]] StepSpec spec() const override {
    const bool coupon = kind_ == RewardOrder::Kind::coupon;
    StepSpec spec{.name = "grant-" + std::string(to_string(kind_)) + "@1",
                  .arguments = {{"user", Value::Kind::string}},
                  .results = {{"id", Value::Kind::string}},
                  .undo = true};
    spec.arguments.push_back(coupon ? StepField{"code", Value::Kind::string}
                                    : StepField{"amount", Value::Kind::integer});
    if (!coupon) spec.results.push_back({"balance", Value::Kind::integer});
    return spec;
  }
  StepOutcome run(StepContext& step) override {
    const auto order = order_of(step, step.token());
    if (kind_ != RewardOrder::Kind::coupon && order.amount < 1)
      return Reject{"invalid_argument", "the amount of a reward is 1 at least"};
    const auto receipt = service_.grant(order);
    if (!receipt) return outcome_of(receipt.error());
    return Done{result_of(*receipt)};
  }
  StepOutcome undo(StepContext& step) override {
    const auto taken = service_.take_back(order_of(step, step.done_token()), step.token());
    if (!taken) return outcome_of(taken.error());
    return Done{};
  }
  Verification verify(StepContext& step) override {
    const auto found = service_.find(order_of(step, step.token()));
    if (!found) return Unknown{describe(found.error())};
    if (!*found) return NotDone{};
    return Done{result_of(**found)};
  }

 private:
  [[nodiscard]] RewardOrder order_of(const StepContext& step, std::string_view token) const {
    RewardOrder order{.kind = kind_, .token = std::string(token), .user = step.arg<std::string>("user")};
    if (kind_ == RewardOrder::Kind::coupon)
      order.code = step.arg<std::string>("code");
    else
      order.amount = step.arg<std::int64_t>("amount");
    order.run = step.run_key();
    order.path = step.step_id();
    order.attempt = step.attempt();
    return order;
  }
  [[nodiscard]] Value result_of(const RewardReceipt& receipt) const {
    Map result{{"id", receipt.id}};
    if (kind_ != RewardOrder::Kind::coupon) result.set("balance", receipt.balance);
    return result;
  }
  static StepOutcome outcome_of(const Error& error) {
    const std::string code(to_string(error.code));
    switch (retry_advice(error.code)) {
      case RetryAdvice::retry: return Retry{error.message, {}, code};
      case RetryAdvice::read_back: return Unknown{error.message};
      case RetryAdvice::give_up: break;
    }
    return Reject{code, error.message};
  }

  RewardService& service_;
  RewardOrder::Kind kind_;
};

}  // namespace

std::string_view to_string(RewardOrder::Kind kind) noexcept {
  switch (kind) {
    case RewardOrder::Kind::points: return "points";
    case RewardOrder::Kind::growth: return "growth";
    case RewardOrder::Kind::coupon: return "coupon";
  }
  return "unknown";
}

Result<void> RewardService::take_back(const RewardOrder&, std::string_view) {
  return fail(ErrorCode::wrong_state, "this service takes no reward back");
}

Result<std::optional<RewardReceipt>> RewardService::find(const RewardOrder&) {
  return fail(ErrorCode::in_doubt, "this service cannot tell whether a reward was granted");
}

Result<void> add_reward_steps(StepRegistry& registry, RewardService& service) {
  for (const auto kind : {RewardOrder::Kind::points, RewardOrder::Kind::growth, RewardOrder::Kind::coupon}) {
    if (auto added = registry.add(std::make_unique<RewardStep>(service, kind)); !added) return added;
  }
  return {};
}

}  // namespace onceward
