#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_steps.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/ledger.hpp>

#include "support/catch.hpp"

#include <optional>

using namespace onceward;
using namespace onceward::testing;
using namespace std::chrono_literals;

namespace {

/// A step on a ledger. A broken one makes a token of its own for each call.
class Credit final : public Step {
 public:
  Credit(Ledger& ledger, bool broken) : ledger_(ledger), broken_(broken) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "credit@1", .results = {{"id", Value::Kind::string}}, .undo = true};
  }
  StepOutcome run(StepContext& step) override {
    if (step.step_id() == "last") return Reject{"closed", "no account"};
    const auto token = std::string(step.token()) + (broken_ ? std::to_string(ledger_.calls()) : "");
    const auto receipt = ledger_.credit(token, "ann", 5);
    if (!receipt) return Retry{describe(receipt.error())};
    return Done{Map{{"id", receipt->id}}};
  }
  StepOutcome undo(StepContext& step) override {
    const auto receipt = ledger_.reverse(step.done_token(), step.token());
    if (!receipt) return Retry{describe(receipt.error())};
    return Done{};
  }

 private:
  Ledger& ledger_;
  bool broken_;
};

struct Shop {
  Ledger ledger;
  StepRegistry registry;
  FakeClock clock;
  std::unique_ptr<Storage> storage = open_memory({.clock = &clock}).value();

  explicit Shop(bool broken = false) { registry.add(std::make_unique<Credit>(ledger, broken)).value(); }
  RunView run(const StepRegistry& steps, bool fails) {
    auto builder = pipeline("r").recover(Recover::backward).step("a", "credit@1").step("b", "credit@1");
    if (fails) builder.step("last", "credit@1");
    const auto plan = builder.compile(steps).value();
    PlanCatalog catalog;
    catalog.add(plan).value();
    Runner runner(*storage, catalog);
    auto view = runner.start(plan, "p", "k", Map()).value();
    while (view.state == RunState::running) {
      clock.set(*view.due);
      runner.work().value();
      view = runner.find("r", "p", "k").value().value();
    }
    return view;
  }
  static std::string token(const char* step) { return step_token("onceward", "r", "p", "k", step); }
};

const std::set<std::string> both{Shop::token("a"), Shop::token("b")};

}  // namespace

TEST_CASE("every do and undo made twice leaves the ledger as one pass does [pipeline-14]") {
  for (const bool fails : {false, true}) {
    Shop shop;
    RepeatedSteps repeated(shop.registry);
    CHECK(shop.run(repeated.registry(), fails).state == (fails ? RunState::failed : RunState::succeeded));
    CHECK(repeated.repeated() == (fails ? 4U : 2U));
    CHECK(repeated.differences().empty());
    CHECK(check_exactly_once(shop.ledger, both, fails ? both : std::set<std::string>()).empty());
  }
}

TEST_CASE("a step that does not keep to its token is found when it is made twice") {
  Shop shop(true);
  RepeatedSteps repeated(shop.registry);
  shop.run(repeated.registry(), false);
  REQUIRE(repeated.differences().size() == 2);
  CHECK(repeated.differences()[0] == "a of run k: first done {\"id\":\"r1\"}, then done {\"id\":\"r2\"}");
  CHECK(check_exactly_once(shop.ledger, both).size() == 6);  // both are missing, four others are there
}

TEST_CASE("replies that are lost are asked for again under the same token") {
  for (const bool fails : {false, true}) {
    Shop shop;
    LostReplies lost(shop.registry, 2);
    CHECK(shop.run(lost.registry(), fails).state == (fails ? RunState::failed : RunState::succeeded));
    CHECK(lost.lost() == (fails ? 8U : 4U));
    CHECK(check_exactly_once(shop.ledger, both, fails ? both : std::set<std::string>()).empty());
  }
}

TEST_CASE("what a ledger has too much or too little is said, one sentence each") {
  Ledger ledger;
  ledger.credit("t1", "ann", 1).value();
  ledger.credit("t2", "ann", 1).value();
  ledger.reverse("t2", "u2").value();
  CHECK(check_exactly_once(ledger, {"t1", "t2"}, {"t2"}).empty());
  CHECK(check_exactly_once(ledger, {"t1", "t2", "t3"}, {"t2"}) ==
        std::vector<std::string>{"t3 was not credited"});
  CHECK(check_exactly_once(ledger, {"t1"}, {"t2"}) ==
        std::vector<std::string>{"t2 was credited and must not be"});
  CHECK(check_exactly_once(ledger, {"t1", "t2"}, {"t1"}) ==
        std::vector<std::string>{"t1 was not taken back", "t2 was taken back and must not be"});
}
