#include <onceward/storage/sqlite.hpp>

#include "storage/sqlite/errors.hpp"
#include "storage/sqlite/file_clock.hpp"
#include "storage/sqlite/integrity.hpp"
#include "storage/sqlite/schema.hpp"
#include "storage/sqlite/tables.hpp"

#include <SQLiteCpp/Database.h>
#include <fmt/format.h>
#include <sqlite3.h>

namespace onceward::sqlite {
namespace {

using detail::attempt;
using detail::TableReader;
using detail::TableWriter;

/// Writes inside the transaction the caller has open; begins and ends none.
class EnlistedStorage final : public Storage {
 public:
  EnlistedStorage(SQLite::Database& database, const Options& options, const detail::Schema& schema)
      : database_(database),
        clock_(options.clock, schema.high),
        shards_(schema.shards),
        writer_(database, schema.shards),
        reader_(database, schema.shards) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if (sqlite3_get_autocommit(database_.getHandle()) != 0) {
      return fail(ErrorCode::wrong_state,
                  "an enlisted storage writes in the caller's transaction and none is open; BEGIN one first");
    }
    const auto before = sqlite3_total_changes(database_.getHandle());
    auto done = attempt(
        "writing in the caller's transaction", database_.getFilename(), [&] { return write(batches); },
        &database_);
    // Half a batch must not be committed by a caller that overlooks the error.
    if (!done && sqlite3_total_changes(database_.getHandle()) != before) database_.tryExec("ROLLBACK");
    return done;
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    ReadAnswer answer{clock_.now(), {}};
    return attempt("reading records", database_.getFilename(), [&]() -> Result<ReadAnswer> {
      reader_.read(records, answer);
      return std::move(answer);
    });
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    ScanPage page{clock_.now(), {}, {}};
    return attempt("scanning a partition", database_.getFilename(), [&]() -> Result<ScanPage> {
      reader_.scan(partition, prefix, cursor, limit, page);
      return std::move(page);
    });
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    DuePage page{clock_.now(), {}, {}};
    return attempt("reading due records", database_.getFilename(), [&]() -> Result<DuePage> {
      reader_.due(shards, limit, page);
      return std::move(page);
    });
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  Result<CommitAnswer> write(std::span<const Batch> batches) {
    const auto high = writer_.stored_high();
    CommitAnswer answer{clock_.now(), {}};
    answer.batches.resize(batches.size());
    writer_.start(answer.now, high);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      // With savepoints a refused batch leaves the rest of the caller's transaction as it was.
      if (!writer_.apply(batches[i], TableWriter::Undo::savepoint, answer.batches[i]))
        return fail(ErrorCode::corrupt,
                    "a refused batch could not be taken back; the transaction is rolled back");
    }
    writer_.store_high(writer_.high());
    return answer;
  }

  SQLite::Database& database_;
  detail::FileClock clock_;
  Shard shards_;
  TableWriter writer_;
  TableReader reader_;
};

}  // namespace

Result<std::unique_ptr<Storage>> enlist(SQLite::Database& database, Options options) {
  auto work = [&]() -> Result<std::unique_ptr<Storage>> {
    database.exec("SAVEPOINT onceward_enlist");
    auto schema = detail::ensure_schema(database, options);
    if (!schema) return fail(std::move(schema).error());
    if (options.check_integrity) {
      if (auto sound = detail::check_tables(database, *schema); !sound) return fail(std::move(sound).error());
    }
    auto storage = std::make_unique<EnlistedStorage>(database, options, *schema);
    database.exec("RELEASE onceward_enlist");
    return storage;
  };
  const bool alone = sqlite3_get_autocommit(database.getHandle()) != 0;
  auto enlisted = attempt("enlisting", database.getFilename(), work, &database);
  // However it failed, the caller's connection is left as it came, in no transaction of ours.
  if (!enlisted && alone) database.tryExec("ROLLBACK");
  if (!enlisted && !alone) database.tryExec("ROLLBACK TO onceward_enlist; RELEASE onceward_enlist");
  return enlisted;
}

}  // namespace onceward::sqlite
