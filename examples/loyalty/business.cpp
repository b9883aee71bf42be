#include "business.hpp"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <SQLiteCpp/Statement.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

namespace loyalty {
namespace {

using onceward::Error;
using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

constexpr int busy_ms = 5000;

constexpr const char* creation =
    "CREATE TABLE effect(token TEXT PRIMARY KEY NOT NULL, user TEXT NOT NULL, task TEXT NOT NULL,"
    " cycle TEXT NOT NULL, stage INTEGER NOT NULL, step TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID";
constexpr const char* insertion =
    "INSERT INTO effect(token, user, task, cycle, stage, step, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT(token) DO NOTHING";
constexpr const char* lookup =
    "SELECT token, user, task, cycle, stage, step, value FROM effect WHERE token = ?";
constexpr const char* listing =
    "SELECT token, user, task, cycle, stage, step, value FROM effect ORDER BY user, task, cycle, stage, "
    "step, token";

Error to_error(const SQLite::Exception& exception, const std::string& file, std::string_view doing) {
  const int code = exception.getErrorCode();
  ErrorCode meaning = ErrorCode::unavailable;
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) meaning = ErrorCode::timeout;
  if (code == SQLITE_FULL || code == SQLITE_NOMEM) meaning = ErrorCode::exhausted;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) meaning = ErrorCode::corrupt;
  return {meaning, fmt::format("business file {}, {}: {}", file, doing, exception.what()), code};
}

Effect effect_of(SQLite::Statement& row) {
  return {row.getColumn(0).getString(), row.getColumn(1).getString(), row.getColumn(2).getString(),
          row.getColumn(3).getString(), row.getColumn(4).getInt64(),  row.getColumn(5).getString(),
          row.getColumn(6).getString()};
}

/// Resets a statement whatever happens in between, so that it never holds a transaction open.
class Use {
 public:
  explicit Use(SQLite::Statement& statement) noexcept : statement_(statement) {}
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SQLite::Statement& statement_;
};

Result<void> prepare_tables(SQLite::Database& database, const std::string& path) {
  if (database.tableExists("effect")) return {};
  // Looked at again under the lock: another process may be making the same file.
  database.exec("BEGIN IMMEDIATE");
  const bool made = database.tableExists("effect");
  const bool empty = database.execAndGet("SELECT count(*) FROM sqlite_master").getInt64() == 0;
  if (empty) database.exec(creation);
  database.exec("COMMIT");
  if (!made && !empty) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("business file {} is a database of something else (it has no table \"effect\"); "
                            "name another file",
                            path));
  }
  return {};
}

}  // namespace

struct Business::State {
  State(std::string path, CrashPoints& crash_points)
      : file(std::move(path)),
        points(crash_points),
        database(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_ms) {}

  void prepare() {
    // The file may be in use elsewhere: then it stays as it is, slower and as safe, until it is opened again.
    database.tryExec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA temp_store = FILE");
    database.exec("PRAGMA wal_autocheckpoint = 4000");
    // Tokens fall all over the table: with the default of 2 MB nearly every one reads a page of a large file.
    database.exec("PRAGMA cache_size = -16384");
    insert.emplace(database, insertion);
    find.emplace(database, lookup);
  }

  Result<bool> insert_one(const Effect& effect);
  /// Throws what SQLite throws; the transaction is undone then.
  std::vector<Result<bool>> insert_all(std::span<const Effect> effects);

  std::string file;
  CrashPoints& points;
  SQLite::Database database;
  std::optional<SQLite::Statement> insert{};
  std::optional<SQLite::Statement> find{};
  std::mutex mutex{};
};

Business::Business(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Business::~Business() = default;

Result<std::unique_ptr<Business>> Business::open(const std::string& path, CrashPoints& points) {
  try {
    auto state = std::make_unique<State>(path, points);
    if (auto ready = prepare_tables(state->database, path); !ready) return fail(std::move(ready).error());
    state->prepare();
    return std::unique_ptr<Business>(new Business(std::move(state)));
  } catch (const SQLite::Exception& exception) {
    return fail(to_error(exception, path, "opening"));
  }
}

Result<bool> Business::State::insert_one(const Effect& effect) {
  const Use reset_insert(*insert);
  insert->bindNoCopy(1, effect.token);
  insert->bindNoCopy(2, effect.user);
  insert->bindNoCopy(3, effect.task);
  insert->bindNoCopy(4, effect.cycle);
  insert->bind(5, effect.stage);
  insert->bindNoCopy(6, effect.step);
  insert->bindNoCopy(7, effect.value);
  if (insert->exec() == 1) return true;
  const Use reset_find(*find);
  find->bindNoCopy(1, effect.token);
  if (find->executeStep() && effect_of(*find) == effect) return false;
  return fail(ErrorCode::conflict,
              fmt::format("business file {}: the token {} came with another content", file, effect.token));
}

std::vector<Result<bool>> Business::State::insert_all(std::span<const Effect> effects) {
  std::vector<Result<bool>> answers;
  answers.reserve(effects.size());
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const auto& effect : effects) answers.push_back(insert_one(effect));
    database.exec("COMMIT");
  } catch (const SQLite::Exception&) {
    database.tryExec("ROLLBACK");
    throw;
  }
  return answers;
}

Result<bool> Business::apply(const Effect& effect) { return std::move(apply_many({&effect, 1}).front()); }

std::vector<Result<bool>> Business::apply_many(std::span<const Effect> effects) {
  const std::lock_guard lock(state_->mutex);
  try {
    state_->points.reached(CrashPoint::business_before);
    auto answers = state_->insert_all(effects);
    state_->points.reached(CrashPoint::business_after);
    return answers;
  } catch (const SQLite::Exception& exception) {
    const auto error = to_error(exception, state_->file, "applying effects");
    return std::vector<Result<bool>>(effects.size(), fail(error));
  }
}

Result<void> Business::each_sorted(const std::function<Result<void>(const Effect&)>& visit) {
  const std::lock_guard lock(state_->mutex);
  try {
    SQLite::Statement rows(state_->database, listing);
    while (rows.executeStep()) {
      if (auto visited = visit(effect_of(rows)); !visited) return visited;
    }
    return {};
  } catch (const SQLite::Exception& exception) {
    return fail(to_error(exception, state_->file, "reading the effects"));
  }
}

}  // namespace loyalty
