#pragma once
#include <onceward/storage/transactions.hpp>

#include <functional>
#include <string>

struct st_mysql;

namespace onceward::mariadb {

struct Options {
  std::string host = "127.0.0.1";
  int port = 3306;
  std::string socket{};  ///< a unix socket; goes before host and port
  std::string user{};
  std::string password{};
  std::string database = "onceward";  ///< must exist; the tables are made by the storage
  /// Unset: 64 for new tables, their own count for existing ones. Set: another count is refused.
  std::optional<Shard> shards{};
  Duration connect_timeout = std::chrono::seconds(2);  ///< counted in whole seconds, 1 at the least
  /// Of one statement, and how long deadlocks, lock timeouts and lost connections are retried. Whole seconds.
  Duration timeout = std::chrono::seconds(5);
  std::size_t readers = 8;  ///< connections for reads and for writes of few callers, made when needed; 1..256
  /// FOR TESTS: this clock decides instead of the server's. Must outlive the storage.
  const Clock* clock = nullptr;
};

/// Opens a storage in a database of MariaDB 10.5 or MySQL 8.0 or later, making its tables where there are
/// none. The commits of concurrent callers share one transaction and its statements; it takes the rows of its
/// shards in order, so that writers of several processes wait for each other and do not deadlock. Reads have
/// connections of their own and see every answered commit.
///
/// An answered commit is as durable as the server makes it: with innodb_flush_log_at_trx_commit=1 (the
/// default) it survives power loss.
///
/// Errors: unavailable (no server), timeout, invalid_argument (user, password, database, options; another
/// shard count; a newer format), corrupt (tables that are not what this version makes).
Result<std::unique_ptr<Storage>> open(Options options);

/// A Storage that writes inside the caller's own open transaction on `connection`: what it commits is there
/// when the caller's COMMIT is, and gone with the caller's ROLLBACK. The tables must exist (open makes them):
/// making them here would end the transaction. A commit without an open transaction is refused with
/// wrong_state. After an error other than a refused argument the caller has to roll back. Use it from the
/// thread that uses the connection, whose isolation level must be READ COMMITTED or higher; it must not
/// outlive it. The shards a transaction writes stay locked until it ends. Errors: as open.
Result<std::unique_ptr<Storage>> enlist(st_mysql* connection, Options options = {});

/// Transactions on a database of the application's own, for transactional guards: over up to Options::readers
/// connections, made when needed, anew where one was lost. READ COMMITTED; a lock is waited for almost
/// Options::timeout, and so is a free connection. `prepare` is called once for a new connection. Makes the
/// storage's tables where there are none. Connects at once. Errors: as open and enlist.
Result<std::unique_ptr<Transactions<st_mysql*>>> transactions(Options options,
                                                              std::function<void(st_mysql*)> prepare = {});

/// The options a URL names; see open_storage. Errors: invalid_argument.
Result<Options> parse_url(std::string_view url);

}  // namespace onceward::mariadb
