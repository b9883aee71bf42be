// What worker threads owe each other, and whoever waits for them.
#include "works.hpp"

#include <onceward/testing/recorded_journal.hpp>

#include <chrono>
#include <thread>

namespace onceward::pipeline_test {

TEST_CASE("one slow step does not hold up the runs that an idle worker could drive") {
  auto storage = open_memory({}).value();
  StepRegistry registry;
  std::atomic<int> fast{0};
  const auto add = [&](const char* name, FunctionStep::Body body) {
    registry.add(std::make_unique<FunctionStep>(StepSpec{.name = name}, std::move(body))).value();
  };
  std::atomic<bool> let_slow_end{false};
  add("slow@1", [&](StepContext&) -> StepOutcome {
    while (!let_slow_end) std::this_thread::sleep_for(1ms);
    return Done{};
  });
  add("fast@1", [&](StepContext&) -> StepOutcome {
    ++fast;
    return Done{};
  });
  PlanCatalog catalog;
  const auto slow = pipeline("slow").step("a", "slow@1").compile(registry).value();
  const auto quick = pipeline("quick").step("a", "fast@1").step("b", "fast@1").compile(registry).value();
  catalog.add(slow).value();
  catalog.add(quick).value();
  Runner runner(*storage, catalog, {.workers = 4, .idle_poll = 20ms});
  runner.enqueue(*storage, slow, "p", "s", Map()).value();
  for (int i = 0; i < 100; ++i) runner.enqueue(*storage, quick, "p", "q" + std::to_string(i), Map()).value();
  runner.start_workers();
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (fast < 200 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  CHECK(fast == 200);
  let_slow_end = true;
  runner.stop_workers();
}

TEST_CASE("a graceful stop releases the runs that are behind a slow step at once") {
  auto storage = open_memory({}).value();
  StepRegistry registry;
  std::atomic<bool> slow{false};
  std::atomic<bool> let_slow_end{false};
  registry
      .add(std::make_unique<FunctionStep>(
          StepSpec{.name = "mixed@1", .arguments = {{"slow", Value::Kind::boolean, true}}},
          [&](StepContext& step) -> StepOutcome {
            if (step.arg<bool>("slow")) {
              slow = true;
              while (!let_slow_end) std::this_thread::sleep_for(1ms);
            }
            return Done{};
          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("one")
                        .input("slow", Value::Kind::boolean)
                        .step("a", "mixed@1", {{"slow", "slow"}})
                        .compile(registry)
                        .value();
  catalog.add(plan).value();
  Runner runner(*storage, catalog, {.workers = 1, .idle_poll = 5ms});
  for (int i = 0; i < 20; ++i) {
    runner.enqueue(*storage, plan, "p", "k" + std::to_string(10 + i), Map{{"slow", i == 0}}).value();
    std::this_thread::sleep_for(1ms);
  }
  runner.start_workers();
  while (!slow) std::this_thread::sleep_for(1ms);
  std::jthread stopping([&] { runner.stop_workers(); });
  Runner other(*storage, catalog, {.workers = 1, .idle_poll = 5ms});
  other.start_workers();
  const auto done = [&] {
    int count = 0;
    for (int i = 1; i < 20; ++i) {
      const auto view = other.find("one", "p", "k" + std::to_string(10 + i)).value();
      count += view->state == RunState::succeeded ? 1 : 0;
    }
    return count;
  };
  const auto until = std::chrono::steady_clock::now() + 20s;  // shorter than a lease
  while (done() < 19 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  CHECK(done() == 19);
  let_slow_end = true;
}

TEST_CASE("after a stop no call begins that waited for its limit") {
  // One worker's call may end before the last worker was told; so often, that it is seen to matter.
  for (int round = 0; round < 20; ++round) {
    auto storage = open_memory({}).value();
    StepRegistry registry;
    std::atomic<int> calls{0};
    registry
        .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                            [&](StepContext& step) -> StepOutcome {
                                              ++calls;
                                              while (!step.stop().stop_requested())
                                                std::this_thread::sleep_for(1ms);
                                              return Done{};
                                            }))
        .value();
    PlanCatalog catalog;
    const auto plan = pipeline("one").step("a", "slow@1").compile(registry).value();
    catalog.add(plan).value();
    Runner runner(*storage, catalog, {.span = 1, .workers = 16, .idle_poll = 5ms, .limits = {{"slow@1", 1}}});
    for (int i = 0; i < 16; ++i) runner.enqueue(*storage, plan, "p", "k" + std::to_string(i), Map()).value();
    runner.start_workers();
    // One calls, and the others hold their runs and wait for its place.
    while (calls == 0 || !storage->due({}, 10).value().entries.empty()) std::this_thread::sleep_for(1ms);
    runner.stop_workers();
    CHECK(calls == 1);
  }
}

TEST_CASE("a step that heeds the stop and asks for another try uses up no attempt") {
  auto storage = open_memory({}).value();
  StepRegistry registry;
  std::atomic<bool> begun{false};
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "heeds@1"},
                                          [&](StepContext& step) -> StepOutcome {
                                            begun = true;
                                            while (!step.stop().stop_requested())
                                              std::this_thread::sleep_for(1ms);
                                            return Retry{"the runner stops"};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("one").step("a", "heeds@1").retry(steady(1)).compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*storage, catalog, {.workers = 1, .idle_poll = 5ms});
  runner.enqueue(*storage, plan, "p", "k", Map()).value();
  runner.start_workers();
  while (!begun) std::this_thread::sleep_for(1ms);
  runner.stop_workers();
  const auto view = runner.find("one", "p", "k").value().value();
  INFO(to_string(view.state) << " " << view.reason);
  CHECK(view.state == RunState::running);
}

TEST_CASE("an attempt's timeout is told also while the storage hangs") {
  auto memory = open_memory({}).value();
  FaultyStorage storage(*memory);
  StepRegistry registry;
  std::chrono::steady_clock::duration took{};
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                          [&](StepContext& step) -> StepOutcome {
                                            const auto from = std::chrono::steady_clock::now();
                                            while (!step.stop().stop_requested() &&
                                                   std::chrono::steady_clock::now() - from < 5s)
                                              std::this_thread::sleep_for(1ms);
                                            took = std::chrono::steady_clock::now() - from;
                                            return Done{};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("one").step("a", "slow@1").timeout(500ms).compile(registry).value();
  catalog.add(plan).value();
  const auto caller = std::this_thread::get_id();
  storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && std::this_thread::get_id() != caller) std::this_thread::sleep_for(2s);
  });
  Runner runner(storage, catalog, {.lease = 600ms});
  runner.start(plan, "p", "k", Map()).value();
  CHECK(took < 1s);
}

TEST_CASE("a signal wakes the workers of its process") {
  auto storage = open_memory({}).value();
  StepRegistry registry;
  PlanCatalog catalog;
  const auto plan = pipeline("sig").await("w", "go").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*storage, catalog, {.workers = 1, .idle_poll = 5s});
  runner.start(plan, "p", "k", Map()).value();
  runner.start_workers();
  std::this_thread::sleep_for(200ms);
  const auto begun = std::chrono::steady_clock::now();
  runner.signal({"sig", "p", "k"}, "go").value();
  while (runner.find("sig", "p", "k").value()->state == RunState::running &&
         std::chrono::steady_clock::now() - begun < 6s)
    std::this_thread::sleep_for(5ms);
  CHECK(std::chrono::steady_clock::now() - begun < 1s);
}

