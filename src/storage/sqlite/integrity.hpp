#pragma once
#include "storage/sqlite/schema.hpp"

namespace onceward::sqlite::detail {

/// Reads the whole database: SQLite's own check of every page and index, then what our tables promise each
/// other. Inside a transaction of the caller's, so that it sees one moment. Throws SQLite::Exception.
/// Errors: corrupt, with the first findings.
Result<void> check_tables(SQLite::Database& database, const Schema& schema);

}  // namespace onceward::sqlite::detail
