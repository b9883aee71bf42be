#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <onceward/testing/fake_clock.hpp>

#include <SQLiteCpp/Database.h>

#include <chrono>
#include <filesystem>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

const std::string brief(100, 'b');
const std::string lengthy(1000, 'l');

int count(const std::string& path, const std::string& what) {
  SQLite::Database database(path, SQLite::OPEN_READONLY);
  return database.execAndGet("SELECT count(*) FROM " + what).getInt();
}

Revision put(Storage& storage, Operation operation) {
  const auto answer = commit_one(storage, {"p", {std::move(operation)}}).value();
  REQUIRE(answer.applied());
  return answer.revision;
}

std::string value_at(Storage& storage, const std::string& key) {
  return read_one(storage, "p", key).value().value().value;
}

}  // namespace

TEST_CASE("a value keeps its place while it grows and shrinks, and leaves the file with its record") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  testing::FakeClock clock;
  const auto storage = sqlite::open(path, {.clock = &clock}).value();
  auto small = put(*storage, Operation::insert("small", brief));
  auto large = put(*storage, Operation::insert("large", lengthy));
  CHECK(count(path, "onceward_apart") == 1);
  small = put(*storage, Operation::replace("small", small, lengthy));
  large = put(*storage, Operation::replace("large", large, brief));
  CHECK(value_at(*storage, "small") == lengthy);
  CHECK(value_at(*storage, "large") == brief);
  CHECK(count(path, "onceward_apart") == 1);

  // Refused: what was written apart for it is gone.
  const auto refused = commit_one(*storage, {"p", {Operation::insert("large", lengthy)}}).value();
  CHECK_FALSE(refused.applied());
  CHECK(refused.found->value == brief);
  CHECK(count(path, "onceward_apart") == 1);

  put(*storage, Operation::remove("large", large));
  CHECK(count(path, "onceward_apart") == 0);
  put(*storage, Operation::insert("guest", lengthy, {.expires_in = 1s}));
  put(*storage, Operation::insert("renewed", lengthy, {.expires_in = 1s}));
  clock.advance(2s);
  put(*storage, Operation::insert("renewed", lengthy + lengthy));
  CHECK(value_at(*storage, "renewed") == lengthy + lengthy);
  clock.advance(2s);
  put(*storage, Operation::insert("last", brief));  // a commit sweeps out what has expired
  CHECK(count(path, "onceward_apart") == 1);
  CHECK(count(path, "onceward") == 3);
}

TEST_CASE("a record whose value is gone is corrupt, not empty") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  put(*sqlite::open(path).value(), Operation::insert("k", lengthy));
  SQLite::Database(path, SQLite::OPEN_READWRITE).exec("DELETE FROM onceward_apart");
  const auto storage = sqlite::open(path).value();
  const auto read = read_one(*storage, "p", "k");
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::corrupt);
  CHECK(storage->scan("p", "", "", 10).error().code == ErrorCode::corrupt);
}

TEST_CASE("the log is copied back while callers commit, so that it stays small") {
  constexpr std::uintmax_t most_log_bytes = 70'000'000;
  constexpr std::uintmax_t written_bytes = 4 * most_log_bytes;
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  const auto storage = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal}).value();
  const std::string value(200'000, 'v');
  std::uintmax_t largest = 0;
  for (std::uintmax_t written = 0; written < written_bytes; written += value.size()) {
    put(*storage, Operation::insert("k" + std::to_string(written), value));
    largest = std::max(largest, std::filesystem::file_size(path + "-wal"));
  }
  CHECK(largest < most_log_bytes);
  CHECK(value_at(*storage, "k0") == value);
}

TEST_CASE("what expires faster than a second's share is taken away by the commits that follow") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  testing::FakeClock clock;
  const auto storage = sqlite::open(path, {.clock = &clock}).value();
  constexpr int records = 2000;
  for (int i = 0; i < records; ++i) {
    put(*storage,
        Operation::insert("old" + std::to_string(i), i % 2 == 0 ? brief : lengthy, {.expires_in = 1min}));
  }
  clock.advance(2min);
  for (int i = 0; i < records / 2; ++i) put(*storage, Operation::insert("new" + std::to_string(i), brief));
  CHECK(count(path, "onceward_record") == records / 2);
  CHECK(count(path, "onceward_apart") == 0);
}
