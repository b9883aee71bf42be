#include <onceward/storage/memory.hpp>
#include <onceward/storage/observed.hpp>
#include <onceward/storage/partitions.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "contract/run_contract.hpp"
#include "support/catch.hpp"

#include <thread>

using namespace onceward;
using testing::FaultyStorage;
using Kind = StorageCall::Kind;

TEST_CASE("an observed storage keeps the contract") {
  run_contract({.name = "observed memory", .open_fresh = [](const Clock& clock) {
                  return observe(open_memory({.clock = &clock}).value(), std::make_shared<StorageMetrics>());
                }});
}

TEST_CASE("metrics tell calls, items, refusals, errors and latencies of each kind of call") {
  const auto memory = open_memory().value();
  const auto faulty = std::make_shared<FaultyStorage>(*memory);
  const auto metrics = std::make_shared<StorageMetrics>();
  const auto storage = observe(faulty, metrics).value();
  const std::vector<Batch> span{{"p", {Operation::insert("a", "1")}}, {"p", {Operation::insert("a", "2")}}};
  REQUIRE(storage->commit(span));
  faulty->fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable, 2);
  REQUIRE_FALSE(storage->commit(span));
  REQUIRE_FALSE(storage->commit(span));
  REQUIRE(storage->scan("p", {}, {}, 10));
  faulty->on_call([](std::string_view point) {
    if (point == "read.before") std::this_thread::sleep_for(std::chrono::milliseconds(3));
  });
  REQUIRE(read_one(*storage, "p", "a")->has_value());

  const auto commits = metrics->figures(Kind::commit);
  CHECK(commits.calls == 3);
  CHECK(commits.items == 6);
  CHECK(commits.refused == 1);
  CHECK(commits.failed == 2);
  CHECK(commits.errors[static_cast<std::size_t>(ErrorCode::unavailable)] == 2);
  CHECK(metrics->figures(Kind::scan).items == 1);
  const auto reads = metrics->figures(Kind::read);
  CHECK(reads.calls == 1);
  CHECK(reads.quantile(0.5) >= std::chrono::milliseconds(3));
  CHECK(reads.quantile(0.99) <= std::chrono::seconds(9));
  CHECK(metrics->figures(Kind::due).calls == 0);
  CHECK(metrics->figures(Kind::due).quantile(0.5).count() == 0);
  const auto table = metrics->table();
  CHECK(table.find("unavailable=2") != std::string::npos);
  CHECK(table.find("p99 us") != std::string::npos);
  CHECK(list_partitions(*observe(open_memory().value(), metrics).value(), {}, 10).has_value());
  CHECK(observe(nullptr, metrics).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a latency falls into the bucket of its power of two") {
  StorageMetrics metrics;
  for (const auto us : {0, 1, 2, 3, 4, 1'000'000, 2'000'000'000}) {
    metrics.called({.kind = Kind::due, .took = std::chrono::microseconds(us)});
  }
  const auto figures = metrics.figures(Kind::due);
  CHECK(figures.latencies[0] == 1);
  CHECK(figures.latencies[1] == 1);
  CHECK(figures.latencies[2] == 2);
  CHECK(figures.latencies[3] == 1);
  CHECK(figures.latencies[20] == 1);
  CHECK(figures.latencies[StorageMetrics::buckets - 1] == 1);
  CHECK(figures.quantile(0.5) == std::chrono::microseconds(4));
  CHECK(figures.quantile(0.0) == std::chrono::microseconds(1));
}
