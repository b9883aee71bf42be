#pragma once
#include <onceward/storage/storage.hpp>

#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_map>

namespace onceward::storage_detail {

/// One shard of the memory storage: its records, and what is due or expires, each in order. The caller
/// holds `mutex` around every call.
class MemoryShard {
 public:
  std::mutex mutex;

  BatchAnswer apply(const Batch& batch, Timestamp now);
  [[nodiscard]] std::optional<Record> read(const RecordRef& ref, Timestamp now) const;
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page) const;
  /// Appends up to `limit` due records, oldest first, and lowers `next` to the first one after them.
  void due(std::size_t limit, DuePage& page) const;

 private:
  struct Entry {
    std::string value;
    Revision revision = absent;
    std::optional<Timestamp> due;
    std::optional<Timestamp> expires;
    [[nodiscard]] bool live(Timestamp now) const noexcept { return !expires || *expires > now; }
  };
  using Keys = std::map<std::string, Entry, std::less<>>;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  using Partitions = std::unordered_map<std::string, Keys, Hash, std::equal_to<>>;
  /// Points into the nodes of the maps above, which stay where they are until the record is erased.
  struct Timed {
    Timestamp at;
    const std::string* partition;
    const std::string* key;
    friend bool operator<(const Timed& a, const Timed& b) noexcept {
      return std::tie(a.at, *a.partition, *a.key) < std::tie(b.at, *b.partition, *b.key);
    }
  };

  static std::optional<Record> to_record(const Keys::value_type* item);
  void write(Partitions::value_type& partition, Keys::iterator item, const Operation& operation,
             std::string value, Revision revision, Timestamp now);
  void erase(Partitions::value_type& partition, Keys::iterator item);
  void forget_times(const std::string& partition, const Keys::value_type& item);
  void purge(Timestamp now);

  Partitions partitions_;
  std::set<Timed> due_;
  std::set<Timed> expiry_;
  Revision removed_ = absent;  ///< the largest revision a removed record had: later ones must be larger
};

}  // namespace onceward::storage_detail
