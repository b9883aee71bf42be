#include "bench.hpp"

#include "support/catch.hpp"

#include <condition_variable>
#include <thread>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// A clock that runs, and stands ten minutes off for whoever looks at it.
class Ahead final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const noexcept override { return clock_.now() + 10min; }

 private:
  SystemClock clock_;
};

/// Threads wait here for each other.
class Meeting {
 public:
  void arrive() {
    const std::lock_guard lock(mutex_);
    ++arrived_;
    changed_.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
};

}  // namespace

TEST_CASE("a step that takes five leases is not stolen and runs once [pipeline-22]") {
  const auto memory = open_memory().value();
  constexpr Duration lease = 60ms;
  StepRegistry registry;
  std::atomic<int> calls = 0;
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "long@1"},
                                          [&](StepContext&) -> StepOutcome {
                                            ++calls;
                                            // The time itself is what is tested here.
                                            std::this_thread::sleep_for(5 * lease);
                                            return Done{};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("r").step("a", "long@1").step("b", "long@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*memory, catalog, {.lease = lease});
  Runner thief(*memory, catalog, {.lease = lease});
  std::atomic<std::size_t> stolen = 0;
  std::jthread thieving([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) stolen += thief.work().value().taken;
  });
  CHECK(runner.start(plan, "p", "k", Map()).value().state == RunState::succeeded);
  thieving.request_stop();
  thieving.join();
  CHECK(stolen == 0);
  CHECK(calls == 2);
}

TEST_CASE(
    "a worker whose clock is ten minutes ahead steals nothing: the storage's clock decides [pipeline-23]") {
  Bench bench;
  bench.add("busy@1", [](StepContext& step) -> StepOutcome {
    if (step.attempt() == 1) return Retry{"busy", 5min};
    return Done{};
  });
  const auto plan = bench.plan(pipeline("r").step("a", "busy@1"));
  Runner runner(bench.storage, bench.catalog, bench.options);
  REQUIRE(runner.start(plan, "p", "k", Map()));
  // A runner asks no clock of its own: there is none to give it. Ahead stands for what its process reads.
  const Ahead wrong;
  CHECK(wrong.now() > bench.clock.now());
  Runner worker(bench.storage, bench.catalog, bench.options);
  CHECK(worker.work().value().taken == 0);
  bench.clock.advance(5min);
  CHECK(worker.work().value().ended == 1);
}

TEST_CASE("stopping records what finishes and releases the others at once [pipeline-28]") {
  const auto memory = open_memory().value();
  StepRegistry registry;
  Meeting running;
  std::atomic<bool> stopped = false;
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                          [&](StepContext& step) -> StepOutcome {
                                            if (stopped) return Done{};
                                            running.arrive();
                                            while (!step.stop().stop_requested()) std::this_thread::yield();
                                            // Half of them finish, half give up in the middle.
                                            if (step.run_key() < "4") return Done{};
                                            return Unknown{"stopped"};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("r").step("a", "slow@1").step("b", "slow@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*memory, catalog, {.lease = 1h, .span = 1, .workers = 8, .idle_poll = 1ms});
  for (int i = 0; i < 8; ++i) REQUIRE(runner.enqueue(*memory, plan, "p", std::to_string(i), Map()));
  runner.start_workers();
  running.wait_for(8);
  runner.stop_workers();
  for (int i = 0; i < 8; ++i) {
    const auto view = runner.find("r", "p", std::to_string(i)).value().value();
    CHECK(view.state == RunState::running);
    CHECK(view.steps.size() == (i < 4 ? 1 : 0));
  }
  stopped = true;
  // No lease stands in the way of another process.
  Runner other(*memory, catalog, {.lease = 1h});
  CHECK(other.work().value().taken == 8);
}

TEST_CASE("a call is told to stop when its time is over") {
  const auto memory = open_memory().value();
  StepRegistry registry;
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                          [&](StepContext& step) -> StepOutcome {
                                            while (!step.stop().stop_requested()) std::this_thread::yield();
                                            return Reject{"timeout", "too slow"};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("r").step("a", "slow@1").timeout(20ms).compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*memory, catalog);
  CHECK(runner.start(plan, "p", "k", Map()).value().reason == "timeout: too slow");
}

TEST_CASE("a step's limit holds across the threads of a runner") {
  const auto memory = open_memory().value();
  StepRegistry registry;
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  registry
      .add(std::make_unique<FunctionStep>(StepSpec{.name = "slow@1"},
                                          [&](StepContext&) -> StepOutcome {
                                            const int now = ++inside;
                                            int seen = most;
                                            while (now > seen && !most.compare_exchange_weak(seen, now))
                                              continue;
                                            for (int i = 0; i < 100; ++i) std::this_thread::yield();
                                            --inside;
                                            return Done{};
                                          }))
      .value();
  PlanCatalog catalog;
  const auto plan = pipeline("r").step("a", "slow@1").compile(registry).value();
  catalog.add(plan).value();
  Runner runner(*memory, catalog, {.limits = {{"slow@1", 2}}});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i)
          CHECK(runner.start(plan, "p", std::to_string(t * 100 + i), Map()).value().state ==
                RunState::succeeded);
      });
    }
  }
  CHECK(most <= 2);
}

TEST_CASE("due runs of a higher priority are taken first") {
  Bench bench;
  std::vector<std::string> order;
  bench.add("note@1", [&](StepContext& step) -> StepOutcome {
    order.emplace_back(step.pipeline());
    return Done{};
  });
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto low = bench.plan(pipeline("low").step("a", "note@1"));
  const auto high = bench.plan(pipeline("high").priority(5).step("a", "note@1"));
  REQUIRE(runner.enqueue(*bench.memory, low, "p", "1", Map()));
  bench.clock.advance(1s);
  REQUIRE(runner.enqueue(*bench.memory, high, "p", "2", Map()));
  CHECK(runner.work(1).value().taken == 1);
  CHECK(order == std::vector<std::string>{"high"});
}
