#pragma once
#include <onceward/storage/storage.hpp>

namespace onceward {

/// Options of the memory storage.
struct MemoryOptions {
  Shard shards = limits::default_shards;  ///< 1..limits::most_shards
  const Clock* clock = nullptr;           ///< must outlive the storage; null: a SystemClock of its own
};

/// A storage in this process's memory, for tests and caches: every rule of Storage but durability.
/// Each shard has its own lock, so callers of different partitions seldom meet.
/// Errors: invalid_argument for a wrong shard count.
Result<std::unique_ptr<Storage>> open_memory(MemoryOptions options = {});

}  // namespace onceward
