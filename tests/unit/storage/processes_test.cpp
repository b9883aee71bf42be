#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/forked.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/Database.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

/// Runs `work(index)` in processes of their own, which a pipe starts together, and counts those that succeed.
int run_processes(int count, const std::function<bool(int)>& work) {
  int gate[2];
  REQUIRE(pipe(gate) == 0);
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      close(gate[1]);
      char byte = 0;
      while (read(gate[0], &byte, 1) > 0) {
      }
      _exit(work(i) ? 0 : 1);
    }
    children.push_back(child);
  }
  close(gate[0]);
  close(gate[1]);
  int succeeded = 0;
  for (const pid_t child : children) {
    int status = -1;
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
      ++succeeded;
  }
  return succeeded;
}

using Steady = std::chrono::steady_clock;

/// Waits for another process. False where it does not come in a minute.
bool comes(const std::function<bool()>& what) {
  const auto until = Steady::now() + 60s;
  while (!what()) {
    if (Steady::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// What a process that holds the file tells the test, and the test tells it.
struct Holding {
  std::atomic<bool> begin;
  std::atomic<bool> holds;
  std::atomic<bool> let_go;
  std::atomic<bool> gone;
};

/// Another process, which runs `sql` on the file and ends it with ROLLBACK, each when it is told to. It
/// begins before the test opens the file: SQLite's connections must not come along into a fork.
std::unique_ptr<Forked> hold(const std::string& path, const char* sql, Holding& holding) {
  return std::make_unique<Forked>([path, sql, &holding] {
    FORKED_REQUIRE(comes([&] { return holding.begin.load(); }));
    SQLite::Database database(path, SQLite::OPEN_READWRITE, 5000);
    database.exec(sql);
    holding.holds = true;
    FORKED_REQUIRE(comes([&] { return holding.let_go.load(); }));
    database.exec("ROLLBACK");
    holding.gone = true;
    // It stays open: only the transaction was in the way.
    return comes([&] { return !holding.let_go.load(); }) ? 0 : 1;
  });
}

Result<BatchAnswer> put(Storage& storage, const std::string& key, const std::string& value = "v") {
  return commit_one(storage, {"shop", {Operation::insert(key, value)}});
}

}  // namespace

TEST_CASE("eight processes that create one file at the same time all open it") {
  for (int round = 0; round < 5; ++round) {
    const TemporaryFolder folder;
    const auto path = folder.file("rewards.db");
    CHECK(
        run_processes(8, [&](int index) {
          const auto opened = sqlite::open(path);
          if (!opened) return false;
          const auto answer = commit_one(**opened, {"shop", {Operation::insert(std::to_string(index), "v")}});
          return answer && answer->applied();
        }) == 8);
    CHECK(sqlite::open(path).value()->scan("shop", {}, {}, 100)->records.size() == 8);
  }
}

TEST_CASE("two processes that write one file lose nothing and never oversell") {
  const TemporaryFolder folder;
  const auto path = folder.file("rewards.db");
  constexpr int turns = 100;
  CHECK(run_processes(2, [&](int) {
          const auto opened = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal});
          if (!opened) return false;
          for (int i = 0; i < turns; ++i) {
            const auto answer = (*opened)->commit(std::vector<Batch>{
                {"shop", {Operation::add("sum", 1)}}, {"shop", {Operation::add("stock", 1, 0, turns)}}});
            if (!answer || !answer->batches[0].applied()) return false;
          }
          return true;
        }) == 2);
  const auto storage = sqlite::open(path).value();
  CHECK(read_one(*storage, "shop", "sum").value()->value == std::to_string(2 * turns));
  CHECK(read_one(*storage, "shop", "stock").value()->value == std::to_string(turns));
}

