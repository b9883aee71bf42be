// What was found where a run stands between two writes: turns, times that are past, acts in the middle of
// constructs, records of the format before.
#include "works.hpp"

#include <onceward/expr/functions.hpp>

#include "support/catch.hpp"

#include <thread>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

using Call = FaultyStorage::Call;
using Fault = FaultyStorage::Fault;

const RunName the_run{"r", "p", "k"};
const Operator ann{"ann", "ticket 7"};

/// The process dies: nothing it still does reaches the storage.
void die(Works& works) {
  works.storage.fail_calls(Call::commit, Fault::before, ErrorCode::corrupt, 1'000'000);
}

PipelineBuilder serial() {
  return pipeline("r").input("u", Value::Kind::string).serial_by("u").step("a", "book@1").step("b", "book@1");
}

}  // namespace

TEST_CASE("a wait until a time that is past is over at once [pipeline-66]") {
  Works works;
  const auto plan = works.plan(pipeline("r").wait_until("w", "'2011-01-01T00:00:00Z'").step("a", "book@1"));
  const auto view = works.start(plan);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"a"});
  const auto later = works.plan(pipeline("later").wait_until("w", "4102444800000000").step("a", "book@1"));
  CHECK(works.start(later).due == Timestamp(Duration(4'102'444'800'000'000)));
}

TEST_CASE("a signal of any id cancels nothing") {
  Works works;
  const auto plan = works.plan(pipeline("r").await("w", "go").step("a", "book@1"));
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.signal(the_run, "go", Value(), "cancel!"));
  CHECK(works.later(plan, 0s).state == RunState::succeeded);
}

TEST_CASE("the result of a called pipeline survives what it waits for after it") {
  Works works;
  (void)works.plan(pipeline("inner").result("40 + 2").wait("w", 1h).step("last", "book@1"));
  const auto outer = pipeline("r")
                         .call("sub", "inner")
                         .step("end", "book@1", {{"amount", "steps.sub"}})
                         .compile(works.registry, &works.catalog)
                         .value();
  REQUIRE(works.catalog.add(outer));
  works.start(outer);
  const auto view = works.later(outer, 1h);
  CHECK(view.state == RunState::succeeded);
  CHECK(*view.steps.back().result.find("amount") == Value(42));
}

TEST_CASE("retry of an attempt runs what failed, and its finally after it") {
  Works works;
  const auto plan = works.plan(pipeline("r").attempt(
      "try", [](Body& b) { book(b, {"a"}); },
      {on_error("closed",
                [](Body& b) {
                  b.step("mend", "book@1", {{"amount", "error.code == 'closed' ? 1 : 2"}});
                })},
      [](Body& b) { book(b, {"last"}); }));
  Runner runner(works.storage, works.catalog, works.options);
  works.next["a"] = {Reject{"other", ""}};
  CHECK(works.start(plan).state == RunState::failed);
  REQUIRE(runner.retry(the_run, ann));
  CHECK(works.later(plan, 0s).state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "last", "a", "last"});
  // Where its catch failed, that is what failed; it reads the error it caught.
  works.done.clear();
  works.next["a"] = {Reject{"closed", ""}};
  works.next["mend"] = {Reject{"empty", ""}};
  CHECK(works.start(plan, Map(), "2").state == RunState::failed);
  REQUIRE(runner.retry({"r", "p", "2"}, ann));
  CHECK(works.later(plan, 0s, "2").state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "mend", "last", "mend", "last"});
}

TEST_CASE("rerun_from within a parallel leaves the branches beside it alone [pipeline-67]") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .parallel("fan", Join::all,
                                             [](Branches& b) {
                                               b.sequence("one", [](Body& o) { book(o, {"a", "b"}); });
                                               book(b, {"c"});
                                             })
                                   .step("end", "book@1"));
  CHECK(works.start(plan).state == RunState::succeeded);
  const auto tokens = works.tokens;
  works.done.clear();
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.rerun_from(the_run, "b", ann));
  CHECK(works.later(plan, 0s).state == RunState::succeeded);
  CHECK(works.done == Paths{"b", "end"});
  CHECK(works.tokens == tokens);
}

