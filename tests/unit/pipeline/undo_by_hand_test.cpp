// Undo of runs that an operator has been at: what was taken back by hand, and what his acts forgot.
#include <onceward/pipeline/timeline.hpp>

#include "works.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

const RunName the_run{"r", "p", "k"};
const Operator ann{"ann", "ticket 7"};

PipelineBuilder three() {
  return pipeline("r")
      .recover(Recover::backward)
      .step("a", "book@1")
      .retry(steady(3))
      .step("b", "book@1", {{"amount", "steps.a.amount + 1"}})
      .retry(steady(3))
      .step("c", "book@1", {{"amount", "steps.b.amount + 1"}})
      .retry(steady(3))
      .await("w", "go");
}

}  // namespace

TEST_CASE("an undo that failed often still tells why the run failed, and an operator can settle it") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .recover(Recover::backward)
                                   .step("first", "book@1")
                                   .step("a", "book@1")
                                   .undo({.retry = steady(1)})
                                   .step("b", "book@1"));
  works.next["b"] = {Reject{"account_closed", "1"}};
  works.next_undo["a"] = std::vector<StepOutcome>(30, Retry{"the downstream does not answer now"});
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  RunView view;
  for (int i = 0; i < 12; ++i) {
    view = works.later(plan, 1h);
    REQUIRE(view.state == RunState::needs_attention);
    CHECK(
        view.reason ==
        "undo_failed at step \"a\": retry_exhausted after 1 attempts: the downstream does not answer now; it "
        "was undone after: account_closed: 1");
    if (i < 11) REQUIRE(runner.retry(the_run, ann));
  }
  CHECK(runner.skip(the_run, "b", ann).error().code == ErrorCode::wrong_state);  // it had no effect
  CHECK(runner.skip(the_run, "z", ann).error().code == ErrorCode::not_found);
  REQUIRE(runner.skip(the_run, "a", ann));
  view = works.later(plan, 1h);
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "account_closed: 1");
  CHECK(view.undone == Paths{"first"});
  CHECK(view.acts.back().act == "skip");
  CHECK(runner.skip(the_run, "first", ann).error().code == ErrorCode::wrong_state);
}

TEST_CASE("a run of before that needs attention in its undo still tells why it failed") {
  Works works;
  const auto plan = works.plan(three());
  const std::string before =
      R"({"pipeline":"r","version":"1","plan":")" + plan.sha256().substr(0, 16) +
      R"(","state":"needs_attention","owner":"x","serial":3,"reason":"undo_failed: x; )"
      R"(it was undone after: closed: no","input":{},"undoing":true,"steps":[)"
      R"({"id":"a","is":"undo_waiting","value":{"amount":0},"attempt":2,"args":1,"due":1},)"
      R"({"id":"b","is":"failed","args":1}]})";
  REQUIRE(
      commit_one(*works.memory, {"p", {Operation::insert(run_record_key("r", "k"), before, {})}})->applied());
  works.tokens["a"] = step_token("onceward", "r", "p", "k", "a");
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.retry(the_run, ann));
  const auto view = works.later(plan, 1s);
  CHECK(view.state == RunState::failed);
  CHECK(view.reason.find("closed: no") != std::string::npos);
}

TEST_CASE("what a rerun forgot is undone all the same, last first, with the arguments it was done with") {
  for (const bool in_doubt : {false, true}) {
    Works works;
    const auto plan = works.plan(three());
    works.start(plan);
    CHECK(works.done == Paths{"a", "b", "c"});
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.rerun_from(the_run, "b", ann));
    if (in_doubt) works.next["b"] = {Unknown{"lost"}};
    works.next["b"].push_back(Reject{"closed", "the account is closed"});
    auto view = works.later(plan, 1s);
    if (in_doubt) view = works.later(plan, 1min);
    CHECK(view.state == RunState::failed);
    CHECK(view.undone == Paths{"a", "b", "c"});
    CHECK(works.undone == Paths{R"(c{"amount":2})", R"(b{"amount":1})", R"(a{"amount":0})"});
    const auto life = to_text(timeline(*works.memory, the_run).value());
    CHECK(life.find("undone      c") != std::string::npos);
  }
}

