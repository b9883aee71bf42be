// A real server that is killed, stopped, cut off, shared; what callers are told, and what is there then.
#include "support/fault_proxy.hpp"
#include "support/mariadb_server.hpp"
#include "support/traffic.hpp"

#include <onceward/storage/mariadb.hpp>

#include <functional>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

using SteadyClock = std::chrono::steady_clock;

#define NEED_SERVER(server)                                \
  if ((server).missing()) {                                \
    WARN("skipped: there is no mariadbd on this machine"); \
    return;                                                \
  }

mariadb::Options quick(const MariadbServer& server) {
  auto options = server.options();
  options.timeout = 1s;
  options.connect_timeout = 1s;
  return options;
}

}  // namespace

TEST_CASE("killed and restarted under load, MariaDB loses nothing that was answered") {
  MariadbServer server;
  NEED_SERVER(server);
  const auto storage = mariadb::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  for (int i = 0; i < 3; ++i) {
    traffic.wait_for(100);
    server.kill();
    std::this_thread::sleep_for(1500ms);  // longer than callers are held: they are told that it is away
    server.start();
  }
  traffic.wait_for(100);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE("a full disk ends in errors, mostly in the server's, and loses nothing that was answered") {
  MariadbServer server({"--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:12M:autoextend"});
  NEED_SERVER(server);
  const auto storage = mariadb::open(quick(server)).value();
  Traffic traffic(*storage, 4);
  traffic.wait_for(50);
  server.limit_files(rlim_t{14} << 20U);
  // The server refuses a statement, or, where its own files cannot grow, stops itself.
  const auto until = SteadyClock::now() + 60s;
  std::vector<std::string> answered;
  for (int i = 0;; ++i) {
    REQUIRE(SteadyClock::now() < until);
    const auto key = std::to_string(i);
    const auto answer =
        commit_one(*storage, {"full", {Operation::insert(key, std::string(limits::value_bytes, 'v'))}});
    if (!answer) {
      INFO(describe(answer.error()));
      CHECK((answer.error().code == ErrorCode::exhausted || answer.error().code == ErrorCode::unavailable ||
             answer.error().code == ErrorCode::in_doubt || answer.error().code == ErrorCode::timeout));
      break;
    }
    answered.push_back(key);
  }
  server.kill();
  server.start();
  traffic.wait_for(50);
  traffic.end();
  traffic.check();
  CHECK(answered.size() > 3);
  for (const auto& key : answered) CHECK(read_one(*storage, "full", key).value().has_value());
}

TEST_CASE("a server that stands still longer than the timeout holds no caller up, and goes on afterwards") {
  MariadbServer server;
  NEED_SERVER(server);
  const auto storage = mariadb::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  traffic.wait_for(100);
  server.pause();
  const auto began = SteadyClock::now();
  const auto read = read_one(*storage, "p", "k");
  const auto answer = commit_one(*storage, {"p", {Operation::insert("k", "v")}});
  const auto took = SteadyClock::now() - began;
  server.resume();
  CHECK_FALSE(read.has_value());
  CHECK_FALSE(answer.has_value());
  CHECK(took < 20s);
  traffic.wait_for(100);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE("two storages on one database wait for each other and lose nothing") {
  MariadbServer server;
  NEED_SERVER(server);
  const auto one = mariadb::open(server.options()).value();
  const auto other = mariadb::open(server.options()).value();
  constexpr int each = 150;
  std::atomic<int> added = 0;
  {
    std::vector<std::jthread> writers;
    for (auto* storage : {one.get(), other.get(), one.get(), other.get()}) {
      writers.emplace_back([&added, storage] {
        for (int i = 0; i < each; ++i) {
          // In opposite orders, from two processes' point of view: what deadlocks where locks are not
          // ordered.
          const std::vector<Batch> up{{"a", {Operation::add("n", 1)}}, {"b", {Operation::add("n", 1)}}};
          const std::vector<Batch> down{{"b", {Operation::add("n", 1)}}, {"a", {Operation::add("n", 1)}}};
          const auto answer = storage->commit(i % 2 == 0 ? up : down);
          if (answer && answer->batches[0].applied() && answer->batches[1].applied()) ++added;
        }
      });
    }
  }
  CHECK(added == 4 * each);
  CHECK(read_one(*one, "a", "n").value()->value == std::to_string(4 * each));
  CHECK(read_one(*other, "b", "n").value()->value == std::to_string(4 * each));
}

TEST_CASE("a lock that somebody else holds is waited for, and told as a timeout where that is too long") {
  MariadbServer server;
  NEED_SERVER(server);
  auto options = server.options();
  options.timeout = 2s;
  const auto storage = mariadb::open(options).value();
  const auto holder = server.connect();
  REQUIRE(mysql_query(holder.get(), "BEGIN") == 0);
  REQUIRE(mysql_query(holder.get(), "DELETE FROM onceward_shard WHERE shard < 0 OR high >= 0") == 0);
  const auto answer = commit_one(*storage, {"p", {Operation::insert("k", "v")}});
  REQUIRE_FALSE(answer.has_value());
  INFO(describe(answer.error()));
  CHECK(answer.error().code == ErrorCode::timeout);
  REQUIRE(mysql_query(holder.get(), "ROLLBACK") == 0);
  CHECK(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
}

TEST_CASE("a request that was given up and arrives late is not done after it was read back") {
  MariadbServer server;
  NEED_SERVER(server);
  FaultProxy proxy(server.port());
  auto options = quick(server);
  options.port = proxy.port();
  const auto storage = mariadb::open(options).value();
  const auto check_late = [&](const Batch& batch, const std::string& last_bytes,
                              const std::function<std::string()>& state) {
    const auto before = state();
    proxy.hold_at(last_bytes);
    const auto lost = commit_one(*storage, batch);
    REQUIRE_FALSE(lost.has_value());
    INFO(describe(lost.error()));
    CHECK(lost.error().code == ErrorCode::in_doubt);
    CHECK(state() == before);
    proxy.release();
    CHECK(state() == before);
    // Nothing is left that keeps others waiting.
    CHECK(commit_one(*storage, batch)->applied());
  };
  const auto value_of = [&](const std::string& key) {
    auto read = read_one(*storage, "p", key);
    // Connections that rested are held too: who reads on one of them is told that it is lost.
    for (int i = 0; i < 5 && !read; ++i) read = read_one(*storage, "p", key);
    const auto& record = read.value();
    return record ? record->value : std::string("none");
  };
  const Batch one{"p", {Operation::add("count", 1)}};
  REQUIRE(commit_one(*storage, one)->applied());
  check_late(one, "COMMIT", [&] { return value_of("count"); });
  CHECK(value_of("count") == "2");
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("first", "v")}})->applied());
  check_late({"p", {Operation::insert("late", "v")}}, "late", [&] { return value_of("late"); });
}

