#pragma once
#include <onceward/storage/mariadb.hpp>

#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/temporary_folder.hpp"

#include <mysql.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>

/// A real Galera cluster of two MariaDB nodes of the test's own, by tests/servers/galera.sh. Node 0 stays
/// primary when node 1 dies.
class GaleraCluster {
 public:
  GaleraCluster() {
    // Six ports that were free may be taken before the nodes listen: then others are tried.
    constexpr int most_tries = 4;
    for (int tries = 1; !started(folder_.path() + "/" + std::to_string(tries)); ++tries) {
      if (missing_ && std::getenv("CI") == nullptr) return;
      if (tries == most_tries) throw std::runtime_error("the nodes of a Galera cluster do not start");
    }
  }

  /// There is no server or no Galera on this machine; in CI that fails instead.
  [[nodiscard]] bool missing() const noexcept { return missing_; }
  void kill(std::size_t node) { nodes_[node]->end(SIGKILL); }
  [[nodiscard]] onceward::mariadb::Options options(std::size_t node) const {
    onceward::mariadb::Options options;
    options.port = port_ + static_cast<int>(node);
    options.user = "onceward";
    options.password = "secret";
    return options;
  }
  /// How many nodes this one sees; 0 where it does not answer or is not in step.
  [[nodiscard]] int cluster_size(std::size_t node) const {
    const std::unique_ptr<MYSQL, void (*)(MYSQL*)> connection(mysql_init(nullptr), &mysql_close);
    if (mysql_real_connect(connection.get(), "127.0.0.1", "onceward", "secret", "onceward",
                           static_cast<unsigned>(port_) + static_cast<unsigned>(node), nullptr, 0) == nullptr)
      return 0;
    const auto status = [&](const std::string& name) -> std::string {
      if (mysql_query(connection.get(), ("SHOW STATUS LIKE '" + name + "'").c_str()) != 0) return {};
      const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> rows(mysql_store_result(connection.get()),
                                                                  &mysql_free_result);
      const auto* const row = rows ? mysql_fetch_row(rows.get()) : nullptr;
      return row == nullptr ? std::string() : row[1];
    };
    return status("wsrep_local_state_comment") == "Synced" ? std::stoi("0" + status("wsrep_cluster_size"))
                                                           : 0;
  }

 private:
  static std::string script() { return std::string(ONCEWARD_SOURCE_DIR) + "/tests/servers/galera.sh"; }
  bool started(const std::string& folder) {
    for (auto& node : nodes_) node.reset();
    port_ = free_ports(6);
    const auto port = std::to_string(port_);
    ChildProcess prepares({script(), "prepare", folder, port});
    wait([&] { return !prepares.runs(); });
    missing_ = prepares.exit_code() == 77;
    if (prepares.exit_code() != 0) return false;
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      auto& process =
          nodes_[node].emplace(std::vector<std::string>{script(), "run", folder, port, std::to_string(node)});
      wait([&] { return !process.runs() || cluster_size(node) == static_cast<int>(node) + 1; });
      if (!process.runs()) return false;
    }
    return true;
  }
  template <class Condition>
  static void wait(const Condition& holds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(90);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("Galera does not come up");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  TemporaryFolder folder_;
  int port_ = 0;
  std::array<std::optional<ChildProcess>, 2> nodes_;
  bool missing_ = false;
};
