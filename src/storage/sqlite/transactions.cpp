#include <onceward/storage/sqlite.hpp>

#include "storage/session_pool.hpp"
#include "storage/sqlite/connection.hpp"
#include "storage/sqlite/errors.hpp"

#include <SQLiteCpp/Database.h>
#include <sqlite3.h>

namespace onceward::sqlite {
namespace {

using detail::attempt;

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const std::string& path, const Options& options,
                                               const std::function<void(SQLite::Database&)>& prepare) {
    return attempt("opening", path, [&]() -> Result<std::unique_ptr<Session>> {
      auto session = std::make_unique<Session>(path, options);
      auto& database = session->database_;
      database.exec(options.synchronous == Synchronous::full ? "PRAGMA synchronous = FULL"
                                                             : "PRAGMA synchronous = NORMAL");
      if (prepare) prepare(database);
      // Processes that open the file at one moment must not race for its tables.
      database.exec("BEGIN IMMEDIATE");
      auto storage = enlist(database, options);
      if (!storage) return fail(std::move(storage).error());
      database.exec("COMMIT");
      session->storage_ = *std::move(storage);
      return session;
    });
  }
  Session(const std::string& path, const Options& options) : database_(path, options.busy_timeout) {}

  SQLite::Database& connection() noexcept { return database_; }
  Storage& storage() noexcept { return *storage_; }
  Result<void> begin(const std::stop_token& stop) {
    const auto while_it_begins = database_.stop_waiting_on(stop);
    return run("BEGIN IMMEDIATE", "beginning a transaction");
  }
  Result<void> savepoint(const char* command) {
    auto* const handle = database_.getHandle();
    // What the last failure was is gone once another command runs.
    const int before = sqlite3_errcode(handle);
    if (sqlite3_get_autocommit(handle) != 0) return ended(before);
    auto done = run(command, "handling a savepoint");
    // An open transaction that does not know it is another one.
    if (!done && done.error().native_code == SQLITE_ERROR) return ended(SQLITE_OK);
    return done;
  }
  Result<void> commit() {
    auto done = run("COMMIT", "committing");
    if (done) return done;
    (void)rollback();  // some errors leave the transaction open
    // As for the storage itself: what failed in the file system may be found whole when it is recovered, but
    // for what had no room.
    const auto native = done.error().native_code;
    const bool no_room = native == SQLITE_IOERR_WRITE && done.error().code == ErrorCode::exhausted;
    if ((native & 0xff) == SQLITE_IOERR && !no_room) done.error().code = ErrorCode::in_doubt;
    return done;
  }
  bool rollback() noexcept {
    auto* const handle = database_.getHandle();
    if (sqlite3_get_autocommit(handle) == 0) sqlite3_exec(handle, "ROLLBACK", nullptr, nullptr, nullptr);
    return sqlite3_get_autocommit(handle) != 0;
  }
  bool conflicted() noexcept {
    const int code = sqlite3_errcode(database_.getHandle()) & 0xff;
    return code == SQLITE_BUSY || code == SQLITE_LOCKED;
  }

 private:
  /// These make SQLite end a transaction by itself.
  static Unexpected ended(int why) {
    switch (why & 0xff) {
      case SQLITE_FULL:
      case SQLITE_NOMEM: return fail(ErrorCode::exhausted, "SQLite undid the transaction: no room was left");
      case SQLITE_IOERR: return fail(ErrorCode::unavailable, "SQLite undid the transaction: the disk failed");
      case SQLITE_BUSY:
      case SQLITE_INTERRUPT: return fail(ErrorCode::timeout, "SQLite undid the transaction: interrupted");
      default: return fail(ErrorCode::wrong_state, "the transaction was ended on its connection");
    }
  }
  Result<void> run(const char* command, std::string_view doing) {
    return attempt(
        doing, database_.getFilename(),
        [&]() -> Result<void> {
          database_.exec(command);
          return {};
        },
        &database_);
  }

  detail::Connection database_;
  std::unique_ptr<Storage> storage_;
};

}  // namespace

Result<std::unique_ptr<Transactions<SQLite::Database&>>> transactions(
    const std::string& path, Options options, std::function<void(SQLite::Database&)> prepare) {
  auto connect = [path, options, prepare = std::move(prepare)] {
    return Session::open(path, options, prepare);
  };
  // One writes at a time anyway; who waits here for its turn gets it, who polls for the lock may starve.
  constexpr std::size_t connections = 1;
  using Pooled = storage_detail::PooledTransactions<Session, SQLite::Database&, decltype(connect)>;
  auto made = std::make_unique<Pooled>(connections, options.busy_timeout, std::move(connect));
  if (auto tried = made->begin(); !tried) return fail(std::move(tried).error());
  return std::unique_ptr<Transactions<SQLite::Database&>>(std::move(made));
}

}  // namespace onceward::sqlite
