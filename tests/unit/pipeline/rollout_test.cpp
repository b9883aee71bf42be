// Canaries, retiring, and tenants.
#include "unit/pipeline/templates_bench.hpp"

#include "support/catch.hpp"

#include <cmath>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// A storage that has no list of its partitions, as a Redis Cluster.
class Unlisted final : public Storage {
 public:
  explicit Unlisted(Storage& inner) : inner_(inner) {}
  Result<CommitAnswer> commit(std::span<const Batch> batches) override { return inner_.commit(batches); }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return inner_.read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return inner_.scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return inner_.due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_.shard_count(); }

 private:
  Storage& inner_;
};

}  // namespace

TEST_CASE("a canary takes keys by a stable hash, and a higher percentage only moves keys forward") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  bench.publish("reward", "2", 2);
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  TemplateSource other_process(bench.storage, bench.registry, bench.catalog);
  constexpr int keys = 20'000;
  std::vector<bool> moved(keys, false);
  int before = 0;
  for (const int percent : {1, 5, 10, 37, 50, 90, 99, 100}) {
    bench.templates.canary("reward", "2", percent, before, ops).value();
    before = percent;
    source.reload().value();
    other_process.reload().value();
    int taken = 0;
    for (int i = 0; i < keys; ++i) {
      const auto key = fmt::format("spend/M:2024-03/{}", i);
      const bool early = source.for_key("reward", key, "gifts-uk/ann").value().definition().version == "2";
      if (i % 100 == 0) {
        CHECK(early ==
              (other_process.for_key("reward", key, "gifts-uk/ann").value().definition().version == "2"));
        CHECK(early == (source.for_key("reward", key, "gifts-uk/ann").value().definition().version == "2"));
      }
      if (moved[static_cast<std::size_t>(i)] && !early) FAIL_CHECK(key << " moved back at " << percent);
      moved[static_cast<std::size_t>(i)] = early;
      taken += early ? 1 : 0;
    }
    INFO(percent << " percent: " << taken << " of " << keys);
    // Within five standard deviations of what a fair hash gives.
    const double p = percent / 100.0;
    CHECK(std::abs(taken - keys * p) <= 5 * std::sqrt(keys * p * (1 - p)));
  }
  // The partition belongs to the key: equal keys of many users do not all move at once.
  bench.templates.canary("reward", "2", 50, 100, ops).value();
  source.reload().value();
  int users = 0;
  for (int i = 0; i < 1000; ++i)
    users +=
        source.for_key("reward", "day", fmt::format("u/{}", i)).value().definition().version == "2" ? 1 : 0;
  CHECK(users > 400);
  CHECK(users < 600);
}

TEST_CASE("a canary expects what holds, and ends by activation or by 0") {
  TemplateBench bench;
  bench.publish("reward", "1", 1);
  bench.publish("reward", "2", 2);
  bench.publish("reward", "3", 3);
  CHECK(code_of(bench.templates.canary("reward", "2", 10, 0, ops)) ==
        ErrorCode::wrong_state);  // nothing is active
  bench.templates.activate("reward", "1", "", ops).value();
  CHECK(code_of(bench.templates.canary("reward", "1", 10, 0, ops)) == ErrorCode::wrong_state);
  CHECK(code_of(bench.templates.canary("reward", "2", 101, 0, ops)) == ErrorCode::invalid_argument);
  CHECK(code_of(bench.templates.canary("reward", "2", 10, 5, ops)) == ErrorCode::conflict);
  bench.templates.canary("reward", "2", 10, 0, ops).value();
  bench.templates.canary("reward", "2", 10, 0, ops).value();  // asked again
  CHECK(code_of(bench.templates.canary("reward", "2", 50, 0, ops)) == ErrorCode::conflict);
  CHECK(code_of(bench.templates.canary("reward", "3", 10, 0, ops)) == ErrorCode::wrong_state);
  CHECK(code_of(bench.templates.activate("reward", "3", "1", ops)) == ErrorCode::wrong_state);
  bench.templates.canary("reward", "2", 0, 10, ops).value();
  CHECK(bench.templates.find("reward").value()->canary.empty());
  bench.templates.canary("reward", "2", 20, 0, ops).value();
  bench.templates.activate("reward", "2", "1", ops).value();
  const auto view = bench.templates.find("reward").value().value();
  CHECK(view.active == "2");
  CHECK(view.canary_percent == 0);
  CHECK(acts_of(bench.templates, "reward") ==
        std::vector<std::string>{
            "publish 1:  -> " + view.versions[0].sha256, "publish 2:  -> " + view.versions[1].sha256,
            "publish 3:  -> " + view.versions[2].sha256, "activate 1:  -> 1", "canary 2: 0 -> 10",
            "canary 2: 10 -> 0", "canary 2: 0 -> 20", "activate 2: 1 -> 2"});
}

