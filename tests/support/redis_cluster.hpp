#pragma once
#include "support/redis_server.hpp"

#include <functional>
#include <sstream>

/// Waits until `holds`, and says whether it came to that.
inline bool wait_until(const std::function<bool()>& holds,
                       std::chrono::seconds limit = std::chrono::seconds(20)) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

/// A real Redis Cluster of the test's own: three masters, each with a replica.
class RedisCluster {
 public:
  RedisCluster() {
    for (int i = 0; i < 6; ++i) {
      nodes_.push_back(std::make_unique<RedisServer>(std::vector<std::string>{
          "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000",
          "--cluster-port", std::to_string(free_port()), "--appendfsync", "always"}));
      if (missing()) return;
    }
    std::string create = "redis-cli --cluster create";
    for (const auto& node : nodes_) create += " 127.0.0.1:" + std::to_string(node->port());
    if (std::system((create + " --cluster-replicas 1 --cluster-yes > /dev/null").c_str()) != 0) {
      throw std::runtime_error("redis-cli cannot make the cluster of a test");
    }
    const auto ready = [&] {
      for (const auto& node : nodes_) {
        if (node->command("CLUSTER INFO").find("cluster_state:ok") == std::string::npos) return false;
      }
      return replicas_are_linked();
    };
    if (!wait_until(ready)) throw std::runtime_error("the cluster of a test does not come up");
  }

  [[nodiscard]] bool missing() const { return nodes_.front()->missing(); }
  [[nodiscard]] RedisServer& node(std::size_t number) { return *nodes_[number]; }
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] onceward::redis::Options options() const {
    auto options = nodes_.front()->options();
    options.mode = onceward::redis::Mode::cluster;
    options.addresses = {nodes_[0]->address(), nodes_[1]->address(), nodes_[4]->address()};
    options.timeout = std::chrono::seconds(15);
    return options;
  }
  /// The node that is a master (or replica) of this number, counted among the living; waits for one, since a
  /// master that was deposed becomes a replica a little later.
  [[nodiscard]] RedisServer& of_role(const std::string& role, std::size_t number) {
    RedisServer* found = nullptr;
    const auto search = [&] {
      auto left = number;
      for (const auto& node : nodes_) {
        if (node->command("INFO replication").find("role:" + role) == std::string::npos) continue;
        if (left-- == 0) return found = node.get(), true;
      }
      return false;
    };
    if (!wait_until(search)) throw std::runtime_error("no such node in the cluster of a test");
    return *found;
  }

 private:
  [[nodiscard]] bool replicas_are_linked() const {
    std::size_t linked = 0;
    for (const auto& node : nodes_) {
      linked +=
          node->command("INFO replication").find("master_link_status:up") != std::string::npos ? 1U : 0U;
    }
    return linked == 3;
  }

  std::vector<std::unique_ptr<RedisServer>> nodes_;
};

/// A real master with a replica and three sentinels of the test's own.
class RedisSentinels {
 public:
  RedisSentinels() {
    if (master_.missing()) return;
    replica_.emplace(std::vector<std::string>{"--replicaof", "127.0.0.1 " + std::to_string(master_.port())});
    for (int i = 0; i < 3; ++i) {
      ports_.push_back(free_port());
      sentinels_.push_back(std::make_unique<ChildProcess>(std::vector<std::string>{
          std::string(ONCEWARD_SOURCE_DIR) + "/tests/servers/redis_sentinel.sh", "run",
          folder_.file(std::to_string(i)), std::to_string(ports_.back()), std::to_string(master_.port())}));
    }
    const auto ready = [&] {
      return replica_->command("INFO replication").find("master_link_status:up") != std::string::npos &&
             sentinel_knows(0) && sentinel_knows(1) && sentinel_knows(2);
    };
    if (!wait_until(ready)) throw std::runtime_error("the sentinels of a test do not come up");
  }

  [[nodiscard]] bool missing() const { return master_.missing(); }
  [[nodiscard]] RedisServer& master() { return master_; }
  [[nodiscard]] RedisServer& replica() { return *replica_; }
  [[nodiscard]] onceward::redis::Options options() const {
    auto options = master_.options();
    options.mode = onceward::redis::Mode::sentinel;
    options.master_name = "onceward";
    options.addresses.clear();
    for (const int port : ports_) options.addresses.push_back({"127.0.0.1", port, {}});
    options.timeout = std::chrono::seconds(15);
    return options;
  }

 private:
  /// Whether it has found the replica and the two others, without which there is no failover.
  [[nodiscard]] bool sentinel_knows(std::size_t number) const {
    const auto info = redis_command(ports_[number], "INFO sentinel");
    return info.find("slaves=1,sentinels=3") != std::string::npos;
  }

  RedisServer master_;
  std::optional<RedisServer> replica_;
  TemporaryFolder folder_;
  std::vector<int> ports_;
  std::vector<std::unique_ptr<ChildProcess>> sentinels_;
};