TEST_CASE("a turn is given back by whoever ends the run, also after its first holder died") {
  Works works;
  const auto plan = works.plan(serial());
  works.storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && works.done.size() == 1) die(works);
  });
  Runner dying(works.storage, works.catalog, works.options);
  CHECK_FALSE(dying.start(plan, "p", "1", Map{{"u", "ann"}}));
  works.storage.on_call({});
  works.storage.heal();
  CHECK(works.start(plan, Map{{"u", "ann"}}, "2").state == RunState::running);
  CHECK(works.later(plan, 31s, "1").state == RunState::succeeded);
  CHECK(works.later(plan, 1s, "2").state == RunState::succeeded);
  CHECK_FALSE(read_one(*works.memory, "p", "turn/r/\"ann\"").value().has_value());
}

TEST_CASE("a turn is taken and given back though the writes fail and answers are lost") {
  for (std::size_t write = 0; write < 5; ++write) {
    for (const auto& [fault, code] : {std::pair(Fault::before, ErrorCode::unavailable),
                                      {Fault::before, ErrorCode::in_doubt},
                                      {Fault::after, ErrorCode::in_doubt}}) {
      if (write == 0 && fault == Fault::before) continue;  // nothing was started
      Works works;
      const auto plan = works.plan(serial());
      works.storage.fail_calls(Call::commit, fault, code, 1, write);
      CHECK(works.start(plan, Map{{"u", "ann"}}, "1").state == RunState::succeeded);
      CHECK(works.done == Paths{"a", "b"});
      CHECK_FALSE(read_one(*works.memory, "p", "turn/r/\"ann\"").value().has_value());
    }
  }
}

TEST_CASE("an operator's retry gives fresh time: no deadline, and the total anew [pipeline-36]") {
  Works works;
  const auto plan = works.plan(
      pipeline("r").deadline(10s).step("a", "book@1").retry(steady(9)).timeout(0s, 5s).step("b", "book@1"));
  works.next["a"] = {Retry{"slow", 4s}, Retry{"slow", 4s}, Retry{"slow", 1s}};
  works.start(plan);
  CHECK(works.later(plan, 4s).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  works.clock.advance(1h);
  REQUIRE(runner.retry(the_run, ann));
  CHECK(works.later(plan, 0s).state == RunState::running);
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
}

TEST_CASE("an undo in doubt is not repeated after its downstream forgot its token [pipeline-37]") {
  for (const bool in_doubt : {true, false}) {
    Works works;
    const auto plan =
        works.plan(pipeline("r")
                       .recover(Recover::backward)
                       .step("a", "book@1")
                       .undo({.retry = {.attempts = 5, .first = 800h, .cap = 800h, .jitter = false}})
                       .step("b", "book@1"));
    works.next["b"] = {Reject{"closed", "no"}};
    works.next_undo["a"] = {in_doubt ? StepOutcome(Unknown{"lost"}) : StepOutcome(Retry{"busy"})};
    works.start(plan);
    const auto view = works.later(plan, 800h);
    CHECK(view.state == (in_doubt ? RunState::needs_attention : RunState::failed));
    CHECK(works.undone.size() == (in_doubt ? 1 : 2));
  }
}

TEST_CASE("a foreach whose items leave no room in the record needs attention, and no worker loops") {
  Works works;
  Functions functions;
  REQUIRE(functions.add("many", [](std::int64_t n) {
    List list;
    for (std::int64_t i = 0; i < n; ++i) list.push_back(std::string(400, 'x') + std::to_string(i));
    return Value(std::move(list));
  }));
  works.registry.offer(functions);
  const auto plan =
      works.plan(pipeline("r")
                     .step("a", "book@1")
                     .foreach ("each", {.items = "many(3000)", .variable = "x", .item_key = "x", .max = 5000},
                               [](Body& b) { book(b, {"b"}); }));
  const auto view = works.start(plan);
  INFO(view.reason);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("record_full") == 0);
  CHECK(view.steps.at(0).result == Value(Map{{"amount", 0}}));
  CHECK(works.done == Paths{"a"});
  CHECK(works.later(plan, 1h).state == view.state);
}

