#include "bench.hpp"

#include "support/catch.hpp"

#include <map>
#include <stdexcept>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

const Value nothing = Map();

PipelineBuilder chain(int steps) {
  auto builder = pipeline("chain");
  for (int i = 1; i <= steps; ++i) builder.step("s" + std::to_string(i), "credit@1");
  return builder;
}

}  // namespace

TEST_CASE("a plan that no worker could go on with is not started") {
  Bench bench;
  const auto waits = pipeline("lost").wait("w", 1s).step("a", "credit@1");
  const auto plan = waits.compile(bench.registry).value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto refused = runner.start(plan, "p", "k", Map());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::invalid_argument);
  CHECK(refused.error().message.find("catalog") != std::string::npos);
  CHECK_FALSE(bench.stored("lost", "k"));
  // The same version with another content is another plan.
  auto other = waits;
  bench.plan(other.step("b", "credit@1"));
  CHECK_FALSE(runner.start(plan, "p", "k", Map()));
  PlanCatalog right;
  right.add(plan).value();
  CHECK(Runner(bench.storage, right, bench.options).start(plan, "p", "k", Map()));
}

TEST_CASE("a run of N steps costs N+1 commits, however many of them are skipped on the way") {
  for (int steps = 1; steps <= 8; ++steps) {
    Bench bench;
    Runner runner(bench.storage, bench.catalog, bench.options);
    const auto view = runner.start(bench.plan(chain(steps)), "p", "k", nothing).value();
    CHECK(view.state == RunState::succeeded);
    CHECK(view.steps.size() == static_cast<std::size_t>(steps));
    CHECK(bench.commits() == static_cast<std::size_t>(steps) + 1);
    CHECK(bench.storage.calls(FaultyStorage::Call::read) == 0);
    CHECK(bench.downstream.effects() == static_cast<std::size_t>(steps));
  }
  Bench bench;
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto plan = bench.plan(pipeline("skips")
                                   .step("a", "credit@1")
                                   .step("b", "credit@1")
                                   .when("false")
                                   .step("c", "credit@1")
                                   .when("false")
                                   .step("d", "credit@1")
                                   .step("e", "credit@1")
                                   .when("false"));
  CHECK(runner.start(plan, "p", "k", nothing).value().steps.size() == 5);
  CHECK(bench.commits() == 3);
}

TEST_CASE("runs driven side by side share their commits") {
  Bench bench;
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto plan = bench.plan(chain(3));
  std::vector<PreparedRun> runs;
  std::vector<Batch> batches;
  for (int i = 0; i < 100; ++i) {
    runs.push_back(runner.prepare(plan, "p" + std::to_string(i), "k", nothing).value());
    batches.push_back({runs.back().partition(), {runs.back().insert}});
  }
  std::vector<Revision> revisions;
  const auto stored = bench.memory->commit(batches).value();
  for (const auto& answer : stored.batches) revisions.push_back(answer.revision);
  REQUIRE(runner.drive(runs, revisions));
  CHECK(bench.commits() == 3);
  CHECK(bench.downstream.effects() == 300);
  CHECK(bench.downstream.calls() == 300);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    CHECK(runs[i].view().partition == batches[i].partition);
    CHECK(runs[i].state() == RunState::succeeded);
  }
}

TEST_CASE("a step whose when is false is recorded as skipped and reads as null [pipeline-46]") {
  Bench bench;
  bench.add("expects-null@1", [](StepContext& step) -> StepOutcome {
    CHECK_FALSE(step.optional_arg<std::int64_t>("amount").has_value());
    return Done{};
  });
  const auto plan = bench.plan(pipeline("skip")
                                   .input("vip", Value::Kind::boolean)
                                   .step("gift", "credit@1")
                                   .when("vip")
                                   .step("after", "expects-null@1", {{"amount", "steps.gift?.amount"}}));
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto view = runner.start(plan, "p", "k", Map{{"vip", false}}).value();
  REQUIRE(view.state == RunState::succeeded);
  REQUIRE(view.steps.size() == 2);
  CHECK(view.steps[0].skipped);
  CHECK_FALSE(view.steps[1].skipped);
  CHECK(bench.downstream.effects() == 0);
}

