#include <onceward/pipeline/replay_scheduler.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include "bench.hpp"

#include "support/catch.hpp"

#include <set>
#include <thread>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

constexpr int runs = 40;
const Operator ann{"ann", "the downstream is mended"};

/// Runs that failed: even ones rejected as "closed", odd ones used their attempts up.
struct Broken : Bench {
  std::atomic<bool> broken = true;
  testing::RecordedJournal journal;
  std::optional<Plan> plan_;
  std::optional<Runner> runner;

  Broken() {
    add("odd@1", [this](StepContext& step) -> StepOutcome {
      if (!broken) return Done{downstream.credit(step.token(), 1)};
      if (std::stoi(std::string(step.run_key()).substr(1)) % 2 == 0) return Reject{"closed", "no account"};
      return Retry{"down"};
    });
    plan_ = plan(pipeline("r").step("first", "credit@1").step("a", "odd@1").retry({.attempts = 1}));
    auto with_journal = options;
    with_journal.journal = &journal;
    runner.emplace(storage, catalog, with_journal);
    for (int i = 0; i < runs; ++i) runner->start(*plan_, partition(i), key(i), Map()).value();
  }
  static std::string partition(int i) { return "p" + std::to_string(i % 5); }
  static std::string key(int i) { return "k" + std::to_string(i); }
  RunView view(int i) { return runner->find("r", partition(i), key(i)).value().value(); }
  std::size_t count(RunState state) {
    std::size_t count = 0;
    for (int i = 0; i < runs; ++i) count += view(i).state == state ? 1U : 0U;
    return count;
  }
  RedriveOptions quick(std::string id = "monday") {
    return {.id = std::move(id), .by = ann, .per_second = 100'000};
  }
  RedriveReport redrive(const RedriveFilter& filter, const RedriveOptions& chosen) {
    return ReplayScheduler(storage, *runner).redrive(filter, chosen).value();
  }
};

}  // namespace

TEST_CASE("a redrive pushes failed runs to their end, with actor and reason in the run and the journal") {
  Broken bench;
  CHECK(bench.count(RunState::failed) == runs / 2);
  CHECK(bench.count(RunState::needs_attention) == runs / 2);
  bench.broken = false;
  const auto before = bench.journal.lines().size();
  const auto report = bench.redrive({}, bench.quick());
  CHECK(report.looked_at == runs);
  CHECK(report.pushed == runs);
  CHECK(report.cursor.empty());
  CHECK(bench.journal.lines().size() == before + runs);
  CHECK(bench.journal.lines().back().trigger == "redrive");
  CHECK(bench.journal.lines().back().actor == "ann");
  bench.runner->work().value();
  CHECK(bench.count(RunState::succeeded) == runs);
  CHECK(bench.downstream.effects() == 2 * runs);
  CHECK(bench.downstream.calls() == 2 * runs);
  const auto acts = bench.view(3).acts;
  REQUIRE(acts.size() == 1);
  CHECK(acts[0].act == "redrive");
  CHECK(acts[0].path == "monday");
  CHECK(acts[0].reason == ann.reason);
}

TEST_CASE("a redrive takes what its filter says") {
  Broken bench;
  CHECK(bench.redrive({.code = "closed"}, bench.quick("1")).pushed == runs / 2);
  CHECK(bench.redrive({.code = "clos"}, bench.quick("2")).matched == 0);
  CHECK(bench.redrive({.states = {RunState::needs_attention}, .code = "retry_exhausted"}, bench.quick("3"))
            .pushed == runs / 2);

  Broken other;
  CHECK(other.redrive({.pipeline = "r", .key_prefix = "k1"}, other.quick("4")).pushed == 11);
  CHECK(other.redrive({.partition = "p3"}, other.quick("5")).matched == runs / 5 - 2);
  CHECK(other.redrive({.pipeline = "x"}, other.quick("6")).matched == 0);
  const auto now = other.clock.now();
  CHECK(other.redrive({.ended_until = now}, other.quick("7")).matched == 0);
  CHECK(other.redrive({.ended_from = now + 1h}, other.quick("8")).matched == 0);
  CHECK(other.redrive({.ended_from = now, .ended_until = now + 1h}, other.quick("9")).pushed > 0);
}

TEST_CASE("a dry run says what it would do, and writes nothing") {
  Broken bench;
  const auto commits = bench.commits();
  auto options = bench.quick();
  options.dry_run = true;
  options.per_second = 0.001;
  std::set<std::string> would;
  options.each = [&](const RedriveLine& line) { would.insert(line.run.key); };
  const auto report = bench.redrive({.code = "closed"}, options);
  CHECK(report.pushed == runs / 2);
  CHECK(would.size() == runs / 2);
  CHECK(bench.commits() == commits);
  CHECK(bench.count(RunState::running) == 0);
}

TEST_CASE("a run is pushed once by a redrive, also where it fails again; another redrive pushes it again") {
  Broken bench;
  CHECK(bench.redrive({}, bench.quick()).pushed == runs);
  bench.runner->work().value();  // all fail again
  const auto again = bench.redrive({}, bench.quick());
  CHECK(again.pushed == 0);
  CHECK(again.already == runs);
  CHECK(bench.redrive({}, bench.quick("tuesday")).pushed == runs);
}