TEST_CASE("a connection that is cut at any byte leaves a commit done, not done, or told to be in doubt") {
  MariadbServer server;
  NEED_SERVER(server);
  FaultProxy proxy(server.port());
  const auto direct = mariadb::open(server.options()).value();
  auto options = quick(server);
  options.port = proxy.port();
  const auto storage = mariadb::open(options).value();
  int in_doubt = 0;
  int written = 0;
  int number = 0;
  const auto attempt = [&](bool grouped, std::int64_t to_server, std::int64_t to_client) {
    // One insert is a statement of its own; with a second operation it is a transaction.
    const auto batch = [&](const std::string& name) {
      Batch made{"cut", {Operation::insert(name, "1")}};
      if (grouped) made.operations.push_back(Operation::add("count", 1));
      return made;
    };
    const auto key = std::to_string(++number);
    // The same statements each time, on a connection on which they are prepared.
    REQUIRE(commit_one(*storage, batch("warm" + key)).has_value());
    proxy.cut_after(to_server, to_client);
    const auto answer = commit_one(*storage, batch(key));
    proxy.cut_after(FaultProxy::never, FaultProxy::never);
    const auto there = read_one(*direct, "cut", key).value();
    INFO("after " << to_server << " bytes sent or " << to_client << " received");
    if (answer) {
      // A transaction that was cut off before its COMMIT is repeated, and applied once.
      CHECK(answer->applied());
      CHECK(there.has_value());
      ++written;
      return;
    }
    INFO(describe(answer.error()));
    if (answer.error().code == ErrorCode::unavailable) {
      CHECK_FALSE(there.has_value());
      return;
    }
    CHECK(answer.error().code == ErrorCode::in_doubt);
    ++in_doubt;
  };
  for (std::int64_t bytes = 1; bytes <= 40; bytes += 3) attempt(false, FaultProxy::never, bytes);
  for (std::int64_t bytes = 1; bytes <= 160; bytes += 7) attempt(false, bytes, FaultProxy::never);
  for (std::int64_t bytes = 1; bytes <= 700; bytes += 23) attempt(true, FaultProxy::never, bytes);
  for (std::int64_t bytes = 1; bytes <= 600; bytes += 23) attempt(true, bytes, FaultProxy::never);
  CHECK(written > 10);
  CHECK(in_doubt > 0);
  CHECK(proxy.cuts() > 10);
}
