// What becomes of a run that somebody cancels: at every point of its life the one who asked is heard, or told
// why not.
#include <onceward/testing/recorded_journal.hpp>

#include "works.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

const RunName the_run{"r", "p", "k"};
const Operator ann{"ann", "ticket 7"};
const Operator bob{"bob", "it must end"};

void refused(const Result<void>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::wrong_state);
}

/// Its undo of "a" is asked for again and again.
Plan undone_slowly(Works& works) {
  works.next["b"] = {Reject{"closed", "no"}};
  works.next_undo["a"] = std::vector<StepOutcome>(50, Retry{"not now"});
  return works.plan(pipeline("r")
                        .recover(Recover::backward)
                        .step("a", "book@1")
                        .undo({.retry = steady(900)})
                        .step("b", "book@1"));
}

}  // namespace

TEST_CASE("abandon ends a run that is being undone, and what is not undone stays done") {
  Works works;
  const auto plan = undone_slowly(works);
  CHECK(works.start(plan).state == RunState::running);
  Runner runner(works.storage, works.catalog, works.options);
  // Graceful and compensate would change nothing of it.
  refused(runner.cancel(the_run, Cancel::graceful, ann));
  refused(runner.cancel(the_run, Cancel::compensate, ann));
  REQUIRE(runner.cancel(the_run, Cancel::abandon, ann));
  const auto calls = works.undone.size();
  const auto view = works.later(plan, 1h);
  CHECK(view.state == RunState::cancelled);
  CHECK(view.reason == "cancelled: ticket 7");
  REQUIRE(view.acts.size() == 1);
  CHECK(view.acts[0].after == "abandon");
  CHECK(view.acts[0].at != Timestamp());
  CHECK(works.undone.size() == calls);
  REQUIRE(view.steps.size() == 1);
  CHECK(view.steps[0].id == "a");
  CHECK(view.undone.empty());
}

TEST_CASE("a second cancellation that goes further takes the place of the first, and both are told") {
  Works works;
  Runner runner(works.storage, works.catalog, works.options);
  works.add("hang@1", [&](StepContext&) -> StepOutcome {
    REQUIRE(runner.cancel(the_run, Cancel::graceful, ann));
    REQUIRE(runner.cancel(the_run, Cancel::graceful, ann));  // asked already
    REQUIRE(runner.cancel(the_run, Cancel::abandon, bob));
    refused(runner.cancel(the_run, Cancel::compensate, ann));
    return Unknown{"lost"};
  });
  const auto plan = works.plan(pipeline("r").step("h", "hang@1"));
  const auto view = runner.start(plan, "p", "k", Map()).value();
  CHECK(view.state == RunState::cancelled);  // needs_attention is what graceful alone gives
  REQUIRE(view.acts.size() == 2);
  CHECK(view.acts[0].actor == "ann");
  CHECK(view.acts[0].after.starts_with("none"));
  CHECK(view.acts[1].actor == "bob");
  CHECK(view.acts[1].after == "abandon");
}

TEST_CASE("signals nobody awaits do not keep an operator from cancelling") {
  Works works;
  const auto plan = works.plan(pipeline("r").await("w", "go"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  for (int i = 0; i < 64; ++i) REQUIRE(runner.signal(the_run, "og", {}, std::to_string(i)));
  CHECK(runner.signal(the_run, "og", {}, "64").error().code == ErrorCode::exhausted);
  REQUIRE(runner.cancel(the_run, Cancel::abandon, ann));
  CHECK(works.later(plan, 1s).state == RunState::cancelled);
}

TEST_CASE(
    "a cancellation that came during the last call is told in the run's acts, and ends no retry of it") {
  for (const bool fails : {false, true}) {
    Works works;
    Runner runner(works.storage, works.catalog, works.options);
    bool first = true;
    works.add("late@1", [&](StepContext&) -> StepOutcome {
      if (!std::exchange(first, false)) return Done{};
      REQUIRE(runner.cancel(the_run, Cancel::graceful, ann));
      return fails ? StepOutcome(Reject{"closed", "no"}) : Done{};
    });
    const auto plan = works.plan(pipeline("r").step("a", "late@1"));
    CHECK(runner.start(plan, "p", "k", Map()).value().state ==
          (fails ? RunState::failed : RunState::succeeded));
    const auto view = runner.find("r", "p", "k").value().value();
    REQUIRE(view.acts.size() == 1);
    CHECK(view.acts[0].act == "cancel");
    CHECK(view.acts[0].after == "none: it came too late");
    if (!fails) continue;
    REQUIRE(runner.retry(the_run, ann));
    CHECK(works.later(plan, 1s).state == RunState::succeeded);
  }
}

TEST_CASE("abandon ends a run that came to need attention while it was asked for") {
  Works works;
  Runner runner(works.storage, works.catalog, works.options);
  works.add("lost@1", [&](StepContext&) -> StepOutcome {
    REQUIRE(runner.cancel(the_run, Cancel::abandon, ann));
    return Unknown{"lost"};
  });
  const auto plan = works.plan(pipeline("r").step("a", "lost@1").retry(steady(1)));
  CHECK(runner.start(plan, "p", "k", Map()).value().state == RunState::cancelled);
  CHECK(runner.find("r", "p", "k").value()->acts.at(0).after == "abandon");
}

TEST_CASE("a run that needs attention can be given up by an operator") {
  Works works;
  testing::RecordedJournal journal;
  works.options.journal = &journal;
  works.options.failed_retention = 1h;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(1)));
  works.next["a"] = {Unknown{"lost"}};
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  refused(runner.cancel(the_run, Cancel::graceful, ann));
  REQUIRE(runner.cancel(the_run, Cancel::abandon, ann));
  const auto view = runner.find("r", "p", "k").value().value();
  CHECK(view.state == RunState::cancelled);
  CHECK(view.reason == "cancelled: ticket 7");
  CHECK(view.acts.at(0).before == "needs_attention");
  CHECK(journal.lines().back().trigger == "cancel");
  CHECK(journal.lines().back().to == "abandon");
  CHECK_FALSE(works.stored("r", "k")->due.has_value());
  CHECK(works.stored("r", "k")->expires.has_value());
  refused(runner.cancel(the_run, Cancel::abandon, ann));
}

