#include <onceward/core/digest.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>
#include <onceward/storage/redis.hpp>

#include "storage/redis/calls.hpp"
#include "storage/redis/record_text.hpp"
#include "storage/redis/router.hpp"
#include "support/redis_server.hpp"

#include "support/catch.hpp"
#include "support/partition_walk.hpp"

using namespace onceward;
using namespace std::chrono_literals;

namespace {

#define NEED_SERVER(server)                                    \
  if ((server).missing()) {                                    \
    WARN("skipped: there is no redis-server on this machine"); \
    return;                                                    \
  }

void check_refused(const Result<redis::Options>& parsed, const std::string& says) {
  REQUIRE_FALSE(parsed.has_value());
  INFO(parsed.error().message);
  CHECK(parsed.error().code == ErrorCode::invalid_argument);
  CHECK(parsed.error().message.find(says) != std::string::npos);
  CHECK(parsed.error().message.find("secret") == std::string::npos);
}

void check_open_fails(const redis::Options& options, ErrorCode code, const std::string& says) {
  const auto opened = redis::open(options);
  REQUIRE_FALSE(opened.has_value());
  INFO(opened.error().message);
  CHECK(opened.error().code == code);
  CHECK(opened.error().message.find(says) != std::string::npos);
  CHECK(opened.error().message.find("secret") == std::string::npos);
}

}  // namespace

TEST_CASE("a Redis URL names addresses, credentials and options") {
  auto options = redis::parse_url("redis://").value();
  CHECK(options.addresses == std::vector{redis::Address{"127.0.0.1", 6379, {}}});
  options =
      redis::parse_url("redis://ann:s%40x@cache.shop:7000/3?shards=16&prefix=shop&timeout_ms=50&create=0")
          .value();
  CHECK(options.addresses == std::vector{redis::Address{"cache.shop", 7000, {}}});
  CHECK(options.user == "ann");
  CHECK(options.password == "s@x");
  CHECK(options.database == 3);
  CHECK(options.shards == Shard{16});
  CHECK(options.prefix == "shop");
  CHECK(options.timeout == Duration(50ms));
  CHECK_FALSE(options.create);
  options = redis::parse_url("redis://:pw@[::1]:7001").value();
  CHECK(options.user.empty());
  CHECK(options.password == "pw");
  CHECK(options.addresses == std::vector{redis::Address{"::1", 7001, {}}});
  options = redis::parse_url("redis+unix:///run/redis.sock?db=2&unsafe=refuse").value();
  CHECK(options.addresses == std::vector{redis::Address{{}, 0, "/run/redis.sock"}});
  CHECK(options.database == 2);
  CHECK(options.unsafe_server == redis::UnsafeServer::refuse);
  options = redis::parse_url("redis+cluster://a:1,b,c:3").value();
  CHECK(options.mode == redis::Mode::cluster);
  CHECK(options.addresses ==
        std::vector{redis::Address{"a", 1, {}}, redis::Address{"b", 6379, {}}, redis::Address{"c", 3, {}}});
  options = redis::parse_url("redis+sentinel://a,b:5/mymaster/1").value();
  CHECK(options.mode == redis::Mode::sentinel);
  CHECK(options.master_name == "mymaster");
  CHECK(options.database == 1);
  CHECK(options.addresses == std::vector{redis::Address{"a", 26379, {}}, redis::Address{"b", 5, {}}});
}

TEST_CASE("a wrong Redis URL is refused in words that help, without its password") {
  check_refused(redis::parse_url("redis:localhost"), "\"//\" must follow");
  check_refused(redis::parse_url("redis://:secret@h:99999"), "65535");
  check_refused(redis::parse_url("redis://u:sec%ret@h"), "two hexadecimal digits");
  check_refused(redis::parse_url("redis://ann@h"), "without a password");
  check_refused(redis::parse_url("redis://:secret@a,b"), "redis+cluster:");
  check_refused(redis::parse_url("redis://h/x"), "database");
  check_refused(redis::parse_url("redis://h?speed=9"), "it knows shards");
  check_refused(redis::parse_url("redis://h?unsafe=maybe"), "refuse, warn or accept");
  check_refused(redis::parse_url("redis://[::1"), "bracket");
  check_refused(redis::parse_url("redis+cluster://h/1"), "only the database 0");
  check_refused(redis::parse_url("redis+sentinel://h"), "master's name");
  check_refused(redis::parse_url("redis+unix://run/x"), "absolute path");
  check_refused(redis::parse_url("rediss://:secret@h"), "TLS");
  check_refused(redis::parse_url("redis+http://h"), "none of Redis'");
}