TEST_CASE("what a rerun forgot and came to again is undone once") {
  Works works;
  const auto plan = works.plan(three());
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.rerun_from(the_run, "b", ann));
  CHECK(works.later(plan, 1s).awaits.size() == 1);
  REQUIRE(runner.cancel(the_run, Cancel::compensate, ann));
  CHECK(works.later(plan, 1s).undone == Paths{"a", "b", "c"});
  CHECK(works.undone.size() == 3);
}

TEST_CASE("what was forgotten is undone in spite of workers that die, retries and hands") {
  for (const bool by_hand : {false, true}) {
    Works works;
    const auto plan = works.plan(three());
    works.start(plan);
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.rerun_from(the_run, "b", ann));
    works.next["b"] = {Reject{"closed", "no"}};
    works.next_undo["c"] = {Reject{"no", "not c"}};
    auto view = works.later(plan, 1s);
    CHECK(view.state == RunState::needs_attention);
    CHECK(view.undone.empty());
    if (by_hand) {
      REQUIRE(runner.skip(the_run, "c", ann));
      view = works.later(plan, 1s);
      CHECK(view.undone == Paths{"a", "b"});
    } else {
      REQUIRE(runner.retry(the_run, ann));
      works.storage.on_call([&](std::string_view point) {
        if (point == "commit.before" && works.undone.size() == 2)
          works.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                                   ErrorCode::corrupt, 1'000'000);
      });
      works.clock.advance(1s);
      CHECK_FALSE(Runner(works.storage, works.catalog, works.options).work());  // it dies after the undo of c
      works.storage.on_call({});
      works.storage.heal();
      view = works.later(plan, 31s);
      CHECK(view.undone == Paths{"a", "b", "c"});
      CHECK(works.undone.size() == 5);  // c three times under one token
    }
    CHECK(view.state == RunState::failed);
    CHECK(view.reason == "closed: no");
  }
}

TEST_CASE("effects within a construct that was settled by hand are undone, also of items and calls") {
  for (const bool skip : {true, false}) {
    Works works;
    (void)works.plan(
        pipeline("inner").input("n", Value::Kind::integer).step("x", "book@1", {{"amount", "n"}}));
    const auto plan =
        pipeline("r")
            .sequence("s",
                      [](Body& s) {
                        s.foreach ("each", {.items = "{1, 2}", .variable = "i", .item_key = "i"},
                                   [](Body& b) {
                                     b.call("sub", "inner", {{"n", "i * 10"}});
                                   });
                        s.await("w", "go");
                      })
            .await("then", "on")
            .compile(works.registry, &works.catalog)
            .value();
    REQUIRE(works.catalog.add(plan));
    works.start(plan);
    CHECK(works.done == Paths{"each[1]/sub/x", "each[2]/sub/x"});
    Runner runner(works.storage, works.catalog, works.options);
    const PlanCatalog nothing;
    // Without the plan nobody can know what is to be kept.
    CHECK(Runner(works.storage, nothing, works.options).skip(the_run, "s", ann).error().code ==
          ErrorCode::not_found);
    const auto settled = skip ? runner.skip(the_run, "s", ann) : runner.set_result(the_run, "s", Map(), ann);
    REQUIRE(settled);
    CHECK(works.later(plan, 1s).awaits == Paths{"on"});
    REQUIRE(runner.cancel(the_run, Cancel::compensate, ann));
    const auto view = works.later(plan, 1s);
    CHECK(view.state == RunState::cancelled);
    CHECK(works.undone == Paths{R"(each[2]/sub/x{"amount":20})", R"(each[1]/sub/x{"amount":10})"});
  }
}
