#include "bench.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <thread>
#include <utility>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

using Call = FaultyStorage::Call;
using Fault = FaultyStorage::Fault;

const Value nothing = Map();

PipelineBuilder three_steps() {
  return pipeline("three").step("a", "credit@1").step("b", "credit@1").step("c", "credit@1");
}

/// Stores a run as a process does that dies before its first step.
void insert_and_die(Bench& bench, const Plan& plan, const std::string& key) {
  Runner dead(bench.storage, bench.catalog, bench.options);
  REQUIRE(
      commit_one(*bench.memory, {"p", {dead.prepare(plan, "p", key, nothing).value().insert}})->applied());
}

}  // namespace

TEST_CASE(
    "a run whose worker died before its first step is finished by another after the lease [pipeline-1]") {
  Bench bench;
  const auto plan = bench.plan(three_steps());
  insert_and_die(bench, plan, "k");
  Runner other(bench.storage, bench.catalog, bench.options);
  bench.clock.advance(bench.options.lease - 1us);
  const auto early = other.work().value();
  CHECK(early.taken == 0);
  CHECK(early.next_in == 1us);
  bench.clock.advance(1us);
  CHECK(other.work().value().ended == 1);
  CHECK(bench.downstream.calls() == 3);
  CHECK(bench.downstream.effects() == 3);
}

TEST_CASE("a worker stopped past its lease changes nothing and reports the other's outcome [pipeline-18]") {
  Bench bench;
  Runner other(bench.storage, bench.catalog, bench.options);
  int calls = 0;
  bench.add("stalls@1", [&](StepContext& step) -> StepOutcome {
    if (++calls > 1) return Done{Map{{"by", "other"}, {"token", step.token()}}};
    bench.clock.advance(31s);
    CHECK(other.work().value().ended == 1);
    return Done{Map{{"by", "stopped"}, {"token", step.token()}}};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "stalls@1").step("b", "credit@1"));
  Runner stopped(bench.storage, bench.catalog, bench.options);
  const auto view = stopped.start(plan, "p", "k", nothing).value();
  CHECK(view.state == RunState::succeeded);
  CHECK(*view.steps.at(0).result.find("by") == Value("other"));
  CHECK(bench.downstream.calls() == 1);
  CHECK(calls == 2);
}

TEST_CASE("a lost run leaves the runs beside it alone") {
  Bench bench;
  const auto plan = bench.plan(three_steps());
  Runner runner(bench.storage, bench.catalog, bench.options);
  std::vector<PreparedRun> runs;
  std::vector<Revision> revisions;
  for (int i = 0; i < 3; ++i) {
    runs.push_back(runner.prepare(plan, "p", std::to_string(i), nothing).value());
    revisions.push_back(commit_one(*bench.memory, {"p", {runs.back().insert}})->revision);
  }
  const auto record = *bench.stored("three", "1");
  REQUIRE(commit_one(*bench.memory, {"p", {Operation::remove(record.key, record.revision)}})->applied());
  REQUIRE(runner.drive(runs, revisions));
  CHECK(runs[0].state() == RunState::succeeded);
  CHECK(runs[1].state() == RunState::running);
  CHECK(runs[1].view().reason == "its record is gone");
  CHECK(runs[2].state() == RunState::succeeded);
  CHECK_FALSE(bench.stored("three", "1").has_value());
}

TEST_CASE("a storage that is down while a step is recorded does not make the step run again [pipeline-6]") {
  for (const auto code : {ErrorCode::unavailable, ErrorCode::timeout}) {
    Bench bench;
    const auto plan = bench.plan(three_steps());
    bench.storage.fail_calls(Call::commit, Fault::before, code, 3, 1);
    Runner runner(bench.storage, bench.catalog, bench.options);
    CHECK(runner.start(plan, "p", "k", nothing).value().state == RunState::succeeded);
    CHECK(bench.downstream.calls() == 3);
    CHECK(bench.commits() == 7);
  }
}

TEST_CASE(
    "a storage that stays down past the lease gives its error; the run is finished later, each effect once") {
  Bench bench;
  const auto plan = bench.plan(three_steps());
  bench.options.lease = 60ms;
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000, 1);
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto down = runner.start(plan, "p", "k", nothing);
  REQUIRE_FALSE(down);
  CHECK(down.error().code == ErrorCode::unavailable);
  CHECK(bench.downstream.calls() == 1);
  bench.storage.heal();
  bench.clock.advance(60ms);
  CHECK(runner.work().value().ended == 1);
  CHECK(bench.downstream.calls() == 4);
  CHECK(bench.downstream.effects() == 3);
}

TEST_CASE("a lost answer at any write is settled by reading back; no step is called twice") {
  for (const auto fault : {Fault::before, Fault::after}) {
    for (const bool reading_fails : {false, true}) {
      for (std::size_t write = 0; write < 4; ++write) {
        Bench bench;
        const auto plan = bench.plan(three_steps());
        bench.storage.fail_calls(Call::commit, fault, ErrorCode::in_doubt, 1, write);
        if (reading_fails) bench.storage.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 1);
        Runner runner(bench.storage, bench.catalog, bench.options);
        auto view = runner.start(plan, "p", "k", nothing);
        if (write == 0 && (fault == Fault::before || reading_fails)) {
          REQUIRE_FALSE(view);
          CHECK(view.error().code == ErrorCode::in_doubt);
          CHECK(bench.downstream.calls() == 0);
          view = runner.start(plan, "p", "k", nothing);
          bench.clock.advance(31s);
          REQUIRE(runner.work());
          view = *runner.find("three", "p", "k").value();
        }
        REQUIRE(view);
        CHECK(view->state == RunState::succeeded);
        CHECK(bench.downstream.calls() == 3);
        CHECK(bench.downstream.effects() == 3);
      }
    }
  }
}

