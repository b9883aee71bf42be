#include "backend.hpp"

#include "support/fault_proxy.hpp"
#include "support/mariadb_server.hpp"
#include "support/redis_server.hpp"

namespace torture {
namespace {

using namespace std::chrono_literals;

class SqliteServer final : public Server {
 public:
  explicit SqliteServer(const std::string& folder) : url_("sqlite:" + folder + "/guards.db?busy_ms=3000") {}
  [[nodiscard]] std::string url() const override { return url_; }

 private:
  std::string url_;
};

/// A server that a proxy stands in front of.
template <class Real>
class Proxied : public Server {
 public:
  template <class... Settings>
  explicit Proxied(Settings&&... settings)
      : real_(std::forward<Settings>(settings)...), proxy_(real_.port()) {}
  [[nodiscard]] bool missing() const override { return real_.missing(); }
  void restart() override {
    real_.kill();
    real_.start();
  }
  void cut(const Fault& fault) override { proxy_.cut_after(fault.bytes_to_server, fault.bytes_to_client); }
  [[nodiscard]] int cuts() const override { return proxy_.cuts(); }

 protected:
  Real real_;
  FaultProxy proxy_;
};

class Redis final : public Proxied<RedisServer> {
 public:
  // What is answered is on the disk: the guard's promise holds as far as the server's persistence goes.
  Redis() : Proxied(std::vector<std::string>{"--appendfsync", "always"}) {}
  [[nodiscard]] std::string url() const override { return url_of(proxy_.port()); }
  [[nodiscard]] std::string direct_url() const override { return url_of(real_.port()); }
  [[nodiscard]] std::chrono::milliseconds restart_every() const override { return 3s; }

 private:
  static std::string url_of(int port) {
    return "redis://127.0.0.1:" + std::to_string(port) + "?unsafe=accept";
  }
};

class Mariadb final : public Proxied<MariadbServer> {
 public:
  [[nodiscard]] std::string url() const override { return url_of(proxy_.port()); }
  [[nodiscard]] std::string direct_url() const override { return url_of(real_.port()); }
  [[nodiscard]] int mariadb_port() const override { return proxy_.port(); }
  [[nodiscard]] int direct_mariadb_port() const override { return real_.port(); }
  [[nodiscard]] std::chrono::milliseconds restart_every() const override { return 5s; }

 private:
  static std::string url_of(int port) {
    return "mysql://onceward:secret@127.0.0.1:" + std::to_string(port) + "/onceward";
  }
};

}  // namespace

std::unique_ptr<Server> sqlite_server(const std::string& folder) {
  return std::make_unique<SqliteServer>(folder);
}
std::unique_ptr<Server> redis_server() { return std::make_unique<Redis>(); }
std::unique_ptr<Server> mariadb_server() { return std::make_unique<Mariadb>(); }

}  // namespace torture