TEST_CASE("a server's error tells where to go, or that it is the answer") {
  using Kind = redis::detail::Redirection::Kind;
  const redis::Address asked{"10.0.0.1", 6379, {}};
  const auto of = [&](std::string_view error) { return redis::detail::redirection_of(error, asked); };
  CHECK(of("MOVED 3999 10.0.0.2:6381").kind == Kind::moved);
  CHECK(of("MOVED 3999 10.0.0.2:6381").address == redis::Address{"10.0.0.2", 6381, {}});
  CHECK(of("MOVED 3999 :6381").address == redis::Address{"10.0.0.1", 6381, {}});
  CHECK(of("ASK 3999 ::1:6381").kind == Kind::ask);
  CHECK(of("ASK 3999 ::1:6381").address == redis::Address{"::1", 6381, {}});
  CHECK(of("TRYAGAIN Multiple keys").kind == Kind::again);
  CHECK(of("LOADING Redis is loading").kind == Kind::again);
  CHECK(of("NOSCRIPT No matching script").kind == Kind::scripts);
  CHECK(of("OOM command not allowed").kind == Kind::none);
  CHECK(of("").kind == Kind::none);
  CHECK(redis::detail::slot_of("123456789") == 0x31C3);  // the check value of CRC16/XMODEM
}

TEST_CASE("a record's text is read back, and anything else is not") {
  const auto record = redis::detail::parse_record("k", "17 - 99 a b\n").value();
  CHECK(record == Record{"k", "a b\n", 17, std::nullopt, Timestamp(99us)});
  CHECK(redis::detail::parse_record("k", "1 2 - ")->value.empty());
  for (const auto* text : {"", "1", "1 - ", "x - - v", "1 x - v", "1 - -v", "99999999999999999999 - - v"}) {
    INFO(text);
    CHECK_FALSE(redis::detail::parse_record("k", text).has_value());
  }
  std::string id;
  redis::detail::append_record_id(id, "a:b", "c:d");
  CHECK(id == "3:a:b:c:d");
  CHECK(redis::detail::parse_record_id(id) == std::pair<std::string_view, std::string_view>("a:b", "c:d"));
  CHECK_FALSE(redis::detail::parse_record_id("9:a:b").has_value());
}

TEST_CASE(
    "calls: one server's shards share one, a cluster's do not, and a shard's batches keep their order") {
  const auto partition_in = [](Shard shard) {
    for (int i = 0;; ++i) {
      auto name = "p" + std::to_string(i);
      if (stable_hash(name) % 4 == shard) return name;
    }
  };
  const auto batch_of = [&](Shard shard, std::size_t operations, std::size_t bytes = 1) {
    Batch batch{partition_in(shard), {}};
    for (std::size_t i = 0; i < operations; ++i)
      batch.operations.push_back(Operation::insert(std::to_string(i), std::string(bytes, 'v')));
    return batch;
  };
  // Each call as the batches it has, in their order.
  const auto calls = [](const std::vector<Batch>& span, bool together) {
    std::vector<const Batch*> batches;
    for (const auto& batch : span) batches.push_back(&batch);
    std::vector<std::vector<std::vector<std::size_t>>> waves;
    for (const auto& wave : redis::detail::waves_of(batches, 4, together)) {
      auto& calls_of_wave = waves.emplace_back();
      for (const auto& call : wave) {
        auto& places = calls_of_wave.emplace_back();
        for (const auto& place : call.places) places.push_back(place.batch);
      }
    }
    return waves;
  };
  using Waves = std::vector<std::vector<std::vector<std::size_t>>>;
  CHECK(calls({batch_of(2, 1)}, true) == Waves{{{0}}});
  const std::vector<Batch> mixed{batch_of(1, 2), batch_of(0, 1), batch_of(1, 1), batch_of(3, 1)};
  CHECK(calls(mixed, true) == Waves{{{0, 2, 1, 3}}});
  CHECK(calls(mixed, false) == Waves{{{0, 2}, {1}, {3}}});
  CHECK(calls({batch_of(0, 100), batch_of(1, 28), batch_of(2, 1)}, true) == Waves{{{0, 1}, {2}}});
  CHECK(calls({batch_of(0, 1, 700'000), batch_of(1, 1, 700'000)}, true) == Waves{{{0}, {1}}});
  CHECK(calls({batch_of(0, 1, 5'000'000), batch_of(0, 1, 5'000'000)}, true) == Waves{{{0}}, {{1}}});
  CHECK(calls({batch_of(0, 500), batch_of(1, 1), batch_of(0, 13), batch_of(0, 1)}, true) ==
        Waves{{{0}, {1}}, {{2, 3}}});
}

