#include "storage/sqlite/tables.hpp"

#include <onceward/core/digest.hpp>

#include "storage/counter.hpp"
#include "storage/due_page.hpp"

#include <SQLiteCpp/Database.h>
#include <fmt/format.h>
#include <sqlite3.h>

namespace onceward::sqlite::detail {
namespace {

/// Values up to this size stand in their record: instances, counters, receipts. Longer ones lie apart, and so
/// does what asks for attention: events, runs, claims.
constexpr std::size_t inline_bytes = 128;

bool lies_apart(const std::string& value, const Timing& timing) noexcept {
  return value.size() > inline_bytes || timing.due_in.has_value();
}

std::string due_query(std::string_view table, std::string_view index) {
  return fmt::format(
      "SELECT partition, key, due FROM {} INDEXED BY {} WHERE shard = ? AND due IS NOT NULL AND due <= ? "
      "AND (expires IS NULL OR expires > ?) ORDER BY due LIMIT ?",
      table, index);
}
std::string next_due_query(std::string_view table, std::string_view index) {
  return fmt::format(
      "SELECT due FROM {} INDEXED BY {} WHERE shard = ? AND due IS NOT NULL AND due > ? "
      "AND (expires IS NULL OR expires > ?) ORDER BY due LIMIT 1",
      table, index);
}

std::int64_t micros(Timestamp time) noexcept { return time.time_since_epoch().count(); }

std::optional<Timestamp> time_of(const SQLite::Column& column) {
  if (column.isNull()) return std::nullopt;
  return Timestamp(Duration(column.getInt64()));
}

std::string value_of(const SQLite::Column& column) {
  if (column.isNull()) throw SQLite::Exception("a record names a value that is not there", SQLITE_CORRUPT);
  return column.getString();
}

void bind_time(SQLite::Statement& statement, int place, Timestamp now, const std::optional<Duration>& after) {
  if (after) {
    statement.bind(place, micros(now + *after));
  } else {
    statement.bind(place);
  }
}

/// Resets a statement when the work with it ends, also by an exception: an unfinished one blocks the commit.
class Use {
 public:
  explicit Use(SQLite::Statement& statement) noexcept : statement_(statement) {}
  ~Use() { statement_.tryReset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SQLite::Statement& statement_;
};

int execute(SQLite::Statement& statement) {
  const Use use(statement);
  return statement.exec();
}

/// Several reads at one moment. Inside a transaction of the caller's they are that already.
class Snapshot {
 public:
  Snapshot(SQLite::Database& database, SQLite::Statement& begin, SQLite::Statement& end)
      : end_(sqlite3_get_autocommit(database.getHandle()) != 0 ? &end : nullptr) {
    if (end_ != nullptr) execute(begin);
  }
  ~Snapshot() {
    if (end_ == nullptr) return;
    end_->tryExecuteStep();  // ends a transaction that wrote nothing: there is nothing to lose
    end_->tryReset();
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  SQLite::Statement* end_;
};

}  // namespace

TableReader::TableReader(SQLite::Database& database, Shard shards)
    : database_(database),
      shards_(shards),
      begin_(database, "BEGIN"),
      end_(database, "COMMIT"),
      find_(database,
            "SELECT value, revision, due, expires FROM onceward WHERE partition = ? AND key = ? "
            "AND (expires IS NULL OR expires > ?)"),
      scan_(database,
            "SELECT key, value, revision, due, expires FROM onceward WHERE partition = ? AND key >= ? "
            "AND (expires IS NULL OR expires > ?) ORDER BY key"),
      due_(database, due_query("onceward_record", "onceward_due")),
      next_due_(database, next_due_query("onceward_record", "onceward_due")),
      apart_due_(database, due_query("onceward_apart", "onceward_apart_due")),
      next_apart_due_(database, next_due_query("onceward_apart", "onceward_apart_due")) {}

std::optional<Record> TableReader::find(std::string_view partition, std::string_view key, Timestamp now) {
  const Use use(find_);
  partition_ = partition;
  key_ = key;
  find_.bindNoCopy(1, partition_);
  find_.bindNoCopy(2, key_);
  find_.bind(3, micros(now));
  if (!find_.executeStep()) return std::nullopt;
  return Record{std::string(key), value_of(find_.getColumn(0)), find_.getColumn(1).getInt64(),
                time_of(find_.getColumn(2)), time_of(find_.getColumn(3))};
}

void TableReader::read(std::span<const RecordRef> records, ReadAnswer& answer) {
  const Snapshot snapshot(database_, begin_, end_);
  answer.records.reserve(records.size());
  for (const auto& record : records) answer.records.push_back(find(record.partition, record.key, answer.now));
}

void TableReader::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                       std::size_t limit, ScanPage& page) {
  const Use use(scan_);
  partition_ = partition;
  key_ = prefix;
  if (!cursor.empty() && cursor >= prefix) key_.assign(cursor).push_back('\0');  // the next key in byte order
  scan_.bindNoCopy(1, partition_);
  scan_.bindNoCopy(2, key_);
  scan_.bind(3, micros(page.now));
  while (scan_.executeStep()) {
    std::string key = scan_.getColumn(0).getString();
    if (!key.starts_with(prefix)) return;
    if (page.records.size() == limit) {
      page.cursor = page.records.back().key;
      return;
    }
    page.records.push_back({std::move(key), value_of(scan_.getColumn(1)), scan_.getColumn(2).getInt64(),
                            time_of(scan_.getColumn(3)), time_of(scan_.getColumn(4))});
  }
}

void TableReader::due_of(Shard shard, std::size_t limit, DuePage& page) {
  due_of(due_, next_due_, shard, limit, page);
  due_of(apart_due_, next_apart_due_, shard, limit, page);
}

void TableReader::due_of(SQLite::Statement& due, SQLite::Statement& next_due, Shard shard, std::size_t limit,
                         DuePage& page) {
  {
    const Use use(due);
    due.bind(1, static_cast<std::int64_t>(shard));
    due.bind(2, micros(page.now));
    due.bind(3, micros(page.now));
    due.bind(4, static_cast<std::int64_t>(limit) + 1);
    while (due.executeStep()) {
      Record record{due.getColumn(1).getString(), {}, absent, time_of(due.getColumn(2)), {}};
      page.entries.push_back({due.getColumn(0).getString(), std::move(record)});
    }
  }
  const Use use(next_due);
  next_due.bind(1, static_cast<std::int64_t>(shard));
  next_due.bind(2, micros(page.now));
  next_due.bind(3, micros(page.now));
  if (!next_due.executeStep()) return;
  const auto next = time_of(next_due.getColumn(0));
  if (!page.next || *next < *page.next) page.next = next;
}

void TableReader::due(std::span<const Shard> shards, std::size_t limit, DuePage& page) {
  const Snapshot snapshot(database_, begin_, end_);
  for (Shard shard = 0; shards.empty() && shard < shards_; ++shard) due_of(shard, limit, page);
  for (const Shard shard : shards) due_of(shard, limit, page);
  storage_detail::order_due_page(page, limit);
  for (auto& entry : page.entries) entry.record = find(entry.partition, entry.record.key, page.now).value();
}

std::vector<std::string> TableReader::partitions(std::string_view cursor, std::size_t limit) {
  // From name to name by the primary key: a partition costs one probe, however many records it holds.
  SQLite::Statement names(
      database_,
      "WITH RECURSIVE names(name) AS (SELECT min(partition) FROM onceward_record WHERE partition > ?1 "
      "UNION ALL SELECT (SELECT min(partition) FROM onceward_record WHERE partition > name) FROM names "
      "WHERE name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL LIMIT ?2");
  names.bind(1, std::string(cursor));
  names.bind(2, static_cast<std::int64_t>(limit));
  std::vector<std::string> found;
  while (names.executeStep()) found.push_back(names.getColumn(0).getString());
  return found;
}

TableWriter::TableWriter(SQLite::Database& database, Shard shards)
    : database_(database),
      reader_(database, shards),
      shards_(shards),
      insert_(database,
              "INSERT INTO onceward_record(partition, key, shard, value, revision, due, expires) "
              "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"),
      insert_apart_(database,
                    "INSERT INTO onceward_record(partition, key, apart) VALUES (?, ?, ?) "
                    "ON CONFLICT DO NOTHING"),
      put_apart_(database,
                 "INSERT INTO onceward_apart(partition, key, shard, value, revision, due, expires) "
                 "VALUES (?, ?, ?, ?, ?, ?, ?)"),
      forget_apart_(database, "DELETE FROM onceward_apart WHERE id = ?"),
      replace_(database,
               "UPDATE onceward_record SET value = ?, revision = ?, due = ?, expires = ? WHERE partition = ? "
               "AND key = ? AND revision = ? AND (expires IS NULL OR expires > ?)"),
      replace_apart_(database,
                     "UPDATE onceward_apart SET value = ?, revision = ?, due = ?, expires = ? WHERE id = "
                     "(SELECT apart FROM onceward_record WHERE partition = ? AND key = ?) AND revision = ? "
                     "AND (expires IS NULL OR expires > ?)"),
      recount_(database,
               "UPDATE onceward_record SET value = ?, revision = ? WHERE partition = ? AND key = ? "
               "AND apart IS NULL"),
      recount_apart_(database,
                     "UPDATE onceward_apart SET value = ?, revision = ? WHERE id = "
                     "(SELECT apart FROM onceward_record WHERE partition = ? AND key = ?)"),
      remove_(database,
              "DELETE FROM onceward_record WHERE partition = ?1 AND key = ?2 AND CASE WHEN apart IS NULL "
              "THEN revision = ?3 AND (expires IS NULL OR expires > ?4) ELSE EXISTS (SELECT 1 FROM "
              "onceward_apart a WHERE a.id = onceward_record.apart AND a.revision = ?3 "
              "AND (a.expires IS NULL OR a.expires > ?4)) END"),
      drop_(database, "DELETE FROM onceward_record WHERE partition = ? AND key = ?"),
      clock_(database, "SELECT high FROM onceward_clock WHERE id = 0"),
      set_clock_(database, "UPDATE onceward_clock SET high = ? WHERE id = 0"),
      purge_(
          database,
          "DELETE FROM onceward_record WHERE (partition, key) IN (SELECT partition, key FROM onceward_record "
          "WHERE expires <= ? LIMIT ?)"),
      purge_apart_(
          database,
          "DELETE FROM onceward_record WHERE (partition, key) IN (SELECT partition, key FROM onceward_apart "
          "WHERE expires <= ? LIMIT ?)"),
      begin_(database, "BEGIN IMMEDIATE"),
      commit_(database, "COMMIT"),
      savepoint_(database, "SAVEPOINT onceward_batch"),
      rollback_(database, "ROLLBACK TO onceward_batch"),
      release_(database, "RELEASE onceward_batch") {}

void TableWriter::begin() { execute(begin_); }

void TableWriter::commit() { execute(commit_); }

void TableWriter::start(Timestamp now, Revision high) {
  now_ = now;
  high_ = high;
}

Revision TableWriter::stored_high() {
  const Use use(clock_);
  return clock_.executeStep() ? clock_.getColumn(0).getInt64() : absent;
}

void TableWriter::store_high(Revision high) {
  set_clock_.bind(1, high);
  execute(set_clock_);
}

bool TableWriter::purge(std::size_t limit) {
  bool more = false;
  for (auto* purge : {&purge_, &purge_apart_}) {
    purge->bind(1, micros(now_));
    purge->bind(2, static_cast<std::int64_t>(limit));
    more |= static_cast<std::size_t>(execute(*purge)) >= limit;
  }
  return more;
}

bool TableWriter::apply(const Batch& batch, Undo undo, BatchAnswer& answer) {
  const bool guarded = undo == Undo::savepoint && batch.operations.size() > 1;
  if (guarded) execute(savepoint_);
  high_ = std::max(high_ + 1, micros(now_));
  answer = {};
  answer.revision = high_;
  wrote_ = false;
  for (std::size_t i = 0; i < batch.operations.size() && answer.applied(); ++i) {
    if (run(batch, batch.operations[i], answer)) continue;
    answer.refused = i;
    answer.revision = absent;
    answer.counters.clear();
  }
  if (guarded && !answer.applied()) execute(rollback_);
  if (guarded) execute(release_);
  return answer.applied() || guarded || !wrote_;
}

bool TableWriter::run(const Batch& batch, const Operation& operation, BatchAnswer& answer) {
  switch (operation.kind) {
    case Operation::Kind::insert: return insert(batch, operation, operation.value, answer);
    case Operation::Kind::replace: return replace(batch, operation, answer);
    case Operation::Kind::remove: return remove(batch, operation, answer);
    case Operation::Kind::require: return require(batch, operation, answer);
    case Operation::Kind::add: return add(batch, operation, answer);
  }
  return false;
}

void TableWriter::bind_times(SQLite::Statement& statement, int first, const Timing& timing) {
  bind_time(statement, first, now_, timing.due_in);
  bind_time(statement, first + 1, now_, timing.expires_in);
}

bool TableWriter::insert(const Batch& batch, const Operation& operation, const std::string& content,
                         BatchAnswer& answer) {
  const bool apart = lies_apart(content, operation.timing);
  auto& whole = apart ? put_apart_ : insert_;
  whole.bindNoCopy(1, batch.partition);
  whole.bindNoCopy(2, operation.key);
  whole.bind(3, static_cast<std::int64_t>(stable_hash(batch.partition) % shards_));
  whole.bindNoCopy(4, content);
  whole.bind(5, high_);
  bind_times(whole, 6, operation.timing);
  std::int64_t place = 0;
  if (apart) {
    execute(put_apart_);
    place = database_.getLastInsertRowid();
    insert_apart_.bindNoCopy(1, batch.partition);
    insert_apart_.bindNoCopy(2, operation.key);
    insert_apart_.bind(3, place);
  }
  auto& named = apart ? insert_apart_ : insert_;
  if (execute(named) == 1) return wrote_ = true;
  answer.found = reader_.find(batch.partition, operation.key, now_);
  if (answer.found) {
    if (apart) {
      forget_apart_.bind(1, place);
      execute(forget_apart_);
    }
    return false;
  }
  // What stands there has expired, and makes room.
  drop_.bindNoCopy(1, batch.partition);
  drop_.bindNoCopy(2, operation.key);
  execute(drop_);
  execute(named);
  return wrote_ = true;
}

bool TableWriter::replace_by(SQLite::Statement& statement, const Batch& batch, const Operation& operation) {
  statement.bindNoCopy(1, operation.value);
  statement.bind(2, high_);
  bind_times(statement, 3, operation.timing);
  statement.bindNoCopy(5, batch.partition);
  statement.bindNoCopy(6, operation.key);
  statement.bind(7, operation.expected);
  statement.bind(8, micros(now_));
  return execute(statement) == 1;
}

bool TableWriter::replace(const Batch& batch, const Operation& operation, BatchAnswer& answer) {
  // A record stays where it was made. The more likely place is tried first.
  const bool apart = lies_apart(operation.value, operation.timing);
  if (replace_by(apart ? replace_apart_ : replace_, batch, operation) ||
      replace_by(apart ? replace_ : replace_apart_, batch, operation)) {
    return wrote_ = true;
  }
  answer.found = reader_.find(batch.partition, operation.key, now_);
  return false;
}

bool TableWriter::remove(const Batch& batch, const Operation& operation, BatchAnswer& answer) {
  remove_.bindNoCopy(1, batch.partition);
  remove_.bindNoCopy(2, operation.key);
  remove_.bind(3, operation.expected);
  remove_.bind(4, micros(now_));
  if (execute(remove_) == 1) return wrote_ = true;
  answer.found = reader_.find(batch.partition, operation.key, now_);
  return false;
}

bool TableWriter::require(const Batch& batch, const Operation& operation, BatchAnswer& answer) {
  auto found = reader_.find(batch.partition, operation.key, now_);
  if ((found ? found->revision : absent) == operation.expected) return true;
  answer.found = std::move(found);
  return false;
}

bool TableWriter::add(const Batch& batch, const Operation& operation, BatchAnswer& answer) {
  auto found = reader_.find(batch.partition, operation.key, now_);
  const auto current = found ? storage_detail::read_counter(found->value) : std::optional<std::int64_t>(0);
  const auto sum = current ? storage_detail::add_to_counter(*current, operation) : std::nullopt;
  if (!sum) {
    answer.found = std::move(found);
    return false;
  }
  answer.counters.push_back(*sum);
  if (!found) return insert(batch, operation, std::to_string(*sum), answer);
  const std::string value = std::to_string(*sum);
  return wrote_ = recount_by(recount_, batch, operation, value) ||
                  recount_by(recount_apart_, batch, operation, value);
}

bool TableWriter::recount_by(SQLite::Statement& statement, const Batch& batch, const Operation& operation,
                             const std::string& value) {
  statement.bindNoCopy(1, value);
  statement.bind(2, high_);
  statement.bindNoCopy(3, batch.partition);
  statement.bindNoCopy(4, operation.key);
  return execute(statement) == 1;
}

}  // namespace onceward::sqlite::detail
