// Hot reload: what is live, what stays live, and that no run mixes versions.
#include "unit/pipeline/templates_bench.hpp"

#include "support/catch.hpp"

#include <set>
#include <thread>

using namespace onceward;
using namespace onceward::pipeline_test;
using testing::FaultyStorage;

namespace {

std::string live_version(const TemplateSource& source, const std::string& id, const std::string& key = "k") {
  const auto plan = source.for_key(id, key);
  return plan ? plan->definition().version : std::string(to_string(plan.error().code));
}

/// Writes over the text of a version, as nobody does but a hand at the database.
void write_row(Storage& storage, const std::string& id, const std::string& version, const std::string& text) {
  const auto key = "version/" + id + "/" + version;
  const auto row = read_one(storage, "templates", key).value();
  storage.commit(std::array{Batch{"templates", {Operation::replace(key, row.value().revision, text)}}})
      .value();
}

void finish(Runner& runner) {
  while (runner.work().value().taken > 0) {
  }
}

}  // namespace

TEST_CASE("runs that wait end as the version they began with; new runs get the active one [pipeline-53]") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  const auto start = [&](int i) {
    const auto key = "k" + std::to_string(i);
    return runner.start(source.for_key("reward", key).value(), "u" + std::to_string(i), key, Map()).value();
  };
  for (int i = 0; i < 100; ++i) CHECK(start(i).state == RunState::running);
  bench.release("reward", "2", 2, "1");
  source.reload().value();
  for (int i = 100; i < 110; ++i) CHECK(start(i).version == "2");

  bench.clock.advance(1h);
  SECTION("in the process that saw both versions") { finish(runner); }
  SECTION("in a process that begins now, and reads the version of each run when it needs it") {
    PlanCatalog fresh;
    TemplateSource restarted(bench.storage, bench.registry, fresh);
    Runner worker(bench.storage, fresh, bench.options);
    finish(worker);
  }
  SECTION("in a process without templates they are left alone") {
    const PlanCatalog fresh;
    Runner worker(bench.storage, fresh, bench.options);
    CHECK(worker.work().value().unknown_plans == 110);
    finish(runner);
  }
  for (int i = 0; i < 110; ++i) {
    const auto view = runner.find("reward", "u" + std::to_string(i), "k" + std::to_string(i)).value().value();
    CHECK(view.state == RunState::succeeded);
    CHECK(view.version == (i < 100 ? "1" : "2"));
    REQUIRE(view.steps.size() == 3);
    CHECK(*view.steps[0].result.find("amount")->integer() == (i < 100 ? 1 : 2));
    CHECK(*view.steps[2].result.find("amount")->integer() == (i < 100 ? 1 : 2));
  }
  CHECK(bench.downstream.effects() == 220);
}

