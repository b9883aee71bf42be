#pragma once
#include <onceward/storage/storage.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// A page of the names of partitions. `cursor` continues after it; empty at the end.
struct PartitionPage {
  std::vector<std::string> partitions;
  std::string cursor;
};

/// What a storage may offer beside its four calls, for tools that walk over everything: found by
/// dynamic_cast<PartitionLister*>(&storage). Every storage of this library has it, but for enlisted ones and
/// a Redis Cluster, whose slots may move while one walks; decorators pass it on.
class PartitionLister {
 public:
  virtual ~PartitionLister() = default;

  /// About `limit` (1..limits::page_records) partitions, in an order of the storage's own, after `cursor`
  /// (empty: from the start). A partition that holds records during the whole walk is named, perhaps twice;
  /// one that holds none, or only expired ones, may be. Errors: as Storage; wrong_state where a storage below
  /// has no list; conflict where the server became another one (a failover): begin the walk again.
  virtual Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) = 0;

 protected:
  PartitionLister() = default;
  PartitionLister(const PartitionLister&) = default;
  PartitionLister& operator=(const PartitionLister&) = default;
};

/// The list of any storage. Errors: wrong_state where it has none; invalid_argument for a wrong limit.
Result<PartitionPage> list_partitions(Storage& storage, std::string_view cursor, std::size_t limit);

}  // namespace onceward
