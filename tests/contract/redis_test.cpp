#include <onceward/storage/redis.hpp>

#include "contract/run_contract.hpp"
#include "support/redis_cluster.hpp"

using namespace onceward;

TEST_CASE("the Redis storage keeps the contract") {
  static RedisServer server;  // one for all cases: a section runs the whole function again
  if (server.missing()) {
    WARN("skipped: there is no redis-server on this machine");
    return;
  }
  static int count = 0;
  const auto open = [&](const Clock& clock) {
    auto options = server.options();
    options.prefix = "contract-" + std::to_string(count);
    options.clock = &clock;
    return redis::open(options);
  };
  run_contract({.name = "Redis",
                .open_fresh = [&](const Clock& clock) { return ++count, open(clock); },
                .reopen = open});
}

TEST_CASE("the Redis storage keeps the contract on a cluster") {
  static RedisCluster cluster;
  if (cluster.missing()) {
    WARN("skipped: there is no redis-server on this machine");
    return;
  }
  static int count = 0;
  const auto open = [&](const Clock& clock) {
    auto options = cluster.options();
    options.prefix = "contract-" + std::to_string(count);
    options.clock = &clock;
    return redis::open(options);
  };
  run_contract({.name = "Redis Cluster",
                .open_fresh = [&](const Clock& clock) { return ++count, open(clock); },
                .reopen = open});
}