TEST_CASE(
    "an invalid version leaves the last good one live and says where it is wrong; mended it is live [pipeline-54]") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  std::vector<TemplateFault> told;
  source.on_fault([&](const TemplateFault& fault) { told.push_back(fault); });
  source.reload().value();
  bench.publish("reward", "2", 2);
  write_row(bench.storage, "reward", "2",
            "<pipeline id='reward' version='2'>\n  <step id='a' use='credit@9'/>\n</pipeline>");
  // Another process, to which that step is known, activated it.
  StepRegistry newer;
  newer.add(std::make_unique<FunctionStep>(StepSpec{.name = "credit@9"}, [](StepContext&) { return Done{}; }))
      .value();
  Templates(bench.storage, newer).activate("reward", "2", "1", ops).value();
  for (int i = 0; i < 3; ++i) source.reload().value();

  CHECK(live_version(source, "reward") == "1");
  auto status = source.status();
  CHECK(status.live == 1);
  REQUIRE(status.faults.size() == 1);
  CHECK(status.faults[0].id == "reward");
  CHECK(status.faults[0].version == "2");
  REQUIRE(status.faults[0].diagnostics.size() == 1);
  CHECK(status.faults[0].diagnostics[0].code == "unknown-step");
  CHECK(status.faults[0].diagnostics[0].line == 2);
  CHECK(status.faults[0].diagnostics[0].column == 3);
  CHECK(status.faults[0].error.message.find("reward/2:2:3: unknown-step") != std::string::npos);
  CHECK(told == status.faults);  // told once

  SECTION("a process that begins now serves what was active before") {
    PlanCatalog fresh;
    TemplateSource restarted(bench.storage, bench.registry, fresh);
    restarted.reload().value();
    CHECK(live_version(restarted, "reward") == "1");
    CHECK(restarted.status().faults.size() == 1);
    const auto swaps = restarted.status().swaps;
    restarted.reload().value();
    CHECK(restarted.status().swaps == swaps);
  }
  SECTION("the row is mended by hand, without any notice") {
    write_row(bench.storage, "reward", "2", text_of("reward", "2", 2));
    source.reload().value();
    CHECK(live_version(source, "reward") == "2");
  }
  SECTION("another version is activated") {
    bench.release("reward", "3", 3, "2");
    source.reload().value();
    CHECK(live_version(source, "reward") == "3");
  }
  SECTION("the step is offered") {
    bench.add("credit@9", [](StepContext&) { return Done{}; });
    source.reload().value();
    CHECK(live_version(source, "reward") == "2");
  }
  if (live_version(source, "reward") != "1") CHECK(source.status().faults.empty());
}

