#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>

using namespace onceward;

namespace {

struct Bench {
  TemporaryFolder folder;
  SQLite::Database database{folder.file("business.db"), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
  std::unique_ptr<Storage> storage = sqlite::enlist(database).value();

  Bench() { database.exec("CREATE TABLE orders(id INTEGER PRIMARY KEY)"); }
  Result<BatchAnswer> insert(std::string key) {
    return commit_one(*storage, {"shop", {Operation::insert(std::move(key), "v")}});
  }
  bool there(std::string_view key) { return read_one(*storage, "shop", key).value().has_value(); }
  int orders() { return database.execAndGet("SELECT count(*) FROM orders").getInt(); }
};

}  // namespace

TEST_CASE("an enlisted write is there with the caller's commit and gone with the caller's rollback") {
  Bench bench;
  bench.database.exec("BEGIN; INSERT INTO orders VALUES (1)");
  CHECK(bench.insert("a")->applied());
  bench.database.exec("COMMIT");
  CHECK(bench.there("a"));
  CHECK(bench.orders() == 1);
  bench.database.exec("BEGIN; INSERT INTO orders VALUES (2)");
  CHECK(bench.insert("b")->applied());
  CHECK(bench.there("b"));
  bench.database.exec("ROLLBACK");
  CHECK_FALSE(bench.there("b"));
  CHECK(bench.orders() == 1);
}

TEST_CASE("an enlisted storage counts time on from the file, also where the machine's clock was set back") {
  TemporaryFolder folder;
  const auto path = folder.file("business.db");
  testing::FakeClock clock(Timestamp(std::chrono::hours(1'000)));
  const auto storage = sqlite::open(path, {.clock = &clock}).value();
  const auto before = storage->commit(std::vector<Batch>{{"shop", {Operation::insert("a", "v")}}})->now;
  testing::FakeClock behind(Timestamp(std::chrono::hours(999)));
  SQLite::Database database{path, SQLite::OPEN_READWRITE};
  const auto enlisted = sqlite::enlist(database, {.clock = &behind}).value();
  database.exec("BEGIN");
  const std::vector<Batch> claim{
      {"shop", {Operation::insert("b", "v", {.expires_in = std::chrono::seconds(30)})}}};
  CHECK(enlisted->commit(claim)->now >= before);
  database.exec("COMMIT");
  // A lease that was taken there is not over here.
  CHECK(read_one(*storage, "shop", "b").value().has_value());
  CHECK(enlisted->read({})->now >= before);
}

TEST_CASE("an enlisted write without an open transaction is in a wrong state and writes nothing") {
  Bench bench;
  CHECK(bench.insert("a").error().code == ErrorCode::wrong_state);
  CHECK_FALSE(bench.there("a"));
  bench.database.exec("BEGIN");
  CHECK(bench.insert("a")->applied());
  bench.database.exec("COMMIT");
  CHECK(bench.insert("b").error().code == ErrorCode::wrong_state);
}

TEST_CASE("a refused enlisted batch leaves the rest of the caller's transaction as it was") {
  Bench bench;
  bench.database.exec("BEGIN; INSERT INTO orders VALUES (1)");
  CHECK(bench.insert("a")->applied());
  const auto refused =
      commit_one(*bench.storage, {"shop", {Operation::insert("b", "v"), Operation::insert("a", "v")}});
  CHECK(refused->refused == 1);
  bench.database.exec("COMMIT");
  CHECK(bench.orders() == 1);
  CHECK(bench.there("a"));
  CHECK_FALSE(bench.there("b"));
}

TEST_CASE("a storage that opens the file sees what was enlisted after the commit, not before") {
  Bench bench;
  const auto other = sqlite::open(bench.database.getFilename()).value();
  bench.database.exec("BEGIN");
  CHECK(bench.insert("a")->applied());
  CHECK_FALSE(read_one(*other, "shop", "a").value().has_value());
  bench.database.exec("COMMIT");
  CHECK(read_one(*other, "shop", "a").value().has_value());
}

TEST_CASE("an enlisted commit that fails after it wrote takes the caller's transaction back whole") {
  Bench bench;
  bench.database.exec("BEGIN");
  CHECK(commit_one(*bench.storage, {"shop", {Operation::insert("torn", std::string(1000, 'v'))}})->applied());
  bench.database.exec("COMMIT; DELETE FROM onceward_apart");
  bench.database.exec("BEGIN; INSERT INTO orders VALUES (1)");
  const auto failed =
      commit_one(*bench.storage, {"shop", {Operation::insert("half", "v"), Operation::add("torn", 1)}});
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == ErrorCode::corrupt);
  CHECK(bench.database.tryExec("COMMIT") != 0);  // no half of the batch can be committed by mistake
  CHECK_FALSE(bench.there("half"));
  CHECK(bench.orders() == 0);
}

TEST_CASE("a storage that cannot be enlisted leaves the connection as it came") {
  const TemporaryFolder folder;
  const auto path = folder.file("business.db");
  SQLite::Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE orders(id INTEGER)");
  SQLite::Database database(path, SQLite::OPEN_READONLY);
  const auto refused = sqlite::enlist(database);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::unavailable);
  CHECK(refused.error().message.find("writable") != std::string::npos);
  CHECK(database.tryExec("BEGIN") == 0);  // no transaction of ours is open
  CHECK_FALSE(sqlite::enlist(database).has_value());
  CHECK(database.tryExec("COMMIT") == 0);  // and one of the caller's stays so
}

TEST_CASE(
    "an enlisted commit that finds the file locked is a timeout and leaves the transaction to the caller") {
  Bench bench;
  SQLite::Database other(bench.database.getFilename(), SQLite::OPEN_READWRITE);
  other.exec("BEGIN IMMEDIATE");
  bench.database.exec("BEGIN");
  CHECK(bench.insert("a").error().code == ErrorCode::timeout);
  other.exec("ROLLBACK");
  CHECK(bench.insert("a")->applied());
  bench.database.exec("COMMIT");
  CHECK(bench.there("a"));
}
