// Guards that write inside the caller's own SQLite transaction: the record and the rows stand or fall
// together.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/sqlite.hpp>

#include "processes.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <thread>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using fault::Folder;

namespace {

struct Ask {
  std::string key;
};

/// One connection of a service that guards its calls in its own transactions.
struct Connection {
  SQLite::Database database;
  std::unique_ptr<Storage> storage;
  Policy policy{.operation = "enlisted", .lease = 30s, .retention = 24h};

  explicit Connection(const Folder& folder, int busy_ms = 30'000)
      : database(folder.file("own.db"), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_ms) {
    // Processes that open the file at one moment must not race for its tables.
    database.exec("BEGIN IMMEDIATE");
    database.exec("CREATE TABLE IF NOT EXISTS grants (key TEXT)");
    storage = sqlite::enlist(database).value();
    database.exec("COMMIT");
  }

  /// The work: one row, then `then`.
  template <class Then>
  Outcome<std::string> call(const std::string& key, const Then& then) {
    auto guarded = idempotent<Ask>(*storage, "k:#{key}", policy, [&](const Ask& ask) {
      SQLite::Statement insert(database, "INSERT INTO grants VALUES (?)");
      insert.bind(1, ask.key);
      insert.exec();
      then();
      return "row of " + ask.key;
    });
    return guarded({key});
  }
  Outcome<std::string> call(const std::string& key) {
    return call(key, [] {});
  }
  /// A call in a transaction of its own.
  Outcome<std::string> call_alone(const std::string& key) {
    database.exec("BEGIN IMMEDIATE");
    auto outcome = call(key);
    database.exec("COMMIT");
    return outcome;
  }
  int rows() { return database.execAndGet("SELECT count(*) FROM grants").getInt(); }
  bool has_record(const std::string& key) {
    return read_one(*storage, guard_partition(policy.operation, key), key).value().has_value();
  }
};

}  // namespace

TEST_CASE(
    "a call that throws leaves neither row nor record after the rollback, and a retry runs [guard-62]") {
  const Folder folder;
  Connection connection(folder);
  connection.database.exec("BEGIN IMMEDIATE");
  CHECK_THROWS_AS(connection.call("k", [] { throw std::domain_error("no"); }), std::domain_error);
  CHECK(connection.rows() == 1);
  connection.database.exec("ROLLBACK");
  CHECK(connection.rows() == 0);
  CHECK_FALSE(connection.has_record("k:k"));
  const auto retry = connection.call_alone("k");
  CHECK(retry.verdict() == Verdict::executed);
  CHECK(retry.attempt() == 1);
  CHECK(connection.rows() == 1);
  CHECK(connection.has_record("k:k"));
}

TEST_CASE("a guard that outlives its rolled back transaction leaves nothing and harms nothing [guard-62]") {
  const Folder folder;
  Connection connection(folder);
  {
    connection.database.exec("BEGIN IMMEDIATE");
    auto guard = Guard::claim(*connection.storage, "late", connection.policy).value();
    REQUIRE(guard.acquired());
    connection.database.exec("ROLLBACK");
  }
  CHECK_FALSE(connection.has_record("late"));
}

TEST_CASE("a completed call is undone with the caller's transaction [guard-62]") {
  const Folder folder;
  Connection connection(folder);
  connection.database.exec("BEGIN IMMEDIATE");
  CHECK(connection.call("k").recorded());
  CHECK(connection.call("k").verdict() == Verdict::replayed);
  connection.database.exec("ROLLBACK");
  CHECK(connection.call_alone("k").verdict() == Verdict::executed);
  CHECK(connection.call_alone("k").verdict() == Verdict::replayed);
  CHECK(connection.rows() == 1);
}

TEST_CASE("killed before COMMIT a retry runs once, killed after COMMIT a retry replays [guard-63]") {
  for (const bool committed : {false, true}) {
    const Folder folder;
    REQUIRE(fault::was_killed(fault::start([&] {
      Connection connection(folder);
      connection.database.exec("BEGIN IMMEDIATE");
      (void)connection.call("k");
      if (committed) connection.database.exec("COMMIT");
      std::raise(SIGKILL);
    })));
    Connection after(folder);
    CHECK(after.rows() == (committed ? 1 : 0));
    // No lease is in the way: the claim of the dead was never there.
    const auto retry = after.call_alone("k");
    CHECK(retry.verdict() == (committed ? Verdict::replayed : Verdict::executed));
    CHECK(retry.value() == "row of k");
    CHECK(after.rows() == 1);
  }
}

TEST_CASE("of two transactions with one key the second waits and replays [guard-64]") {
  const Folder folder;
  Connection first(folder);
  first.database.exec("BEGIN IMMEDIATE");
  REQUIRE(first.call("k").verdict() == Verdict::executed);
  std::optional<Outcome<std::string>> second;
  std::thread other([&] {
    Connection connection(folder);
    second = connection.call_alone("k");
  });
  first.database.exec("COMMIT");
  other.join();
  CHECK(second->verdict() == Verdict::replayed);
  CHECK(second->value() == "row of k");
  CHECK(first.rows() == 1);
}

TEST_CASE("a transaction that does not get the lock in time runs nothing and may be repeated [guard-64]") {
  const Folder folder;
  Connection second(folder, 20);
  Connection first(folder);
  first.database.exec("BEGIN IMMEDIATE");
  REQUIRE(first.call("k").verdict() == Verdict::executed);
  second.database.exec("BEGIN");  // takes the lock at the guard's first write
  const auto refused = second.call("k");
  CHECK(refused.verdict() == Verdict::storage_down);
  REQUIRE(refused.error());
  CHECK(retry_advice(refused.error()->code) == RetryAdvice::retry);
  second.database.exec("ROLLBACK");
  first.database.exec("COMMIT");
  CHECK(second.call_alone("k").verdict() == Verdict::replayed);
  CHECK(second.rows() == 1);
}

TEST_CASE("of many processes with transactions of their own each key has one row [guard-14] [guard-64]") {
  constexpr int processes = 6;
  constexpr int keys = 20;
  const Folder folder;
  { const Connection creator(folder); }  // no connection is carried across a fork
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    children.push_back(fault::start([&] {
      Connection connection(folder);
      for (int key = 0; key < keys; ++key) {
        if (!connection.call_alone(std::to_string(key)).has_value()) throw std::runtime_error("not told");
      }
    }));
  }
  for (const auto child : children) CHECK_FALSE(fault::was_killed(child));
  CHECK(Connection(folder).rows() == keys);
}
