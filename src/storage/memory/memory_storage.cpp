#include <onceward/storage/memory.hpp>
#include <onceward/storage/partitions.hpp>

#include "storage/due_page.hpp"
#include "storage/memory/memory_shard.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {
namespace {

using storage_detail::MemoryShard;

class MemoryStorage final : public Storage, public PartitionLister {
 public:
  explicit MemoryStorage(const MemoryOptions& options)
      : clock_(options.clock != nullptr ? *options.clock : own_clock_), shards_(options.shards) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    CommitAnswer answer{clock_.now(), {}};
    answer.batches.reserve(batches.size());
    for (const auto& batch : batches) {
      auto& shard = shards_[shard_of(batch.partition)];
      const std::lock_guard lock(shard.mutex);
      answer.batches.push_back(shard.apply(batch, answer.now));
    }
    return answer;
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    ReadAnswer answer{clock_.now(), {}};
    answer.records.reserve(records.size());
    for (std::size_t i = 0; i < records.size();) {
      const std::string_view partition = records[i].partition;
      auto& shard = shards_[shard_of(partition)];
      const std::lock_guard lock(shard.mutex);
      const auto first = i;
      while (i < records.size() && records[i].partition == partition) ++i;
      shard.read(records.subspan(first, i - first), answer.now, answer.records);
    }
    return answer;
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    ScanPage page{clock_.now(), {}, {}};
    auto& shard = shards_[shard_of(partition)];
    const std::lock_guard lock(shard.mutex);
    shard.scan(partition, prefix, cursor, limit, page);
    return page;
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shard_count()); !checked)
      return fail(std::move(checked).error());
    DuePage page{clock_.now(), {}, {}};
    const auto visit = [&](MemoryShard& shard) {
      const std::lock_guard lock(shard.mutex);
      shard.due(limit, page);
    };
    if (shards.empty()) {
      for (auto& shard : shards_) visit(shard);
    }
    for (const Shard shard : shards) visit(shards_[shard]);
    storage_detail::order_due_page(page, limit);
    return page;
  }

  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    PartitionPage page;
    for (auto& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      shard.partitions(cursor, page.partitions);
    }
    auto& names = page.partitions;
    const auto taken = static_cast<std::ptrdiff_t>(std::min(limit, names.size()));
    std::partial_sort(names.begin(), names.begin() + taken, names.end());
    if (names.size() > limit) {
      names.resize(limit);
      page.cursor = names.back();
    }
    return page;
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return static_cast<Shard>(shards_.size()); }

 private:
  SystemClock own_clock_;
  const Clock& clock_;
  std::vector<MemoryShard> shards_;
};

}  // namespace

Result<std::unique_ptr<Storage>> open_memory(MemoryOptions options) {
  if (options.shards == 0 || options.shards > limits::most_shards) {
    return fail(ErrorCode::invalid_argument, fmt::format("a memory storage of {} shards; choose 1 to {}",
                                                         options.shards, limits::most_shards));
  }
  return std::unique_ptr<Storage>(std::make_unique<MemoryStorage>(options));
}

}  // namespace onceward
