#include <onceward/storage/open.hpp>
#include <onceward/storage/redis.hpp>

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
