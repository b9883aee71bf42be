#include <onceward/pipeline/reward_steps.hpp>
#include <onceward/testing/faulty_steps.hpp>
#include <onceward/testing/ledger.hpp>

#include "bench.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;
using onceward::testing::Ledger;

namespace {

/// A service that knows tokens.
class Knowing final : public RewardService {
 public:
  explicit Knowing(Ledger& ledger) : ledger_(ledger) {}
  Result<RewardReceipt> grant(const RewardOrder& order) override {
    const auto amount = order.kind == RewardOrder::Kind::coupon ? 1 : order.amount;
    const auto receipt =
        ledger_.credit(order.token, std::string(to_string(order.kind)) + ":" + order.user, amount);
    if (!receipt) return fail(receipt.error());
    return RewardReceipt{receipt->id, receipt->balance};
  }
  Result<void> take_back(const RewardOrder& order, std::string_view undo_token) override {
    const auto receipt = ledger_.reverse(order.token, undo_token);
    if (!receipt) return fail(receipt.error());
    return {};
  }

 private:
  Ledger& ledger_;
};

/// A service that knows no tokens: every call has its effect. It fails as it is told, after the effect or
/// before.
class Plain final : public RewardService {
 public:
  enum class Way : std::uint8_t { fine, unavailable, lost, throws, refuses };
  std::vector<Way> next{};
  std::map<std::string, std::int64_t> balances{};
  bool can_find = false;
  int grants = 0, backs = 0;

  Result<RewardReceipt> grant(const RewardOrder& order) override {
    const auto way = take();
    if (way == Way::unavailable) return fail(ErrorCode::unavailable, "down");
    if (way == Way::refuses) return fail(ErrorCode::wrong_state, "the account is closed");
    ++grants;
    last_ = RewardReceipt{"g" + std::to_string(grants), balances[order.user] += order.amount};
    if (way == Way::lost) return fail(ErrorCode::in_doubt, "the reply is lost");
    if (way == Way::throws) throw std::runtime_error("cut");
    return last_;
  }
  Result<void> take_back(const RewardOrder& order, std::string_view) override {
    const auto way = take();
    if (way == Way::unavailable) return fail(ErrorCode::unavailable, "down");
    ++backs;
    balances[order.user] -= order.amount;
    if (way == Way::lost) return fail(ErrorCode::in_doubt, "the reply is lost");
    return {};
  }
  Result<std::optional<RewardReceipt>> find(const RewardOrder& order) override {
    if (!can_find) return RewardService::find(order);
    return grants == 0 ? std::nullopt : std::optional(last_);
  }

 private:
  Way take() {
    if (next.empty()) return Way::fine;
    const auto way = next.front();
    next.erase(next.begin());
    return way;
  }
  RewardReceipt last_{};
};

RewardOrder order_of(std::string token, std::int64_t amount = 5) {
  return {.token = std::move(token), .user = "ann", .amount = amount};
}
using Way = Plain::Way;

}  // namespace

TEST_CASE("the standard steps grant points, growth and coupons, once each when made twice [pipeline-14]") {
  for (const bool fails : {false, true}) {
    Bench bench;
    Ledger ledger;
    Knowing service(ledger);
    StepRegistry steps;
    add_reward_steps(steps, service).value();
    testing::RepeatedSteps repeated(steps);
    repeated.registry()
        .add(std::make_unique<FunctionStep>(StepSpec{.name = "stop@1", .effect = Effect::pure},
                                            [](StepContext&) {
                                              return Reject{"closed", ""};
                                            }))
        .value();
    auto builder = pipeline("reward").recover(Recover::backward).input("user", Value::Kind::string);
    builder.step("points", "grant-points@1", {{"user", "user"}, {"amount", "500"}})
        .step("growth", "grant-growth@1", {{"user", "user"}, {"amount", "steps.points.balance / 10"}})
        .step("coupon", "grant-coupon@1", {{"user", "user"}, {"code", "'GOLD' + string(steps.growth.balance)"}});
    if (fails) builder.step("stop", "stop@1");
    const auto plan = builder.compile(repeated.registry()).value();
    bench.catalog.add(plan).value();
    Runner runner(bench.storage, bench.catalog, bench.options);
    const auto view = runner.start(plan, "p", "k", Map{{"user", "ann"}}).value();
    CHECK(view.state == (fails ? RunState::failed : RunState::succeeded));
    CHECK(repeated.differences().empty());
    CHECK(ledger.balance("points:ann") == (fails ? 0 : 500));
    CHECK(ledger.balance("growth:ann") == (fails ? 0 : 50));
    CHECK(ledger.effects().size() == (fails ? 6U : 3U));
  }
}

