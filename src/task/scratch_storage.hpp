#pragma once
#include <onceward/storage/storage.hpp>

#include <map>
#include <mutex>

namespace onceward::task_detail {

/// A storage that reads through to another one and keeps what is written to itself, at a time of its own:
/// what simulate() runs on. Nothing reaches the storage below.
class ScratchStorage final : public Storage {
 public:
  ScratchStorage(Storage& below, Timestamp now) : below_(below), now_(now) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override;
  Result<ReadAnswer> read(std::span<const RecordRef> records) override;
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override;
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override;
  [[nodiscard]] Shard shard_count() const noexcept override { return below_.shard_count(); }

 private:
  using Name = std::pair<std::string, std::string>;
  Result<std::optional<Record>> find(const std::string& partition, const std::string& key);
  Result<BatchAnswer> apply(const Batch& batch);

  Storage& below_;
  Timestamp now_;
  std::mutex mutex_;
  std::map<Name, std::optional<Record>> written_;
  Revision last_ = 0;
};

}  // namespace onceward::task_detail