TEST_CASE("a run that keeps no more acts can still be given up") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(1)));
  works.next["a"] = std::vector<StepOutcome>(101, Retry{"no"});
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(runner.retry(the_run, ann));
    CHECK(works.later(plan, 1s).state == RunState::needs_attention);
  }
  CHECK(runner.retry(the_run, ann).error().code == ErrorCode::exhausted);
  REQUIRE(runner.cancel(the_run, Cancel::abandon, bob));
  const auto view = runner.find("r", "p", "k").value().value();
  CHECK(view.state == RunState::cancelled);
  CHECK(view.acts.back().actor == "bob");
}

TEST_CASE("a run that needs attention can be compensated") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").parallel("f", Join::all, [](Branches& f) {
    f.await("w", "go");
    f.step("b", "book@1").retry(steady(1));
  }));
  works.next["b"] = {Unknown{"lost"}};
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.cancel(the_run, Cancel::compensate, ann));
  const auto view = works.later(plan, 1s);
  CHECK(view.state == RunState::cancelled);
  CHECK(view.awaits.empty());
  CHECK(view.undone == Paths{"a", "b"});
}

TEST_CASE("compensate over what has no undo needs attention, and names it; an operator settles it") {
  for (const bool in_doubt : {false, true}) {
    Works works;
    works.add("lost@1", [](StepContext&) -> StepOutcome { return Unknown{"lost"}; });
    const auto plan = works.plan(
        pipeline("r").step("c", in_doubt ? "lost@1" : "credit@1").step("b", "book@1").await("w", "go"));
    works.start(plan);
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.cancel(the_run, Cancel::compensate, ann));
    auto view = works.later(plan, 1ms);
    INFO(view.reason);
    CHECK(view.state == RunState::needs_attention);
    CHECK(view.reason == (in_doubt
                              ? "in_doubt: \"c\" may have taken effect and cannot be undone; it was undone "
                                "after: cancelled: ticket 7"
                              : "undo_failed: \"c\" cannot be undone; it was undone after: cancelled: "
                                "ticket 7"));
    CHECK(view.undone.size() == (in_doubt ? 0 : 1));  // what can be undone is
    REQUIRE(runner.retry(the_run, ann));
    CHECK(works.later(plan, 1s).state == RunState::needs_attention);
    REQUIRE(runner.skip(the_run, "c", ann));  // taken back by hand
    view = works.later(plan, 1s);
    CHECK(view.state == RunState::cancelled);
    CHECK(view.reason == "cancelled: ticket 7");
  }
}

TEST_CASE("compensate leaves alone what says that it needs no undo") {
  Works works;
  works.add(
      "look@1", [](StepContext&) -> StepOutcome { return Done{}; }, Effect::pure);
  const auto plan = works.plan(
      pipeline("r").step("c", "credit@1").undo({.skip = true}).step("l", "look@1").await("w", "go"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.cancel(the_run, Cancel::compensate, ann));
  CHECK(works.later(plan, 1s).state == RunState::cancelled);
}