TEST_CASE("of 50 rows changed one is bad: the other 49 are live [pipeline-55]") {
  TemplateBench bench;
  const auto id = [](int i) { return "reward-" + std::to_string(i); };
  for (int i = 0; i < 50; ++i) bench.release(id(i), "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  CHECK(source.status().live == 50);
  for (int i = 0; i < 50; ++i) bench.release(id(i), "2", 2, "1");
  SECTION("a text that does not compile") {
    write_row(bench.storage, id(17), "2", "<pipeline id='reward-17'");
  }
  SECTION("the text of another pipeline") { write_row(bench.storage, id(17), "2", text_of(id(18), "2", 2)); }
  SECTION("a template's record that nobody can read") {
    const auto row = read_one(bench.storage, "templates", "template/" + id(17)).value();
    bench.storage
        .commit(std::array{Batch{
            "templates", {Operation::replace("template/" + id(17), row.value().revision, "{\"id\":7}")}}})
        .value();
  }
  source.reload().value();
  for (int i = 0; i < 50; ++i) CHECK(live_version(source, id(i)) == (i == 17 ? "1" : "2"));
  const auto status = source.status();
  CHECK(status.live == 50);
  REQUIRE(status.faults.size() == 1);
  CHECK(status.faults[0].id == id(17));
}

TEST_CASE("a look at what has not changed costs one read") {
  TemplateBench bench;
  for (int i = 0; i < 20; ++i) bench.release("reward-" + std::to_string(i), "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  using Call = FaultyStorage::Call;
  source.reload().value();
  const auto reads = bench.storage.calls(Call::read);
  const auto scans = bench.storage.calls(Call::scan);
  for (int i = 0; i < 10; ++i) source.reload().value();
  CHECK(bench.storage.calls(Call::read) == reads + 10);
  CHECK(bench.storage.calls(Call::scan) == scans);
  // One change: the notice, the page of the records, the new text.
  bench.publish("reward-3", "2", 2);
  bench.templates.activate("reward-3", "2", "1", ops).value();
  const auto before = bench.storage.calls(Call::read);
  source.reload().value();
  CHECK(bench.storage.calls(Call::read) == before + 2);
  CHECK(bench.storage.calls(Call::scan) == scans + 1);
  CHECK(source.status().swaps == 2);
}

TEST_CASE("a storage that is down leaves everything live, wherever it goes down") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  CHECK(live_version(source, "reward") == "unavailable");
  CHECK_FALSE(source.status().age);
  source.reload().value();
  CHECK(live_version(source, "other") == "not_found");
  bench.release("reward", "2", 2, "1");
  for (const auto& [call, skip] :
       {std::pair{FaultyStorage::Call::read, 0}, std::pair{FaultyStorage::Call::scan, 0},
        std::pair{FaultyStorage::Call::read, 1}}) {
    bench.storage.fail_calls(call, FaultyStorage::Fault::before, ErrorCode::unavailable, 1,
                             static_cast<std::size_t>(skip));
    CHECK_FALSE(source.reload());
    CHECK(live_version(source, "reward") == "1");
    REQUIRE(source.status().storage);
    CHECK(source.status().faults.empty());
  }
  source.reload().value();
  CHECK(live_version(source, "reward") == "2");
  CHECK_FALSE(source.status().storage);
  CHECK(source.status().age.value() < 1min);
}

TEST_CASE("a row that the storage cannot read is a fault of its template alone") {
  TemplateBench bench;
  for (const std::string id : {"a", "b", "c"}) bench.release(id, "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  // The notice is read, all texts together are not, and the first by itself is not either.
  bench.storage.fail_calls(FaultyStorage::Call::read, FaultyStorage::Fault::before, ErrorCode::corrupt, 2, 1);
  source.reload().value();
  CHECK(live_version(source, "a") == "not_found");
  CHECK(live_version(source, "b") == "1");
  CHECK(live_version(source, "c") == "1");
  REQUIRE(source.status().faults.size() == 1);
  CHECK(source.status().faults[0].error.code == ErrorCode::corrupt);
  source.reload().value();
  CHECK(live_version(source, "a") == "1");
  CHECK(source.status().faults.empty());
}

TEST_CASE("a source that is gone is asked no more, and what it gave stays known") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  std::string sha;
  {
    TemplateSource source(bench.storage, bench.registry, bench.catalog);
    source.reload().value();
    sha = source.for_key("reward", "k").value().sha256();
    CHECK(bench.catalog.find("reward", "1", sha));
    CHECK_FALSE(bench.catalog.find("reward", "1", std::string(64, '0')));
    CHECK_FALSE(bench.catalog.find("reward", "1"));  // by name only what was added
  }
  CHECK(bench.catalog.find("reward", "1", sha));
  CHECK_FALSE(bench.catalog.find("reward", "2", sha));
}

TEST_CASE("a run whose version does not compile here waits, and its fault is told") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  for (int i = 0; i < 20; ++i)
    runner.start(source.for_key("reward", "k").value(), "u" + std::to_string(i), "k", Map()).value();
  bench.clock.advance(1h);
  const StepRegistry none;
  PlanCatalog fresh;
  TemplateSource poor(bench.storage, none, fresh, {.poll = 1h});
  int told = 0;
  poor.on_fault([&](const TemplateFault& fault) {
    CHECK(fault.version == "1");
    ++told;
  });
  Runner worker(bench.storage, fresh, bench.options);
  const auto reads = bench.storage.calls(FaultyStorage::Call::read);
  CHECK(worker.work().value().unknown_plans == 20);
  CHECK(bench.storage.calls(FaultyStorage::Call::read) == reads + 1);  // one look for all of them
  CHECK(told == 1);
  CHECK(poor.status().faults.size() == 1);
  finish(runner);
  CHECK(runner.find("reward", "u3", "k").value()->state == RunState::succeeded);
}

TEST_CASE("a text that was changed by hand under its version is run by no run of the old one") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  runner.start(source.for_key("reward", "k").value(), "u", "k", Map()).value();
  bench.clock.advance(1h);
  write_row(bench.storage, "reward", "1", text_of("reward", "1", 9));
  PlanCatalog fresh;
  TemplateSource restarted(bench.storage, bench.registry, fresh, {.poll = 1h});
  Runner worker(bench.storage, fresh, bench.options);
  CHECK(worker.work().value().unknown_plans == 1);
  write_row(bench.storage, "reward", "1", text_of("reward", "1", 1));
  CHECK(worker.work().value().unknown_plans == 1);  // what was not there is not looked for again at once
  restarted.reload().value();
  CHECK(worker.work().value().ended == 1);
  CHECK(*worker.find("reward", "u", "k").value()->steps.back().result.find("amount")->integer() == 1);
}

