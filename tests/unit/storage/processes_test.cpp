#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

using namespace onceward;

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
