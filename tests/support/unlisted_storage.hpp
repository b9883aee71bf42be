#pragma once
#include <onceward/storage/storage.hpp>

namespace onceward {

/// A storage that has no list of its partitions, as a Redis Cluster.
class UnlistedStorage final : public Storage {
 public:
  explicit UnlistedStorage(Storage& inner) : inner_(inner) {}
  Result<CommitAnswer> commit(std::span<const Batch> batches) override { return inner_.commit(batches); }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return inner_.read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return inner_.scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return inner_.due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return inner_.shard_count(); }

 private:
  Storage& inner_;
};

}  // namespace onceward
