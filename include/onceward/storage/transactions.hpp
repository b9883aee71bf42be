#pragma once
#include <onceward/storage/storage.hpp>

#include <memory>

namespace onceward {

/// One open transaction of a database, on a connection that is this caller's alone. Destroyed before it was
/// committed it is rolled back. One thread at a time. `Connection` is what the application writes its own
/// rows with: `SQLite::Database&`, `MYSQL*`.
template <class Connection>
class Transaction {
 public:
  virtual ~Transaction() = default;

  /// Must not be used to end the transaction.
  [[nodiscard]] virtual Connection connection() noexcept = 0;
  /// Writes in this transaction: an enlisted storage.
  [[nodiscard]] virtual Storage& storage() noexcept = 0;
  /// Ends it. After an error it is over too. Errors: timeout (the database undid it: another transaction was
  /// in the way), and what it says else; in_doubt where the answer was lost, and it may have happened.
  virtual Result<void> commit() = 0;
  /// Ends it without a trace; nothing where it has ended.
  virtual void rollback() noexcept = 0;
  /// Asked after the caller's work failed: whether that was since another transaction was in the way (a
  /// deadlock, a lock that was not given in time): the same work may succeed when repeated.
  [[nodiscard]] virtual bool conflicted() noexcept = 0;

 protected:
  Transaction() = default;
  Transaction(const Transaction&) = default;
  Transaction& operator=(const Transaction&) = default;
};

/// Where transactions come from. `sqlite::transactions` and `mariadb::transactions` make one with connections
/// of its own; an application with a pool of its own derives from both classes, using `sqlite::enlist` or
/// `mariadb::enlist` once for each connection. Any thread.
template <class Connection>
class Transactions {
 public:
  virtual ~Transactions() = default;

  /// Opens one, on a connection that works: one that was lost is made anew. Errors: unavailable, timeout
  /// (another transaction, or the other callers, held everything for too long), and those of enlisting.
  virtual Result<std::unique_ptr<Transaction<Connection>>> begin() = 0;

 protected:
  Transactions() = default;
  Transactions(const Transactions&) = default;
  Transactions& operator=(const Transactions&) = default;
};

}  // namespace onceward
