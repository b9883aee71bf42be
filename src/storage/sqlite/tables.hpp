#pragma once
#include <onceward/storage/storage.hpp>

#include <SQLiteCpp/Statement.h>

namespace onceward::sqlite::detail {

/// The reading half of the tables, on one connection. One thread at a time. Everything throws
/// SQLite::Exception.
class TableReader {
 public:
  TableReader(SQLite::Database& database, Shard shards);

  [[nodiscard]] std::optional<Record> find(std::string_view partition, std::string_view key, Timestamp now);
  void read(std::span<const RecordRef> records, ReadAnswer& answer);
  void scan(std::string_view partition, std::string_view prefix, std::string_view cursor, std::size_t limit,
            ScanPage& page);
  void due(std::span<const Shard> shards, std::size_t limit, DuePage& page);
  /// Up to `limit` names of partitions after `cursor`, in order.
  [[nodiscard]] std::vector<std::string> partitions(std::string_view cursor, std::size_t limit);

 private:
  void due_of(Shard shard, std::size_t limit, DuePage& page);
  void due_of(SQLite::Statement& due, SQLite::Statement& next_due, Shard shard, std::size_t limit,
              DuePage& page);

  SQLite::Database& database_;
  Shard shards_;
  SQLite::Statement begin_, end_, find_, scan_, due_, next_due_, apart_due_, next_apart_due_;
  std::string partition_, key_;  ///< what is bound: SQLite reads it while the statement runs
};

/// The writing half: applies batches inside a transaction that the caller opened. One thread at a time.
class TableWriter {
 public:
  TableWriter(SQLite::Database& database, Shard shards);

  /// How a refused batch that had already written is taken back.
  enum class Undo {
    savepoint,  ///< by a savepoint around every batch of several operations
    report,     ///< not at all: apply returns false and the caller rolls its transaction back
  };

  /// The caller's transaction, which takes the file's lock at once; by statements that stand ready.
  void begin();
  void commit();
  /// Sets the time of the batches to come. `high` is the largest revision that was given.
  void start(Timestamp now, Revision high);
  /// False where the batch was refused after it had written and `undo` is report.
  [[nodiscard]] bool apply(const Batch& batch, Undo undo, BatchAnswer& answer);
  /// The largest revision given; the file's `high` must reach it before the transaction ends.
  [[nodiscard]] Revision high() const noexcept { return high_; }
  [[nodiscard]] Revision stored_high();
  void store_high(Revision high);
  /// Removes up to `limit` records of each table that have expired. Whether there may be more.
  bool purge(std::size_t limit);

 private:
  [[nodiscard]] bool run(const Batch& batch, const Operation& operation, BatchAnswer& answer);
  [[nodiscard]] bool insert(const Batch& batch, const Operation& operation, const std::string& content,
                            BatchAnswer& answer);
  [[nodiscard]] bool replace_by(SQLite::Statement& statement, const Batch& batch, const Operation& operation);
  [[nodiscard]] bool recount_by(SQLite::Statement& statement, const Batch& batch, const Operation& operation,
                                const std::string& value);
  [[nodiscard]] bool replace(const Batch& batch, const Operation& operation, BatchAnswer& answer);
  [[nodiscard]] bool remove(const Batch& batch, const Operation& operation, BatchAnswer& answer);
  [[nodiscard]] bool require(const Batch& batch, const Operation& operation, BatchAnswer& answer);
  [[nodiscard]] bool add(const Batch& batch, const Operation& operation, BatchAnswer& answer);
  void bind_times(SQLite::Statement& statement, int first, const Timing& timing);

  SQLite::Database& database_;
  TableReader reader_;
  Shard shards_;
  SQLite::Statement insert_, insert_apart_, put_apart_, forget_apart_;
  SQLite::Statement replace_, replace_apart_, recount_, recount_apart_, remove_, drop_;
  SQLite::Statement clock_, set_clock_, purge_, purge_apart_;
  SQLite::Statement begin_, commit_, savepoint_, rollback_, release_;
  Timestamp now_{};
  Revision high_ = absent;
  bool wrote_ = false;
};

}  // namespace onceward::sqlite::detail