TEST_CASE("what cannot be opened says why") {
  redis::Options options;
  options.addresses = {{"127.0.0.1", free_port(), {}}};
  options.timeout = 200ms;
  check_open_fails(options, ErrorCode::unavailable, "cannot connect");
  options.prefix = "a{b}";
  check_open_fails(options, ErrorCode::invalid_argument, "without braces");
  options = {};
  options.timeout = 0ms;
  check_open_fails(options, ErrorCode::invalid_argument, "not positive");
  options = {};
  options.mode = redis::Mode::sentinel;
  check_open_fails(options, ErrorCode::invalid_argument, "name of the master");
}

TEST_CASE("a password is needed, and never shown") {
  RedisServer server({"--requirepass", "secret", "--appendonly", "no"});
  NEED_SERVER(server);
  auto options = server.options();
  options.timeout = 300ms;
  check_open_fails(options, ErrorCode::invalid_argument, "password");
  options.password = "secret-but-wrong";
  check_open_fails(options, ErrorCode::invalid_argument, "WRONGPASS");
  options.password = "secret";
  CHECK(redis::open(options).has_value());
}

TEST_CASE("a server that may lose data is refused, told of, or accepted") {
  RedisServer server({"--maxmemory-policy", "allkeys-lru", "--appendonly", "no"});
  NEED_SERVER(server);
  auto options = server.options();
  options.unsafe_server = redis::UnsafeServer::refuse;
  check_open_fails(options, ErrorCode::invalid_argument, "noeviction");
  std::vector<std::string> told;
  options.unsafe_server = redis::UnsafeServer::warn;
  options.warn = [&](const std::string& sentence) { told.push_back(sentence); };
  CHECK(redis::open(options).has_value());
  REQUIRE(told.size() == 2);
  CHECK(told[1].find("persistence is off") != std::string::npos);
}

TEST_CASE("a cluster's node is no server of its own") {
  RedisServer server({"--cluster-enabled", "yes"});
  NEED_SERVER(server);
  check_open_fails(server.options(), ErrorCode::invalid_argument, "redis+cluster:");
}

TEST_CASE("a storage keeps its shard count and format; another prefix is another storage") {
  RedisServer server;
  NEED_SERVER(server);
  auto options = server.options();
  options.shards = 8;
  const auto storage = redis::open(options).value();
  CHECK(storage->shard_count() == 8);
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
  options.shards = 16;
  check_open_fails(options, ErrorCode::invalid_argument, "created with 8 shards");
  options.shards.reset();
  CHECK(redis::open(options).value()->shard_count() == 8);
  options.prefix = "other";
  CHECK_FALSE(read_one(*redis::open(options).value(), "p", "k").value().has_value());
  options.prefix = "onceward";
  server.command("SET onceward:{0}:meta garbage");
  check_open_fails(options, ErrorCode::corrupt, "format and shards");
  server.command("DEL onceward:{0}:meta");
  const std::unique_ptr<redisContext, decltype(&redisFree)> context(redisConnect("127.0.0.1", server.port()),
                                                                    &redisFree);
  freeReplyObject(redisCommand(context.get(), "SET onceward:{0}:meta %s", "9 8 x ready"));
  check_open_fails(options, ErrorCode::invalid_argument, "use a newer library");
}

