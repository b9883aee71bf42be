#pragma once
#include "plan.hpp"

#include <memory>
#include <string>

namespace torture {

/// The storage under test with its server, where it has one.
class Server {
 public:
  virtual ~Server() = default;
  [[nodiscard]] virtual bool missing() const { return false; }
  /// How workers reach it: through a proxy that can cut connections.
  [[nodiscard]] virtual std::string url() const = 0;
  /// How the checker reaches it: directly.
  [[nodiscard]] virtual std::string direct_url() const { return url(); }
  /// Of MariaDB's transactions, 0 elsewhere; through the proxy, and directly.
  [[nodiscard]] virtual int mariadb_port() const { return 0; }
  [[nodiscard]] virtual int direct_mariadb_port() const { return 0; }
  /// Zero: there is nothing to restart and nothing to cut.
  [[nodiscard]] virtual std::chrono::milliseconds restart_every() const { return {}; }
  virtual void restart() {}
  virtual void cut(const Fault&) {}
  [[nodiscard]] virtual int cuts() const { return 0; }
};

[[nodiscard]] std::unique_ptr<Server> sqlite_server(const std::string& folder);
[[nodiscard]] std::unique_ptr<Server> redis_server();
[[nodiscard]] std::unique_ptr<Server> mariadb_server();

}  // namespace torture
