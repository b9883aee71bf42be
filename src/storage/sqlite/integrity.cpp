#include "storage/sqlite/integrity.hpp"

#include <onceward/core/digest.hpp>

#include "storage/sqlite/errors.hpp"

#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sqlite3.h>

#include <algorithm>

namespace onceward::sqlite {
namespace detail {
namespace {

constexpr std::size_t most_findings = 5;

/// A count that is 0 in a sound file, and what another one means.
struct Promise {
  std::string_view broken;
  const char* count;
};

constexpr Promise promises[] = {
    {"tables, indices or triggers are missing",
     "SELECT 9 - count(*) FROM sqlite_master WHERE name IN ('onceward', 'onceward_clock', 'onceward_record', "
     "'onceward_apart', 'onceward_forget', 'onceward_due', 'onceward_expiry', 'onceward_apart_due', "
     "'onceward_apart_expiry')"},
    {"records name a value that is not there, or is another record's",
     "SELECT count(*) FROM onceward_record r LEFT JOIN onceward_apart a ON a.id = r.apart "
     "WHERE r.apart IS NOT NULL AND (a.partition, a.key) IS NOT (r.partition, r.key)"},
    {"values belong to no record, or to several",
     "SELECT abs((SELECT count(*) FROM onceward_apart) - (SELECT count(apart) FROM onceward_record))"},
    {"records are newer than the clock of the file",
     "SELECT count(*) FROM onceward WHERE revision > (SELECT high FROM onceward_clock WHERE id = 0)"},
};

/// Records of a wrong shard are found by nobody when they are due.
std::int64_t misplaced(SQLite::Database& database, Shard shards) {
  SQLite::Statement places(database,
                           "SELECT partition, shard FROM onceward_record WHERE apart IS NULL "
                           "UNION SELECT partition, shard FROM onceward_apart");
  std::int64_t count = 0;
  while (places.executeStep()) {
    const auto shard = static_cast<std::int64_t>(stable_hash(places.getColumn(0).getString()) % shards);
    if (places.getColumn(1).getInt64() != shard) ++count;
  }
  return count;
}

std::vector<std::string> damage(SQLite::Database& database) {
  std::vector<std::string> findings;
  try {
    SQLite::Statement check(database, fmt::format("PRAGMA integrity_check({})", most_findings));
    while (check.executeStep()) {
      auto finding = check.getColumn(0).getString();
      std::replace(finding.begin(), finding.end(), '\n', ' ');
      if (finding != "ok") findings.push_back(std::move(finding));
    }
  } catch (const SQLite::Exception& torn) {
    // Where the check itself stumbles over the damage, what it found before says where to look.
    if (torn.getErrorCode() != SQLITE_CORRUPT) throw;
    findings.emplace_back(torn.what());
  }
  return findings;
}

}  // namespace

Result<void> check_tables(SQLite::Database& database, const Schema& schema) {
  // Not the quick_check: it skips whether the indices agree with the records, and work is found by an index.
  auto findings = damage(database);
  if (findings.empty()) {
    for (const auto& [broken, count] : promises) {
      if (const auto found = database.execAndGet(count).getInt64(); found != 0)
        findings.push_back(fmt::format("{} {}", found, broken));
    }
    if (const auto found = misplaced(database, schema.shards); found != 0)
      findings.push_back(fmt::format("{} partitions stand in a wrong shard", found));
  }
  if (findings.empty()) return {};
  return fail(ErrorCode::corrupt,
              fmt::format("SQLite file \"{}\" is damaged: {}; restore it from a backup, or save what can be "
                          "read by .recover of the program sqlite3",
                          database.getFilename(), fmt::join(findings, "; ")));
}

}  // namespace detail

Result<void> check_integrity(const std::string& path) {
  return detail::attempt("checking", path, [&]() -> Result<void> {
    SQLite::Database database(path, SQLite::OPEN_READONLY);
    const SQLite::Transaction moment(database);
    if (!database.tableExists("onceward_meta")) {
      return fail(ErrorCode::corrupt, fmt::format("SQLite file \"{}\" has no tables of this library", path));
    }
    const auto schema = detail::ensure_schema(database, {});
    if (!schema) return fail(schema.error());
    return detail::check_tables(database, *schema);
  });
}

}  // namespace onceward::sqlite
