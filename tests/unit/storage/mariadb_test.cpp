#include <onceward/storage/mariadb.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "storage/mariadb/connection.hpp"
#include "storage/mariadb/span_work.hpp"
#include "support/mariadb_server.hpp"

#include "support/catch.hpp"
#include "support/partition_walk.hpp"

#include <atomic>
#include <map>
#include <random>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

/// One server for all cases, each with a database of its own.
MariadbServer& server() {
  static MariadbServer one;
  return one;
}

#define NEED_SERVER()                                      \
  if (server().missing()) {                                \
    WARN("skipped: there is no mariadbd on this machine"); \
    return;                                                \
  }

mariadb::Options fresh() {
  static int count = 0;
  const auto name = "unit_" + std::to_string(++count);
  REQUIRE(server().command("CREATE DATABASE " + name));
  return server().options(name);
}

void run(const Mysql& connection, const std::string& command) {
  INFO(command);
  INFO(mysql_error(connection.get()));
  REQUIRE(mysql_query(connection.get(), command.c_str()) == 0);
}

std::int64_t number(const Mysql& connection, const std::string& query) {
  run(connection, query);
  const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> rows(mysql_store_result(connection.get()),
                                                                      &mysql_free_result);
  return std::stoll(mysql_fetch_row(rows.get())[0]);
}

void check_refused(const Error& error, ErrorCode code, const std::string& says) {
  INFO(error.message);
  CHECK(error.code == code);
  CHECK(error.message.find(says) != std::string::npos);
  CHECK(error.message.find("secret") == std::string::npos);
}

}  // namespace

TEST_CASE("an error of a statement that commits tells whether it may have committed") {
  const auto unsettled = [](std::int64_t number, bool lost = false) {
    return mariadb::detail::Failure({ErrorCode::unavailable, "", number}, lost).unsettled();
  };
  CHECK(unsettled(2013, true));  // the connection was lost
  CHECK(unsettled(1180));        // an error during COMMIT
  CHECK(unsettled(1317));        // interrupted
  CHECK(unsettled(1927));        // the connection was killed
  CHECK(unsettled(1053));        // the server stops
  CHECK_FALSE(unsettled(1213));  // a deadlock: rolled back
  CHECK_FALSE(unsettled(1205));  // a lock that was not got
  CHECK_FALSE(unsettled(1062));  // a row is there
  CHECK_FALSE(unsettled(1021));  // the disk is full
}

TEST_CASE("a MySQL URL names address, credentials, database and options") {
  auto options =
      mariadb::parse_url("mysql://ann:p%40ss@db.shop:3307/rewards?shards=8&timeout_ms=900&readers=3").value();
  CHECK(options.host == "db.shop");
  CHECK(options.port == 3307);
  CHECK(options.user == "ann");
  CHECK(options.password == "p@ss");
  CHECK(options.database == "rewards");
  CHECK(options.shards == Shard{8});
  CHECK(options.timeout == Duration(900ms));
  CHECK(options.readers == 3);
  options = mariadb::parse_url("mariadb:///rewards?socket=/run/mysqld/mysqld.sock").value();
  CHECK(options.socket == "/run/mysqld/mysqld.sock");
  CHECK(options.host == "127.0.0.1");
  const auto wrong = ErrorCode::invalid_argument;
  check_refused(mariadb::parse_url("mysql:x").error(), wrong, "\"//\" must follow");
  check_refused(mariadb::parse_url("mysql://u:secret@h").error(), wrong, "needs a database");
  check_refused(mariadb::parse_url("mysql://u:secret@h:0/d").error(), wrong, "65535");
  check_refused(mariadb::parse_url("mysql://u:secr%et@h/d").error(), wrong, "two hexadecimal digits");
  check_refused(mariadb::parse_url("mysql://h/d?speed=1").error(), wrong, "it knows socket");
  check_refused(mariadb::parse_url("pgsql://h/d").error(), wrong, "neither mysql nor mariadb");
}

