#pragma once
#include <onceward/storage/sqlite.hpp>

#include <SQLiteCpp/Database.h>

namespace onceward::sqlite::detail {

/// The format this library writes; a file of a later one is refused untouched.
inline constexpr std::int64_t format = 3;

/// What a database says of itself.
struct Schema {
  Shard shards = limits::default_shards;
  Revision high = absent;  ///< no record has, or ever had, a larger revision
};

/// Reads the schema, creating it where the database has none. Nothing is written before every check has
/// passed. The caller holds a write transaction. Throws SQLite::Exception.
Result<Schema> ensure_schema(SQLite::Database& database, const Options& options);

}  // namespace onceward::sqlite::detail