TEST_CASE("the server's own clock decides what is due and what has expired") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto before = std::chrono::system_clock::now();
  const auto answer = commit_one(*storage, {"p",
                                            {Operation::insert("gone", "1", {.expires_in = 150ms}),
                                             Operation::insert("due", "1", {.due_in = 150ms})}});
  REQUIRE(answer->applied());
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(before.time_since_epoch()).count();
  CHECK(answer->revision >= micros);
  CHECK(answer->revision < micros + 60'000'000);
  CHECK(read_one(*storage, "p", "gone").value().has_value());
  const auto early = storage->due({}, 10).value();
  CHECK(early.entries.empty());
  REQUIRE(early.next.has_value());
  std::this_thread::sleep_until(before + 400ms);  // the passing of time is what is tested
  CHECK_FALSE(read_one(*storage, "p", "gone").value().has_value());
  const auto late = storage->due({}, 10).value();
  REQUIRE(late.entries.size() == 1);
  CHECK(late.entries[0].record.key == "due");
  CHECK(*late.entries[0].record.due == *early.next);
  // What has expired is taken away with all that names it, by the writes that come after.
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("next", "1")}})->applied());
  const auto base = "onceward:{" + std::to_string(storage->shard_of("p")) + "}";
  CHECK(server.command("EXISTS " + base + ":record:1:p:gone") == "0");
  CHECK(server.command("ZCARD " + base + ":expiry") == "0");
  CHECK(server.command("ZCARD " + base + ":keys:p") == "2");
}

TEST_CASE("callers who share a call have each their own answer") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto partition_of = [](int caller) { return "p" + std::to_string(caller); };
  // One caller's record is not ours, and one caller's shard is another storage's.
  constexpr int callers = 64;
  constexpr int broken = 3;
  constexpr int foreign = 5;
  constexpr int rounds = 200;
  const auto base_of = [&](int caller) {
    return "onceward:{" + std::to_string(storage->shard_of(partition_of(caller))) + "}";
  };
  REQUIRE(storage->shard_of(partition_of(broken)) != storage->shard_of(partition_of(foreign)));
  server.command("SET " + base_of(broken) + ":record:2:p3:mine nonsense");
  {
    const std::unique_ptr<redisContext, decltype(&redisFree)> context(
        redisConnect("127.0.0.1", server.port()), &redisFree);
    freeReplyObject(
        redisCommand(context.get(), "SET %s %s", (base_of(foreign) + ":high").c_str(), "0 0 other"));
  }
  server.command("CONFIG RESETSTAT");
  std::atomic<int> wrong = 0;
  std::atomic<int> firsts = 0;
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&, caller] {
      const bool lost = storage->shard_of(partition_of(caller)) == storage->shard_of(partition_of(foreign));
      for (int round = 1; round <= rounds; ++round) {
        const auto mine = commit_one(*storage, {partition_of(caller), {Operation::add("mine", 1)}});
        if (lost || caller == broken) {
          wrong += mine.has_value() || mine.error().code != ErrorCode::corrupt;
        } else {
          wrong += !mine || !mine->applied() || mine->counters != std::vector<std::int64_t>{round};
        }
        const auto contended =
            commit_one(*storage, {"all", {Operation::insert(std::to_string(round), partition_of(caller))}});
        if (!contended) {
          ++wrong;
        } else if (contended->applied()) {
          ++firsts;
        } else {
          wrong += !contended->found || !contended->found->value.starts_with("p");
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(firsts == rounds);
  const auto statistics = server.command("INFO commandstats");
  const auto calls = std::stoi(statistics.substr(statistics.find("evalsha:calls=") + 14));
  INFO(calls);
  CHECK(calls < callers * rounds * 2);  // else nothing was shared, and nothing tested
}

TEST_CASE("a shard without its data fails its own batches of a call, and no others") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto lost = storage->shard_of("p1");
  REQUIRE(lost != storage->shard_of("p2"));
  server.command("DEL onceward:{" + std::to_string(lost) + "}:high");
  const std::vector<Batch> span{{"p1", {Operation::insert("k", "v")}}, {"p2", {Operation::insert("k", "v")}}};
  const auto answer = storage->commit(span);
  REQUIRE_FALSE(answer.has_value());
  INFO(answer.error().message);
  CHECK(answer.error().code == ErrorCode::in_doubt);
  CHECK(answer.error().message.find("other batches of the span were applied") != std::string::npos);
  CHECK(read_one(*storage, "p2", "k").value().has_value());
  CHECK(server.command("EXISTS onceward:{" + std::to_string(lost) + "}:record:2:p1:k") == "0");
}

TEST_CASE("counters of Redis are whole numbers of 64 bits, whatever their digits") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  constexpr std::int64_t part = 10'000'000'000;  // where the script divides a number in two
  int number = 0;
  for (const std::int64_t first : {-part, part, 1L, -part - 1, 2 * part, -2 * part, -1L, 0L}) {
    for (const std::int64_t then : {-part, part, -part - 1, 1L, -1L, part + 1, -3 * part, 0L}) {
      INFO(first << " and " << then);
      const auto key = std::to_string(++number);
      CHECK(commit_one(*storage, {"p", {Operation::add(key, first)}})->counters.at(0) == first);
      CHECK(commit_one(*storage, {"p", {Operation::add(key, then)}})->counters.at(0) == first + then);
      CHECK(read_one(*storage, "p", key).value()->value == std::to_string(first + then));
    }
  }
  for (const auto* stored : {"9223372036854775808", "-9223372036854775809", "9999999999999999999"}) {
    const auto key = "out" + std::to_string(++number);
    REQUIRE(commit_one(*storage, {"p", {Operation::insert(key, stored)}})->applied());
    CHECK_FALSE(commit_one(*storage, {"p", {Operation::add(key, -1'000'000)}})->applied());
  }
}

