#include "storage/mariadb/schema.hpp"

#include <fmt/format.h>

#include <array>

namespace onceward::mariadb::detail {
namespace {

constexpr std::int64_t format = 1;

// Names and values are bytes: their order is that of the bytes, whatever the server's collation. A shard's
// row is what its writers wait for each other at.
constexpr std::array<const char*, 4> creation = {
    R"sql(CREATE TABLE IF NOT EXISTS onceward_meta(
  name VARBINARY(64) NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
) ENGINE=InnoDB)sql",
    R"sql(CREATE TABLE IF NOT EXISTS onceward_shard(
  shard INT NOT NULL PRIMARY KEY,
  high BIGINT NOT NULL,
  floor_us BIGINT NOT NULL
) ENGINE=InnoDB)sql",
    R"sql(CREATE TABLE IF NOT EXISTS onceward_record(
  partition_name VARBINARY(256) NOT NULL,
  record_key VARBINARY(512) NOT NULL,
  shard INT NOT NULL,
  revision BIGINT NOT NULL,
  due BIGINT NULL,
  expires BIGINT NULL,
  expires_minute INT NULL,
  value LONGBLOB NOT NULL,
  PRIMARY KEY (partition_name, record_key),
  KEY onceward_due (shard, due),
  KEY onceward_expiry (shard, expires_minute)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC)sql",
    R"sql(CREATE OR REPLACE VIEW onceward AS SELECT
  CONVERT(partition_name USING utf8mb4) AS partition_name, CONVERT(record_key USING utf8mb4) AS record_key,
  CONVERT(value USING utf8mb4) AS value, revision, FROM_UNIXTIME(due / 1000000) AS due,
  FROM_UNIXTIME(expires / 1000000) AS expires FROM onceward_record)sql"};

std::optional<std::int64_t> meta(Connection& connection, std::string_view name) {
  auto& row = connection.prepare("SELECT value FROM onceward_meta WHERE name = ?");
  row.run({name});
  std::optional<std::int64_t> value;
  while (row.next()) value = row.number(0);
  return value;
}

[[noreturn]] void refuse(ErrorCode code, const Options& options, std::string_view what) {
  throw Failure({code, fmt::format("MariaDB database \"{}\": {}", options.database, what)});
}

bool exists(Connection& connection) {
  auto& row = connection.prepare(
      "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = "
      "'onceward_meta'");
  row.run({});
  bool found = false;
  while (row.next()) found = row.number(0) != 0;
  return found;
}

}  // namespace

Result<void> check_options(const Options& options) {
  if (options.shards && (*options.shards == 0 || *options.shards > limits::most_shards)) {
    return fail(ErrorCode::invalid_argument, fmt::format("MariaDB: {} shards asked for; choose 1 to {}",
                                                         *options.shards, limits::most_shards));
  }
  if (options.timeout <= Duration(0) || options.connect_timeout <= Duration(0)) {
    return fail(ErrorCode::invalid_argument, "MariaDB: a timeout is not positive");
  }
  return {};
}

Shard read_schema(Connection& connection, const Options& options) {
  if (!exists(connection)) {
    refuse(ErrorCode::not_found, options,
           "it has no tables of ours; open the storage once, which makes them");
  }
  const auto found = meta(connection, "format");
  const auto shards = meta(connection, "shards");
  if (!found || !shards || *shards < 1 || *shards > limits::most_shards) {
    refuse(ErrorCode::corrupt, options, "onceward_meta does not say its format and shards");
  }
  if (*found > format) {
    refuse(ErrorCode::invalid_argument, options,
           fmt::format("it has format {}, this library knows up to {}; use a newer library", *found, format));
  }
  if (options.shards && static_cast<std::int64_t>(*options.shards) != *shards) {
    refuse(ErrorCode::invalid_argument, options,
           fmt::format("it was created with {} shards, {} were asked for; the count never changes", *shards,
                       *options.shards));
  }
  return static_cast<Shard>(*shards);
}

Shard ensure_schema(Connection& connection, const Options& options) {
  if (exists(connection) && meta(connection, "ready")) return read_schema(connection, options);
  for (const auto* statement : creation) connection.command(statement);
  // Of several creators the first row counts; each then makes the shards that it says, and says that all are
  // there.
  const auto shards = options.shards.value_or(limits::default_shards);
  connection.command("BEGIN");
  connection.prepare("INSERT IGNORE INTO onceward_meta(name, value) VALUES ('format', ?), ('shards', ?)")
      .run({format, static_cast<std::int64_t>(shards)});
  connection.command("COMMIT");
  const auto decided = meta(connection, "shards").value_or(0);
  connection.command("BEGIN");
  for (std::int64_t shard = 0; shard < decided; ++shard) {
    connection.prepare("INSERT IGNORE INTO onceward_shard(shard, high, floor_us) VALUES (?, 0, 0)")
        .run({shard});
  }
  connection.command("INSERT IGNORE INTO onceward_meta(name, value) VALUES ('ready', 1)");
  connection.command("COMMIT");
  return read_schema(connection, options);
}

}  // namespace onceward::mariadb::detail
