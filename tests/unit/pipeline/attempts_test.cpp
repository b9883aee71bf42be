// How often, and for how long, a step is asked for.
#include "works.hpp"

#include <onceward/pipeline/simulate.hpp>

#include "pipeline/run_state.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

RunView wait_for_end(Works& works, const Plan& plan, Duration step, int most) {
  auto view = works.later(plan, step);
  for (int i = 1; i < most && view.state == RunState::running; ++i) view = works.later(plan, step);
  return view;
}

}  // namespace

TEST_CASE("the total time of a step bounds parking too") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(3)).timeout({}, 10s));
  works.next["a"] = std::vector<StepOutcome>(20, Park{5s});
  works.start(plan);
  const auto view = wait_for_end(works, plan, 5s, 10);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("retry_exhausted: its total time is over") == 0);
  CHECK(works.done.size() == 3);
}

TEST_CASE("a parked step without effects fails when its total time is over, and can be caught") {
  Works works;
  int looks = 0;
  works.add(
      "look@1",
      [&](StepContext&) -> StepOutcome {
        ++looks;
        return Park{Duration::max()};
      },
      Effect::pure);
  const auto plan =
      works.plan(pipeline("r").attempt("t", [](Body& b) { b.step("look", "look@1").timeout({}, 10s); },
                                       {on_error("retry_exhausted", [](Body& b) { book(b, {"mend"}); })}));
  CHECK(works.start(plan).state == RunState::succeeded);
  CHECK(looks == 1);
  CHECK(works.done == Paths{"mend"});
}

TEST_CASE("each retry rule counts its own answers, and the step's policy the others") {
  Works works;
  const auto plan =
      works.plan(pipeline("r").step("a", "book@1").retry(steady(3)).retry_on("busy", steady(100)));
  works.next["a"] = std::vector<StepOutcome>(5, Retry{"busy", 1s, "busy"});
  works.next["a"].push_back(Retry{"other", 1s});
  SECTION("what busy answers used up is not the others'") {
    CHECK((works.start(plan), wait_for_end(works, plan, 2s, 20)).state == RunState::succeeded);
    CHECK(works.done.size() == 7);
  }
  SECTION("the others are bounded by their own") {
    works.next["a"].push_back(Retry{"busy", 1s, "busy"});
    works.next["a"].push_back(Retry{"other", 1s});
    works.next["a"].push_back(Retry{"other", 1s});
    works.start(plan);
    const auto view = wait_for_end(works, plan, 2s, 20);
    CHECK(view.state == RunState::needs_attention);
    CHECK(view.reason == "retry_exhausted after 9 attempts: other");
  }
  SECTION("the attempts of a retry by hand are fresh, also those of the rules") {
    works.next["a"] = std::vector<StepOutcome>(150, Retry{"busy", 1s, "busy"});
    works.start(plan);
    CHECK(wait_for_end(works, plan, 2s, 200).state == RunState::needs_attention);
    CHECK(works.done.size() == 100);
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.retry({"r", "p", "k"}, {"ann", "less is on"}));
    CHECK(wait_for_end(works, plan, 2s, 200).state == RunState::succeeded);
    CHECK(works.done.size() == 151);
  }
}

TEST_CASE("the delay of a retry rule grows with its own answers") {
  Works works;
  const RetryPolicy doubling{.attempts = 9, .first = 1s, .factor = 2, .cap = 1h, .jitter = false};
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(9)).retry_on("busy", doubling));
  works.next["a"] = {Retry{"other"}, Retry{"other"}, Retry{"busy", {}, "busy"}, Retry{"busy", {}, "busy"}};
  works.start(plan);
  const auto delay_after = [&](Duration wait) {
    const auto due = works.later(plan, wait).due.value();
    return std::chrono::round<std::chrono::milliseconds>(due - works.clock.now()).count();
  };
  CHECK(delay_after(1min) == 400);
  CHECK(delay_after(1min) == 1000);
  CHECK(delay_after(1s) == 2000);
}
