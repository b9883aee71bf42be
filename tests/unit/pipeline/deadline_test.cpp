// What a run's deadline does to what is under way, and what it leaves alone.
#include "works.hpp"

#include <onceward/pipeline/simulate.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

Plan slow_undo(Works& works) {
  return works.plan(pipeline("late")
                        .recover(Recover::backward)
                        .deadline(10s)
                        .step("a", "book@1")
                        .undo({.retry = {.attempts = 5, .first = 60s, .jitter = false}})
                        .step("b", "book@1"));
}

}  // namespace

TEST_CASE("an undo that waits for its next attempt past the deadline is looked at when that comes") {
  Works works;
  const auto plan = slow_undo(works);
  works.next["b"] = {Reject{"no", "no"}};
  works.next_undo["a"] = {Retry{"not now"}, Retry{"not now"}};
  works.start(plan);
  works.clock.advance(11s);
  Runner runner(works.storage, works.catalog, works.options);
  const auto before = works.commits();
  for (int i = 0; i < 50; ++i) runner.work().value();
  CHECK(works.commits() - before <= 2);
  CHECK(runner.find("late", "p", "k").value().value().due.value() > works.clock.now());
  works.later(plan, 1min);
  CHECK(works.later(plan, 2min).state == RunState::failed);
  CHECK(works.undone.size() == 3);
}

TEST_CASE("a simulation of an undo that waits past the deadline ends") {
  Works works;
  const auto plan = slow_undo(works);
  int asked = 0;
  SimulationOptions options;
  options.steps["b"] = [](StepContext&) -> StepOutcome { return Reject{"no", "no"}; };
  options.undos["a"] = [&](StepContext&) -> StepOutcome {
    return ++asked < 3 ? StepOutcome(Retry{"x"}) : Done{};
  };
  options.patience = 2s;
  CHECK(simulate(plan, Map(), options).value().end == SimulationEnd::ended);
}

TEST_CASE("finally comes also where the deadline ends the run, and nothing else does") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .deadline(10s)
                                   .attempt(
                                       "t", [](Body& b) { b.await("w", "go"); },
                                       {on_error("", [](Body& b) { book(b, {"caught"}); })},
                                       [](Body& b) {
                                         book(b, {"last"});
                                         b.wait("while", 1min);
                                         book(b, {"end"});
                                       })
                                   .step("next", "book@1"));
  works.next["last"] = {Retry{"busy", 1s}};
  works.start(plan);
  works.later(plan, 11s);
  const auto before = works.commits();
  CHECK(works.later(plan, 0s).state == RunState::running);  // it waits for its finally, in no loop
  CHECK(works.commits() == before);
  works.later(plan, 1s);
  const auto view = works.later(plan, 1min);
  CHECK(works.done == Paths{"last", "last", "end"});
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "deadline: the run's deadline has passed");
}

TEST_CASE("of attempts within each other and of items each finally comes, the inner first") {
  Works works;
  const auto plan = works.plan(
      pipeline("r")
          .deadline(10s)
          .input("all", Value::Kind::list)
          .attempt(
              "outer",
              [](Body& body) {
                body.foreach ("each", {.items = "all", .variable = "n", .item_key = "n", .concurrency = 2},
                              [](Body& item) {
                                item.attempt(
                                    "t", [](Body& b) { b.await("w", "go"); }, {},
                                    [](Body& b) {
                                      b.step("last", "book@1", {{"amount", "n"}});
                                    });
                              });
              },
              {}, [](Body& b) { book(b, {"end"}); }));
  works.start(plan, Map{{"all", List{1, 2, 3}}});
  const auto view = works.later(plan, 11s);
  CHECK(works.done == Paths{"each[1]/last", "each[2]/last", "end"});
  CHECK(view.reason.find("deadline") == 0);
}

TEST_CASE("a finally after the deadline that fails is told, and one in doubt needs attention") {
  Works works;
  const auto plan = works.plan(pipeline("r").deadline(10s).attempt(
      "t", [](Body& b) { b.await("w", "go").step("b", "book@1"); }, {},
      [](Body& b) { b.step("last", "book@1").retry(steady(1)); }));
  SECTION("one that rejects") {
    works.next["last"] = {Reject{"closed", "no"}};
    works.start(plan);
    CHECK(works.later(plan, 11s).reason == "closed: no; the run's deadline has passed");
  }
  SECTION("one in doubt; a retry goes on where the deadline stopped it") {
    works.next["last"] = {Unknown{"lost"}};
    works.start(plan);
    CHECK(works.later(plan, 11s).state == RunState::needs_attention);
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.retry({"r", "p", "k"}, {"ann", "go on"}));
    works.later(plan, 1s);
    REQUIRE(runner.signal({"r", "p", "k"}, "go"));
    CHECK(works.later(plan, 1s).state == RunState::succeeded);
    CHECK(works.done == Paths{"last", "b", "last"});
  }
}

TEST_CASE("a run that recovers backward is undone after the finally that its deadline left") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .recover(Recover::backward)
                                   .deadline(10s)
                                   .attempt(
                                       "t", [](Body& b) { b.step("a", "book@1").await("w", "go"); }, {},
                                       [](Body& b) { book(b, {"last"}); }));
  works.start(plan);
  const auto view = works.later(plan, 11s);
  CHECK(view.state == RunState::failed);
  CHECK(works.done == Paths{"a", "last"});
  CHECK(view.undone == Paths{"a", "last"});
}
