// A real server that is killed, stopped, flushed, filled up, cut off; what callers are told, and what is
// there then.
#include "support/traffic.hpp"
#include "support/fault_proxy.hpp"
#include "support/redis_server.hpp"

#include <onceward/idempotency/idempotent.hpp>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

using SteadyClock = std::chrono::steady_clock;

#define NEED_SERVER(server)                                    \
  if ((server).missing()) {                                    \
    WARN("skipped: there is no redis-server on this machine"); \
    return;                                                    \
  }

redis::Options quick(const RedisServer& server) {
  auto options = server.options();
  options.timeout = 300ms;
  options.connect_timeout = 300ms;
  return options;
}

}  // namespace

TEST_CASE("killed and restarted under load, Redis with appendfsync always loses nothing that was answered") {
  RedisServer server({"--appendfsync", "always"});
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  for (int i = 0; i < 5; ++i) {
    traffic.wait_for(50);
    server.kill();
    std::this_thread::sleep_for(20ms);  // callers meet a server that is away
    server.start();
  }
  traffic.wait_for(50);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE("a full disk ends in an error, and what was answered is there when it has room again") {
  // With "everysec" the server refuses writes until it can write again; what it had answered is in its
  // memory.
  RedisServer server({"--appendfsync", "everysec"});
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  traffic.wait_for(100);
  server.fill_disk();
  const auto until = SteadyClock::now() + 20s;
  const auto refused = [&] {
    const auto answer = commit_one(*storage, {"full", {Operation::add("count", 1)}});
    return !answer && answer.error().code == ErrorCode::exhausted;
  };
  while (!refused()) REQUIRE(SteadyClock::now() < until);
  CHECK(read_one(*storage, "full", "count").has_value());
  server.free_disk();
  traffic.wait_for(100);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE("a full disk under appendfsync always stops the server, and loses nothing that was answered") {
  RedisServer server({"--appendfsync", "always"});
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  traffic.wait_for(100);
  server.fill_disk();
  const auto until = SteadyClock::now() + 20s;
  while (server.runs()) {
    REQUIRE(SteadyClock::now() < until);
    std::this_thread::sleep_for(1ms);
  }
  server.start();
  traffic.wait_for(100);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE("a server that stands still longer than the timeout holds no caller up, and goes on afterwards") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Traffic traffic(*storage, 8);
  traffic.wait_for(50);
  server.pause();
  const auto began = SteadyClock::now();
  const auto answer = commit_one(*storage, {"p", {Operation::insert("k", "v")}});
  const auto read = read_one(*storage, "p", "k");
  const auto took = SteadyClock::now() - began;
  server.resume();
  CHECK_FALSE(answer.has_value());
  CHECK_FALSE(read.has_value());
  CHECK(took < 5s);
  traffic.wait_for(50);
  traffic.end();
  CHECK(traffic.failed() > 0);
  traffic.check();
}

TEST_CASE(
    "while a server hangs no caller waits for the time of more than two calls, however many there are") {
  RedisServer server;
  NEED_SERVER(server);
  const auto options = quick(server);
  const auto storage = redis::open(options).value();
  server.pause();
  std::mutex mutex;
  Duration worst{};
  std::atomic<int> applied = 0;
  std::vector<std::thread> callers;
  const auto call = [&](std::string partition, int operations) {
    callers.emplace_back([&, partition = std::move(partition), operations] {
      Batch batch{partition, {}};
      for (int i = 0; i < operations; ++i)
        batch.operations.push_back(Operation::insert(std::to_string(i), "v"));
      const auto began = SteadyClock::now();
      applied += storage->commit({&batch, 1}).has_value();
      const auto took = std::chrono::duration_cast<Duration>(SteadyClock::now() - began);
      const std::lock_guard lock(mutex);
      worst = std::max(worst, took);
    });
  };
  for (int i = 0; i < 24; ++i) call("large", 300);
  for (int i = 0; i < 48; ++i) call("small" + std::to_string(i), 1);
  for (int i = 0; i < 48; ++i) call("large", 20);
  for (auto& caller : callers) caller.join();
  server.resume();
  CHECK(applied == 0);
  CHECK(worst < 10 * options.timeout);  // two calls, each up to twice the timeout, and the threads' own time
}

TEST_CASE("a request that was given up and arrives late is not done after it was read back") {
  RedisServer server;
  NEED_SERVER(server);
  FaultProxy proxy(server.port());
  auto options = quick(server);
  options.addresses = {{"127.0.0.1", proxy.port(), {}}};
  const auto storage = redis::open(options).value();
  const Batch one{"p", {Operation::add("count", 1)}};
  REQUIRE(commit_one(*storage, one)->applied());
  proxy.hold();
  const auto lost = commit_one(*storage, one);
  REQUIRE_FALSE(lost.has_value());
  CHECK(lost.error().code == ErrorCode::in_doubt);
  // Read back, it has not happened; so it is done again.
  REQUIRE(read_one(*storage, "p", "count").value()->value == "1");
  REQUIRE(commit_one(*storage, one)->applied());
  proxy.release();
  CHECK(read_one(*storage, "p", "count").value()->value == "2");
}

TEST_CASE("a record that somebody else has spoilt is told as that, and what was written beside it in doubt") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto base = "onceward:{" + std::to_string(storage->shard_of("p")) + "}";
  server.command("SET " + base + ":record:1:p:spoilt garbage");
  const std::vector<Batch> span{{"p", {Operation::add("count", 1)}},
                                {"p", {Operation::insert("spoilt", "v")}}};
  const auto answer = storage->commit(span);
  REQUIRE_FALSE(answer.has_value());
  INFO(answer.error().message);
  CHECK(answer.error().code == ErrorCode::in_doubt);
  CHECK(answer.error().message.find("spoilt") != std::string::npos);
  CHECK(read_one(*storage, "p", "count").value()->value == "1");
  CHECK(storage->commit({&span[1], 1}).error().code == ErrorCode::corrupt);
  // A list of keys that is none stops the script after the first batch.
  server.command("SET " + base + ":keys:q text");
  const std::vector<Batch> second{{"p", {Operation::add("count", 1)}}, {"q", {Operation::insert("k", "v")}}};
  if (storage->shard_of("q") == storage->shard_of("p")) CHECK_FALSE(storage->commit(second).has_value());
}

TEST_CASE("a replica is not read from: it would answer with the past") {
  RedisServer master;
  NEED_SERVER(master);
  RedisServer replica({"--replicaof", "127.0.0.1 " + std::to_string(master.port())});
  const auto storage = redis::open(master.options()).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
  auto options = quick(replica);
  options.create = false;
  const auto opened = redis::open(options);
  REQUIRE_FALSE(opened.has_value());
  INFO(opened.error().message);
  CHECK(opened.error().code == ErrorCode::unavailable);
  CHECK(opened.error().message.find("replica") != std::string::npos);
}

TEST_CASE("scripts that are flushed under load are loaded again, and nobody sees it") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  Traffic traffic(*storage, 8);
  for (int i = 0; i < 20; ++i) {
    traffic.wait_for(20);
    server.command("SCRIPT FLUSH");
  }
  traffic.wait_for(20);
  traffic.end();
  CHECK(traffic.failed() == 0);
  traffic.check();
}

