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

TEST_CASE("a Redis that lost everything runs nothing again that was done [guard-57]") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(quick(server)).value();
  int runs = 0;
  auto call = idempotent<std::string>(*storage, "#{p0}", policy, [&](const std::string&) { return ++runs; });
  CHECK(call("done").value() == 1);
  auto guard = Guard::claim(*storage, "k", policy).value();
  server.command("FLUSHALL");
  const auto completion = guard.complete(Value("survives"));
  CHECK(completion.verdict == Verdict::executed);
  // The storage knows that its data are gone, and says so to everybody: nothing done looks new.
  CHECK_FALSE(completion.recorded);
  REQUIRE(completion.error);
  CHECK(completion.error->code == ErrorCode::corrupt);
  const auto again = call("done");
  CHECK(again.verdict() == Verdict::storage_down);
  CHECK(again.error()->code == ErrorCode::corrupt);
  CHECK(runs == 1);
}
