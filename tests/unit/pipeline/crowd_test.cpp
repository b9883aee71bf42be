// Runs that cannot go on, or wait, and what they cost the others.
#include "pipeline/run_state.hpp"
#include "works.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace onceward::pipeline_test {
namespace {

/// Looks for work again and again, each time after all leases have ended.
void work_without_errors(Works& works, Runner& runner) {
  for (int i = 0; i < 20; ++i) {
    const auto worked = runner.work();
    INFO((worked ? std::string() : describe(worked.error())));
    CHECK(worked);
    works.clock.advance(31s);
  }
}

}  // namespace

TEST_CASE("runs of a plan that a worker does not know hide no others") {
  Works works;
  PlanCatalog other;
  const auto strange = pipeline("strange").step("a", "credit@1").compile(works.registry).value();
  const auto plan = works.plan(pipeline("mine").step("a", "credit@1"));
  Runner elsewhere(works.storage, other, works.options);
  for (int i = 0; i < 1100; ++i)
    elsewhere.enqueue(works.storage, strange, "p", "s" + std::to_string(i), Map()).value();
  works.clock.advance(1s);
  Runner runner(works.storage, works.catalog, works.options);
  runner.enqueue(works.storage, plan, "p", "k", Map()).value();
  works.clock.advance(1s);
  for (int i = 0; i < 20; ++i) runner.work().value();
  CHECK(runner.find("mine", "p", "k").value()->state == RunState::succeeded);
}

TEST_CASE("a backlog of a limited pipeline hides no other pipeline's run") {
  Works works;
  works.options.limits = {{"low", 1}};
  const auto low = works.plan(pipeline("low").step("a", "credit@1"));
  const auto mine = works.plan(pipeline("mine").step("a", "credit@1"));
  Runner runner(works.storage, works.catalog, works.options);
  for (int i = 0; i < 1500; ++i)
    runner.enqueue(works.storage, low, "p", "s" + std::to_string(i), Map()).value();
  works.clock.advance(1s);
  runner.enqueue(works.storage, mine, "p", "k", Map()).value();
  works.clock.advance(1s);
  for (int i = 0; i < 3; ++i) runner.work().value();
  CHECK(runner.find("mine", "p", "k").value()->state == RunState::succeeded);
  // What was put off is not forgotten.
  works.clock.advance(2s);
  const auto effects = works.downstream.effects();
  runner.work().value();
  CHECK(works.downstream.effects() == effects + 1);
}

TEST_CASE("a run whose input fills its record holds up no others") {
  Works works;
  const auto big = works.plan(pipeline("big").input("text", Value::Kind::string).step("a", "credit@1"));
  const auto mine = works.plan(pipeline("mine").step("a", "credit@1"));
  Runner runner(works.storage, works.catalog, works.options);
  std::size_t low = 900'000, high = limits::value_bytes;
  while (low + 1 < high) {
    const auto middle = (low + high) / 2;
    if (runner.enqueue(works.storage, big, "p", "b" + std::to_string(middle),
                       Map{{"text", std::string(middle, 'x')}}))
      low = middle;
    else
      high = middle;
  }
  runner.enqueue(works.storage, mine, "p", "m", Map()).value();
  works.clock.advance(1s);
  work_without_errors(works, runner);
  CHECK(runner.find("mine", "p", "m").value()->state == RunState::succeeded);
}

TEST_CASE("a foreach whose items do not fit its record holds up no others") {
  Works works;
  const auto big = works.plan(pipeline("big")
                                  .input("items", Value::Kind::list)
                                  .wait("w", 1s)
                                  .foreach ("e", {.items = "items", .variable = "i", .item_key = "i.id"},
                                            [](Body& b) { b.step("a", "credit@1"); }));
  const auto mine = works.plan(pipeline("mine").step("a", "credit@1"));
  Runner runner(works.storage, works.catalog, works.options);
  List items;
  for (int i = 0; i < 600; ++i)
    items.push_back(Map{{"id", std::int64_t{i}}, {"text", std::string(1000, 'x')}});
  runner.start(big, "p", "b", Map{{"items", items}}).value();
  runner.enqueue(works.storage, mine, "p", "m", Map()).value();
  works.clock.advance(2s);
  work_without_errors(works, runner);
  CHECK(runner.find("mine", "p", "m").value()->state == RunState::succeeded);
  CHECK(runner.find("big", "p", "b").value()->state == RunState::needs_attention);
}

TEST_CASE("a set of a large value after a wait ends as needs_attention") {
  Works works;
  const auto plan = works.plan(
      pipeline("set").input("text", Value::Kind::string).wait("w", 1s).set("twice", "text + text"));
  works.start(plan, Map{{"text", std::string(400'000, 'x')}});
  works.clock.advance(2s);
  Runner runner(works.storage, works.catalog, works.options);
  const auto worked = runner.work();
  INFO((worked ? "" : describe(worked.error())));
  CHECK(worked);
  CHECK(runner.find("set", "p", "k").value()->state == RunState::needs_attention);
}

TEST_CASE("a run that awaits with a record nearly full wakes, is cancelled, or says what is wrong") {
  Works works;
  const auto plan =
      works.plan(pipeline("aw").input("text", Value::Kind::string).await("w", "go").step("a", "book@1"));
  Runner runner(works.storage, works.catalog, works.options);
  int signalled = 0;
  int cancelled = 0;
  for (std::size_t less = 200; less < 900; less += 4) {
    const auto key = "k" + std::to_string(less);
    const auto text = std::string(pipeline_detail::running_bytes - less, 'x');
    if (!runner.start(plan, "p", key, Map{{"text", text}})) continue;
    if (runner.signal({"aw", "p", key}, "go")) {
      ++signalled;
    } else {
      runner.cancel({"aw", "p", key}, Cancel::abandon, {std::string(128, 'a'), std::string(2000, 'r')})
          .value();
      ++cancelled;
    }
    works.clock.advance(1s);
    REQUIRE(runner.work());
    REQUIRE(runner.find("aw", "p", key).value()->state != RunState::running);
  }
  CHECK(signalled > 10);
  CHECK(cancelled > 0);
}

TEST_CASE("a run that waits for its turn looks for it ever less often") {
  Works works;
  const auto plan = works.plan(pipeline("serial")
                                   .input("user", Value::Kind::string)
                                   .serial_by("user")
                                   .step("x", "book@1")
                                   .await("w", "go")
                                   .step("a", "book@1"));
  Runner runner(works.storage, works.catalog, works.options);
  runner.start(plan, "p", "first", Map{{"user", "ann"}}).value();
  for (int i = 0; i < 50; ++i) runner.start(plan, "p", "k" + std::to_string(i), Map{{"user", "ann"}}).value();
  const auto written_in = [&](Duration time) {
    std::set<Revision> revisions;
    for (Duration passed{}; passed < time; passed += 250ms) {
      works.clock.advance(250ms);
      runner.work().value();
      revisions.insert(works.stored("serial", "k0")->revision);
    }
    return revisions.size();
  };
  CHECK(written_in(10s) <= 15);
  works.clock.advance(1h);
  runner.work().value();
  CHECK(written_in(20s) <= 2);
  runner.signal({"serial", "p", "first"}, "go").value();
  for (int i = 0; i < 4; ++i) {
    works.clock.advance(30s);
    runner.work().value();
  }
  CHECK(runner.find("serial", "p", "first").value()->state == RunState::succeeded);
  CHECK(std::count(works.done.begin(), works.done.end(), "x") == 2);
}

}  // namespace onceward::pipeline_test
