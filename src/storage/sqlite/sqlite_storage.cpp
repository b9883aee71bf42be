#include <onceward/storage/partitions.hpp>
#include <onceward/storage/sqlite.hpp>

#include "storage/combiner.hpp"
#include "storage/sqlite/checkpointer.hpp"
#include "storage/sqlite/connection.hpp"
#include "storage/sqlite/errors.hpp"
#include "storage/sqlite/file_clock.hpp"
#include "storage/sqlite/integrity.hpp"
#include "storage/sqlite/revisions.hpp"
#include "storage/sqlite/schema.hpp"
#include "storage/sqlite/tables.hpp"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

namespace onceward::sqlite {
namespace {

using detail::attempt;
using detail::TableReader;
using detail::TableWriter;

constexpr auto purge_interval = std::chrono::seconds(1);
constexpr std::size_t purge_records = 256;
/// While more has expired than that: so many for each operation, which makes one record at most.
constexpr std::size_t purged_per_operation = 2;
constexpr std::size_t most_readers = 8;
constexpr std::int64_t kept_log_bytes = std::int64_t{64} << 20;

/// A commit of one caller on its way through the combiner.
struct CommitRequest {
  std::span<const Batch> batches;
  Result<CommitAnswer> answer = CommitAnswer{};
};

int milliseconds(Duration duration) noexcept {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

/// Takes the lock of the file's transaction at once, so that it never has to be upgraded.
class WriteTransaction {
 public:
  explicit WriteTransaction(SQLite::Database& database) : database_(database) {
    database_.exec("BEGIN IMMEDIATE");
  }
  WriteTransaction(SQLite::Database& database, TableWriter& writer) : database_(database), writer_(&writer) {
    writer.begin();
  }
  ~WriteTransaction() {
    if (!ended_) database_.tryExec("ROLLBACK");
  }
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;
  void commit() {
    writer_ != nullptr ? writer_->commit() : static_cast<void>(database_.exec("COMMIT"));
    ended_ = true;
  }

 private:
  SQLite::Database& database_;
  TableWriter* writer_ = nullptr;
  bool ended_ = false;
};

/// One connection for reading, with its statements.
struct Reader {
  Reader(const std::string& path, const Options& options, Shard shards)
      : database(path, SQLite::OPEN_READONLY | SQLite::OPEN_NOMUTEX, milliseconds(options.busy_timeout)),
        tables(database, shards) {}
  SQLite::Database database;
  TableReader tables;
};

class SqliteStorage final : public Storage, public PartitionLister {
 public:
  SqliteStorage(std::string path, const Options& options, std::unique_ptr<detail::Connection> database,
                const detail::Schema& schema)
      : path_(std::move(path)),
        options_(options),
        clock_(options.clock, schema.high),
        shards_(schema.shards),
        database_(std::move(database)),
        writer_(*database_, schema.shards),
        own_reader_(*database_, schema.shards),
        checkpointer_(path_, database_->getHandle(), connection_) {}

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    if (batches.empty()) return CommitAnswer{now(), {}};
    CommitRequest request{batches};
    combiner_.run(request, [this](std::span<CommitRequest* const> group) { commit_group(group); });
    return std::move(request.answer);
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    ReadAnswer answer;
    return with_reader("reading records", answer, [&](TableReader& reader) { reader.read(records, answer); });
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked) {
      return fail(std::move(checked).error());
    }
    ScanPage page;
    return with_reader("scanning a partition", page,
                       [&](TableReader& reader) { reader.scan(partition, prefix, cursor, limit, page); });
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shards_); !checked) return fail(std::move(checked).error());
    DuePage page;
    return with_reader("reading due records", page,
                       [&](TableReader& reader) { reader.due(shards, limit, page); });
  }

  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    PartitionNames names;
    return with_reader("listing partitions", names,
                       [&](TableReader& reader) { names.partitions = reader.partitions(cursor, limit); })
        .transform([&](PartitionNames found) {
          PartitionPage page{std::move(found.partitions), {}};
          if (page.partitions.size() == limit) page.cursor = page.partitions.back();
          return page;
        });
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return shards_; }

 private:
  /// As with_reader fills an answer.
  struct PartitionNames {
    Timestamp now{};
    std::vector<std::string> partitions;
  };

  [[nodiscard]] Timestamp now() const noexcept { return clock_.now(); }

  /// One transaction for every request of the group; where it fails, nothing of any of them happened.
  void commit_group(std::span<CommitRequest* const> group) {
    const std::lock_guard lock(connection_);
    bool committing = false;
    auto work = [&]() -> Result<void> {
      if (auto there = check_place(); !there) return there;
      // First without savepoints, which cost a copy of every page; few batches are refused after a write.
      if (!write_group(group, TableWriter::Undo::report, committing)) {
        write_group(group, TableWriter::Undo::savepoint, committing);
      }
      return {};
    };
    auto done = attempt("committing", path_, work, database_.get());
    if (done) {
      doubtful_ = false;
      return;
    }
    revisions_.failed();
    // A COMMIT that failed in the file system may still be found whole when the file is recovered. One that
    // had no room is not: the last page written is the one that makes the others count.
    const auto native = done.error().native_code;
    const bool no_room = native == SQLITE_IOERR_WRITE && done.error().code == ErrorCode::exhausted;
    if (committing && (native & 0xff) == SQLITE_IOERR && !no_room) done.error().code = ErrorCode::in_doubt;
    if (committing && native == SQLITE_IOERR_FSYNC) doubtful_ = true;
    for (auto* request : group) request->answer = fail(done.error());
  }

  /// A commit to a file that no longer has its name would be answered and be found by nobody.
  [[nodiscard]] Result<void> check_place() const {
    int moved = 0;
    (void)sqlite3_file_control(database_->getHandle(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (moved == 0) return {};
    return fail(
        ErrorCode::unavailable,
        fmt::format("SQLite file \"{}\" was moved, deleted or replaced while it was open; put it back "
                    "or open it again",
                    path_));
  }

  bool write_group(std::span<CommitRequest* const> group, TableWriter::Undo undo, bool& committing) {
    WriteTransaction transaction(*database_, writer_);
    const Timestamp moment = now();
    writer_.start(moment, revisions_.begin(writer_.stored_high()));
    for (auto* request : group) {
      CommitAnswer answer{moment, {}};
      answer.batches.resize(request->batches.size());
      for (std::size_t i = 0; i < request->batches.size(); ++i) {
        if (!writer_.apply(request->batches[i], undo, answer.batches[i])) return false;
      }
      request->answer = std::move(answer);
    }
    const auto bound = revisions_.bound(writer_.high(), moment);
    if (bound) writer_.store_high(*bound);
    purge(group, moment);
    committing = true;
    transaction.commit();
    revisions_.committed(writer_.high(), bound);
    return true;
  }

  void purge(std::span<CommitRequest* const> group, Timestamp moment) {
    std::size_t most = purge_records;
    if (moment - purged_ < purge_interval) {
      if (!purge_is_behind_) return;
      most = 0;
      for (const auto* request : group) {
        for (const auto& batch : request->batches) most += purged_per_operation * batch.operations.size();
      }
    } else {
      purged_ = moment;
    }
    purge_is_behind_ = writer_.purge(most);
  }

  /// Reads on the writing connection while nobody commits, since its page cache is warm, else on another one.
  template <class Answer, class Work>
  Result<Answer> with_reader(std::string_view doing, Answer& answer, const Work& work) {
    if (doubtful_) {
      if (auto settled = settle(doing); !settled) return fail(std::move(settled).error());
    }
    return attempt(doing, path_, [&]() -> Result<Answer> {
      if (std::unique_lock lock(connection_, std::try_to_lock); lock.owns_lock()) {
        answer.now = now();
        work(own_reader_);
        return std::move(answer);
      }
      auto reader = take_reader();
      answer.now = now();
      work(reader->tables);
      give_reader(std::move(reader));
      return std::move(answer);
    });
  }

  /// A commit whose sync failed lies whole in the log: nobody reads it, but a process that finds the log
  /// after a crash would. It is written over before anything is read back.
  [[nodiscard]] Result<void> settle(std::string_view doing) {
    const std::lock_guard lock(connection_);
    if (!doubtful_) return {};
    const auto write_over = [&]() -> Result<void> {
      WriteTransaction transaction(*database_);
      // Another one: SQLite writes no page that stays as it is.
      writer_.store_high(writer_.stored_high() + 1);
      transaction.commit();
      doubtful_ = false;
      return {};
    };
    return attempt(doing, path_, write_over, database_.get());
  }

  std::unique_ptr<Reader> take_reader() {
    {
      const std::lock_guard lock(readers_mutex_);
      if (!readers_.empty()) {
        auto reader = std::move(readers_.back());
        readers_.pop_back();
        return reader;
      }
    }
    return std::make_unique<Reader>(path_, options_, shards_);
  }

  void give_reader(std::unique_ptr<Reader> reader) {
    const std::lock_guard lock(readers_mutex_);
    if (readers_.size() < most_readers) readers_.push_back(std::move(reader));
  }

  std::string path_;
  Options options_;
  detail::FileClock clock_;
  Shard shards_;
  std::mutex connection_;  ///< of what stands from database_ to purge_is_behind_
  std::unique_ptr<detail::Connection> database_;
  TableWriter writer_;
  TableReader own_reader_;
  detail::Revisions revisions_;
  Timestamp purged_{};
  bool purge_is_behind_ = false;
  std::atomic<bool> doubtful_ = false;  ///< changed under connection_
  storage_detail::Combiner<CommitRequest> combiner_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Reader>> readers_;
  detail::Checkpointer checkpointer_;  ///< the last: its thread uses what stands above
};

/// What can be known of the path before SQLite touches it.
Result<void> check_path(const std::string& path) {
  const auto refuse = [&](ErrorCode code, std::string_view why) {
    return fail(code, fmt::format("SQLite file \"{}\": {}", path, why));
  };
  if (path.empty()) return refuse(ErrorCode::invalid_argument, "the path is empty; name a file");
  if (path == ":memory:") return refuse(ErrorCode::invalid_argument, "use the storage \"memory:\" instead");
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return {};
  if (std::filesystem::is_directory(status))
    return refuse(ErrorCode::invalid_argument, "it is a folder; name a file");
  using Perms = std::filesystem::perms;
  // Root may write a file that is marked read-only; the mark is a wish all the same.
  constexpr auto writable = Perms::owner_write | Perms::group_write | Perms::others_write;
  if ((status.permissions() & writable) == Perms::none) {
    return refuse(ErrorCode::unavailable, "it is marked read-only; make it writable or name another file");
  }
  return {};
}

/// The schema, checked and created before anything else about the file is changed.
Result<detail::Schema> prepare(SQLite::Database& database, const Options& options) {
  {
    // A file of a newer format or another shard count is refused before the first write.
    SQLite::Transaction looking(database);
    if (database.tableExists("onceward_meta")) {
      auto schema = detail::ensure_schema(database, options);
      if (!schema) return schema;
    }
  }
  if (database.execAndGet("PRAGMA journal_mode").getString() != "wal")
    database.exec("PRAGMA journal_mode = WAL");
  database.exec(options.synchronous == Synchronous::full ? "PRAGMA synchronous = FULL"
                                                         : "PRAGMA synchronous = NORMAL");
  database.exec(fmt::format("PRAGMA cache_size = -{}", options.cache_kib));
  // The log of a bad hour, while a reader kept it from beginning anew, does not keep its size for ever.
  database.exec(fmt::format("PRAGMA journal_size_limit = {}", kept_log_bytes));
  WriteTransaction transaction(database);
  auto schema = detail::ensure_schema(database, options);
  if (schema) transaction.commit();
  return schema;
}

/// Prepares the file, and waits for other processes that do the same: SQLite itself answers "busy" at once,
/// not after the busy timeout, where two connections turn one new file to WAL.
Result<detail::Schema> prepare_in_turn(SQLite::Database& database, const Options& options) {
  constexpr auto pause = std::chrono::milliseconds(2);
  const auto until = std::chrono::steady_clock::now() + options.busy_timeout;
  for (;;) {
    try {
      return prepare(database, options);
    } catch (const SQLite::Exception& busy) {
      if ((busy.getErrorCode() & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() >= until) throw;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Result<std::unique_ptr<Storage>> open(const std::string& path, Options options) {
  if (auto checked = check_path(path); !checked) return fail(std::move(checked).error());
  auto opened = attempt("opening", path, [&]() -> Result<std::unique_ptr<detail::Connection>> {
    return std::make_unique<detail::Connection>(path, options.busy_timeout);
  });
  if (!opened) return fail(std::move(opened).error());
  auto& database = **opened;
  auto check = [&]() -> Result<detail::Schema> {
    auto schema = prepare_in_turn(database, options);
    if (!schema || !options.check_integrity) return schema;
    const SQLite::Transaction moment(database);
    if (auto sound = detail::check_tables(database, *schema); !sound) return fail(std::move(sound).error());
    return schema;
  };
  const auto schema = attempt("opening", path, check, &database);
  if (!schema) return fail(schema.error());
  return attempt("opening", path, [&]() -> Result<std::unique_ptr<Storage>> {
    return std::make_unique<SqliteStorage>(path, options, *std::move(opened), *schema);
  });
}

}  // namespace onceward::sqlite
