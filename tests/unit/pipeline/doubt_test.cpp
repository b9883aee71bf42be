// A call whose end nobody knows is never dropped in silence.
#include "works.hpp"

#include "support/catch.hpp"

#include <algorithm>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

std::size_t calls_of(const Works& works, const std::string& path) {
  return static_cast<std::size_t>(std::count(works.done.begin(), works.done.end(), path));
}

}  // namespace

TEST_CASE("a run succeeds over a race when it is known what became of the branch in doubt") {
  Works works;
  const auto plan =
      works.plan(pipeline("r")
                     .parallel("fan", Join::any,
                               [](Branches& b) {
                                 b.sequence("slow", [](Body& body) { book(body, {"a", "then"}); });
                                 book(b, {"b"});
                               })
                     .step("end", "book@1"));
  works.next["a"] = {Unknown{"reply lost"}, Unknown{"reply lost"}};
  CHECK(works.start(plan).state == RunState::running);
  CHECK(works.done == Paths{"a", "b", "end"});  // the race is decided: what comes after it does not wait
  works.later(plan, 1min);
  const auto view = works.later(plan, 1min);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "b", "end", "a", "a"});  // the lost branch does not go on
}

TEST_CASE("a branch in doubt whose attempts are used up needs attention, and a skip lets the run succeed") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::any, [](Branches& b) {
    book(b, {"a", "b"});
  }));
  works.next["a"] = std::vector<StepOutcome>(3, Unknown{"reply lost"});
  works.start(plan);
  works.later(plan, 1min);
  auto view = works.later(plan, 1min);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("retry_exhausted after 3 attempts: unknown: reply lost") == 0);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.skip({"r", "p", "k"}, "a", {"ann", "looked it up"}));
  view = works.later(plan, 1s);
  CHECK(view.state == RunState::succeeded);
  CHECK(calls_of(works, "a") == 3);
}

TEST_CASE("a retry pushes on a branch in doubt that needed attention behind a race") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::any, [](Branches& b) {
    book(b, {"a", "b"});
  }));
  works.next["a"] = std::vector<StepOutcome>(4, Unknown{"reply lost"});
  works.start(plan);
  works.later(plan, 1min);
  REQUIRE(works.later(plan, 1min).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.retry({"r", "p", "k"}, {"ann", "it is up again"}));
  works.later(plan, 1s);  // the fresh attempts: one more is lost
  CHECK(works.later(plan, 1min).state == RunState::succeeded);
  CHECK(calls_of(works, "a") == 5);
  CHECK(calls_of(works, "b") == 1);
}

TEST_CASE("what a caught failure left in doubt is settled before the run succeeds") {
  Works works;
  const auto plan = works.plan(
      pipeline("r")
          .input("all", Value::Kind::list)
          .attempt("t",
                   [](Body& body) {
                     body.foreach ("each",
                                   {.items = "all", .variable = "n", .item_key = "n", .concurrency = 2},
                                   [](Body& item) {
                                     item.step("a", "book@1", {{"amount", "n"}}).retry(steady(3));
                                   });
                   },
                   {on_error("closed", [](Body& body) { book(body, {"mend"}); })}));
  works.next["each[1]/a"] = {Unknown{"reply lost"}};
  works.next["each[2]/a"] = {Reject{"closed", "no"}};
  CHECK(works.start(plan, Map{{"all", List{1, 2}}}).state == RunState::running);
  CHECK(works.later(plan, 1min).state == RunState::succeeded);
  CHECK(works.done == Paths{"each[1]/a", "each[2]/a", "mend", "each[1]/a"});
}

TEST_CASE("compensate needs attention where something cannot be undone, and undoes the rest") {
  Works works;
  const auto plan = works.plan(
      pipeline("r").step("a", "book@1").step("paid", "credit@1").step("b", "book@1").await("w", "go"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  runner.cancel({"r", "p", "k"}, Cancel::compensate, {"ann", "wrong user"}).value();
  auto view = works.later(plan, 1s);
  CHECK(view.undone == Paths{"a", "b"});
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason == "undo_failed: \"paid\" cannot be undone; it was undone after: cancelled: wrong user");
  CHECK(works.downstream.effects() == 1);
  REQUIRE(runner.retry({"r", "p", "k"}, {"ann", "try"}));
  CHECK(works.later(plan, 1s).reason == view.reason);
  CHECK(works.undone.size() == 2);
}

TEST_CASE("compensate needs attention over a call in doubt that cannot be undone") {
  Works works;
  works.add("lost@1", [](StepContext&) -> StepOutcome { return Unknown{"lost"}; });
  const auto plan = works.plan(pipeline("r").step("c", "lost@1"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  runner.cancel({"r", "p", "k"}, Cancel::compensate, {"ann", "wrong user"}).value();
  const auto view = works.later(plan, 1ms);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("in_doubt: \"c\" may have taken effect and cannot be undone") == 0);
}

TEST_CASE("compensate leaves what its plan says is left, and what has no effect") {
  Works works;
  works.add(
      "look@1", [](StepContext&) -> StepOutcome { return Done{}; }, Effect::pure);
  const auto plan = works.plan(
      pipeline("r").step("look", "look@1").step("mail", "credit@1").undo({.skip = true}).await("w", "go"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  runner.cancel({"r", "p", "k"}, Cancel::compensate, {"ann", "wrong user"}).value();
  CHECK(works.later(plan, 1s).state == RunState::cancelled);
}
