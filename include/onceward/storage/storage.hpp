#pragma once
#include <onceward/core/limits.hpp>
#include <onceward/core/result.hpp>
#include <onceward/storage/record.hpp>

#include <memory>
#include <span>

namespace onceward {

/// The answer to a commit: one answer per batch, in order, and the storage's time of the write.
struct CommitAnswer {
  Timestamp now{};
  std::vector<BatchAnswer> batches;
};
/// The answer to a read: one place per reference, in order; empty where there is no live record.
struct ReadAnswer {
  Timestamp now{};
  std::vector<std::optional<Record>> records;
};
/// A page of a partition in key order. `cursor` continues after it; empty at the end.
struct ScanPage {
  Timestamp now{};
  std::vector<Record> records;
  std::string cursor;
};
/// Records whose due time has come, oldest first.
struct DuePage {
  struct Entry {
    std::string partition;
    Record record;
  };
  Timestamp now{};
  std::vector<Entry> entries;
  /// The due time of the next record that is not in `entries`, so that a worker can sleep until then.
  std::optional<Timestamp> next{};
};

/// The narrow waist: everything durable goes through these four calls. One class is one backend; a
/// decorator that wraps another Storage serves every feature (sharding, switching, faults, metrics).
///
/// Records live in partitions; a partition's records live on one shard, `shard_of(partition)`.
/// Durations go in, the storage's own clock decides, every answer carries its `now`.
/// A record past its expiry is absent for every call. All calls are safe from any thread and block.
///
/// Errors of every call: unavailable and timeout (nothing happened, or repeating is harmless), in_doubt (a
/// write was sent, its answer lost: read back by the same storage; what that shows is final), corrupt,
/// invalid_argument (a limit of core/limits.hpp, an empty key, a key twice in a batch; checked for the whole
/// span before anything is written), exhausted.
/// A refused batch is an answer, not an error.
class Storage {
 public:
  virtual ~Storage() = default;

  /// Applies each batch atomically and durably within its partition. Batches are independent of each other
  /// and tried in order: a later one sees what an earlier one wrote. One round trip for the span.
  /// After a crash each batch is there whole or not at all; an answered one is there.
  virtual Result<CommitAnswer> commit(std::span<const Batch> batches) = 0;

  /// Reads records, of any partitions, in one round trip. Sees every commit that was answered before.
  /// Neighbouring references to one partition are read at one moment.
  virtual Result<ReadAnswer> read(std::span<const RecordRef> records) = 0;

  /// Reads up to `limit` (1..limits::page_records) records of a partition whose key begins with `prefix`,
  /// in byte order of the key, after `cursor` (empty: from the start).
  virtual Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                                std::size_t limit) = 0;

  /// Reads up to `limit` (1..limits::page_records) records of these shards (none named: all) whose due time
  /// has come. It takes nothing: who acts on one writes it with its revision.
  virtual Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) = 0;

  /// How many shards the storage was created with; it never changes.
  [[nodiscard]] virtual Shard shard_count() const noexcept = 0;

  [[nodiscard]] Shard shard_of(std::string_view partition) const noexcept;

 protected:
  Storage() = default;
  Storage(const Storage&) = default;
  Storage& operator=(const Storage&) = default;
};

/// One batch, for callers that have only one.
Result<BatchAnswer> commit_one(Storage& storage, const Batch& batch);
/// One record, for callers that read only one; empty where there is none.
Result<std::optional<Record>> read_one(Storage& storage, std::string_view partition, std::string_view key);

/// The checks every backend makes before it writes or reads anything: sizes, counts, keys twice, negative
/// durations. Errors: invalid_argument, naming the batch, the operation and the limit.
Result<void> check_commit(std::span<const Batch> batches);
Result<void> check_read(std::span<const RecordRef> records);
Result<void> check_scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit);
Result<void> check_due(std::span<const Shard> shards, std::size_t limit, Shard shard_count);

}  // namespace onceward
