#include "storage/sqlite/schema.hpp"

#include <SQLiteCpp/Statement.h>
#include <fmt/format.h>

namespace onceward::sqlite::detail {
namespace {

// A partition's records lie together (the primary key is the table's order), so that the handful of records
// one event touches share a page. What has a long value, or asks for attention soon and so is written again
// soon (claims, runs), lies apart, in the order of writing: the record only says where, and the second write
// finds its page among the last ones, beside those of everybody else. The indices hold only records that have
// a due time or an expiry.
// `onceward_clock.high` makes revisions grow even where a record was removed and the machine's clock stepped
// back.
constexpr const char* creation = R"sql(
CREATE TABLE onceward_meta(name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE onceward_clock(id INTEGER PRIMARY KEY CHECK (id = 0), high INTEGER NOT NULL);
CREATE TABLE onceward_record(
  partition TEXT NOT NULL,
  key TEXT NOT NULL,
  revision INTEGER,
  due INTEGER,
  expires INTEGER,
  shard INTEGER,
  value TEXT,
  apart INTEGER,
  PRIMARY KEY (partition, key),
  CHECK ((value IS NULL) <> (apart IS NULL))
) WITHOUT ROWID;
CREATE TABLE onceward_apart(
  id INTEGER PRIMARY KEY,
  partition TEXT NOT NULL,
  key TEXT NOT NULL,
  revision INTEGER NOT NULL,
  due INTEGER,
  expires INTEGER,
  shard INTEGER NOT NULL,
  value TEXT NOT NULL
);
CREATE TRIGGER onceward_forget AFTER DELETE ON onceward_record WHEN old.apart IS NOT NULL
  BEGIN DELETE FROM onceward_apart WHERE id = old.apart; END;
CREATE VIEW onceward AS SELECT r.partition AS partition, r.key AS key, coalesce(r.value, a.value) AS value,
  coalesce(r.revision, a.revision) AS revision, coalesce(r.due, a.due) AS due,
  coalesce(r.expires, a.expires) AS expires
  FROM onceward_record r LEFT JOIN onceward_apart a ON a.id = r.apart;
CREATE INDEX onceward_due ON onceward_record(shard, due) WHERE due IS NOT NULL;
CREATE INDEX onceward_expiry ON onceward_record(expires) WHERE expires IS NOT NULL;
CREATE INDEX onceward_apart_due ON onceward_apart(shard, due) WHERE due IS NOT NULL;
CREATE INDEX onceward_apart_expiry ON onceward_apart(expires) WHERE expires IS NOT NULL;
INSERT INTO onceward_clock(id, high) VALUES (0, 0);
)sql";

std::optional<std::int64_t> meta(SQLite::Database& database, const char* name) {
  SQLite::Statement query(database, "SELECT value FROM onceward_meta WHERE name = ?");
  query.bind(1, name);
  if (!query.executeStep()) return std::nullopt;
  return query.getColumn(0).getInt64();
}

}  // namespace

Result<Schema> ensure_schema(SQLite::Database& database, const Options& options) {
  const std::string& file = database.getFilename();
  if (options.shards && (*options.shards == 0 || *options.shards > limits::most_shards)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("SQLite file \"{}\": {} shards asked for; choose 1 to {}", file, *options.shards,
                            limits::most_shards));
  }
  Schema schema;
  if (!database.tableExists("onceward_meta")) {
    schema.shards = options.shards.value_or(limits::default_shards);
    database.exec(creation);
    database.exec(fmt::format("INSERT INTO onceward_meta(name, value) VALUES ('format', {}), ('shards', {})",
                              format, schema.shards));
    return schema;
  }
  const auto found = meta(database, "format");
  const auto shards = meta(database, "shards");
  if (!found || !shards || *shards < 1 || *shards > limits::most_shards) {
    return fail(ErrorCode::corrupt,
                fmt::format("SQLite file \"{}\": onceward_meta does not say its format and shards", file));
  }
  if (*found > format) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("SQLite file \"{}\" has format {}, this library knows up to {}; use a newer library",
                    file, *found, format));
  }
  if (*found < format) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("SQLite file \"{}\" has format {}, from before the first release; start with a new "
                    "file",
                    file, *found));
  }
  schema.shards = static_cast<Shard>(*shards);
  if (options.shards && *options.shards != schema.shards) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "SQLite file \"{}\" was created with {} shards, {} were asked for; the count never changes", file,
            schema.shards, *options.shards));
  }
  SQLite::Statement clock(database, "SELECT high FROM onceward_clock WHERE id = 0");
  if (!clock.executeStep()) {
    return fail(ErrorCode::corrupt, fmt::format("SQLite file \"{}\": onceward_clock is empty", file));
  }
  schema.high = clock.getColumn(0).getInt64();
  return schema;
}

}  // namespace onceward::sqlite::detail