TEST_CASE("a later step reads the results of earlier ones") {
  Bench bench;
  const auto plan = bench.plan(pipeline("sum")
                                   .input("amount", Value::Kind::integer)
                                   .step("a", "credit@1", {{"amount", "amount * 2"}})
                                   .step("b", "credit@1", {{"amount", "steps.a.amount + 1"}})
                                   .when("steps.a.amount > 3"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto view = runner.start(plan, "p", "k", Map{{"amount", 5}}).value();
  REQUIRE(view.steps.size() == 2);
  CHECK(view.steps[1].result == Value(Map{{"amount", 11}}));
}

TEST_CASE("a second start with the same key and input causes nothing and returns the run [pipeline-3]") {
  Bench bench;
  const auto plan =
      bench.plan(pipeline("pay").input("n", Value::Kind::integer).step("a", "credit@1", {{"amount", "n"}}));
  Runner first(bench.storage, bench.catalog, bench.options);
  Runner second(bench.storage, bench.catalog, bench.options);
  const auto before = first.start(plan, "p", "k", Map{{"n", 7}}).value();
  const auto record = bench.stored("pay", "k");
  const auto again = second.start(plan, "p", "k", Map{{"n", 7}}).value();
  CHECK(again.state == RunState::succeeded);
  CHECK(again.steps.at(0).result == before.steps.at(0).result);
  CHECK(bench.downstream.calls() == 1);
  CHECK(bench.stored("pay", "k") == record);
  const auto other = second.start(plan, "p", "k", Map{{"n", 8}});
  REQUIRE_FALSE(other);
  CHECK(other.error().code == ErrorCode::conflict);
  CHECK(bench.downstream.calls() == 1);
  CHECK(second.find("pay", "p", "k").value()->state == RunState::succeeded);
  CHECK_FALSE(second.find("pay", "p", "other").value().has_value());
  CHECK_FALSE(second.find("pay", "other", "k").value().has_value());
}

TEST_CASE(
    "a retry frees the thread and comes at the policy's delay, and not early [pipeline-8] [pipeline-29]") {
  Bench bench;
  std::vector<int> attempts;
  bench.add("busy@1", [&](StepContext& step) -> StepOutcome {
    attempts.push_back(step.attempt());
    if (step.attempt() < 4) return Retry{"busy"};
    return Done{};
  });
  const auto plan =
      bench.plan(pipeline("r")
                     .step("a", "busy@1")
                     .retry({.attempts = 5, .first = 100ms, .factor = 3, .cap = 500ms, .jitter = false}));
  Runner runner(bench.storage, bench.catalog, bench.options);
  auto view = runner.start(plan, "p", "k", nothing).value();
  for (const Duration delay : {100ms, 300ms, 500ms}) {
    REQUIRE(view.state == RunState::running);
    CHECK(view.reason == "busy");
    CHECK(view.due == bench.clock.now() + delay);
    bench.clock.advance(delay - 1us);
    // Another runner stands for the process after a crash.
    Runner after(bench.storage, bench.catalog, bench.options);
    const auto early = after.work().value();
    CHECK(early.taken == 0);
    CHECK(early.next_in == 1us);
    bench.clock.advance(1us);
    CHECK(after.work().value().taken == 1);
    view = *after.find("r", "p", "k").value();
  }
  CHECK(view.state == RunState::succeeded);
  CHECK(attempts == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("Retry with a time of its own comes exactly then [pipeline-31]") {
  Bench bench;
  bench.add("later@1", [](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"not before noon", 7h};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "later@1"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  CHECK(runner.start(plan, "p", "k", nothing).value().due == bench.clock.now() + 7h);
  bench.clock.advance(7h - 1us);
  CHECK(runner.work().value().taken == 0);
  bench.clock.advance(1us);
  CHECK(runner.work().value().ended == 1);
}

TEST_CASE("a rejection fails the run at once and for good [pipeline-32]") {
  Bench bench;
  int calls = 0;
  bench.add("closed@1", [&](StepContext&) -> StepOutcome {
    ++calls;
    return Reject{"account_closed", "ann has no account"};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "closed@1").step("b", "credit@1"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto view = runner.start(plan, "p", "k", nothing).value();
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "account_closed: ann has no account");
  CHECK_FALSE(view.due.has_value());
  bench.clock.advance(24h);
  CHECK(runner.work().value().taken == 0);
  CHECK(calls == 1);
  CHECK(bench.downstream.effects() == 0);
}

TEST_CASE("an exception is unknown for an idempotent step and a retry for a pure one [pipeline-33]") {
  Bench bench;
  std::vector<std::string> tokens;
  const auto throws = [&](StepContext& step) -> StepOutcome {
    tokens.emplace_back(step.token());
    if (step.attempt() == 1) throw std::runtime_error("connection reset");
    if (step.attempt() == 2) throw 42;
    return Done{};
  };
  bench.add("effect@1", throws);
  bench.add("pure@1", throws, Effect::pure);
  for (const auto& [step, reason] :
       {std::pair("effect@1", "unknown: connection reset"), std::pair("pure@1", "connection reset")}) {
    tokens.clear();
    const auto plan = bench.plan(pipeline(std::string(step, 4)).step("a", step).retry(steady(3)));
    Runner runner(bench.storage, bench.catalog, bench.options);
    const auto view = runner.start(plan, "p", "k", nothing).value();
    CHECK(view.state == RunState::running);
    CHECK(view.reason == reason);
    CHECK(view.attempt == 2);
    bench.clock.advance(1min);
    CHECK(runner.work().value().ended == 0);
    bench.clock.advance(1min);
    CHECK(runner.work().value().ended == 1);
    CHECK(runner.find(std::string(step, 4), "p", "k").value()->state == RunState::succeeded);
    REQUIRE(tokens.size() == 3);
    CHECK(tokens[1] == tokens[0]);
    CHECK(tokens[2] == tokens[0]);
  }
}

TEST_CASE("attempts used up end as needs_attention, and somebody is told [pipeline-29]") {
  Bench bench;
  bench.add("busy@1", [](StepContext&) -> StepOutcome { return Retry{"still busy", 1s}; });
  const auto plan = bench.plan(pipeline("r").step("a", "busy@1").retry(steady(3)));
  Runner runner(bench.storage, bench.catalog, bench.options);
  std::vector<RunView> told;
  runner.on_attention([&](const RunView& view) { told.push_back(view); });
  CHECK(runner.start(plan, "p", "k", nothing).value().attempt == 2);
  bench.clock.advance(1s);
  CHECK(runner.work().value().ended == 0);
  CHECK(told.empty());
  bench.clock.advance(1s);
  CHECK(runner.work().value().ended == 1);
  REQUIRE(told.size() == 1);
  CHECK(told[0].state == RunState::needs_attention);
  CHECK(told[0].reason.find("retry_exhausted") == 0);
  CHECK(told[0].reason.find("still busy") != std::string::npos);
  CHECK_FALSE(bench.stored("r", "k")->due.has_value());
}

TEST_CASE("parking waits without using an attempt") {
  Bench bench;
  int calls = 0;
  bench.add("slow@1", [&](StepContext& step) -> StepOutcome {
    CHECK(step.attempt() == 1);
    if (++calls < 5) return Park{10s};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "slow@1").retry(steady(1)));
  Runner runner(bench.storage, bench.catalog, bench.options);
  CHECK(runner.start(plan, "p", "k", nothing).value().due == bench.clock.now() + 10s);
  for (int i = 0; i < 4; ++i) {
    bench.clock.advance(10s);
    CHECK(runner.work().value().taken == 1);
  }
  CHECK(calls == 5);
  CHECK(runner.find("r", "p", "k").value()->state == RunState::succeeded);
}

TEST_CASE("waiting runs of an older version finish as that version [pipeline-53]") {
  Bench bench;
  std::map<std::string, int> seen;
  for (const std::string name : {"old@1", "new@1"}) {
    bench.add(name, [&seen, name](StepContext& step) -> StepOutcome {
      if (step.attempt() == 1 && name == "old@1") return Retry{"wait", 1s};
      ++seen[name];
      return Done{};
    });
  }
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto first = bench.plan(pipeline("grant", "1").step("a", "old@1"));
  for (int i = 0; i < 100; ++i) REQUIRE(runner.start(first, "p", "k" + std::to_string(i), nothing));
  const auto second = bench.plan(pipeline("grant", "2").step("a", "new@1"));
  CHECK(runner.start(second, "p", "k0", nothing).value().state == RunState::running);
  CHECK(runner.start(second, "p", "fresh", nothing).value().state == RunState::succeeded);
  bench.clock.advance(1s);
  CHECK(runner.work().value().ended == 100);
  CHECK(seen == std::map<std::string, int>{{"old@1", 100}, {"new@1", 1}});
}

TEST_CASE("a run whose plan is not known here is left alone and counted") {
  Bench bench;
  bench.add("busy@1", [](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"wait", 1s};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "busy@1"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  REQUIRE(runner.start(plan, "p", "k", nothing));
  bench.clock.advance(1s);
  const auto before = bench.stored("r", "k");
  const PlanCatalog empty;
  Runner stranger(bench.storage, empty, bench.options);
  const auto report = stranger.work().value();
  CHECK(report.taken == 0);
  CHECK(report.unknown_plans == 1);
  CHECK(bench.stored("r", "k") == before);
  CHECK(runner.work().value().ended == 1);
}

TEST_CASE("broken records and records of others stop no run and are not touched") {
  Bench bench;
  bench.add("busy@1", [](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"wait", 1s};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "busy@1"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  REQUIRE(runner.start(plan, "p", "k", nothing));
  REQUIRE(runner.start(plan, "p", "many", nothing));
  auto finished = bench.stored("r", "many")->value;
  finished.replace(finished.find("\"steps\":["), std::string::npos,
                   R"("steps":[{"id":"a","result":null},{"id":"b","result":null}]})");
  const std::vector<std::pair<std::string, std::string>> strange = {{"run/r/bad", "no json"},
                                                                    {"run/r/empty", ""},
                                                                    {"run/x", bench.stored("r", "k")->value},
                                                                    {"run/r/past-the-end", finished},
                                                                    {"other/k", "x"}};
  for (const auto& [key, value] : strange) {
    REQUIRE(commit_one(*bench.memory, {"p", {Operation::insert(key, value, {.due_in = 0s})}})->applied());
  }
  bench.clock.advance(1s);
  const auto report = runner.work().value();
  CHECK(report.taken == 2);
  CHECK(report.ended == 2);
  CHECK(report.corrupt == 4);
  for (const auto& [key, value] : strange) CHECK(read_one(*bench.memory, "p", key).value()->value == value);
  const auto found = runner.find("r", "p", "bad");
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::corrupt);
}

TEST_CASE("an input that does not fit the plan starts nothing") {
  Bench bench;
  const auto plan = bench.plan(pipeline("r")
                                   .input("n", Value::Kind::integer)
                                   .input("note", Value::Kind::string, false)
                                   .step("a", "credit@1", {{"amount", "n"}}));
  Runner runner(bench.storage, bench.catalog, bench.options);
  Value deep = 1;
  for (int i = 0; i < 60; ++i) deep = List{std::move(deep)};
  for (const Value& input : {Value(), Value(3), Value(Map()), Value(Map{{"n", "7"}}),
                             Value(Map{{"n", 1}, {"more", 1}}), Value(Map{{"n", Value()}}),
                             Value(Map{{"n", 1}, {"note", "\xff"}}), Value(Map{{"n", 1}, {"note", deep}})}) {
    const auto refused = runner.start(plan, "p", "k", input);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::invalid_argument);
  }
  CHECK_FALSE(runner.start(plan, "p", "", Map{{"n", 1}}));
  CHECK_FALSE(runner.start(plan, "p", std::string(600, 'k'), Map{{"n", 1}}));
  CHECK_FALSE(runner.start(plan, "p", "k", Map{{"n", 1}, {"note", std::string(limits::value_bytes, 'x')}}));
  CHECK(bench.commits() == 0);
  CHECK(runner.start(plan, "p", "k", Map{{"n", 1}}).value().state == RunState::succeeded);
}

TEST_CASE("a result that cannot be stored ends its own run and no other; the step is not called again") {
  Bench bench;
  int calls = 0;
  bench.add("huge@1", [&](StepContext& step) -> StepOutcome {
    ++calls;
    if (step.run_key() == "large") return Done{Map{{"text", std::string(limits::value_bytes, 'x')}}};
    if (step.run_key() == "bytes") return Done{Map{{"text", "\xc3("}}};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "huge@1").step("b", "credit@1").when("false"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  std::vector<PreparedRun> runs;
  std::vector<Batch> batches;
  for (const std::string key : {"large", "fine", "bytes"}) {
    runs.push_back(runner.prepare(plan, "p", key, nothing).value());
    batches.push_back({"p", {runs.back().insert}});
  }
  std::vector<Revision> revisions;
  const auto stored = bench.memory->commit(batches).value();
  for (const auto& answer : stored.batches) revisions.push_back(answer.revision);
  REQUIRE(runner.drive(runs, revisions));
  for (const std::size_t bad : {0U, 2U}) {
    CHECK(runs[bad].state() == RunState::needs_attention);
    CHECK(runs[bad].view().reason.find("result_unstorable") == 0);
    CHECK(runs[bad].view().steps.at(0).id == "a");
  }
  CHECK(runs[1].state() == RunState::succeeded);
  bench.clock.advance(24h);
  CHECK(runner.work().value().taken == 0);
  CHECK(calls == 3);
}

TEST_CASE("what a step says may be long and in any bytes: its run stays readable") {
  Bench bench;
  for (const std::string& said :
       {std::string(2000, '\xc3'), "a" + std::string(600, '\xff'), std::string(1023, 'a') + "\xc3\xa4"}) {
    Bench fresh;
    fresh.add("says@1", [&](StepContext&) -> StepOutcome { return Retry{said, 1s}; });
    const auto plan = fresh.plan(pipeline("r").step("a", "says@1"));
    Runner runner(fresh.storage, fresh.catalog, fresh.options);
    REQUIRE(runner.start(plan, "p", "k", nothing));
    CHECK(runner.find("r", "p", "k").value()->reason.size() <= 1024);
  }
}

TEST_CASE("arguments that cannot be computed end as needs_attention without a call") {
  Bench bench;
  const auto plan = bench.plan(pipeline("r")
                                   .input("n", Value::Kind::integer)
                                   .step("a", "credit@1", {{"amount", "10 / n"}})
                                   .step("b", "credit@1")
                                   .when("steps.a.amount"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto view = runner.start(plan, "p", "zero", Map{{"n", 0}}).value();
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("amount") != std::string::npos);
  CHECK(bench.downstream.calls() == 0);
  const auto second = runner.start(plan, "p", "one", Map{{"n", 1}}).value();
  CHECK(second.state == RunState::needs_attention);
  CHECK(second.reason.find("when") != std::string::npos);
}

TEST_CASE("every unfinished run has a due time, an ended one has none, and only success expires [pipeline-70]") {
  Bench bench;
  bench.add("any@1", [](StepContext& step) -> StepOutcome {
    switch (step.optional_arg<std::int64_t>("amount").value_or(0)) {
      case 0: return Done{};
      case 1: return Retry{"r"};
      case 2: return Unknown{"u"};
      case 3: return Park{};
      default: return Reject{"no", "never"};
    }
  });
  const auto plan =
      bench.plan(pipeline("r").input("n", Value::Kind::integer).step("a", "any@1", {{"amount", "n"}}));
  // Looked at after every single write, the insert included.
  std::size_t looked = 0;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.after") return;
    const auto page = bench.memory->scan("p", "run/", "", 100).value();
    for (const auto& record : page.records) {
      ++looked;
      const bool running = record.value.find("\"state\":\"running\"") != std::string::npos;
      CHECK(record.due.has_value() == running);
      const bool succeeded = record.value.find("\"state\":\"succeeded\"") != std::string::npos;
      CHECK(record.expires.has_value() == succeeded);
    }
  });
  Runner runner(bench.storage, bench.catalog, bench.options);
  for (int n = 0; n < 5; ++n) REQUIRE(runner.start(plan, "p", std::to_string(n), Map{{"n", n}}));
  CHECK(looked == 30);
}