TEST_CASE("a callback that throws is told to the journal, and the worker goes on") {
  Works works;
  const auto plan = works.plan(pipeline("bad").step("a", "book@1").retry(steady(1)));
  works.next["a"] = {Retry{"no"}, Retry{"no"}};
  testing::RecordedJournal journal;
  Runner runner(works.storage, works.catalog, {.workers = 1, .idle_poll = 1ms, .journal = &journal});
  runner.on_attention([](const RunView&) { throw std::runtime_error("the pager is down"); });
  runner.start_workers();
  for (const auto* key : {"k", "l"}) {
    runner.enqueue(works.storage, plan, "p", key, Map()).value();
    works.clock.advance(1s);
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (runner.find("bad", "p", key).value()->state == RunState::running &&
           std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(1ms);
    CHECK(runner.find("bad", "p", key).value()->state == RunState::needs_attention);
  }
  runner.stop_workers();
  const auto lines = journal.lines();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.trigger == "callback" && line.reason.find("the pager is down") != std::string::npos;
        }) == 2);
}

TEST_CASE("on_attention comes for every run also where a neighbour's write fails") {
  Works works;
  const auto plan = works.plan(pipeline("att").step("a", "book@1").retry(steady(1)));
  const auto two = works.plan(pipeline("two").step("x", "book@1").step("y", "book@1"));
  works.next["a"] = {Retry{"no"}};
  Runner runner(works.storage, works.catalog, {.lease = 1s});
  int told = 0;
  runner.on_attention([&](const RunView&) { ++told; });
  runner.enqueue(works.storage, plan, "p", "k", Map()).value();
  runner.enqueue(works.storage, two, "p", "k", Map()).value();
  works.clock.advance(1s);
  // The third write of the work (takeover, the first steps, the second step) fails for longer than the lease.
  works.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           1000, 2);
  (void)runner.work();
  works.storage.heal();
  CHECK(runner.find("att", "p", "k").value()->state == RunState::needs_attention);
  for (int i = 0; i < 5; ++i) {
    works.clock.advance(2s);
    runner.work().value();
  }
  CHECK(told == 1);
}