TEST_CASE("a span decided in memory is decided as the memory storage decides it") {
  // The rows a server would hold, kept here: what comes out of each span is what the next one is given.
  constexpr Shard shards = 4;
  testing::FakeClock clock;
  const auto model = open_memory({.shards = shards, .clock = &clock}).value();
  std::map<std::pair<std::string, std::string>, Record> rows;
  std::map<Shard, mariadb::detail::ShardState> states;
  std::mt19937 dice(7);
  int judged = 0;
  for (int round = 0; round < 3000; ++round) {
    if (dice() % 4 == 0) clock.advance(Duration(dice() % 3));
    std::vector<Batch> batches(1 + dice() % 4);
    for (auto& batch : batches) {
      batch.partition = "p" + std::to_string(dice() % 3);
      for (const auto* key : {"a", "b", "c"}) {
        const auto row = rows.find({batch.partition, key});
        const Revision expected = row == rows.end() || dice() % 8 == 0 ? Revision{1} : row->second.revision;
        const Timing timing{dice() % 3 == 0 ? std::optional<Duration>(Duration(dice() % 3)) : std::nullopt,
                            dice() % 3 == 0 ? std::optional<Duration>(Duration(dice() % 3)) : std::nullopt};
        switch (dice() % 7) {
          case 0:
            batch.operations.push_back(Operation::insert(key, std::to_string(dice() % 10), timing));
            break;
          case 1:
            batch.operations.push_back(
                Operation::replace(key, expected, std::to_string(dice() % 10), timing));
            break;
          case 2: batch.operations.push_back(Operation::remove(key, expected)); break;
          case 3:
            batch.operations.push_back(Operation::require(key, dice() % 2 == 0 ? absent : expected));
            break;
          case 4: batch.operations.push_back(Operation::add(key, 1, 0, 5, timing)); break;
          default: break;
        }
      }
      if (batch.operations.empty()) batch.operations.push_back(Operation::require("z", absent));
    }
    const auto wanted = model->commit(batches).value();
    // What is inserted is believed to be new: either the answers are right, or it shows.
    mariadb::detail::SpanWork believing(shards);
    believing.assume_new_absent();
    believing.take(batches);
    for (const auto shard : believing.shards()) believing.put(shard, states[shard]);
    for (const auto& [partition, key] : believing.places()) {
      const auto row = rows.find({std::string(partition), std::string(key)});
      if (row != rows.end()) believing.put(partition, row->second);
    }
    std::vector<BatchAnswer> believed;
    for (const auto& batch : batches) believed.push_back(believing.apply(batch, clock.now()));
    const auto writes = believing.writes();
    const bool shows =
        believing.unsure() || std::any_of(writes.begin(), writes.end(), [&](const auto& write) {
          return write.is_new && rows.contains({std::string(write.partition), write.record->key});
        });
    for (std::size_t i = 0; i < batches.size() && !shows; ++i, ++judged) {
      REQUIRE(believed[i].refused == wanted.batches[i].refused);
      REQUIRE(believed[i].counters == wanted.batches[i].counters);
    }
    mariadb::detail::SpanWork work(shards);
    work.take(batches);
    for (const auto shard : work.shards()) work.put(shard, states[shard]);
    for (const auto& [partition, key] : work.places()) {
      const auto row = rows.find({std::string(partition), std::string(key)});
      if (row != rows.end()) work.put(partition, row->second);
    }
    const auto now = clock.now();
    for (std::size_t i = 0; i < batches.size(); ++i) {
      const auto answer = work.apply(batches[i], now);
      REQUIRE(answer.refused == wanted.batches[i].refused);
      REQUIRE(answer.counters == wanted.batches[i].counters);
      REQUIRE(answer.found.has_value() == wanted.batches[i].found.has_value());
      if (answer.found) REQUIRE(answer.found->value == wanted.batches[i].found->value);
    }
    for (const auto& [partition, key] : work.removals())
      rows.erase({std::string(partition), std::string(key)});
    for (const auto& write : work.writes()) {
      rows[{std::string(write.partition), write.record->key}] = *write.record;
      REQUIRE(write.shard == model->shard_of(write.partition));
    }
    for (const auto& [shard, state] : work.states(now, Duration(0))) {
      REQUIRE(state.high >= states[shard].high);
      states[shard] = state;
    }
    for (const auto& [place, row] : rows) {
      const auto there = read_one(*model, place.first, place.second).value();
      if (!there) {
        REQUIRE((row.expires && *row.expires <= now));
        continue;
      }
      REQUIRE(there->value == row.value);
      REQUIRE(there->due == row.due);
      REQUIRE(there->expires == row.expires);
    }
    // The next span expects the model's revisions where it names any.
    for (auto& [place, row] : rows) {
      if (const auto there = read_one(*model, place.first, place.second).value())
        row.revision = there->revision;
    }
  }
  CHECK(judged > 1000);
}