TEST_CASE("a standard step tries again what may come, and rejects what never will") {
  Bench bench;
  Plain service;
  add_reward_steps(bench.registry, service).value();
  const auto plan = bench.plan(pipeline("reward")
                                   .input("n", Value::Kind::integer)
                                   .step("points", "grant-points@1", {{"user", "'ann'"}, {"amount", "n"}}));
  Runner runner(bench.storage, bench.catalog, bench.options);
  service.next = {Way::unavailable};
  CHECK(runner.start(plan, "p", "1", Map{{"n", 5}}).value().reason == "down");
  service.next = {Way::refuses};
  CHECK(runner.start(plan, "p", "2", Map{{"n", 5}}).value().reason == "wrong_state: the account is closed");
  CHECK(runner.start(plan, "p", "3", Map{{"n", 0}}).value().state == RunState::failed);
  service.next = {Way::lost};
  CHECK(runner.start(plan, "p", "4", Map{{"n", 5}}).value().reason.find("unknown: ") == 0);
}

TEST_CASE("behind guards a service that knows no tokens grants once for each") {
  Bench bench;
  Plain service;
  GuardedRewards guarded(bench.storage, service);
  const auto first = guarded.grant(order_of("t1")).value();
  CHECK(guarded.grant(order_of("t1")).value() == first);
  CHECK(guarded.grant(order_of("t1", 6)).error().code == ErrorCode::conflict);
  CHECK(guarded.grant(order_of("t2")).value().balance == 10);
  CHECK(service.grants == 2);
  CHECK(guarded.find(order_of("t1")).value() == first);
  CHECK_FALSE(guarded.find(order_of("t3")).value());

  service.next = {Way::unavailable};
  CHECK(guarded.grant(order_of("t3")).error().code == ErrorCode::unavailable);
  CHECK(guarded.grant(order_of("t3")).value().balance == 15);
  service.next = {Way::refuses};
  CHECK(guarded.grant(order_of("t4")).error().code == ErrorCode::wrong_state);
  CHECK(guarded.grant(order_of("t4")).error().code == ErrorCode::wrong_state);
  CHECK(service.grants == 3);
}

TEST_CASE("behind guards a reward in doubt is looked for, and never granted blindly") {
  for (const auto way : {Way::lost, Way::throws}) {
    for (const bool can_find : {false, true}) {
      Bench bench;
      Plain service;
      service.can_find = can_find;
      GuardedRewards guarded(bench.storage, service);
      service.next = {way};
      CHECK(guarded.grant(order_of("t1")).error().code == ErrorCode::in_doubt);
      const auto again = guarded.grant(order_of("t1"));
      CHECK(again.has_value() == can_find);
      if (can_find) CHECK(again->id == "g1");
      CHECK(service.grants == 1);
    }
  }
}

TEST_CASE("behind guards a grant whose process dies is looked for when its lease has passed") {
  Bench bench;
  Plain service;
  service.can_find = true;
  GuardedRewards guarded(bench.storage, service);
  // The effect takes place, and neither the completion nor the release reaches the storage.
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt, 100,
                           1);
  (void)guarded.grant(order_of("t1"));
  CHECK(service.grants == 1);
  bench.storage.heal();
  CHECK(guarded.grant(order_of("t1")).error().code == ErrorCode::unavailable);
  bench.clock.advance(31s);
  CHECK(guarded.grant(order_of("t1")).value().id == "g1");
  CHECK(service.grants == 1);
}

TEST_CASE("behind guards a reward is taken back once, and one that never was is not granted any more") {
  Bench bench;
  Plain service;
  service.can_find = true;
  GuardedRewards guarded(bench.storage, service);
  CHECK(guarded.take_back(order_of("early"), "u-early"));
  CHECK(guarded.grant(order_of("early")).error().code == ErrorCode::wrong_state);
  CHECK(service.grants == 0);
  CHECK(service.backs == 0);

  REQUIRE(guarded.grant(order_of("t1")));
  service.next = {Way::unavailable};
  CHECK(guarded.take_back(order_of("t1"), "u1").error().code == ErrorCode::unavailable);
  CHECK(guarded.take_back(order_of("t1"), "u1"));
  CHECK(guarded.take_back(order_of("t1"), "u1"));
  CHECK(service.backs == 1);
  CHECK(service.balances["ann"] == 0);

  REQUIRE(guarded.grant(order_of("t2")));
  service.next = {Way::lost};
  CHECK(guarded.take_back(order_of("t2"), "u2").error().code == ErrorCode::in_doubt);
  CHECK(guarded.take_back(order_of("t2"), "u2").error().code == ErrorCode::in_doubt);
  CHECK(service.backs == 2);
}
