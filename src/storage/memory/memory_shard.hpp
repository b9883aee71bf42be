#pragma once
#include <onceward/storage/storage.hpp>

#include <mutex>
#include <set>
#include <unordered_map>

namespace onceward::storage_detail {

/// One shard of the memory storage: its records, and what is due or expires, each in order. The caller
/// holds `mutex` around every call.
class MemoryShard {
 public:
  std::mutex mutex;

  BatchAnswer apply(const Batch& batch, Timestamp now);
  /// Appends the records of these references, all to one partition.
  void read(std::span<const RecordRef> refs, Timestamp now,
            std::vector<std::optional<Record>>& records) const;
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page) const;
  /// Appends up to `limit` due records, oldest first, and lowers `next` to the first one after them.
  void due(std::size_t limit, DuePage& page) const;
  /// Appends the names after `cursor`, in no order.
  void partitions(std::string_view cursor, std::vector<std::string>& names) const;

 private:
  static constexpr Timestamp never = Timestamp::max();

  struct Entry;
  /// Points to what stays where it is until the record is erased. Records of one time are told apart by where
  /// they are: cheaper than their names, and no promise is made of their order.
  struct Timed {
    Timestamp at;
    const std::string* partition;
    const Entry* entry;
    friend bool operator<(const Timed& a, const Timed& b) noexcept {
      return a.at != b.at ? a.at < b.at : std::less<>()(a.entry, b.entry);
    }
  };
  using Times = std::set<Timed>;

  /// A key with its first bytes as a number: most keys of a tree differ there, and are not read any further.
  struct Probe {
    explicit Probe(std::string_view text) noexcept;
    std::uint64_t head = 0;
    std::string_view key;
  };
  /// A record: key and value share one text, since a store of many small records is mostly overhead. The key
  /// orders the set and never changes; what is mutable does, in place.
  struct Entry {
    Entry(const Probe& key, std::string_view value) : head(key.head), key_bytes(key.key.size()) {
      text.reserve(key.key.size() + value.size());
      text.append(key.key).append(value);
    }

    std::uint64_t head;
    std::size_t key_bytes;
    mutable std::string text;
    mutable Revision revision = absent;
    mutable Timestamp due = never;
    mutable Timestamp expires = never;
    mutable Times::iterator due_at{};     ///< where `due` is not never
    mutable Times::iterator expiry_at{};  ///< where `expires` is not never

    [[nodiscard]] std::string_view key() const noexcept {
      return std::string_view(text).substr(0, key_bytes);
    }
    [[nodiscard]] std::string_view value() const noexcept { return std::string_view(text).substr(key_bytes); }
    void set_value(std::string_view value) const { text.replace(key_bytes, std::string::npos, value); }
    [[nodiscard]] bool live(Timestamp now) const noexcept { return expires > now; }
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const noexcept {
      return a.head != b.head ? a.head < b.head : a.key() < b.key();
    }
    bool operator()(const Entry& a, const Probe& b) const noexcept {
      return a.head != b.head ? a.head < b.head : a.key() < b.key;
    }
    bool operator()(const Probe& a, const Entry& b) const noexcept {
      return a.head != b.head ? a.head < b.head : a.key < b.key();
    }
  };
  using Keys = std::set<Entry, ByKey>;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  using Partitions = std::unordered_map<std::string, Keys, Hash, std::equal_to<>>;
  /// What an operation of a batch met.
  struct Met {
    const Entry* entry = nullptr;  ///< null where there is none
    Keys::const_iterator place{};  ///< where it is, or where it goes, in a known partition
    std::int64_t sum = 0;          ///< of an add
  };

  static Record to_record(const Entry& entry);
  void stamp(const std::string& partition, const Entry& entry, const Operation& operation, Revision revision,
             Timestamp now);
  void erase(Partitions::value_type& partition, const Entry& entry);
  /// Puts an entry's time where it belongs, or takes it away (never).
  static void set_time(Times& times, const std::string& partition, const Entry& entry, Timestamp& time,
                       Times::iterator& place, Timestamp at);
  void purge(Timestamp now);

  Partitions partitions_;
  Times due_;
  Times expiry_;
  std::vector<Met> met_;       ///< of the batch in progress; kept for its memory
  Revision removed_ = absent;  ///< the largest revision a removed record had: later ones must be larger
};

}  // namespace onceward::storage_detail
