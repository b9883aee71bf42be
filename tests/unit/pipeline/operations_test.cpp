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