TEST_CASE("two threads of one runner never hold one run, also where an answer is lost") {
  Bench bench;
  const auto plan = bench.plan(three_steps());
  insert_and_die(bench, plan, "k");
  bench.clock.advance(30s);
  Runner runner(bench.storage, bench.catalog, bench.options);
  // A second thread of the same runner takes the run between the first one's look and its write, whose answer
  // is lost; the second then stands still, so that the record is as both would have written it.
  bool rival = false;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || std::exchange(rival, true)) return;
    CHECK_FALSE(runner.work().has_value());
  });
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::in_doubt, 1);
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::corrupt, 1, 1);
  CHECK(runner.work().value().taken == 0);
  CHECK(bench.downstream.calls() == 1);
  bench.clock.advance(30s);
  CHECK(runner.work().value().ended == 1);
  CHECK(bench.downstream.effects() == 3);
}

TEST_CASE("four workers share a thousand due runs, one owner each [pipeline-17]") {
  Bench bench;
  std::mutex mutex;
  std::map<std::string, int> calls;
  bench.add("count@1", [&](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"wait", 1s};
    const std::lock_guard lock(mutex);
    ++calls[std::string(step.token())];
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "count@1"));
  std::vector<std::unique_ptr<Runner>> runners;
  for (int i = 0; i < 4; ++i)
    runners.push_back(std::make_unique<Runner>(bench.storage, bench.catalog, bench.options));
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(runners[0]->start(plan, "p" + std::to_string(i % 37), std::to_string(i), nothing));
  }
  bench.clock.advance(1s);
  std::vector<std::size_t> taken(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (;;) {
          const auto report = runners[i]->work(100).value();
          taken[i] += report.taken;
          if (!report.next_in) return;
        }
      });
    }
  }
  CHECK(std::accumulate(taken.begin(), taken.end(), std::size_t{0}) == 1000);
  CHECK(calls.size() == 1000);
  CHECK(std::all_of(calls.begin(), calls.end(), [](const auto& call) { return call.second == 1; }));
}

TEST_CASE(
    "a run that kills its workers needs attention at the sixth claim; its neighbours are unaffected [pipeline-26]") {
  Bench bench;
  int kills = 0;
  bench.add("deadly@1", [&](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"wait", 1s};
    if (step.run_key() != "deadly") return Done{bench.downstream.credit(step.token(), 1)};
    ++kills;
    // Stands for the death of the process: nothing that it still does reaches the storage.
    bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::corrupt, 1'000'000);
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "deadly@1").retry(steady(20)));
  Runner runner(bench.storage, bench.catalog, bench.options);
  std::vector<std::string> told;
  runner.on_attention([&](const RunView& view) { told.push_back(view.key); });
  for (int i = 0; i < 20; ++i)
    REQUIRE(runner.start(plan, "p", i == 7 ? "deadly" : "k" + std::to_string(i), nothing));
  bench.clock.advance(1s);
  int claims = 0;
  while (told.empty() && claims < 20) {
    ++claims;
    static_cast<void>(runner.work());
    bench.storage.heal();
    bench.clock.advance(31s);
  }
  CHECK(claims == 6);
  CHECK(kills == 5);
  CHECK(told == std::vector<std::string>{"deadly"});
  const auto view = runner.find("r", "p", "deadly").value().value();
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("worker_died") == 0);
  CHECK(bench.downstream.effects() == 19);
  for (int i = 0; i < 20; ++i) {
    if (i != 7) CHECK(runner.find("r", "p", "k" + std::to_string(i)).value()->state == RunState::succeeded);
  }
}

TEST_CASE("worker threads finish waiting runs and stop when asked") {
  const auto memory = open_memory().value();
  StepRegistry registry;
  Downstream downstream;
  StepSpec spec{.name = "twice@1"};
  registry
      .add(std::make_unique<FunctionStep>(std::move(spec),
                                          [&](StepContext& step) -> StepOutcome {
                                            if (step.attempt() == 1) return Retry{"once more", 5ms};
                                            return Done{downstream.credit(step.token(), 1)};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("r").step("a", "twice@1").step("b", "twice@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*memory, catalog, {.span = 16, .workers = 3, .idle_poll = 2ms});
  runner.start_workers();
  runner.start_workers();
  for (int i = 0; i < 100; ++i) REQUIRE(runner.start(plan, "p", std::to_string(i), nothing));
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (downstream.effects() < 200 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  runner.stop_workers();
  for (int i = 0; i < 100; ++i)
    CHECK(runner.find("r", "p", std::to_string(i)).value()->state == RunState::succeeded);
  CHECK(downstream.effects() == 200);
  CHECK(downstream.calls() == 200);
  runner.stop_workers();
}
