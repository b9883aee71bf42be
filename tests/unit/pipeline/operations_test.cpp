// What operators and other systems do to a stored run, and what they are refused.
#include "works.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

const std::string no_utf8 = "\xff\xfe";
const RunName the_run{"r", "p", "k"};
const Operator ann{"ann", "ticket 7"};

void refused(const Result<void>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::invalid_argument);
}

}  // namespace

TEST_CASE("an operator whose name is no UTF-8, or too long, is refused, and the run stays readable") {
  Works works;
  const auto plan = works.plan(pipeline("r").await("w", "go").step("a", "book@1").retry(steady(1)));
  works.next["a"] = {Retry{"no"}};
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  for (const auto& actor : {no_utf8, std::string(129, 'x')}) {
    refused(runner.cancel(the_run, Cancel::graceful, {.actor = actor, .reason = "look"}));
    refused(runner.skip(the_run, "w", {.actor = actor, .reason = "look"}));
    CHECK(runner.find("r", "p", "k"));
  }
  // A reason is what somebody pastes: it is kept as far as it can be read.
  REQUIRE(runner.skip(the_run, "w", {.actor = "ann", .reason = "it says " + no_utf8}));
  const auto view = works.later(plan, 1s);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.acts.at(0).reason == "it says ??");
  refused(runner.retry(the_run, {.actor = no_utf8, .reason = "look"}));
  CHECK(runner.retry(the_run, ann));
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
}

TEST_CASE("a signal whose name or id is no UTF-8 is refused, and the run takes others") {
  for (const bool name : {true, false}) {
    Works works;
    const auto plan = works.plan(pipeline("r").await("w", "go").step("a", "book@1"));
    works.start(plan);
    Runner runner(works.storage, works.catalog, works.options);
    refused(runner.signal(the_run, name ? no_utf8 : "other", {}, name ? "1" : no_utf8));
    CHECK(runner.signal(the_run, "go"));
    CHECK(works.later(plan, 1s).state == RunState::succeeded);
  }
}

TEST_CASE("a skip of a run that succeeded is refused; rerun_from runs it again") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("f", Join::any, [](Branches& b) {
    b.step("a", "book@1");
    b.step("b", "book@1");
  }));
  CHECK(works.start(plan).state == RunState::succeeded);
  Runner runner(works.storage, works.catalog, works.options);
  const auto skipped = runner.skip(the_run, "b", ann);
  REQUIRE_FALSE(skipped);
  CHECK(skipped.error().code == ErrorCode::wrong_state);
  const auto left = runner.find("r", "p", "k").value().value();
  CHECK(left.state == RunState::succeeded);
  CHECK(left.acts.empty());
  REQUIRE(runner.rerun_from(the_run, "a", ann));
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "a"});
}

TEST_CASE("set_result takes what the step's spec promises alone") {
  Works works;
  struct Typed final : Step {
    [[nodiscard]] StepSpec spec() const override {
      return {.name = "typed@1",
              .results = {{"balance", Value::Kind::integer}, {"note", Value::Kind::string, false}}};
    }
    StepOutcome run(StepContext&) override { return Reject{"no", "no"}; }
  };
  works.registry.add(std::make_unique<Typed>()).value();
  const auto plan = works.plan(pipeline("r").step("a", "typed@1").result("steps.a.balance"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  for (const Value& result : {Value(), Value(7), Value(Map()), Value(Map{{"balance", "many"}}),
                              Value(Map{{"balance", Value()}}), Value(Map{{"balance", 7}, {"note", 1}})}) {
    INFO(result.to_json());
    refused(runner.set_result(the_run, "a", result, ann));
  }
  // A runner that does not know the plan cannot know what it promises.
  const PlanCatalog nothing;
  Runner other(works.storage, nothing, works.options);
  const auto unknown = other.set_result(the_run, "a", Map{{"balance", 7}}, ann);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == ErrorCode::not_found);
  REQUIRE(runner.set_result(the_run, "a", Map{{"balance", 7}, {"more", "text"}}, ann));
  const auto view = works.later(plan, 1s);
  CHECK(view.state == RunState::succeeded);
  CHECK(view.result == Value(7));
}

TEST_CASE("a signal to a run that needs attention is kept for its retry") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel(
      "f", Join::all,
      [](Branches& b) {
        b.step("a", "book@1").retry(steady(1));
        b.await("w", "go");
      },
      OnFail::wait));
  works.next["a"] = {Unknown{"lost"}};
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.signal(the_run, "go"));
  const auto waiting = runner.find("r", "p", "k").value().value();
  CHECK(waiting.state == RunState::needs_attention);
  CHECK_FALSE(works.stored("r", "k")->due.has_value());
  REQUIRE(runner.retry(the_run, ann));
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
}

TEST_CASE("a signal that came before a run failed is there when it is retried") {
  Works works;
  const auto plan = works.plan(pipeline("r").await("first", "begin").step("a", "book@1").await("w", "go"));
  works.next["a"] = {Reject{"closed", "no"}};
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.signal(the_run, "go"));
  REQUIRE(runner.signal(the_run, "begin"));
  CHECK(works.later(plan, 1s).state == RunState::failed);
  REQUIRE(runner.retry(the_run, ann));
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
}

TEST_CASE("a run that failed is kept for ever, or for as long as it was said") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1"));
  const bool said = GENERATE(false, true);
  works.options.retention = 1h;
  if (said) works.options.failed_retention = 3h;
  works.next["a"] = {Reject{"no", "never"}};
  CHECK(works.start(plan).state == RunState::failed);
  Runner runner(works.storage, works.catalog, works.options);
  works.clock.advance(2h);
  CHECK(runner.find("r", "p", "k").value().has_value());
  works.clock.advance(2h);
  CHECK(runner.find("r", "p", "k").value().has_value() != said);
}

TEST_CASE("a run that needs attention is kept until somebody ends it; an ended one for the retention") {
  Works works;
  works.options.retention = 1h;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(1)));
  works.next["a"] = {Retry{"no"}};
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  works.clock.advance(2h);
  REQUIRE(runner.find("r", "p", "k").value().has_value());
  REQUIRE(runner.retry(the_run, ann));
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
  works.clock.advance(2h);
  CHECK_FALSE(runner.find("r", "p", "k").value().has_value());
}