TEST_CASE("connections that the server closes under load are made again") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  Traffic traffic(*storage, 8);
  for (int i = 0; i < 20; ++i) {
    traffic.wait_for(20);
    server.command("CLIENT KILL TYPE normal SKIPME yes");
  }
  traffic.wait_for(20);
  traffic.end();
  traffic.check();
}

TEST_CASE("where data are gone only what is known to have been there is written, and then found") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto first = commit_one(*storage, {"p", {Operation::insert("a", "1")}}).value().revision;
  server.command("FLUSHALL");
  const auto corrupt = ErrorCode::corrupt;
  const auto replaced = commit_one(*storage, {"p", {Operation::replace("a", first, "2")}}).value();
  CHECK(replaced.refused == 0);
  CHECK_FALSE(replaced.found);
  // Nothing of a batch is written where one of its operations needs an absence.
  const Batch mixed{"p", {Operation::insert_again("a", first, "2"), Operation::add("n", 1)}};
  CHECK(commit_one(*storage, mixed).error().code == corrupt);
  CHECK(commit_one(*storage, {"p", {Operation::require("a", absent)}}).error().code == corrupt);
  CHECK(read_one(*storage, "p", "a").error().code == corrupt);
  const auto again = commit_one(*storage, {"p", {Operation::insert_again("a", first + 1'000'000'000, "2")}});
  CHECK(again->revision > first + 1'000'000'000);
  CHECK(read_one(*storage, "p", "a")->value().value == "2");
  const auto met = commit_one(*storage, {"p", {Operation::insert("a", "3")}}).value();
  CHECK(met.refused == 0);
  CHECK(met.found->value == "2");
  CHECK(commit_one(*storage, {"p", {Operation::insert_again("a", first, "3")}})->found->value == "2");
  CHECK(commit_one(*storage, {"p", {Operation::replace("a", again->revision, "4")}})->applied());
  CHECK(read_one(*storage, "p", "a")->value().value == "4");
  CHECK(commit_one(*storage, {"p", {Operation::insert("b", "1")}}).error().code == corrupt);
  CHECK(storage->scan("p", "", "", 10).error().code == corrupt);
  // A span says that it is in doubt where some of it was written.
  const std::vector<Batch> span{{"p", {Operation::insert_again("c", first, "1")}},
                                {"p", {Operation::insert("d", "1")}}};
  CHECK(storage->commit(span).error().code == ErrorCode::in_doubt);
  CHECK(read_one(*storage, "p", "c")->value().value == "1");
}

TEST_CASE("data that are gone make every call answer corrupt, so that nothing done looks new") {
  RedisServer server;
  NEED_SERVER(server);
  auto options = server.options();
  const auto storage = redis::open(options).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("done", "1")}})->applied());
  server.command("FLUSHALL");
  const auto check_gone = [&] {
    const auto code = ErrorCode::corrupt;
    CHECK(commit_one(*storage, {"p", {Operation::insert("done", "1")}}).error().code == code);
    CHECK(read_one(*storage, "p", "done").error().code == code);
    CHECK(storage->scan("p", "", "", 10).error().code == code);
    CHECK(storage->due({}, 10).error().code == code);
  };
  check_gone();
  options.create = false;
  CHECK(redis::open(options).error().code == ErrorCode::not_found);
  options.create = true;
  const auto anew = redis::open(options).value();
  CHECK(commit_one(*anew, {"p", {Operation::insert("done", "1")}})->applied());
  check_gone();
}

