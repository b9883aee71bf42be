// Two nodes of a Galera cluster: locks hold on one of them only, and writers meet when they commit.
#include "support/catch.hpp"
#include "support/galera_cluster.hpp"
#include "support/traffic.hpp"

#include <onceward/storage/mariadb.hpp>

#include <atomic>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

#define NEED_CLUSTER(cluster)                                    \
  if ((cluster).missing()) {                                     \
    WARN("skipped: there is no Galera cluster on this machine"); \
    return;                                                      \
  }

}  // namespace

TEST_CASE("storages on two nodes of a Galera cluster are one storage") {
  GaleraCluster cluster;
  NEED_CLUSTER(cluster);
  // Few shards: the nodes' writers meet often.
  auto options = cluster.options(0);
  options.shards = 4;
  options.timeout = 20s;
  const auto one = mariadb::open(options).value();
  options = cluster.options(1);
  options.timeout = 20s;
  const auto two = mariadb::open(options).value();
  REQUIRE(two->shard_count() == 4);

  SECTION("what was answered on one node is read on the other") {
    for (int i = 0; i < 200; ++i) {
      const auto key = std::to_string(i);
      REQUIRE(commit_one(i % 2 == 0 ? *one : *two, {"p", {Operation::insert(key, "v")}})->applied());
      CHECK(read_one(i % 2 == 0 ? *two : *one, "p", key)->has_value());
    }
  }

  SECTION(
      "a key is inserted once, a counter keeps its bound, and a condition holds, whichever node was asked") {
    constexpr int keys = 150;
    constexpr int stock = 100;
    std::array<std::atomic<int>, keys> inserted{};
    std::array<std::atomic<int>, keys> either{};
    std::atomic<int> sold = 0;
    std::mutex mutex;
    std::vector<std::string> errors;
    {
      std::vector<std::jthread> writers;
      for (int writer = 0; writer < 6; ++writer) {
        writers.emplace_back([&, writer] {
          auto& storage = writer % 2 == 0 ? *one : *two;
          const auto applied = [&](const Batch& batch) {
            const auto answer = commit_one(storage, batch);
            if (!answer) {
              const std::lock_guard lock(mutex);
              errors.push_back(describe(answer.error()));
            }
            return answer && answer->applied();
          };
          for (int i = 0; i < keys; ++i) {
            const auto key = std::to_string(i);
            const auto partition = "p" + std::to_string(i % 3);
            inserted[static_cast<std::size_t>(i)] += int{applied({partition, {Operation::insert(key, "v")}})};
            sold += int{applied({"shop", {Operation::add("stock", -1, -stock, 0)}})};
            // Of two keys that exclude each other the nodes may only make one.
            const auto left = "left" + key;
            const auto right = "right" + key;
            either[static_cast<std::size_t>(i)] +=
                int{applied({partition,
                             {Operation::require(writer % 2 == 0 ? right : left, absent),
                              Operation::insert(writer % 2 == 0 ? left : right, "v")}})};
          }
        });
      }
    }
    for (const auto& error : errors) FAIL_CHECK(error);
    for (const auto& count : inserted) CHECK(count == 1);
    for (const auto& count : either) CHECK(count == 1);
    CHECK(sold == stock);
    CHECK(read_one(*two, "shop", "stock").value()->value == std::to_string(-stock));
  }

  SECTION("a node that is killed takes nothing with it that was answered") {
    Traffic traffic(*two, 4);
    traffic.wait_for(200);
    cluster.kill(1);
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (cluster.cluster_size(0) != 1) {
      REQUIRE(std::chrono::steady_clock::now() < until);
      std::this_thread::sleep_for(20ms);
    }
    traffic.end();
    CHECK(traffic.failed() > 0);
    traffic.check(*one);
    CHECK(commit_one(*one, {"p", {Operation::insert("after", "v")}})->applied());
  }
}