TEST_CASE("a reload every 10 ms under load: no run mixes versions [pipeline-58]") {
  const auto storage = open_memory().value();
  StepRegistry registry;
  Downstream downstream;
  const auto credit = [&](StepContext& step) {
    return Done{downstream.credit(step.token(), step.arg<std::int64_t>("amount"))};
  };
  registry
      .add(std::make_unique<FunctionStep>(
          StepSpec{.name = "credit@1", .arguments = {{"amount", Value::Kind::integer}}}, credit))
      .value();
  const auto text = [](int version) {
    return fmt::format(
        "<pipeline id='reward' version='{0}'><step id='a' use='credit@1'><arg name='amount' value='{0}'/>"
        "</step><wait id='w' for='20ms'/><step id='b' use='credit@1'><arg name='amount' value='{0}'/>"
        "</step><step id='c' use='credit@1'><arg name='amount' value='{0}'/></step></pipeline>",
        version);
  };
  Templates templates(*storage, registry);
  PlanCatalog catalog;
  TemplateSource source(*storage, registry, catalog, {.poll = 10ms});
  constexpr int versions = 8;
  for (int v = 1; v <= versions; ++v) templates.publish(text(v), "f", ops).value();
  templates.activate("reward", "1", "", ops).value();
  source.reload().value();
  source.start();
  Runner runner(*storage, catalog, {.workers = 2, .idle_poll = 5ms});
  runner.start_workers();

  std::atomic<bool> over{false};
  std::atomic<int> started{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !over; ++i) {
        const auto key = fmt::format("{}-{}", t, i);
        if (!runner.start(source.for_key("reward", key).value(), "u", key, Map())) over = true;
        ++started;
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  const auto until = std::chrono::steady_clock::now() + 3s;
  int active = 1;
  int activations = 0;
  for (; std::chrono::steady_clock::now() < until && !over; ++activations) {
    const int next = active % versions + 1;
    templates.activate("reward", std::to_string(next), std::to_string(active), ops).value();
    active = next;
    std::this_thread::sleep_for(10ms);
  }
  CHECK_FALSE(over.exchange(true));
  threads.clear();
  source.stop();
  // What still waits is worked off.
  while (templates.live_runs("reward", "1").value().count +
             templates.live_runs("reward", std::to_string(active)).value().count >
         0)
    std::this_thread::sleep_for(5ms);
  for (int v = 1; v <= versions; ++v) {
    while (templates.live_runs("reward", std::to_string(v)).value().count > 0)
      std::this_thread::sleep_for(5ms);
  }
  runner.stop_workers();

  std::set<std::string> seen;
  int runs = 0;
  for (int t = 0; t < 2; ++t) {
    for (int i = 0;; ++i) {
      const auto view = runner.find("reward", "u", fmt::format("{}-{}", t, i)).value();
      if (!view) break;
      ++runs;
      CHECK(view->state == RunState::succeeded);
      REQUIRE(view->steps.size() == 4);
      for (const auto at : {0, 2, 3}) {
        const auto amount = *view->steps[static_cast<std::size_t>(at)].result.find("amount")->integer();
        if (std::to_string(amount) != view->version)
          FAIL_CHECK("a run of " << view->version << " credited " << amount);
      }
      seen.insert(view->version);
    }
  }
  CHECK(runs == started);
  CHECK(runs > 100);
  CHECK(seen.size() == versions);
  CHECK(source.status().swaps > 20);
  CHECK(source.status().faults.empty());
  CHECK(downstream.effects() == static_cast<std::size_t>(3 * runs));
  WARN(runs << " runs of " << seen.size() << " versions, " << activations << " activations, "
            << source.status().swaps << " swaps");
}
