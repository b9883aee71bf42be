#pragma once
#include "storage/mariadb/connection.hpp"
#include "storage/mariadb/span_work.hpp"

namespace onceward::mariadb::detail {

/// One caller's commit on its way.
struct CommitRequest {
  std::span<const Batch> batches;
  Result<CommitAnswer> answer{CommitAnswer{}};
};

/// The storage's tables through one connection. Everything throws Failure; begins and ends no transaction but
/// where it says so.
class Tables {
 public:
  /// Whether a record is read with a lock: needed where the transaction may have an older view of the tables.
  enum class Reading : std::uint8_t { plain, locked };

  Tables(Connection& connection, Shard shards, const Clock* clock, Reading reading = Reading::plain)
      : connection_(connection), shards_(shards), clock_(clock), reading_(reading) {}

  /// Decides and writes the requests' batches inside the open transaction; the answers are left in the
  /// requests.
  void write(std::span<CommitRequest* const> requests);
  /// Takes away up to `most` records of the shard that have expired, inside the open transaction.
  void purge(Shard shard, std::size_t most);

  void read(std::span<const RecordRef> records, ReadAnswer& answer);
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page);
  void due(std::span<const Shard> shards, std::size_t limit, DuePage& page);
  /// The storage's time for these shards.
  [[nodiscard]] Timestamp now(std::span<const Shard> shards);

 private:
  Timestamp lock(SpanWork& work, std::span<const Shard> shards);
  void load(SpanWork& work);
  void store(const SpanWork& work, Timestamp now);
  [[nodiscard]] std::string_view now_us() const noexcept;
  [[nodiscard]] Shard shard_of(std::string_view partition) const noexcept;

  Connection& connection_;
  Shard shards_;
  const Clock* clock_;
  Reading reading_;
};

}  // namespace onceward::mariadb::detail
