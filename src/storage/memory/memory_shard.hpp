#pragma once
#include <onceward/core/key_table.hpp>
#include <onceward/storage/storage.hpp>

#include "storage/memory/time_heap.hpp"

#include <mutex>
#include <set>

namespace onceward::storage_detail {

/// One shard of the memory storage: its records, and what is due or expires, each in order. The caller
/// holds `mutex` around every call.
class MemoryShard {
 public:
  std::mutex mutex;

  BatchAnswer apply(const Batch& batch, Timestamp now);
  /// Appends the records of these references, all to one partition.
  void read(std::span<const RecordRef> refs, Timestamp now, std::vector<std::optional<Record>>& records);
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page);
  /// Appends up to `limit` due records, oldest first, and lowers `next` to the first one after them.
  void due(std::size_t limit, DuePage& page) const;
  /// Appends the names after `cursor`, in no order.
  void partitions(std::string_view cursor, std::vector<std::string>& names) const;

 private:
  static constexpr Timestamp never = Timestamp::max();

  struct Partition;
  /// A record: key and value share one text, since a store of many small records is mostly overhead.
  struct Entry {
    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

    Entry(Partition& of, std::uint64_t key_hash, std::string_view key, std::string_view value)
        : partition(of), hash(key_hash), key_bytes(key.size()) {
      text.reserve(key.size() + value.size());
      text.append(key).append(value);
    }

    Partition& partition;
    std::uint64_t hash;
    std::size_t key_bytes;
    std::string text;
    Revision revision = absent;
    Timestamp due = never;
    Timestamp expires = never;
    std::size_t due_at = nowhere;
    std::size_t expiry_at = nowhere;
    bool sorted = false;  ///< else in its partition's list of those that are not
    Entry* before = nullptr;
    Entry* after = nullptr;

    [[nodiscard]] std::string_view key() const noexcept {
      return std::string_view(text).substr(0, key_bytes);
    }
    [[nodiscard]] std::string_view value() const noexcept { return std::string_view(text).substr(key_bytes); }
    /// std::string grows to twice its size and never shrinks; a record takes what it needs.
    void set_value(std::string_view value) {
      constexpr std::size_t most_spare = 256;
      const auto needed = key_bytes + value.size();
      if (needed <= text.capacity() && text.capacity() - needed <= needed + most_spare) {
        text.replace(key_bytes, std::string::npos, value);
        return;
      }
      std::string grown;
      grown.reserve(needed);
      text = std::move(grown.append(key()).append(value));
    }
    [[nodiscard]] bool live(Timestamp now) const noexcept { return expires > now; }
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const noexcept { return a->key() < b->key(); }
    bool operator()(const Entry* a, std::string_view b) const noexcept { return a->key() < b; }
    bool operator()(std::string_view a, const Entry* b) const noexcept { return a < b->key(); }
  };
  /// The records of a partition. They are sorted when somebody scans them, which for most nobody does.
  struct Partition {
    Partition(std::uint64_t name_hash, std::string_view named) : hash(name_hash), name(named) {}

    std::uint64_t hash;
    std::string name;
    core_detail::KeyTable<Entry> records{};
    Entry* unsorted = nullptr;  ///< a list, which takes no memory of its own
    std::set<Entry*, ByKey> sorted{};

    [[nodiscard]] std::string_view key() const noexcept { return name; }
    Entry& add(std::uint64_t key_hash, std::string_view key, std::string_view value);
    void remove(Entry& entry);
    void sort();
  };
  /// What an operation of a batch met.
  struct Met {
    Entry* entry = nullptr;  ///< null where there is none
    std::uint64_t hash = 0;  ///< of the key
    std::int64_t sum = 0;    ///< of an add
  };

  static Record to_record(const Entry& entry);
  void stamp(Entry& entry, const Operation& operation, Revision revision, Timestamp now);
  void erase(Entry& entry);
  void purge(Timestamp now);
  /// Null where it has no record.
  [[nodiscard]] Partition* find(std::string_view partition) const noexcept {
    return partitions_.find(core_detail::KeyTable<Partition>::hash_of(partition), partition);
  }

  core_detail::KeyTable<Partition> partitions_;
  TimeHeap<Entry, &Entry::due_at> due_;
  TimeHeap<Entry, &Entry::expiry_at> expiry_;
  std::vector<Met> met_;               ///< of the batch in progress; kept for its memory
  std::vector<std::uint64_t> hashes_;  ///< of the keys to be read; kept for its memory
  Revision removed_ = absent;  ///< the largest revision a removed record had: later ones must be larger
};

}  // namespace onceward::storage_detail
