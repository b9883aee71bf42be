// Guarded calls on a real Redis that forgets its scripts, is killed between claim and completion, or empty.
#include "support/redis_server.hpp"

#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/idempotent.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace std::chrono_literals;

namespace {

#define NEED_SERVER(server)                                    \
  if ((server).missing()) {                                    \
    WARN("skipped: there is no redis-server on this machine"); \
    return;                                                    \
  }

const Policy policy{.operation = "r", .lease = 30s, .retention = 1h, .record_limit = 300ms};

redis::Options quick(const RedisServer& server) {
  auto options = server.options();
  options.timeout = 500ms;
  options.connect_timeout = 500ms;
  return options;
}

}  // namespace

TEST_CASE("a Redis whose scripts are gone is taught again between claim, renewal and completion [guard-59]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  auto guard = Guard::claim(*storage, "k", policy).value();
  REQUIRE(guard.acquired());
  server.command("SCRIPT FLUSH");
  CHECK(guard.renew().has_value());
  server.command("SCRIPT FLUSH");
  CHECK(guard.complete(Value("stored")).recorded);
  server.command("SCRIPT FLUSH");
  const auto again = Guard::claim(*storage, "k", policy).value();
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.result() == Value("stored"));
  CHECK(again.attempt() == 1);
}

TEST_CASE(
    "a Redis killed between claim and completion takes the completion when it is back [guard-51] [guard-59]") {
  RedisServer server({"--appendfsync", "always"});
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Guards guards(*storage);
  guards.start();
  auto brief = policy;
  brief.record_limit = 50ms;
  auto guard = Guard::claim(guards, "k", brief).value();
  REQUIRE(guard.acquired());
  server.kill();
  const auto completion = guard.complete(Value("late"));
  CHECK(completion.verdict == Verdict::executed);
  CHECK_FALSE(completion.recorded);
  REQUIRE(completion.acknowledgement.valid());
  server.start();
  const auto stored = completion.acknowledgement.wait_for(30s);
  REQUIRE(stored);
  CHECK(stored->recorded);
  const auto again = Guard::claim(guards, "k", brief).value();
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.result() == Value("late"));
  CHECK(guards.figures("r").of(CallEnd::unrecorded) == 1);
}

TEST_CASE("a record that Redis lost alone is made again by its completion [guard-57]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  auto guard = Guard::claim(*storage, "k", policy).value();
  const auto partition = guard_partition("r", "k");
  const auto record = read_one(*storage, partition, "k").value().value();
  REQUIRE(commit_one(*storage, {partition, {Operation::remove("k", record.revision)}})->applied());
  CHECK(guard.complete(Value("again")).recorded);
  CHECK(Guard::claim(*storage, "k", policy)->result() == Value("again"));
}

TEST_CASE("a Redis that lost everything keeps what was under way, and runs nothing again [guard-57]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  int runs = 0;
  auto call = idempotent<std::string>(*storage, "#{p0}", policy, [&](const std::string&) { return ++runs; });
  CHECK(call("done").value() == 1);
  auto guard = Guard::claim(*storage, "k", policy).value();
  server.command("FLUSHALL");
  CHECK(guard.complete(Value("survives")).recorded);
  const auto again = Guard::claim(*storage, "k", policy).value();
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.result() == Value("survives"));
  CHECK(again.fence() == guard.fence());
  // What was done before nobody knows any more, and it is not taken for new.
  const auto lost = call("done");
  CHECK(lost.verdict() == Verdict::storage_down);
  CHECK(lost.error()->code == ErrorCode::corrupt);
  CHECK(runs == 1);
}

TEST_CASE("of two owners of a key that Redis lost the later one's completion stands [guard-57]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  auto brief = policy;
  brief.lease = 20ms;
  auto late = Guard::claim(*storage, "k", brief).value();
  auto waiting = policy;
  waiting.on_busy = OnBusy::wait;
  auto taker = Guard::claim(*storage, "k", waiting).value();
  REQUIRE(taker.acquired());
  server.command("FLUSHALL");
  CHECK(taker.complete(Value("taker")).recorded);
  CHECK(late.complete(Value("late")).verdict == Verdict::lease_lost);
  CHECK(Guard::claim(*storage, "k", policy)->result() == Value("taker"));
}

TEST_CASE("many completions of a Redis that lost everything are made again in one call [guard-57]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  Guards guards(*storage);
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("k" + std::to_string(i));
  std::vector<Guard> held;
  for (const auto& key : keys) held.push_back(Guard::claim(guards, key, policy).value());
  server.command("FLUSHALL");
  for (std::size_t i = 0; i < keys.size(); i += 2) CHECK(held[i].complete(Value("v")).recorded);
  for (std::size_t i = 1; i < keys.size(); i += 2) {
    // Its claim is not there any more, and nobody knows whether another one was done.
    CHECK(Guard::claim(guards, keys[i], policy).error().code == ErrorCode::corrupt);
  }
  for (std::size_t i = 0; i < keys.size(); i += 2)
    CHECK(Guard::claim(guards, keys[i], policy)->result() == Value("v"));
}