TEST_CASE("a key of Redis that holds something else is not written over") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  const auto key = "onceward:{" + std::to_string(storage->shard_of("p")) + "}:record:1:p:k";
  REQUIRE(server.command("LPUSH " + key + " mine") == "1");
  const auto answer = commit_one(*storage, {"p", {Operation::insert("k", "v")}});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == ErrorCode::in_doubt);
  CHECK(server.command("LRANGE " + key + " 0 -1").empty());
  CHECK(server.command("LLEN " + key) == "1");
}

TEST_CASE("a caller for whom there is no memory takes no answer from the others of its call") {
  RedisServer server;
  NEED_SERVER(server);
  const auto storage = redis::open(server.options()).value();
  for (int i = 0; i < 20; ++i)
    REQUIRE(commit_one(*storage, {"p" + std::to_string(i), {Operation::insert("k", "first")}})->applied());
  server.command("CONFIG SET maxmemory 1mb");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int caller = 0; caller < 40; ++caller) {
    threads.emplace_back([&, caller] {
      const auto partition = "p" + std::to_string(caller % 20);
      for (int round = 0; round < 200; ++round) {
        const auto key = caller < 20 ? "k" : std::to_string(caller) + "." + std::to_string(round);
        const auto answer = commit_one(*storage, {partition, {Operation::insert(key, "second")}});
        if (caller < 20) {
          wrong += !answer || answer->applied() || answer->found->value != "first";
        } else {
          wrong += answer.has_value() || answer.error().code != ErrorCode::exhausted;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a revision to insert again after is one that a storage gives") {
  const auto storage = open_memory().value();
  constexpr Revision most = (Revision{1} << 53) - 2;
  CHECK(commit_one(*storage, {"p", {Operation::insert_again("a", most, "v")}}).has_value());
  for (const auto known : {most + 1, std::numeric_limits<Revision>::max(), Revision{-1}})
    CHECK(commit_one(*storage, {"p", {Operation::insert_again("b", known, "v")}}).error().code ==
          ErrorCode::invalid_argument);
}

TEST_CASE("Redis lists its partitions, also under a prefix that is a pattern") {
  RedisServer server;
  NEED_SERVER(server);
  auto options = server.options();
  options.prefix = "a*[b]?";
  const auto storage = redis::open(options).value();
  options.prefix = "a1b2";
  REQUIRE(commit_one(*redis::open(options).value(), {"another", {Operation::insert("k", "v")}})->applied());
  check_partition_walk(*storage, 2'000);
  auto first = list_partitions(*storage, {}, 100).value();
  first.cursor[0] = first.cursor[0] == 'a' ? 'b' : 'a';
  CHECK(list_partitions(*storage, first.cursor, 100).error().code == ErrorCode::conflict);
}

TEST_CASE("open_storage opens Redis by a URL") {
  RedisServer server;
  NEED_SERVER(server);
  const auto url =
      "redis://127.0.0.1:" + std::to_string(server.port()) + "/2?prefix=by-url&shards=4&unsafe=accept";
  const auto storage = open_storage(url).value();
  CHECK(storage->shard_count() == 4);
  CHECK(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
  CHECK(open_storage("redis://:secret@127.0.0.1:1/?timeout_ms=50").error().message.find("secret") ==
        std::string::npos);
}
