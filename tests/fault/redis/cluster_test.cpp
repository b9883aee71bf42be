// A real cluster whose slots move and whose masters change, and sentinels that name another master, in
// mid-traffic.
#include "support/traffic.hpp"
#include "support/redis_cluster.hpp"

#include <onceward/storage/redis.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "storage/redis/topology.hpp"

using namespace onceward;
using namespace std::chrono_literals;

namespace {

#define NEED_SERVER(server)                                    \
  if ((server).missing()) {                                    \
    WARN("skipped: there is no redis-server on this machine"); \
    return;                                                    \
  }

std::string line_of(const std::string& text, const std::string& with) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(with) != std::string::npos) return line;
  }
  return {};
}

/// The key names in an answer of CLUSTER GETKEYSINSLOT.
std::vector<std::string> keys_in_slot(const RedisServer& node, int slot) {
  const std::unique_ptr<redisContext, decltype(&redisFree)> context(redisConnect("127.0.0.1", node.port()),
                                                                    &redisFree);
  const redis::detail::Reply reply(
      static_cast<redisReply*>(redisCommand(context.get(), "CLUSTER GETKEYSINSLOT %d 5", slot)));
  std::vector<std::string> keys;
  for (const auto* element : redis::detail::elements_of(*reply))
    keys.emplace_back(redis::detail::text_of(*element));
  return keys;
}

RedisServer& holder_of(RedisCluster& cluster, int slot) {
  for (std::size_t i = 0; i < 3; ++i) {
    auto& master = cluster.of_role("master", i);
    if (!keys_in_slot(master, slot).empty()) return master;
  }
  throw std::runtime_error("no master holds the slot");
}

RedisServer& other_master(RedisCluster& cluster, const RedisServer& than) {
  auto& first = cluster.of_role("master", 0);
  return &first == &than ? cluster.of_role("master", 1) : first;
}

void begin_move(const RedisServer& source, const RedisServer& target, int slot) {
  const auto number = std::to_string(slot);
  REQUIRE(target.command("CLUSTER SETSLOT " + number + " IMPORTING " + source.command("CLUSTER MYID")) ==
          "OK");
  REQUIRE(source.command("CLUSTER SETSLOT " + number + " MIGRATING " + target.command("CLUSTER MYID")) ==
          "OK");
}

/// Moves a slot to another master as redis-cli does, a few keys at a time, with pauses in which callers find
/// some keys here and some there.
void move_slot(RedisCluster& cluster, int slot) {
  const auto number = std::to_string(slot);
  auto& source = holder_of(cluster, slot);
  auto& target = other_master(cluster, source);
  begin_move(source, target, slot);
  const auto target_id = target.command("CLUSTER MYID");
  const std::unique_ptr<redisContext, decltype(&redisFree)> context(redisConnect("127.0.0.1", source.port()),
                                                                    &redisFree);
  const auto port = std::to_string(target.port());
  for (int steps = 0;; ++steps) {
    const auto keys = keys_in_slot(source, slot);
    if (keys.empty()) break;
    std::vector<const char*> words{"MIGRATE", "127.0.0.1", port.c_str(), "", "0", "5000", "KEYS"};
    for (const auto& key : keys) words.push_back(key.c_str());
    const redis::detail::Reply moved(static_cast<redisReply*>(
        redisCommandArgv(context.get(), static_cast<int>(words.size()), words.data(), nullptr)));
    REQUIRE(redis::detail::text_of(*moved) == "OK");
    if (steps % 64 == 0) std::this_thread::sleep_for(5ms);
  }
  REQUIRE(target.command("CLUSTER SETSLOT " + number + " NODE " + target_id) == "OK");
  REQUIRE(source.command("CLUSTER SETSLOT " + number + " NODE " + target_id) == "OK");
}

}  // namespace

TEST_CASE("slots that move and masters that change under load lose and double nothing") {
  RedisCluster cluster;
  NEED_SERVER(cluster);
  const auto storage = redis::open(cluster.options()).value();
  Traffic traffic(*storage, 8);
  traffic.wait_for(100);

  SECTION("slots move from one master to another, there and back") {
    for (int i = 0; i < 4; ++i) {
      const auto shard = storage->shard_of("traffic/" + std::to_string(i));
      move_slot(cluster, redis::detail::slot_of(redis::detail::tag_of(shard)));
      traffic.wait_for(20);
    }
    traffic.end();
    CHECK(traffic.failed() == 0);
    traffic.check();
  }

  SECTION("a replica takes over from its master when it is told to") {
    for (int i = 0; i < 3; ++i) {
      auto& replica = cluster.of_role("slave", static_cast<std::size_t>(i));
      REQUIRE(wait_until([&] {
        (void)replica.command("CLUSTER FAILOVER");
        return replica.command("INFO replication").find("role:master") != std::string::npos;
      }));
      traffic.wait_for(100);
    }
    traffic.end();
    traffic.check();
  }

  SECTION("a master is killed and its replica promoted") {
    // What was answered has to have reached the replica, or a failover may lose it: that is Redis' promise.
    auto& master = cluster.of_role("master", 1);
    traffic.end();
    REQUIRE(wait_until([&] {
      const auto replicas = line_of(master.command("INFO replication"), "slave0:");
      const auto offset = line_of(master.command("INFO replication"), "master_repl_offset:");
      return !offset.empty() &&
             replicas.find("offset=" + offset.substr(19, offset.find_first_of("\r\n", 19) - 19) + ",") !=
                 std::string::npos;
    }));
    master.kill();
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 64; ++i) {  // of every shard, those of the dead master too
      const auto answer = commit_one(*storage, {"after/" + std::to_string(i), {Operation::insert("k", "v")}});
      INFO((answer ? std::string() : describe(answer.error())));
      CHECK((answer ? answer->applied() : answer.error().code == ErrorCode::in_doubt));
    }
    CHECK(std::chrono::steady_clock::now() - began < 60s);
    traffic.check();
  }
}

