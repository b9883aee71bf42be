#include <onceward/storage/memory.hpp>

#include "contract/run_contract.hpp"

using namespace onceward;

TEST_CASE("the memory storage keeps the contract") {
  run_contract(
      {.name = "memory", .open_fresh = [](const Clock& clock) { return open_memory({.clock = &clock}); }});
}

TEST_CASE("a memory storage of few shards keeps the contract") {
  run_contract({.name = "memory of 4 shards", .open_fresh = [](const Clock& clock) {
                  return open_memory({.shards = 4, .clock = &clock});
                }});
}
