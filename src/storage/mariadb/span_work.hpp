#pragma once
#include <onceward/storage/storage.hpp>

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace onceward::mariadb::detail {

/// What a shard's row holds. `high`: the largest revision a removed record had. `floor`: the time of the last
/// write, before which time does not fall.
struct ShardState {
  std::int64_t high = 0;
  std::int64_t floor = 0;
};

/// A span of batches decided in memory, between one read and one write: what it meets is put in, the batches
/// are applied in order, what has to be written comes out. Pure.
class SpanWork {
 public:
  using Place = std::pair<std::string_view, std::string_view>;  ///< partition and key, of the batches

  explicit SpanWork(Shard shards) : shards_(shards) {}

  /// Takes the batches in; they must outlive it. More than one span may be taken, one after the other.
  void take(std::span<const Batch> batches);

  /// What has to be read: the records, expired ones too, and the shards, in order.
  [[nodiscard]] std::vector<Place> places() const;
  [[nodiscard]] std::vector<Shard> shards() const;
  void put(Shard shard, ShardState state) { states_[shard] = state; }
  void put(std::string_view partition, Record record);

  /// Applies one batch; `now` is the same for all of a transaction.
  BatchAnswer apply(const Batch& batch, Timestamp now);

  struct Write {
    std::string_view partition;
    Shard shard;
    const Record* record;
  };
  [[nodiscard]] std::vector<Write> writes() const;
  [[nodiscard]] std::vector<Place> removals() const;
  /// The shards that were written to, as their rows must become.
  [[nodiscard]] std::vector<std::pair<Shard, ShardState>> states(Timestamp now) const;

 private:
  struct Cell {
    std::optional<Record> record{};
    bool stored = false;
    bool touched = false;
  };
  [[nodiscard]] Shard shard_of(std::string_view partition) const noexcept;

  Shard shards_;
  std::map<Place, Cell> cells_;
  std::map<Shard, ShardState> states_;
  std::set<Shard> written_;
};

}  // namespace onceward::mariadb::detail