TEST_CASE("on_error is called for looks for work that failed") {
  Works works;
  Runner runner(works.storage, works.catalog, {.workers = 1, .idle_poll = 1ms});
  std::atomic<int> told{0};
  runner.on_error([&](const Error&) { ++told; });
  works.storage.fail_calls(FaultyStorage::Call::due, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           1000000);
  runner.start_workers();
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (told == 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  runner.stop_workers();
  CHECK(told > 0);
}

TEST_CASE("records that others leave due for ever hide no run") {
  auto storage = open_memory({}).value();
  // As many as two pages hold, in partitions of their own: calls in doubt that nobody has looked at.
  for (int i = 0; i < 2000; ++i) {
    const Batch batch{"guard/" + std::to_string(i), {Operation::insert("k", "v", {.due_in = 0ms})}};
    storage->commit({&batch, 1}).value();
  }
  StepRegistry registry;
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "done@1"},
                                          [](StepContext&) -> StepOutcome { return Done{}; }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("one").step("a", "done@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*storage, catalog, {.lease = 1ms});
  for (int i = 0; i < 3; ++i) runner.enqueue(*storage, plan, "p", "k" + std::to_string(i), Map()).value();
  while (storage->due({}, limits::page_records).value().entries.size() < limits::page_records)
    std::this_thread::sleep_for(1ms);
  const auto report = runner.work().value();
  CHECK(report.ended == 3);
  // Nor is there a reason to look again at once.
  CHECK(runner.work().value().next_in.value_or(1s) > Duration::zero());
}

TEST_CASE(
    "whoever stops the workers finds none of them at work afterwards, also where another stops them, too") {
  auto storage = open_memory({}).value();
  StepRegistry registry;
  std::atomic<int> inside{0};
  std::atomic<bool> let_end{false};
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                          [&](StepContext&) -> StepOutcome {
                                            ++inside;
                                            while (!let_end) std::this_thread::sleep_for(1ms);
                                            --inside;
                                            return Done{};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("one").step("a", "slow@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*storage, catalog, {.workers = 1, .idle_poll = 5ms});
  runner.enqueue(*storage, plan, "p", "k", Map()).value();
  runner.start_workers();
  while (inside == 0) std::this_thread::sleep_for(1ms);
  std::atomic<int> stopping{0};
  std::atomic<int> early{0};
  std::vector<std::jthread> stops;
  for (int i = 0; i < 3; ++i) {
    stops.emplace_back([&] {
      ++stopping;
      runner.stop_workers();
      if (inside != 0) ++early;
    });
  }
  while (stopping < 3) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(50ms);  // for those that do not wait to return
  let_end = true;
  stops.clear();
  CHECK(early == 0);
}

TEST_CASE("workers are started and stopped by several threads at once") {
  auto storage = open_memory({}).value();
  PlanCatalog catalog;
  Runner runner(*storage, catalog, {.workers = 2, .idle_poll = 1ms});
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        runner.start_workers();
        runner.stop_workers();
      }
    });
  }
}

}  // namespace onceward::pipeline_test
