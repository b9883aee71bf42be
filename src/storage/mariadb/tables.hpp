#pragma once
#include "storage/mariadb/connection.hpp"
#include "storage/mariadb/span_work.hpp"

#include <atomic>

namespace onceward::mariadb::detail {

/// One caller's commit on its way.
struct CommitRequest {
  std::span<const Batch> batches;
  Result<CommitAnswer> answer{CommitAnswer{}};
};

/// How the shards' rows are taken by a writer. Shared: beside others who share them; what is there is written
/// under the lock of its own row, what is new by an insert that fails where somebody was first. Exclusive:
/// nobody else writes to the shards; needed for what has to stay absent, and for the rows themselves.
enum class Locking : std::uint8_t { shared, exclusive };

/// What the connections of one storage know of its time.
struct SharedTime {
  SharedTime(Shard shards, bool galera) : noted(shards), noted_every(galera ? Duration(0) : note_every) {}
  void raise(Timestamp now) noexcept {
    auto known = last.load();
    while (known < now.time_since_epoch().count() &&
           !last.compare_exchange_weak(known, now.time_since_epoch().count())) {
    }
  }
  std::atomic<std::int64_t> last = 0;            ///< the latest that was answered
  std::vector<std::atomic<std::int64_t>> noted;  ///< by shard: the time its row was seen to hold; 0: not seen
  /// How old the time in a shard's row may be when the shard is written to. Nothing in a Galera cluster:
  /// locks hold on one node only, so that writers meet by each writing the row.
  const Duration noted_every;

 private:
  static constexpr Duration note_every = std::chrono::seconds(1);
};

/// The storage's tables through one connection. Everything throws Failure; begins and ends no transaction.
class Tables {
 public:
  /// `enlisted`: the connection and its transaction are a caller's.
  Tables(Connection& connection, SharedTime& time, const Clock* clock, bool enlisted = false)
      : connection_(connection),
        time_(time),
        shards_(static_cast<Shard>(time.noted.size())),
        clock_(clock),
        enlisted_(enlisted) {}

  /// What these need, as far as one can know without asking.
  [[nodiscard]] Locking locking_for(std::span<CommitRequest* const> requests) const;
  /// Decides and writes the requests' batches inside the open transaction; the answers are left in the
  /// requests. False where they cannot be written like this: roll back, and repeat it with exclusive locks.
  bool write(std::span<CommitRequest* const> requests, Locking locking);
  /// Takes away up to `most` records of the shard that have expired, inside the open transaction.
  /// Whether there may be more.
  bool purge(Shard shard, std::size_t most);

  /// A batch of one insert or replace as one statement that commits by itself. Nothing where something is
  /// otherwise than usual (the time not noted, the record expired, the clock set back): nothing was written.
  std::optional<CommitAnswer> write_directly(const Batch& batch);

  void read(std::span<const RecordRef> records, ReadAnswer& answer);
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page);
  void due(std::span<const Shard> shards, std::size_t limit, DuePage& page);
  /// Up to `limit` names of partitions after `cursor`, in order.
  [[nodiscard]] std::vector<std::string> partitions(std::string_view cursor, std::size_t limit);
  /// The storage's time for these shards.
  [[nodiscard]] Timestamp now(std::span<const Shard> shards);

 private:
  Timestamp lock(SpanWork& work, std::span<const Shard> shards, Locking locking);
  void load(SpanWork& work);
  bool store(const SpanWork& work, Timestamp now);
  bool store_records(std::span<const SpanWork::Write> writes, bool is_new);
  std::optional<Revision> insert_directly(const Batch& batch);
  std::optional<Revision> replace_directly(const Batch& batch);
  [[nodiscard]] std::string_view now_us() const noexcept;
  [[nodiscard]] Shard shard_of(std::string_view partition) const noexcept;

  Connection& connection_;
  SharedTime& time_;
  Shard shards_;
  const Clock* clock_;
  bool enlisted_;
};

}  // namespace onceward::mariadb::detail