TEST_CASE("a database keeps its shard count and format") {
  NEED_SERVER();
  auto options = fresh();
  options.shards = 8;
  CHECK(mariadb::open(options).value()->shard_count() == 8);
  options.shards = 16;
  check_refused(mariadb::open(options).error(), ErrorCode::invalid_argument, "created with 8 shards");
  options.shards.reset();
  CHECK(mariadb::open(options).value()->shard_count() == 8);
  const auto connection = server().connect(options.database);
  run(connection, "UPDATE onceward_meta SET value = 9 WHERE name = 'format'");
  check_refused(mariadb::open(options).error(), ErrorCode::invalid_argument, "use a newer library");
  run(connection, "UPDATE onceward_meta SET value = 1 WHERE name = 'format'");
  const auto storage = mariadb::open(options).value();
  run(connection, "DROP TABLE onceward_record");
  check_refused(read_one(*storage, "p", "k").error(), ErrorCode::corrupt, "tables are gone");
  check_refused(commit_one(*storage, {"p", {Operation::insert("k", "v")}}).error(), ErrorCode::corrupt,
                "tables are gone");
}

TEST_CASE("what cannot be opened says why, without the password") {
  NEED_SERVER();
  auto options = server().options("nowhere");
  check_refused(mariadb::open(options).error(), ErrorCode::invalid_argument, "create the database first");
  options.password = "secret-but-wrong";
  check_refused(mariadb::open(options).error(), ErrorCode::invalid_argument, "right user and password");
  options = server().options();
  options.port = free_port();
  check_refused(mariadb::open(options).error(), ErrorCode::unavailable, "the address is right");
}

TEST_CASE("several callers may begin one storage at once") {
  NEED_SERVER();
  const auto options = fresh();
  std::vector<Result<std::unique_ptr<Storage>>> opened;
  for (int i = 0; i < 4; ++i) opened.emplace_back(fail(ErrorCode::unavailable, "not yet"));
  {
    std::vector<std::jthread> callers;
    for (auto& one : opened) callers.emplace_back([&] { one = mariadb::open(options); });
  }
  for (auto& one : opened) {
    INFO((one ? std::string() : describe(one.error())));
    REQUIRE(one.has_value());
  }
  REQUIRE(commit_one(**opened[0], {"p", {Operation::insert("k", "v")}})->applied());
  CHECK(read_one(**opened[3], "p", "k").value()->value == "v");
}

