#include <onceward/storage/memory.hpp>
#include <onceward/storage/sharded.hpp>
#if defined(ONCEWARD_TEST_SQLITE)
#include <onceward/storage/sqlite.hpp>
#endif

#include "contract/run_contract.hpp"
#include "support/temporary_folder.hpp"

using namespace onceward;

TEST_CASE("three memory storages as one keep the contract") {
  run_contract({.name = "sharded memory", .open_fresh = [](const Clock& clock) {
                  std::vector<StorageMember> members;
                  for (const auto* name : {"a", "b", "c"})
                    members.push_back({name, open_memory({.clock = &clock}).value()});
                  return open_sharded(std::move(members));
                }});
}

#if defined(ONCEWARD_TEST_SQLITE)
TEST_CASE("two SQLite files as one storage keep the contract") {
  const TemporaryFolder folder;
  int count = 0;
  const auto open = [&](const Clock& clock) {
    std::vector<StorageMember> members;
    for (const std::string name : {"a", "b"}) {
      const auto file = folder.file(name + "-" + std::to_string(count) + ".db");
      members.push_back(
          {name, sqlite::open(file, {.synchronous = sqlite::Synchronous::normal, .clock = &clock}).value()});
    }
    return open_sharded(std::move(members));
  };
  run_contract({.name = "sharded SQLite",
                .open_fresh = [&](const Clock& clock) { return ++count, open(clock); },
                .reopen = open});
}
#endif