TEST_CASE("a run of the format before goes on, under the same tokens, where it stood") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").step("b", "book@1").step("c", "book@1"));
  const auto digest = plan.sha256().substr(0, 16);
  const std::string before =
      R"({"pipeline":"r","version":"1","plan":")" + digest +
      R"(","state":"running","attempt":3,"waiting":true,"owner":"0123","reason":"busy",)"
      R"("input":{},"steps":[{"id":"a","result":{"amount":7}},{"id":"b","skipped":true}]})";
  REQUIRE(
      commit_one(*works.memory,
                 {"p", {Operation::insert(run_record_key("r", "k"), before, {.due_in = Duration::zero()})}})
          ->applied());
  const auto view = works.later(plan, 0s);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"c"});
  CHECK(works.tokens["c"] == step_token("onceward", "r", "p", "k", "c"));
  CHECK(view.steps.at(1).skipped);
}

TEST_CASE("a record whose constructs stand as none can is left alone") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::all, [](Branches& b) {
    book(b, {"a", "b"});
  }));
  const auto head = R"({"pipeline":"r","version":"1","plan":")" + plan.sha256().substr(0, 16) +
                    R"(","state":"running","owner":"x","serial":1,"due_in":0,"input":{},"steps":[)";
  for (const char* steps :
       {R"({"id":"fan","is":"open"})", R"({"id":"fan","is":"active"})", R"({"id":"fan","is":"waiting"})",
        R"({"id":"fan","is":"open","in":1},{"id":"a","is":"fresh"})",
        R"({"id":"fan","is":"open","in":2},{"id":"a","is":"open"},{"id":"b","is":"fresh"})",
        R"({"id":"fan","is":"open","in":2},{"id":"b","is":"fresh"},{"id":"a","is":"fresh"})"}) {
    Works other;
    REQUIRE(commit_one(*other.memory, {"p",
                                       {Operation::insert(run_record_key("r", "k"), head + steps + "]}",
                                                          {.due_in = Duration::zero()})}})
                ->applied());
    Runner runner(*other.memory, works.catalog, other.options);
    CHECK(runner.work().value().corrupt == 1);
  }
}

TEST_CASE("a plan with tx steps starts nothing on a runner without transactions") {
  Works works;
  works.add(
      "row@1", [](StepContext&) -> StepOutcome { return Done{}; }, Effect::tx);
  const auto plan = works.plan(pipeline("r").step("a", "row@1"));
  Runner runner(works.storage, works.catalog, works.options);
  const auto refused = runner.start(plan, "p", "k", Map());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::invalid_argument);
  CHECK_FALSE(works.stored("r", "k").has_value());
}

TEST_CASE("a run that ends where it begins is not due when it was enqueued [pipeline-70]") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").when("1 > 2"));
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.enqueue(*works.memory, plan, "p", "k", Map()));
  CHECK_FALSE(works.stored("r", "k")->due.has_value());
  CHECK(runner.find("r", "p", "k").value()->state == RunState::succeeded);
}

TEST_CASE("a stop that comes in the first of many calls leaves the others uncalled and free [pipeline-28]") {
  Works works;
  std::atomic<int> calls = 0;
  works.add("slow@1", [&](StepContext& step) -> StepOutcome {
    if (++calls == 1) {
      while (!step.stop().stop_requested()) std::this_thread::yield();
    }
    return Done{};
  });
  const auto plan = works.plan(pipeline("r").step("a", "slow@1").step("b", "slow@1"));
  auto options = works.options;
  options.workers = 1;
  options.limits = {{"slow@1", 1}};
  Runner runner(works.storage, works.catalog, options);
  for (int i = 0; i < 8; ++i) REQUIRE(runner.enqueue(*works.memory, plan, "p", std::to_string(i), Map()));
  runner.start_workers();
  while (calls == 0) std::this_thread::yield();
  runner.stop_workers();
  CHECK(calls == 1);
  Runner other(works.storage, works.catalog, works.options);
  CHECK(other.work().value().taken == 8);
  CHECK(calls == 16);
}