TEST_CASE("of two redrives at once, one pushes each run") {
  Broken bench;
  bench.broken = false;
  bench.runner->start_workers();
  std::atomic<std::size_t> pushed = 0;
  for (const bool same : {true, false}) {
    std::vector<std::jthread> both;
    for (int i = 0; i < 2; ++i) {
      both.emplace_back([&, i] {
        pushed += bench.redrive({}, bench.quick(same ? "one" : "two" + std::to_string(i))).pushed;
      });
    }
    both.clear();
    CHECK(pushed == runs);  // the second pair finds nothing to do
  }
  for (int tries = 0; tries < 500 && bench.count(RunState::succeeded) < runs; ++tries)
    std::this_thread::sleep_for(10ms);
  bench.runner->stop_workers();
  for (int i = 0; i < runs; ++i) CHECK(bench.view(i).acts.size() == 1);
  CHECK(bench.downstream.effects() == 2 * runs);
}

TEST_CASE("a redrive that stops goes on from its cursor, within its rate and limit") {
  Broken bench;
  auto options = bench.quick();
  options.limit = 7;
  options.page = 2;
  auto report = bench.redrive({}, options);
  CHECK(report.pushed == 7);
  CHECK_FALSE(report.cursor.empty());
  options.limit.reset();
  options.cursor = report.cursor;
  std::size_t pages = 0;
  options.progress = [&](const RedriveReport&) { ++pages; };
  report = bench.redrive({}, options);
  CHECK(report.pushed == runs - 7);
  CHECK(report.looked_at <= runs - 6);
  CHECK(pages >= 16);
  options.cursor = "nonsense";
  CHECK(ReplayScheduler(bench.storage, *bench.runner).redrive({}, options).error().code ==
        ErrorCode::invalid_argument);

  std::stop_source source;
  auto slow = bench.quick("slow");
  slow.per_second = 100;
  slow.limit = 11;
  bench.runner->work().value();
  const auto started = std::chrono::steady_clock::now();
  CHECK(bench.redrive({}, slow).pushed == 11);
  CHECK(std::chrono::steady_clock::now() - started >= 100ms);
  slow.id = "stopped";
  slow.stop = source.get_token();
  slow.each = [&](const RedriveLine&) { source.request_stop(); };
  CHECK(bench.redrive({}, slow).pushed == 1);

  // Told to stop while it waits, it pushes no further run.
  std::stop_source later;
  auto idle = bench.quick("idle");
  idle.per_second = 0.01;
  idle.stop = later.get_token();
  std::jthread stopper;
  idle.each = [&](const RedriveLine&) {
    stopper = std::jthread([&] {
      std::this_thread::sleep_for(50ms);
      later.request_stop();
    });
  };
  CHECK(bench.redrive({}, idle).pushed == 1);
}

TEST_CASE("a redrive whose answers are lost pushes each run once") {
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    Broken bench;
    bench.storage.fail_calls(FaultyStorage::Call::commit, fault, ErrorCode::in_doubt, 3);
    bench.storage.fail_calls(FaultyStorage::Call::scan, fault, ErrorCode::unavailable, 2, 1);
    CHECK(bench.redrive({}, bench.quick()).pushed == runs);
    for (int i = 0; i < runs; ++i) CHECK(bench.view(i).acts.size() == 1);
  }
}

TEST_CASE("a redrive needs an id, an actor, a reason and a rate, and says what it refuses") {
  Broken bench;
  ReplayScheduler scheduler(bench.storage, *bench.runner);
  const auto refused = [&](const RedriveFilter& filter, const RedriveOptions& options) {
    return scheduler.redrive(filter, options).error().code == ErrorCode::invalid_argument;
  };
  CHECK(refused({}, {.id = "", .by = ann}));
  CHECK(refused({}, {.id = "\xff\xfe", .by = ann}));
  CHECK(refused({}, {.id = "x", .by = {"ann", ""}}));
  CHECK(refused({}, {.id = "x", .by = {"\xff\xfe", "mended"}}));
  CHECK(refused({}, {.id = "x", .by = ann, .per_second = 0}));
  CHECK(refused({.key_prefix = "k"}, bench.quick()));
  CHECK(refused({.states = {RunState::succeeded}}, bench.quick()));

  // What was undone is not done again under the tokens of its first try.
  class Back final : public Step {
   public:
    [[nodiscard]] StepSpec spec() const override { return {.name = "back@1", .undo = true}; }
    StepOutcome run(StepContext& step) override {
      if (step.step_id() == "b") return Reject{"no", ""};
      return Done{};
    }
    StepOutcome undo(StepContext&) override { return Done{}; }
  };
  bench.registry.add(std::make_unique<Back>()).value();
  const auto plan =
      bench.plan(pipeline("back").recover(Recover::backward).step("a", "back@1").step("b", "back@1"));
  bench.runner->start(plan, "p", "k", Map()).value();
  auto options = bench.quick();
  std::string why;
  options.each = [&](const RedriveLine& line) { why = line.why; };
  CHECK(bench.redrive({.pipeline = "back"}, options).refused == 1);
  CHECK(why.find("undone") != std::string::npos);
}

TEST_CASE("a dry run of a redrive refuses what the redrive refuses: runs that keep no more acts") {
  Broken bench;
  const auto worn = [&] { return bench.runner->retry({"r", "p0", "k0"}, ann); };
  int acts = 0;
  for (; worn(); ++acts) bench.runner->work().value();
  CHECK(acts == 100);
  auto options = bench.quick();
  options.dry_run = true;
  const auto dry = bench.redrive({.pipeline = "r"}, options);
  const auto wet = bench.redrive({.pipeline = "r"}, bench.quick());
  CHECK(dry.pushed == wet.pushed);
  CHECK(dry.refused == wet.refused);
  CHECK(wet.refused == 1);
}