TEST_CASE("a server whose memory is full refuses writes as exhausted and goes on when there is room") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("a", "1")}})->applied());
  server.command("CONFIG SET maxmemory 1");
  const auto full = commit_one(*storage, {"p", {Operation::insert("b", "2")}});
  REQUIRE_FALSE(full.has_value());
  CHECK(full.error().code == ErrorCode::exhausted);
  CHECK(read_one(*storage, "p", "a").value().has_value());
  CHECK_FALSE(read_one(*storage, "p", "b").value().has_value());
  server.command("CONFIG SET maxmemory 0");
  CHECK(commit_one(*storage, {"p", {Operation::insert("b", "2")}})->applied());
}

TEST_CASE("an answer cut off at any byte is in doubt, and a command cut off is what it says") {
  RedisServer server;
  NEED_SERVER(server);
  FaultProxy proxy(server.port());
  auto options = quick(server);
  const auto direct = redis::open(options).value();
  options.addresses = {{"127.0.0.1", proxy.port(), {}}};
  const auto storage = redis::open(options).value();
  int in_doubt = 0;
  int number = 0;
  const auto attempt = [&](std::int64_t to_server, std::int64_t to_client) {
    const auto key = std::to_string(++number);
    proxy.cut_after(to_server, to_client);
    const auto answer = commit_one(*storage, {"cut", {Operation::insert(key, "1")}});
    proxy.cut_after(FaultProxy::never, FaultProxy::never);
    const auto there = read_one(*direct, "cut", key).value();
    INFO("after " << to_server << " bytes sent or " << to_client << " received");
    if (answer) {
      CHECK(there.has_value());
      return;
    }
    INFO(describe(answer.error()));
    if (answer.error().code == ErrorCode::in_doubt) {
      ++in_doubt;
    } else {
      CHECK(answer.error().code == ErrorCode::unavailable);
      CHECK_FALSE(there.has_value());
    }
  };
  for (std::int64_t bytes = 1; bytes <= 60; ++bytes) attempt(FaultProxy::never, bytes);
  for (std::int64_t bytes = 1; bytes <= 400; bytes += 7) attempt(bytes, FaultProxy::never);
  CHECK(in_doubt > 30);
  CHECK(proxy.cuts() > 30);
}

TEST_CASE("a guarded call runs once although the server is killed and answers are lost all the time") {
  RedisServer server({"--appendfsync", "always"});
  NEED_SERVER(server);
  FaultProxy proxy(server.port());
  auto options = quick(server);
  options.addresses = {{"127.0.0.1", proxy.port(), {}}};
  const auto storage = redis::open(options).value();
  constexpr std::size_t keys = 60;
  std::vector<std::atomic<int>> ran(keys);
  std::atomic<int> unrecorded = 0;
  const auto guarded = [&](std::size_t key) {
    for (;;) {
      auto guard = Guard::claim(*storage, "order:" + std::to_string(key),
                                {.operation = "pay", .lease = 2s, .on_busy = OnBusy::wait});
      if (!guard) continue;  // the storage was away: ask again, as a caller would
      if (guard->acquired()) {
        ++ran[key];
        const auto completion = guard->complete(Value(1));
        if (!completion.recorded || completion.verdict != Verdict::executed) ++unrecorded;
        return;
      }
      if (guard->verdict() == Verdict::replayed) return;
    }
  };
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (std::size_t n = next++; n < 2 * keys; n = next++) guarded(n % keys);
    });
  }
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(100ms);
    proxy.cut_after(FaultProxy::never, 17 + 40 * i);
    std::this_thread::sleep_for(50ms);
    server.kill();
    server.start();
  }
  callers.clear();
  CHECK(unrecorded == 0);
  for (std::size_t i = 0; i < keys; ++i) CHECK(ran[i] == 1);
}