TEST_CASE("a lone caller's write is one statement, and waits for who holds its shard for removals") {
  NEED_SERVER();
  auto options = fresh();
  options.shards = 1;
  const auto storage = mariadb::open(options).value();
  const auto connection = server().connect(options.database);
  const auto direct = [&] {
    return number(connection,
                  "SELECT variable_value FROM information_schema.global_status WHERE variable_name = "
                  "'COM_INSERT_SELECT'");
  };
  const auto insert = [&](const char* key) {
    return commit_one(*storage, {"p", {Operation::insert(key, "v", {30s, 60s})}}).value();
  };
  REQUIRE(insert("first").applied());  // notes the time; what follows within a second need not
  const auto before = direct();
  REQUIRE(insert("second").applied());
  CHECK(direct() == before + 1);
  const auto again = insert("second");
  REQUIRE_FALSE(again.applied());
  CHECK(again.found->value == "v");
  CHECK(again.found->expires.has_value());

  run(connection, "BEGIN");
  run(connection, "UPDATE onceward_shard SET high = 9000000000000000 WHERE shard = 0");
  std::atomic<bool> done = false;
  BatchAnswer answer;
  std::jthread writer([&] {
    answer = insert("third");
    done = true;
  });
  std::this_thread::sleep_for(200ms);  // too short shows nothing wrong; it can only fail to find a defect
  CHECK_FALSE(done);
  run(connection, "COMMIT");
  writer.join();
  CHECK(answer.revision > 9'000'000'000'000'000);
}

TEST_CASE("an enlisted storage's writes stand or fall with the caller's transaction") {
  NEED_SERVER();
  const auto options = fresh();
  const auto storage = mariadb::open(options).value();
  const auto connection = server().connect(options.database);
  run(connection, "CREATE TABLE orders(id INT PRIMARY KEY) ENGINE=InnoDB");
  const auto enlisted = mariadb::enlist(connection.get()).value();
  const Batch batch{"p", {Operation::insert("k", "v")}};
  check_refused(commit_one(*enlisted, batch).error(), ErrorCode::wrong_state, "BEGIN one first");
  run(connection, "BEGIN");
  run(connection, "INSERT INTO orders VALUES (1)");
  REQUIRE(commit_one(*enlisted, batch)->applied());
  CHECK(read_one(*enlisted, "p", "k").value().has_value());
  CHECK_FALSE(read_one(*storage, "p", "k").value().has_value());
  run(connection, "ROLLBACK");
  CHECK_FALSE(read_one(*storage, "p", "k").value().has_value());
  // Its time is UTC, whatever the caller's zone.
  run(connection, "SET SESSION time_zone = '+05:30'");
  const auto here = enlisted->read({}).value().now;
  const auto there = storage->read({}).value().now;
  CHECK(there > Timestamp(std::chrono::days(19'000)));
  CHECK(std::chrono::abs(here - there) < 60s);
  // With an older view of the tables than what has been committed meanwhile.
  run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");
  run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
  REQUIRE(commit_one(*storage, batch)->applied());
  const auto refused = commit_one(*enlisted, batch).value();
  CHECK_FALSE(refused.applied());
  REQUIRE(refused.found.has_value());
  CHECK(refused.found->value == "v");
  run(connection, "COMMIT");
}

TEST_CASE("the server's own clock decides what is due and what has expired") {
  NEED_SERVER();
  auto options = fresh();
  options.shards = 1;
  const auto storage = mariadb::open(options).value();
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
  std::this_thread::sleep_until(before + 400ms);  // the passing of time is what is tested
  CHECK_FALSE(read_one(*storage, "p", "gone").value().has_value());
  CHECK(storage->due({}, 10).value().entries.size() == 1);
}

TEST_CASE("what has expired is taken away by those who write, a minute later at the latest") {
  NEED_SERVER();
  testing::FakeClock clock;
  auto options = fresh();
  options.shards = 1;
  options.clock = &clock;
  const auto storage = mariadb::open(options).value();
  std::vector<Batch> batches{{"p", {Operation::insert("kept", "1", {.expires_in = 1h})}}};
  const bool many = GENERATE(false, true);
  for (int i = 0; i < (many ? 1000 : 1); ++i)
    batches.push_back({"p", {Operation::insert("gone" + std::to_string(i), "1", {.expires_in = 5s})}});
  REQUIRE(storage->commit(batches)->batches.back().applied());
  clock.advance(70s);
  const auto connection = server().connect(options.database);
  const auto rows = [&] { return number(connection, "SELECT count(*) FROM onceward_record"); };
  // The many are taken away as fast as others are made, not so many in a given time.
  for (int i = 0; i < 500 && rows() > 1; ++i) {
    REQUIRE(commit_one(*storage, {"p", {Operation::require("nothing", absent)}})->applied());
  }
  CHECK(rows() == 1);
}

TEST_CASE("MariaDB lists its partitions") {
  NEED_SERVER();
  check_partition_walk(*mariadb::open(fresh()).value(), 2'000);
}

TEST_CASE("open_storage opens MariaDB by a URL") {
  NEED_SERVER();
  const auto options = fresh();
  const auto storage = open_storage("mysql://onceward:secret@127.0.0.1:" + std::to_string(server().port()) +
                                    "/" + options.database + "?shards=4")
                           .value();
  CHECK(storage->shard_count() == 4);
  CHECK(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
}
