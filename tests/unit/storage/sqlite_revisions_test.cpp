#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/forked.hpp"
#include "support/temporary_folder.hpp"

#include <onceward/testing/fake_clock.hpp>

#include <SQLiteCpp/Database.h>

#include <atomic>
#include <chrono>
#include <csignal>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

std::int64_t stored_high(const std::string& path) {
  SQLite::Database database(path, SQLite::OPEN_READONLY);
  return database.execAndGet("SELECT high FROM onceward_clock").getInt64();
}

/// The revision of a record that was made and removed again.
Revision come_and_go(Storage& storage) {
  const auto made = commit_one(storage, {"p", {Operation::insert("k", "v")}}).value();
  REQUIRE(made.applied());
  REQUIRE(commit_one(storage, {"p", {Operation::remove("k", made.revision)}}).value().applied());
  return made.revision;
}

}  // namespace

TEST_CASE("a file's high stays where it is while one writer's revisions stay below it") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  testing::FakeClock clock;
  const auto storage = sqlite::open(path, {.clock = &clock}).value();
  come_and_go(*storage);
  const auto high = stored_high(path);
  for (int i = 0; i < 20; ++i) {
    clock.advance(1ms);
    CHECK(come_and_go(*storage) < high);
  }
  CHECK(stored_high(path) == high);
  clock.advance(60ms);
  CHECK(come_and_go(*storage) > high);
  CHECK(stored_high(path) > high);
}

TEST_CASE(
    "writers that take turns by clocks that differ give growing revisions, and none runs ahead of its clock") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  testing::FakeClock right;
  testing::FakeClock slow(right.now() - 700ms);
  const auto a = sqlite::open(path, {.clock = &right}).value();
  const auto b = sqlite::open(path, {.clock = &slow}).value();
  SQLite::Database own(path, SQLite::OPEN_READWRITE);
  const auto enlisted = sqlite::enlist(own, {.clock = &slow}).value();
  Revision last = absent;
  const auto grows = [&](Revision revision) {
    REQUIRE(revision > last);
    last = revision;
  };
  for (int i = 0; i < 300; ++i) {
    right.advance(1ms);
    slow.advance(1ms);
    // Some turns are two in a row, or another's.
    grows(come_and_go(*a));
    if (i % 3 == 0) grows(come_and_go(*a));
    if (i % 5 != 0) grows(come_and_go(*b));
    if (i % 7 == 0) {
      own.exec("BEGIN IMMEDIATE");
      const auto given = come_and_go(*enlisted);
      REQUIRE(given > last);
      own.exec(i % 2 == 0 ? "COMMIT" : "ROLLBACK");
      if (i % 2 == 0) last = given;
    }
    REQUIRE(stored_high(path) >= last);
    REQUIRE(last - right.now().time_since_epoch().count() < 50'000);
  }
}

TEST_CASE("a process that opens a file anew again and again does not push its revisions ahead of the clock") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  testing::FakeClock clock;
  for (int i = 0; i < 50; ++i) {
    clock.advance(1ms);
    const auto storage = sqlite::open(path, {.clock = &clock}).value();
    come_and_go(*storage);
    CHECK(read_one(*storage, "p", "k").has_value());
    REQUIRE(stored_high(path) <= (clock.now() + 26ms).time_since_epoch().count());
  }
}

TEST_CASE("a killed writer's revisions are not given again by a process whose clock is behind") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  struct Told {
    std::atomic<Revision> last;
    std::atomic<bool> done;
  };
  const Shared<Told> told;
  {
    Forked writer([&] {
      testing::FakeClock clock;
      const auto storage = sqlite::open(path, {.clock = &clock}).value();
      for (int i = 0; i < 20; ++i) {
        clock.advance(1ms);
        told->last = come_and_go(*storage);
      }
      told->done = true;
      return ::kill(::getpid(), SIGKILL);
    });
    REQUIRE(writer.wait() == -1);
  }
  REQUIRE(told->done);
  testing::FakeClock behind;  // as the writer's when it began, though 20 ms have passed
  const auto storage = sqlite::open(path, {.clock = &behind}).value();
  CHECK(come_and_go(*storage) > told->last);
}
