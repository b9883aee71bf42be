#pragma once
#include <onceward/storage/storage.hpp>

#include <memory>
#include <stop_token>

namespace onceward {

/// One open transaction of a database, on a connection that is this caller's alone. Destroyed before it was
/// committed it is rolled back. One thread at a time. `Connection` is what the application writes its own
/// rows with: `SQLite::Database&`, `MYSQL*`.
template <class Connection>
class Transaction {
 public:
  virtual ~Transaction() = default;

  /// Must not be used to end the transaction, nor for a savepoint named onceward_work.
  [[nodiscard]] virtual Connection connection() noexcept = 0;
  /// Writes in this transaction: an enlisted storage.
  [[nodiscard]] virtual Storage& storage() noexcept = 0;
  /// Marks this place: `SAVEPOINT onceward_work` where you write it yourself. One at a time. Errors: those of
  /// the database; the transaction is to be rolled back then.
  virtual Result<void> set_savepoint() = 0;
  /// Undoes what was written since, and nothing before: `ROLLBACK TO SAVEPOINT onceward_work`. The
  /// transaction stays open, with the locks it had. Errors: wrong_state where the mark is gone, as the
  /// transaction was ended on its connection and the database did not do so itself; timeout, exhausted,
  /// unavailable where it did, or the connection is lost. What was written since is not there, unless
  /// somebody committed it.
  virtual Result<void> undo_to_savepoint() = 0;
  /// Takes the mark away and keeps what was written: `RELEASE SAVEPOINT onceward_work`. Errors: as above; so
  /// it tells whether this is still the transaction that was marked.
  virtual Result<void> release_savepoint() = 0;
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

  /// Opens one, on a connection that works: one that was lost is made anew. A wait for a connection, or for
  /// the database to be free, should end when `stop` is requested. Errors: unavailable, timeout (another
  /// transaction, or the other callers, held everything for too long, or it was stopped), wrong_state (this
  /// thread itself holds everything it would wait for), and those of enlisting.
  virtual Result<std::unique_ptr<Transaction<Connection>>> begin(std::stop_token stop = {}) = 0;

 protected:
  Transactions() = default;
  Transactions(const Transactions&) = default;
  Transactions& operator=(const Transactions&) = default;
};

}  // namespace onceward