TEST_CASE("processes killed in the middle of commits lose nothing they acknowledged, nor does anyone else") {
  constexpr int writers = 2;
  constexpr int victims = 20;
  struct Counts {
    std::atomic<int> acknowledged[writers + victims];
    std::atomic<bool> stop;
  };
  const TemporaryFolder folder;
  const auto path = folder.file("rewards.db");
  const Shared<Counts> counts;
  const auto writes = [&](int who, bool ends) {
    return [&counts, path, who, ends] {
      const auto opened = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal});
      if (!opened) std::fprintf(stderr, "%s\n", describe(opened.error()).c_str());
      FORKED_REQUIRE(opened.has_value());
      for (int i = 0; !ends || !counts->stop; ++i) {
        const auto name = std::to_string(who) + "/" + std::to_string(i);
        const auto answer = (*opened)->commit(
            std::vector<Batch>{{"shop",
                                {Operation::insert("small/" + name, "v"), Operation::add("sum", 1),
                                 Operation::insert("large/" + name, std::string(2000, 'v'))}},
                               {"quota", {Operation::add("stock", 1, 0, 1000)}}});
        if (!answer) std::fprintf(stderr, "%s\n", describe(answer.error()).c_str());
        FORKED_REQUIRE(answer.has_value() && answer->batches[0].applied());
        counts->acknowledged[who] = i + 1;
      }
      return 0;
    };
  };
  { const auto created = sqlite::open(path).value(); }
  {
    std::vector<std::unique_ptr<Forked>> living;
    for (int who = 0; who < writers; ++who) living.push_back(std::make_unique<Forked>(writes(who, true)));
    for (int who = writers; who < writers + victims; ++who) {
      Forked victim(writes(who, false));
      REQUIRE(comes([&] { return counts->acknowledged[who] > who % 7 || !victim.runs(); }));
      REQUIRE(victim.runs());
      victim.kill();
      CHECK(victim.wait() == -1);
    }
    counts->stop = true;
    for (auto& writer : living) CHECK(writer->wait() == 0);
  }
  const auto storage = sqlite::open(path, {.check_integrity = true}).value();
  int sum = 0;
  for (int who = 0; who < writers + victims; ++who) {
    INFO("process " << who);
    const int acknowledged = counts->acknowledged[who];
    CHECK(acknowledged > 0);
    int found = 0;
    for (int i = 0; i <= acknowledged; ++i) {
      const auto name = std::to_string(who) + "/" + std::to_string(i);
      const bool there = read_one(*storage, "shop", "small/" + name).value().has_value();
      REQUIRE(read_one(*storage, "shop", "large/" + name).value().has_value() == there);
      REQUIRE((there || i == acknowledged));
      found += there ? 1 : 0;
    }
    if (who < writers) CHECK(found == acknowledged);
    sum += found;
  }
  CHECK(read_one(*storage, "shop", "sum").value()->value == std::to_string(sum));
  CHECK(read_one(*storage, "quota", "stock").value()->value == std::to_string(std::min(sum, 1000)));
}

TEST_CASE("a file another process writes to is a timeout after busy_timeout, and read all the while") {
  constexpr auto patience = 300ms;
  constexpr auto slack = 3s;  // a machine under load
  const TemporaryFolder folder;
  const auto path = folder.file("rewards.db");
  const Shared<Holding> holding;
  const auto other = hold(path, "BEGIN IMMEDIATE", *holding);
  const auto storage = sqlite::open(path, {.busy_timeout = patience}).value();
  REQUIRE(put(*storage, "first")->applied());
  holding->begin = true;
  REQUIRE(comes([&] { return holding->holds.load(); }));

  const auto takes = [&](const auto& work) {
    const auto start = Steady::now();
    const auto error = work();
    const auto taken = Steady::now() - start;
    INFO(error.message);
    CHECK(error.code == ErrorCode::timeout);
    CHECK(error.message.find("another process") != std::string::npos);
    CHECK(taken >= patience / 2);
    CHECK(taken < patience + slack);
  };
  takes([&] { return put(*storage, "refused").error(); });
  takes([&] { return sqlite::open(path, {.busy_timeout = patience}).error(); });
  CHECK(read_one(*storage, "shop", "first").value().has_value());
  CHECK_FALSE(read_one(*storage, "shop", "refused").value().has_value());
  holding->let_go = true;
  REQUIRE(comes([&] { return holding->gone.load(); }));
  CHECK(put(*storage, "second")->applied());
  holding->let_go = false;
  CHECK(other->wait() == 0);
}

TEST_CASE(
    "another process that reads for long makes the log grow by what is written, and shrinks it when done") {
  constexpr std::uintmax_t megabyte = 1'000'000;
  constexpr std::uintmax_t written = 120 * megabyte;
  constexpr std::uintmax_t kept = 80 * megabyte;
  const TemporaryFolder folder;
  const auto path = folder.file("rewards.db");
  const Shared<Holding> holding;
  const auto other = hold(path, "BEGIN; SELECT count(*) FROM onceward", *holding);
  const auto storage = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal}).value();
  REQUIRE(put(*storage, "first")->applied());
  holding->begin = true;
  REQUIRE(comes([&] { return holding->holds.load(); }));

  const std::string value(200'000, 'v');
  int keys = 0;
  const auto log_bytes = [&] { return std::filesystem::file_size(path + "-wal"); };
  for (std::uintmax_t bytes = 0; bytes < written; bytes += value.size())
    REQUIRE(put(*storage, std::to_string(keys++), value)->applied());
  CHECK(log_bytes() > written);
  CHECK(log_bytes() < written + written / 4);

  holding->let_go = true;
  REQUIRE(comes([&] { return holding->gone.load(); }));
  REQUIRE(comes([&] {
    REQUIRE(put(*storage, std::to_string(keys++), value)->applied());
    return log_bytes() < kept;
  }));
  for (std::uintmax_t bytes = 0; bytes < kept; bytes += value.size()) {
    REQUIRE(put(*storage, std::to_string(keys++), value)->applied());
    REQUIRE(log_bytes() < 2 * kept);
  }
  holding->let_go = false;
  CHECK(other->wait() == 0);
}
