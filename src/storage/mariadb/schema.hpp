#pragma once
#include "storage/mariadb/connection.hpp"

namespace onceward::mariadb::detail {

/// Errors: invalid_argument.
Result<void> check_options(const Options& options);

/// Makes the tables where there are none. Errors (thrown as Failure): invalid_argument (another shard count,
/// a newer format), corrupt.
Shard ensure_schema(Connection& connection, const Options& options);

/// The shard count of tables that exist. Errors as above; not_found where there are none.
Shard read_schema(Connection& connection, const Options& options);

}  // namespace onceward::mariadb::detail
