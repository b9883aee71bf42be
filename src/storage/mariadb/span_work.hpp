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

  /// Of what is written as a new record first, believes that it is absent: it need not be read, since writing
  /// it will show. To be called before `places`.
  void assume_new_absent() noexcept { assumes_ = true; }
  /// A batch was decided by what was assumed and will not be written: its answer may be wrong.
  [[nodiscard]] bool unsure() const noexcept { return unsure_; }

  /// What has to be read: the records, expired ones too, and the shards, in order.
  [[nodiscard]] std::vector<Place> places() const;
  [[nodiscard]] std::vector<Shard> shards() const;
  void put(Shard shard, ShardState state) { states_[shard] = state; }
  void put(std::string_view partition, Record record);

  /// Every shard's row holds a time that is less than `unnoted` old.
  [[nodiscard]] bool noted(Timestamp now, Duration unnoted) const;

  /// Applies one batch; `now` is the same for all of a transaction.
  BatchAnswer apply(const Batch& batch, Timestamp now);

  struct Write {
    std::string_view partition;
    Shard shard;
    const Record* record;
    bool is_new;  ///< was not met among the stored ones
  };
  [[nodiscard]] std::vector<Write> writes() const;
  [[nodiscard]] std::vector<Place> removals() const;
  /// The shards that were written to and whose rows must change: a record was removed, or their time was not
  /// noted for as long as `unnoted` (0: every one, and never as it was). As they must become.
  [[nodiscard]] std::vector<std::pair<Shard, ShardState>> states(Timestamp now, Duration unnoted) const;

 private:
  struct Cell {
    std::optional<Record> record{};
    bool stored = false;
    bool touched = false;
    bool inserted_first = false;  ///< by the first of the operations that name it
  };
  [[nodiscard]] bool assumed(const Cell& cell) const noexcept {
    return assumes_ && cell.inserted_first && !cell.touched;
  }
  [[nodiscard]] Shard shard_of(std::string_view partition) const noexcept;

  Shard shards_;
  std::map<Place, Cell> cells_;
  std::map<Shard, ShardState> states_;
  std::set<Shard> written_;
  std::set<Shard> raised_;  ///< whose `high` grew
  bool assumes_ = false;
  bool unsure_ = false;
};

}  // namespace onceward::mariadb::detail