TEST_CASE("a version is retired only when no run of it is live") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  for (int i = 0; i < 3; ++i)
    runner.start(source.for_key("reward", "k").value(), fmt::format("user{}", i), "k", Map()).value();
  CHECK(code_of(bench.templates.retire("reward", "1", ops)) == ErrorCode::wrong_state);  // it is active
  bench.release("reward", "2", 2, "1");
  const auto refused = bench.templates.retire("reward", "1", ops);
  CHECK(code_of(refused) == ErrorCode::wrong_state);
  CHECK(refused.error().message.find("3 runs") != std::string::npos);
  const auto live = bench.templates.live_runs("reward", "1").value();
  CHECK(live.count == 3);
  REQUIRE(live.examples.size() == 3);
  CHECK(live.examples[0].pipeline == "reward");
  CHECK(live.examples[0].key == "k");
  CHECK(bench.templates.live_runs("reward", "2").value().count == 0);
  Unlisted unlisted(*bench.memory);
  Templates without_list(unlisted, bench.registry);
  CHECK(code_of(without_list.live_runs("reward", "1")) == ErrorCode::wrong_state);
  const std::vector<std::string> one{"user1"};
  CHECK(without_list.live_runs("reward", "1", one).value().count == 1);

  bench.clock.advance(1h);
  while (runner.work().value().taken > 0) {
  }
  bench.templates.retire("reward", "1", ops).value();
  bench.templates.retire("reward", "1", ops).value();
  CHECK(bench.templates.find("reward").value()->versions[0].retired);
  CHECK(code_of(bench.templates.activate("reward", "1", "2", ops)) == ErrorCode::wrong_state);
  CHECK(code_of(bench.templates.canary("reward", "1", 5, 0, ops)) == ErrorCode::wrong_state);
  CHECK(code_of(bench.templates.retire("reward", "7", ops)) == ErrorCode::not_found);

  // A process with an old view begins one all the same; any other ends it.
  const auto late = runner.start(source.for_key("reward", "late").value(), "user9", "late", Map()).value();
  CHECK(late.version == "1");
  PlanCatalog fresh;
  TemplateSource restarted(bench.storage, bench.registry, fresh);
  Runner worker(bench.storage, fresh, bench.options);
  bench.clock.advance(1h);
  CHECK(worker.work().value().ended == 1);
  CHECK(worker.find("reward", "user9", "late").value()->state == RunState::succeeded);
}

TEST_CASE("templates of tenants never meet") {
  TemplateBench bench;
  Templates ann(bench.storage, bench.registry, {.tenant = "ann"});
  Templates bob(bench.storage, bench.registry, {.tenant = "bob"});
  ann.publish(text_of("reward", "1", 1), "f", ops).value();
  bob.publish(text_of("reward", "1", 2), "f", ops).value();
  ann.activate("reward", "1", "", ops).value();
  bob.activate("reward", "1", "", ops).value();
  CHECK(ann.history("reward").value().size() == 2);
  CHECK_FALSE(bench.templates.find("reward").value());
  TemplateSource of_ann(bench.storage, bench.registry, bench.catalog, {.tenant = "ann"});
  TemplateSource of_bob(bench.storage, bench.registry, bench.catalog, {.tenant = "bob"});
  of_ann.reload().value();
  of_bob.reload().value();
  Runner runner(bench.storage, bench.catalog, bench.options);
  runner.start(of_ann.for_key("reward", "k").value(), "ann/u", "k", Map()).value();
  runner.start(of_bob.for_key("reward", "k").value(), "bob/u", "k", Map()).value();
  CHECK(ann.live_runs("reward", "1").value().count == 1);
  CHECK(ann.live_runs("reward", "1").value().examples[0].partition == "ann/u");
  // One catalog serves both: a run is known by its content too.
  bench.clock.advance(1h);
  while (runner.work().value().taken > 0) {
  }
  const auto amount = [&](const std::string& partition) {
    return *runner.find("reward", partition, "k").value()->steps.back().result.find("amount")->integer();
  };
  CHECK(amount("ann/u") == 1);
  CHECK(amount("bob/u") == 2);
}
