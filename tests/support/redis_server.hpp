#pragma once
#include <onceward/storage/redis.hpp>

#include "support/child_process.hpp"
#include "support/free_port.hpp"
#include "support/temporary_folder.hpp"

#include <hiredis/hiredis.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>

struct FreeRedisReply {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};

/// One command, words parted by blanks, and its answer as a text; empty where there is none.
inline std::string redis_command(int port, const std::string& words) {
  const std::unique_ptr<redisContext, decltype(&redisFree)> context(redisConnect("127.0.0.1", port),
                                                                    &redisFree);
  if (!context || context->err != 0) return {};
  const std::unique_ptr<redisReply, FreeRedisReply> reply(
      static_cast<redisReply*>(redisCommand(context.get(), words.c_str())));
  if (!reply) return {};
  if (reply->type == REDIS_REPLY_INTEGER) return std::to_string(reply->integer);
  return reply->str == nullptr ? std::string() : std::string(reply->str, reply->len);
}

/// A real Redis server of the test's own, by tests/servers/redis.sh.
class RedisServer {
 public:
  /// More settings as the server's command line has them ("--appendfsync", "always").
  explicit RedisServer(std::vector<std::string> settings = {}, int port = free_port())
      : settings_(std::move(settings)), port_(port) {
    start();
  }

  void start() {
    std::vector<std::string> words{std::string(ONCEWARD_SOURCE_DIR) + "/tests/servers/redis.sh", "run",
                                   folder_.path(), std::to_string(port_)};
    words.insert(words.end(), settings_.begin(), settings_.end());
    process_.emplace(words);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!answers()) {
      if (!process_->runs()) {
        missing_ = process_->exit_code() == 77;
        if (missing_ && std::getenv("CI") == nullptr) return;
        throw std::runtime_error("the Redis server of a test does not start; is redis-server installed?");
      }
      if (std::chrono::steady_clock::now() > until)
        throw std::runtime_error("the Redis server does not answer");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  void kill() { process_->end(SIGKILL); }
  void stop() { process_->end(SIGTERM); }
  /// From now on no file of the server can grow, as on a full disk; or all can again.
  void fill_disk() { process_->limit_files(1); }
  void free_disk() { process_->limit_files(RLIM_INFINITY); }
  [[nodiscard]] bool runs() { return process_->runs(); }
  void pause() { process_->signal(SIGSTOP); }
  void resume() { process_->signal(SIGCONT); }

  /// There is no server on this machine: tests of it are left out, with a message; in CI that fails instead.
  [[nodiscard]] bool missing() const noexcept { return missing_; }
  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] const TemporaryFolder& folder() const noexcept { return folder_; }
  [[nodiscard]] onceward::redis::Address address() const { return {"127.0.0.1", port_, {}}; }
  [[nodiscard]] onceward::redis::Options options() const {
    onceward::redis::Options options;
    options.addresses = {address()};
    options.unsafe_server = onceward::redis::UnsafeServer::accept;
    return options;
  }

  std::string command(const std::string& words) const { return redis_command(port_, words); }

 private:
  [[nodiscard]] bool answers() const {
    const auto answer = command("PING");
    return answer == "PONG" || answer.starts_with("NOAUTH");
  }

  TemporaryFolder folder_;
  std::vector<std::string> settings_;
  int port_;
  std::optional<ChildProcess> process_;
  bool missing_ = false;
};
