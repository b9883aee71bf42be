#include <onceward/storage/open.hpp>
#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>

#include <fstream>
#include <iterator>

using namespace onceward;

namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void check_refused(const Result<std::unique_ptr<Storage>>& opened, ErrorCode code, const std::string& says) {
  REQUIRE_FALSE(opened.has_value());
  INFO(opened.error().message);
  CHECK(opened.error().code == code);
  CHECK(opened.error().message.find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("a wrong storage URL is refused in words that list what is known") {
  const auto wrong = ErrorCode::invalid_argument;
  for (const auto* url : {"", "rewards.db", "oracle://localhost", "SQLITE:x", ":"}) {
    INFO(url);
    check_refused(open_storage(url), wrong, "memory:, sqlite:PATH");
  }
  check_refused(open_storage("memory:x"), wrong, "takes no path");
  check_refused(open_storage("memory:?cache_kib=1"), wrong, "it knows shards");
  check_refused(open_storage("memory:?shards"), wrong, "has no '='");
  check_refused(open_storage("sqlite:x?speed=9"), wrong,
                "shards, synchronous, cache_kib, busy_ms and integrity");
  check_refused(open_storage("sqlite:x?synchronous=off"), wrong, "full or normal");
  check_refused(open_storage("sqlite:x?integrity=2"), wrong, "0 to 1");
  for (const auto* shards : {"0", "-1", "16385", "x", "", "4 ", "99999999999999999999"}) {
    check_refused(open_storage(std::string("memory:?shards=") + shards), wrong, "1 to 16384");
  }
}

TEST_CASE("a right storage URL opens the storage it names with its options") {
  const TemporaryFolder folder;
  CHECK(open_storage("memory:").value()->shard_count() == limits::default_shards);
  CHECK(open_storage("memory:?shards=7").value()->shard_count() == 7);
  const auto url =
      "sqlite:" + folder.file("a.db") + "?shards=5&synchronous=normal&cache_kib=64&busy_ms=0&integrity=1";
  CHECK(open_storage(url).value()->shard_count() == 5);
  CHECK(open_storage("sqlite:" + folder.file("a.db")).value()->shard_count() == 5);
}

TEST_CASE("a SQLite file that cannot serve is refused in words that name it") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  check_refused(sqlite::open(""), ErrorCode::invalid_argument, "empty");
  check_refused(sqlite::open(":memory:"), ErrorCode::invalid_argument, "memory:");
  check_refused(sqlite::open(folder.file(".")), ErrorCode::invalid_argument, "it is a folder");
  check_refused(sqlite::open(folder.file("none/a.db")), ErrorCode::unavailable, "none/a.db");
  SECTION("one marked read-only") {
    CHECK(sqlite::open(path).has_value());
    std::filesystem::permissions(path, std::filesystem::perms::owner_read);
    check_refused(sqlite::open(path), ErrorCode::unavailable, "read-only");
  }
  SECTION("one that is no database") {
    std::ofstream(path) << std::string(4096, 'x');
    const auto before = bytes_of(path);
    check_refused(sqlite::open(path), ErrorCode::corrupt, "no SQLite database");
    CHECK(bytes_of(path) == before);
  }
  SECTION("one of another shard count") {
    CHECK(sqlite::open(path, {.shards = 8}).has_value());
    check_refused(sqlite::open(path, {.shards = 9}), ErrorCode::invalid_argument, "8 shards, 9");
    CHECK(sqlite::open(path).value()->shard_count() == 8);
  }
  SECTION("one of no or too many shards") {
    check_refused(sqlite::open(path, {.shards = 0}), ErrorCode::invalid_argument, "choose 1 to");
    check_refused(sqlite::open(path, {.shards = limits::most_shards + 1}), ErrorCode::invalid_argument,
                  "choose 1 to");
  }
}

TEST_CASE("a SQLite file of a newer format is refused and left unchanged") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  CHECK(sqlite::open(path).has_value());
  {
    SQLite::Database database(path, SQLite::OPEN_READWRITE);
    database.exec("UPDATE onceward_meta SET value = 999 WHERE name = 'format'");
    database.exec("PRAGMA journal_mode = DELETE");
  }
  const auto before = bytes_of(path);
  REQUIRE_FALSE(before.empty());
  check_refused(sqlite::open(path), ErrorCode::invalid_argument, "format 999");
  CHECK(bytes_of(path) == before);
  CHECK_FALSE(std::filesystem::exists(path + "-wal"));
}
