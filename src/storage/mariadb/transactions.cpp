#include <onceward/storage/mariadb.hpp>

#include "storage/mariadb/schema.hpp"
#include "storage/session_pool.hpp"

#include <mysqld_error.h>

namespace onceward::mariadb {
namespace {

using detail::attempt;
using detail::Connection;
using detail::Failure;

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const Options& options,
                                               const std::function<void(MYSQL*)>& prepare) {
    return attempt([&]() -> Result<std::unique_ptr<Session>> {
      auto session = std::make_unique<Session>(options);
      (void)detail::ensure_schema(session->connection_, options);
      auto storage = enlist(session->connection(), options);
      if (!storage) return fail(std::move(storage).error());
      session->storage_ = *std::move(storage);
      if (prepare) prepare(session->connection());
      return session;
    });
  }
  explicit Session(const Options& options) : connection_(options) {}

  MYSQL* connection() noexcept { return connection_.get(); }
  Storage& storage() noexcept { return *storage_; }
  Result<void> begin(const std::stop_token&) {  // takes no lock: there is nothing to wait for
    if (!connection_.alive()) return fail(ErrorCode::unavailable, "the server closed the connection");
    return attempt([&]() -> Result<void> {
      connection_.command("BEGIN");
      return {};
    });
  }
  Result<void> savepoint(const char* command) {
    // What the last failure was is gone once another command runs.
    const bool undone = is_conflict(mysql_errno(connection()));
    try {
      connection_.command(command);
      return {};
    } catch (const Failure& failure) {
      if (failure.error().native_code != ER_SP_DOES_NOT_EXIST) return fail(failure.error());
      if (undone)
        return fail(ErrorCode::timeout, "the server undid the transaction: another one was in the way");
      return fail(ErrorCode::wrong_state, "the transaction was ended on its connection");
    }
  }
  Result<void> commit() {
    try {
      connection_.command("COMMIT");
      return {};
    } catch (const Failure& failure) {
      if (failure.undone()) return fail(failure.error());
      return fail(ErrorCode::in_doubt,
                  "whether it was committed must be read back: " + failure.error().message,
                  failure.error().native_code);
    }
  }
  bool rollback() noexcept { return mysql_rollback(connection()) == 0; }
  bool conflicted() noexcept {
    if (is_conflict(mysql_errno(connection()))) return true;
    // A statement that was closed meanwhile took its error along: the transaction of a deadlock is gone.
    return mysql_query(connection(), "DO 1") == 0 &&
           (connection()->server_status & SERVER_STATUS_IN_TRANS) == 0;
  }

 private:
  static bool is_conflict(unsigned error) noexcept {
    return error == ER_LOCK_DEADLOCK || error == ER_LOCK_WAIT_TIMEOUT || error == ER_CHECKREAD;
  }

  Connection connection_;
  std::unique_ptr<Storage> storage_;
};

}  // namespace

Result<std::unique_ptr<Transactions<MYSQL*>>> transactions(Options options,
                                                           std::function<void(MYSQL*)> prepare) {
  if (auto checked = detail::check_options(options); !checked) return fail(std::move(checked).error());
  const auto connections = options.readers;
  const auto patience = options.timeout;
  auto connect = [options = std::move(options), prepare = std::move(prepare)] {
    return Session::open(options, prepare);
  };
  using Pooled = storage_detail::PooledTransactions<Session, MYSQL*, decltype(connect)>;
  auto made = std::make_unique<Pooled>(connections, patience, std::move(connect));
  if (auto tried = made->begin(); !tried) return fail(std::move(tried).error());
  return std::unique_ptr<Transactions<MYSQL*>>(std::move(made));
}

}  // namespace onceward::mariadb
