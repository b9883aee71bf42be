#pragma once
#include <onceward/storage/mariadb.hpp>

#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/temporary_folder.hpp"

#include <mysql.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>

struct CloseMysql {
  void operator()(MYSQL* connection) const noexcept { mysql_close(connection); }
};
using Mysql = std::unique_ptr<MYSQL, CloseMysql>;

/// A real MariaDB server of the test's own, by tests/servers/mariadb.sh.
class MariadbServer {
 public:
  explicit MariadbServer(std::vector<std::string> settings = {}) : settings_(std::move(settings)) { start(); }

  void start() {
    std::vector<std::string> words{std::string(ONCEWARD_SOURCE_DIR) + "/tests/servers/mariadb.sh", "run",
                                   folder_.path(), std::to_string(port_)};
    words.insert(words.end(), settings_.begin(), settings_.end());
    process_.emplace(words);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!connect()) {
      if (!process_->runs()) {
        missing_ = process_->exit_code() == 77;
        if (missing_ && std::getenv("CI") == nullptr) return;
        throw std::runtime_error(
            "the MariaDB server of a test ended with " + std::to_string(process_->exit_code()) +
            " instead of starting; is mariadb-server installed? Its log ends so:\n" + log());
      }
      if (std::chrono::steady_clock::now() > until)
        throw std::runtime_error("the MariaDB server does not answer");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  void kill() { process_->end(SIGKILL); }
  /// No file of the server can grow beyond this many bytes, as on a full disk.
  void limit_files(rlim_t bytes) { process_->limit_files(bytes); }
  void pause() { process_->signal(SIGSTOP); }
  void resume() { process_->signal(SIGCONT); }

  /// There is no server on this machine: tests of it are left out, with a message; in CI that fails instead.
  [[nodiscard]] bool missing() const noexcept { return missing_; }
  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] onceward::mariadb::Options options(const std::string& database = "onceward") const {
    onceward::mariadb::Options options;
    options.port = port_;
    options.user = "onceward";
    options.password = "secret";
    options.database = database;
    return options;
  }
  /// A connection of a caller's own; null where the server does not answer.
  [[nodiscard]] Mysql connect(const std::string& database = "onceward") const {
    Mysql connection(mysql_init(nullptr));
    const bool open =
        mysql_real_connect(connection.get(), "127.0.0.1", "onceward", "secret", database.c_str(),
                           static_cast<unsigned>(port_), nullptr, 0) != nullptr;
    return open ? std::move(connection) : nullptr;
  }
  /// Runs a command; false where it fails.
  bool command(const std::string& text) const {
    const auto connection = connect();
    return connection && mysql_query(connection.get(), text.c_str()) == 0;
  }

  /// The end of the server's log.
  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_.path() + "/mariadb.log");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    constexpr std::size_t most = 2000;
    return text.size() > most ? text.substr(text.size() - most) : text;
  }

 private:
  TemporaryFolder folder_;
  std::vector<std::string> settings_;
  int port_ = free_port();
  std::optional<ChildProcess> process_;
  bool missing_ = false;
};