TEST_CASE("a write that is told to have failed while its slot moves has not happened") {
  RedisCluster cluster;
  NEED_SERVER(cluster);
  testing::FakeClock clock;
  auto options = cluster.options();
  options.clock = &clock;
  options.timeout = 500ms;
  const auto storage = redis::open(options).value();
  // A counter that stays, and a record of the same shard that has expired and moves first.
  const std::string partition = "p";
  REQUIRE(commit_one(*storage, {partition,
                                {Operation::add("count", 1), Operation::insert("plain", "v"),
                                 Operation::insert("due", "v", {.due_in = 1h})}})
              ->applied());
  REQUIRE(
      commit_one(*storage, {partition, {Operation::insert("gone", "v", {.expires_in = 1ms})}})->applied());
  const auto slot = redis::detail::slot_of(redis::detail::tag_of(storage->shard_of(partition)));
  auto& source = holder_of(cluster, slot);
  auto& target = other_master(cluster, source);
  begin_move(source, target, slot);
  const auto base = "onceward:{" + std::to_string(storage->shard_of(partition)) + "}";
  REQUIRE(source.command("MIGRATE 127.0.0.1 " + std::to_string(target.port()) + " " + base +
                         ":record:1:p:gone 0 5000") == "OK");
  clock.advance(1s);  // what has expired is looked for again
  std::int64_t done = 1;
  for (int i = 0; i < 5; ++i) {
    clock.advance(1s);
    const auto before = read_one(*storage, partition, "plain").value()->revision;
    const auto replaced = commit_one(*storage, {partition, {Operation::replace("plain", before, "new")}});
    const bool happened = read_one(*storage, partition, "plain").value()->revision != before;
    CHECK(happened == replaced.has_value());
    const auto answer = commit_one(*storage, {partition, {Operation::add("count", 1)}});
    INFO((answer ? std::string() : describe(answer.error())));
    REQUIRE((answer || answer.error().code != ErrorCode::in_doubt));
    if (answer) ++done;
  }
  CHECK(done == 6);
  CHECK(read_one(*storage, partition, "count").value()->value == std::to_string(done));
}

TEST_CASE("who rested while sentinels named another master does not go on with the old one") {
  RedisSentinels sentinels;
  NEED_SERVER(sentinels);
  const auto storage = redis::open(sentinels.options()).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("before", "1")}})->applied());
  REQUIRE(wait_until(
      [&] { return sentinels.replica().command("DBSIZE") == sentinels.master().command("DBSIZE"); }));
  sentinels.master().kill();
  REQUIRE(wait_until([&] {
    return sentinels.replica().command("INFO replication").find("role:master") != std::string::npos;
  }));
  std::unique_ptr<Storage> other;
  REQUIRE(wait_until([&] {
    auto opened = redis::open(sentinels.options());
    if (opened) other = *std::move(opened);
    return other != nullptr;
  }));
  REQUIRE(commit_one(*other, {"p", {Operation::insert("after", "1")}})->applied());
  // For a while the old master believes that it is one still.
  sentinels.master().start();
  CHECK(read_one(*storage, "p", "after").value().has_value());
}

TEST_CASE("sentinels name the master, and the one after it") {
  RedisSentinels sentinels;
  NEED_SERVER(sentinels);
  const auto storage = redis::open(sentinels.options()).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("before", "1")}})->applied());
  REQUIRE(wait_until([&] {
    return !sentinels.replica().command("KEYS *before*").empty() ||
           sentinels.replica().command("DBSIZE") == sentinels.master().command("DBSIZE");
  }));
  sentinels.master().kill();
  // The first call may find the connection dead under it: whether it was heard is not known then.
  auto answer = commit_one(*storage, {"p", {Operation::insert("after", "1")}});
  if (!answer) {
    CHECK(answer.error().code == ErrorCode::in_doubt);
    answer = commit_one(*storage, {"p", {Operation::insert("after", "1")}});
  }
  INFO((answer ? std::string() : describe(answer.error())));
  REQUIRE(answer.has_value());
  CHECK(answer->applied());
  CHECK(read_one(*storage, "p", "before").value().has_value());
  CHECK(sentinels.replica().command("INFO replication").find("role:master") != std::string::npos);
  // The old master comes back as a replica: it is not written to, and the new one goes on.
  sentinels.master().start();
  CHECK(commit_one(*storage, {"p", {Operation::insert("later", "1")}})->applied());
}
