#include <onceward/pipeline/health.hpp>

#include "pipeline/run_scan.hpp"
#include "pipeline/run_state.hpp"

#include "bench.hpp"

#include "support/catch.hpp"

#include <set>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

struct Ward : Bench {
  Plan waits = plan(pipeline("waits").wait("pause", 1h).step("a", "credit@1"));
  Plan awaits = plan(pipeline("awaits").await("go", "go"));
  Plan works = plan(pipeline("works").step("a", "credit@1"));
  Runner runner{storage, catalog, options};

  PipelineHealth look() { return check_health(storage, catalog).value(); }
};

}  // namespace

TEST_CASE("health counts the runs by state, what is due and for how long, and what awaits a signal") {
  Ward ward;
  ward.runner.start(ward.waits, "p", "1", Map()).value();
  ward.clock.advance(10min);
  ward.runner.start(ward.waits, "q", "2", Map()).value();
  ward.runner.start(ward.awaits, "q", "3", Map()).value();
  ward.runner.start(ward.works, "r", "4", Map()).value();
  auto health = ward.look();
  CHECK(health.whole);
  CHECK(health.runs == 4);
  CHECK(health.states == std::map<RunState, std::size_t>{{RunState::running, 3}, {RunState::succeeded, 1}});
  CHECK(health.runnable == 0);
  CHECK(health.awaiting == 1);
  CHECK(health.stuck == 0);
  ward.clock.advance(55min);
  health = ward.look();
  CHECK(health.runnable == 1);
  CHECK(health.oldest_runnable == 5min);
  CHECK(to_text(health).find("due                1         the oldest for 5m00s") != std::string::npos);
}

TEST_CASE("health finds runs of plans that no worker knows, and records that are none") {
  Ward ward;
  ward.runner.start(ward.waits, "p", "1", Map()).value();
  commit_one(ward.storage, {"p", {Operation::insert("run/waits/x\n", "{}")}}).value();
  const PlanCatalog empty;
  const auto health = check_health(ward.storage, empty).value();
  CHECK(health.unknown_plans == std::map<std::string, std::size_t>{{"waits 1", 1}});
  CHECK(health.corrupt == 1);
  CHECK(health.corrupt_records == std::vector<std::string>{"p: run/waits/x\n"});
  CHECK(to_text(health).find("p: run/waits/x\\x0A") != std::string::npos);
}

TEST_CASE("health finds an unfinished run that nothing will go on with [pipeline-70]") {
  Ward ward;
  ward.runner.start(ward.waits, "p", "1", Map()).value();
  // No runner writes such a record: it is made by hand, to see it found.
  const auto record = ward.stored("waits", "1").value();
  commit_one(ward.storage, {"p", {Operation::replace(record.key, record.revision, record.value)}}).value();
  const auto health = ward.look();
  CHECK(health.stuck == 1);
  REQUIRE(health.stuck_runs.size() == 1);
  CHECK(health.stuck_runs[0].key == "1");
}

TEST_CASE("a scan goes on where a cursor says, whatever the names of partitions are") {
  Ward ward;
  std::set<std::string> all;
  for (int i = 0; i < 700; ++i) {
    const auto partition = std::to_string(i % 300) + std::string(1, static_cast<char>(i % 7)) + ":";
    const auto key = "run/x/" + std::to_string(i);
    commit_one(ward.storage, {partition, {Operation::insert(key, "v")}}).value();
    all.insert(partition + key);
  }
  std::set<std::string> seen;
  std::string cursor;
  std::size_t met = 0;
  for (bool done = false; !done;) {
    // Another process for every page.
    pipeline_detail::RunScan scan(ward.storage, {}, "run/x/", 3);
    if (!cursor.empty()) scan.go_on_from(cursor).value();
    const auto page = scan.next().value();
    for (const auto& record : page.records) {
      seen.insert(page.partition + record.key);
      ++met;
    }
    done = scan.done();
    cursor = scan.cursor();
  }
  CHECK(seen == all);
  CHECK(met == all.size());
  pipeline_detail::RunScan scan(ward.storage, {}, "run/", 3);
  for (const std::string bad : {"x", "3:run", "3:run0:0:9:a", "99999999999999999999:a", "3:ran0:0:0:"})
    CHECK(scan.go_on_from(bad).error().code == ErrorCode::invalid_argument);
}
