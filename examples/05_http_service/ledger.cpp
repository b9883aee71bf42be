#include "ledger.hpp"

#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>

namespace payments {

namespace {
constexpr int busy_ms = 5000;
}

Ledger::Ledger(const std::string& file)
    : database_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_ms) {
  database_.exec("PRAGMA journal_mode=WAL");
  database_.exec("PRAGMA synchronous=FULL");
  database_.exec(
      "CREATE TABLE IF NOT EXISTS account(name TEXT PRIMARY KEY, spent INTEGER NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS charge(id INTEGER PRIMARY KEY AUTOINCREMENT, merchant TEXT NOT NULL,"
      " key TEXT NOT NULL, account TEXT NOT NULL, pence INTEGER NOT NULL, spent INTEGER NOT NULL,"
      " UNIQUE(merchant, key))");
}

std::optional<Charge> Ledger::find(const Payment& payment) {
  SQLite::Statement row(database_,
                        "SELECT id, account, pence, spent FROM charge WHERE merchant = ? AND key = ?");
  row.bind(1, payment.merchant);
  row.bind(2, payment.key);
  if (!row.executeStep()) return std::nullopt;
  return Charge{row.getColumn(0).getInt64(), row.getColumn(1).getString(), row.getColumn(2).getInt64(),
                row.getColumn(3).getInt64()};
}

std::optional<Charge> Ledger::charge(const Payment& payment) {
  const std::lock_guard lock(mutex_);
  // IMMEDIATE: of two processes the second one waits here, and finds the first one's row.
  SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
  if (auto made_before = find(payment)) return made_before;

  SQLite::Statement account(database_,
                            "INSERT INTO account VALUES (?1, ?2)"
                            " ON CONFLICT(name) DO UPDATE SET spent = spent + ?2 RETURNING spent");
  account.bind(1, payment.account);
  account.bind(2, payment.pence);
  account.executeStep();
  const auto spent = account.getColumn(0).getInt64();
  account.reset();
  if (spent > limit_pence) return std::nullopt;  // rolls back

  SQLite::Statement row(database_,
                        "INSERT INTO charge(merchant, key, account, pence, spent) VALUES (?, ?, ?, ?, ?)");
  row.bind(1, payment.merchant);
  row.bind(2, payment.key);
  row.bind(3, payment.account);
  row.bind(4, payment.pence);
  row.bind(5, spent);
  row.exec();
  const Charge made{database_.getLastInsertRowid(), payment.account, payment.pence, spent};
  transaction.commit();
  return made;
}

}  // namespace payments
