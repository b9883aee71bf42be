#include <onceward/storage/open.hpp>
#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>

#include <fstream>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t page_bytes = 4096;
constexpr int records = 4000;

/// A file of some hundred pages, sound and closed.
void fill(const std::string& path) {
  const auto storage = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal}).value();
  std::vector<Batch> batches;
  for (int i = 0; i < records; ++i) {
    const std::string value(i % 10 == 0 ? 500 : 100, 'v');
    // Of every third one the due time is set afterwards, where it was made without one.
    const auto key = "k" + std::to_string(i);
    const Timing timing{i % 3 == 0 ? std::nullopt : std::optional<Duration>(1h), 24h};
    batches.push_back({"shop/user/" + std::to_string(i % 50), {Operation::insert(key, value, timing)}});
  }
  const auto made = storage->commit(batches).value();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    auto& operation = batches[i].operations.front();
    operation = Operation::replace(operation.key, made.batches[i].revision, operation.value, {.due_in = 1h});
  }
  REQUIRE(storage->commit(batches).has_value());
}

template <class Value>
void check_corrupt(const Result<Value>& result, const std::string& path, const std::string& says) {
  REQUIRE_FALSE(result.has_value());
  INFO(result.error().message);
  CHECK(result.error().code == ErrorCode::corrupt);
  CHECK(result.error().message.find(path) != std::string::npos);
  CHECK(result.error().message.find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("a sound file passes the integrity check, also while it is open and written") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  fill(path);
  CHECK(sqlite::check_integrity(path).has_value());
  const auto storage = sqlite::open(path, {.check_integrity = true}).value();
  REQUIRE(commit_one(*storage, {"p", {Operation::insert("k", "v")}})->applied());
  CHECK(sqlite::check_integrity(path).has_value());
  CHECK(open_storage("sqlite:" + path + "?integrity=1").has_value());
  CHECK(sqlite::open(folder.file("new.db"), {.check_integrity = true}).has_value());
}

TEST_CASE("a file damaged in the middle opens, and fails the integrity check with what was found") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  fill(path);
  const auto pages = static_cast<std::int64_t>(std::filesystem::file_size(path)) / page_bytes;
  REQUIRE(pages > 100);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(pages / 2 * page_bytes);
    file << std::string(2 * page_bytes, '\x5a');
  }
  CHECK(sqlite::open(path).has_value());
  check_corrupt(sqlite::check_integrity(path), path, "Page ");
  check_corrupt(sqlite::open(path, {.check_integrity = true}), path, "restore it from a backup");
  check_corrupt(open_storage("sqlite:" + path + "?integrity=1"), path, "damaged");
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  check_corrupt(sqlite::enlist(database, {.check_integrity = true}), path, "damaged");
  database.exec("BEGIN; ROLLBACK");  // enlist left no transaction behind
}

TEST_CASE("the integrity check finds what SQLite takes for sound and breaks our promises") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  fill(path);
  const auto spoil = [&](const char* sql) { SQLite::Database(path, SQLite::OPEN_READWRITE).exec(sql); };
  SECTION("a value is gone") {
    spoil("DELETE FROM onceward_apart WHERE id = 3");
    check_corrupt(sqlite::check_integrity(path), path, "1 records name a value that is not there");
  }
  SECTION("a value belongs to nobody") {
    spoil(
        "INSERT INTO onceward_apart(partition, key, revision, shard, value) "
        "SELECT partition, 'other', revision, shard, 'v' FROM onceward_apart LIMIT 1");
    check_corrupt(sqlite::check_integrity(path), path, "1 values belong to no record");
  }
  SECTION("the trigger is gone") {
    spoil("DROP TRIGGER onceward_forget");
    check_corrupt(sqlite::check_integrity(path), path, "1 tables, indices or triggers are missing");
  }
  SECTION("a record names what is another one's") {
    spoil("UPDATE onceward_apart SET key = 'other' WHERE id = 3");
    check_corrupt(sqlite::check_integrity(path), path, "1 records name a value that is not there, or is");
  }
  SECTION("a partition stands in a wrong shard") {
    spoil("UPDATE onceward_record SET shard = (shard + 1) % 64 WHERE partition = 'shop/user/7'");
    check_corrupt(sqlite::check_integrity(path), path, "1 partitions stand in a wrong shard");
  }
  SECTION("the clock was set back") {
    spoil("UPDATE onceward_clock SET high = 1");
    check_corrupt(sqlite::check_integrity(path), path, "newer than the clock");
  }
  SECTION("an index does not agree with the records") {
    spoil(
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, '(shard, due)', "
        "'(due, shard)') WHERE name = 'onceward_due'");
    check_corrupt(sqlite::check_integrity(path), path, "index onceward_due");
  }
}

TEST_CASE("a file that is not there, or not ours, is told from a damaged one") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  CHECK(sqlite::check_integrity(path).error().code == ErrorCode::unavailable);
  CHECK_FALSE(std::filesystem::exists(path));
  SQLite::Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE orders(id INTEGER)");
  check_corrupt(sqlite::check_integrity(path), path, "no tables of this library");
  std::ofstream(path) << std::string(page_bytes, 'x');
  check_corrupt(sqlite::check_integrity(path), path, "no SQLite database");
}
