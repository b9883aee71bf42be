#pragma once
#include <onceward/idempotency/operator.hpp>
#include <onceward/idempotency/transaction.hpp>

#include "databases.hpp"

#include <atomic>

// A service whose calls are transactions of its own database.
namespace fault {

struct Ask {
  std::string key;
};

template <class Database>
struct Service {
  using Connection = typename Database::Connection;
  using Faulty = onceward::testing::FaultyTransactions<Connection>;
  using Handler = std::function<onceward::Result<std::string>(Connection, const Ask&, onceward::Attempt&)>;

  std::unique_ptr<onceward::Transactions<Connection>> real;
  Faulty transactions;
  onceward::Policy policy{.operation = "tx",
                          .lease = std::chrono::seconds(30),
                          .retention = std::chrono::hours(24),
                          .on_stale = onceward::OnStale::in_doubt,
                          .record_limit = std::chrono::seconds(2)};
  std::atomic<int> runs = 0;

  explicit Service(const Database& database, onceward::Duration patience = std::chrono::seconds(30))
      : real(database.transactions(patience)), transactions(*real) {}

  /// The work: one row, then `then`.
  onceward::Outcome<std::string> call(const std::string& key, const Handler& then,
                                      std::stop_token stop = {}) {
    auto guarded =
        onceward::transactional<Ask>(transactions, "k:#{key}", policy,
                                     [&](Connection connection, const Ask& ask,
                                         onceward::Attempt& attempt) -> onceward::Result<std::string> {
                                       ++runs;
                                       Database::insert(connection, ask.key);
                                       return then(connection, ask, attempt);
                                     });
    return guarded({key}, std::move(stop));
  }
  onceward::Outcome<std::string> call(const std::string& key) {
    return call(key, [](Connection, const Ask& ask, onceward::Attempt&) { return "row of " + ask.key; });
  }
  int rows(const std::string& key) {
    auto transaction = real->begin().value();
    return Database::rows(transaction->connection(), key);
  }
  bool has_record(const std::string& key) {
    auto transaction = real->begin().value();
    return onceward::read_one(transaction->storage(), onceward::guard_partition("tx", "k:" + key), "k:" + key)
        .value()
        .has_value();
  }
};

#define ONCEWARD_NEEDS(Database)                                  \
  if (Database::missing()) {                                      \
    WARN("no server of this database on this machine: left out"); \
    return;                                                       \
  }

}  // namespace fault
