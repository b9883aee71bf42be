#include <onceward/storage/sqlite.hpp>

#include "storage/sqlite/errors.hpp"
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
        clock_(options.clock != nullptr ? *options.clock : own_clock_),
        shards_(schema.shards),
        writer_(database, schema.shards),
        reader_(database, schema.shards) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if (sqlite3_get_autocommit(database_.getHandle()) != 0) {
      return fail(ErrorCode::wrong_state,
                  "an enlisted storage writes in the caller's transaction and none is open; BEGIN one first");
    }
    return attempt("writing in the caller's transaction", database_.getFilename(),
                   [&]() -> Result<CommitAnswer> {
                     const auto high = writer_.stored_high();
                     CommitAnswer answer{clock_.now(), {}};
                     answer.batches.resize(batches.size());
                     writer_.start(answer.now, high);
                     for (std::size_t i = 0; i < batches.size(); ++i) {
                       // With savepoints a refused batch leaves the rest of the caller's transaction as it
                       // was.
                       if (!writer_.apply(batches[i], TableWriter::Undo::savepoint, answer.batches[i])) {
                         return fail(ErrorCode::corrupt,
                                     "a refused batch could not be taken back; roll the transaction back");
                       }
                     }
                     writer_.store_high();
                     return answer;
                   });
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
  SQLite::Database& database_;
  SystemClock own_clock_;
  const Clock& clock_;
  Shard shards_;
  TableWriter writer_;
  TableReader reader_;
};

}  // namespace

Result<std::unique_ptr<Storage>> enlist(SQLite::Database& database, Options options) {
  return attempt("enlisting", database.getFilename(), [&]() -> Result<std::unique_ptr<Storage>> {
    database.exec("SAVEPOINT onceward_enlist");
    auto schema = detail::ensure_schema(database, options);
    database.exec(schema ? "RELEASE onceward_enlist"
                         : "ROLLBACK TO onceward_enlist; RELEASE onceward_enlist");
    if (!schema) return fail(std::move(schema).error());
    return std::unique_ptr<Storage>(std::make_unique<EnlistedStorage>(database, options, *schema));
  });
}

}  // namespace onceward::sqlite
