// Calls that are one transaction with the caller's rows: what holds when the handler, the database, the
// connection or the process fails at any step.
#include "transactional_service.hpp"

#include <latch>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

using fault::Ask;
using fault::Service;

TEMPLATE_TEST_CASE("a transactional call runs once, with its row, and replays", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  const auto first = service.call("k");
  CHECK(first.verdict() == Verdict::executed);
  CHECK(first.value() == "row of k");
  CHECK(first.recorded());
  Service<TestType> restarted(database);
  const auto second = restarted.call("k");
  CHECK(second.verdict() == Verdict::replayed);
  CHECK(second.value() == "row of k");
  CHECK(second.fence() == first.fence());
  CHECK(restarted.runs == 0);
  CHECK(restarted.rows("k") == 1);
}

TEMPLATE_TEST_CASE(
    "a handler that throws leaves no row and no outcome, and a retry runs as a further attempt [guard-62]",
    "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  CHECK_THROWS_AS(service.call("k", [](auto&&...) -> Result<std::string> { throw std::domain_error("no"); }),
                  std::domain_error);
  CHECK(service.rows("k") == 0);
  const auto storage = database.storage();
  CHECK(GuardOperator(*storage).inspect("tx", "k:k").value()->standing == KeyStanding::released);
  const auto retry = service.call("k");
  CHECK(retry.verdict() == Verdict::executed);
  CHECK(retry.attempt() == 2);
  CHECK(service.rows("k") == 1);
}

TEMPLATE_TEST_CASE(
    "a retryable error gives the key back, a final one is stored, both without the handler's rows [guard-62]",
    "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  const auto away = service.call("k", [](auto&&...) { return fail(ErrorCode::unavailable, "bank closed"); });
  CHECK(away.error()->message == "bank closed");
  CHECK(service.rows("k") == 0);
  CHECK(away.attempt() == 1);
  const auto refused = service.call("k", [](auto&&...) { return fail(ErrorCode::conflict, "no such user"); });
  CHECK(refused.verdict() == Verdict::executed);
  CHECK(refused.error()->message == "no such user");
  CHECK(service.rows("k") == 0);
  const auto again = service.call("k");
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.error()->message == "no such user");
  CHECK(service.runs == 2);
}

TEMPLATE_TEST_CASE("what may have had an effect outside is left in doubt, without its rows [guard-34]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  const auto throws = [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
    attempt.effects_started();
    throw std::domain_error("the line is dead");
  };
  CHECK_THROWS_AS(service.call("k", throws), std::domain_error);
  CHECK(service.rows("k") == 0);
  CHECK(service.call("k").verdict() == Verdict::in_doubt);
  const auto storage = database.storage();
  GuardOperator keys(*storage);
  REQUIRE(keys.resolve("tx", "k:k", Resolution::done("paid"), {"ann", "asked the bank"})->done());
  CHECK(service.call("k").value() == "paid");
  CHECK(service.runs == 1);
}

TEMPLATE_TEST_CASE("killed before COMMIT a retry runs once, killed after it a retry replays [guard-63]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  int number = 0;
  for (const std::string_view moment : {"begin", "begun", "work", "commit.before", "commit.after"}) {
    const auto key = std::to_string(++number);
    REQUIRE(fault::was_killed(fault::start([&] {
      Service<TestType> service(database);
      service.transactions.on_point([&](std::string_view point) {
        if (point == moment) std::raise(SIGKILL);
      });
      (void)service.call(key, [&](auto&&...) -> Result<std::string> {
        if (moment == "work") std::raise(SIGKILL);
        return "row of " + key;
      });
    })));
    Service<TestType> after(database);
    const bool committed = moment == "commit.after";
    INFO(moment);
    CHECK(after.rows(key) == (committed ? 1 : 0));
    // No lease is in the way: the claim of the dead was never there.
    const auto retry = after.call(key);
    CHECK(retry.verdict() == (committed ? Verdict::replayed : Verdict::executed));
    CHECK(retry.value() == "row of " + key);
    CHECK(after.rows(key) == 1);
  }
}

TEMPLATE_TEST_CASE("of two calls with one key the second waits and replays [guard-64]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> first(database);
  std::latch at_work(1);
  std::optional<Outcome<std::string>> second;
  std::thread other([&] {
    Service<TestType> service(database);
    at_work.wait();
    second = service.call("k");
  });
  const auto outcome = first.call("k", [&](auto&&...) -> Result<std::string> {
    at_work.count_down();
    std::this_thread::sleep_for(50ms);  // the other one asks meanwhile; right either way
    return std::string("the first's");
  });
  other.join();
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(second->verdict() == Verdict::replayed);
  CHECK(second->value() == "the first's");
  CHECK(first.rows("k") == 1);
}

TEMPLATE_TEST_CASE("a call that does not get its lock in time runs nothing and is in progress [guard-64]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> first(database);
  Service<TestType> second(database, std::is_same_v<TestType, fault::Sqlite> ? Duration(20ms) : Duration(2s));
  second.policy.record_limit = 10ms;
  const auto outcome = first.call("k", [&](auto&&...) -> Result<std::string> {
    const auto busy = second.call("k");
    CHECK(busy.verdict() == Verdict::in_progress);
    CHECK(busy.retry_after() > Duration::zero());
    CHECK(busy.error()->code == ErrorCode::timeout);
    return std::string("the first's");
  });
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(second.runs == 0);
  CHECK(second.call("k").verdict() == Verdict::replayed);
  CHECK(second.rows("k") == 1);
}

TEMPLATE_TEST_CASE("a lost answer of COMMIT is settled by reading back [guard-63]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  for (const auto duplicates : {OnDuplicate::replay, OnDuplicate::raise}) {
    const std::string how = duplicates == OnDuplicate::raise ? "r" : "";
    service.policy.on_duplicate = duplicates;
    // It happened: this call executed, and nothing runs twice.
    service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt);
    const int before = service.runs;
    const auto happened = service.call("after" + how);
    CHECK(happened.verdict() == Verdict::executed);
    CHECK(happened.value() == "row of after" + how);
    CHECK(service.runs == before + 1);
    CHECK(service.rows("after" + how) == 1);
    // It did not, and never will: run again, one row.
    service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
    const auto lost = service.call("before" + how);
    CHECK(lost.verdict() == Verdict::executed);
    CHECK(service.runs == before + 3);
    CHECK(service.rows("before" + how) == 1);
  }
  service.policy.on_duplicate = OnDuplicate::replay;
  CHECK(service.call("after").verdict() == Verdict::replayed);
  CHECK(service.call("before").verdict() == Verdict::replayed);
  // The same where the work ended with an error that is stored.
  service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt);
  const auto refused = service.call("error", [](auto&&...) { return fail(ErrorCode::conflict, "no"); });
  CHECK(refused.verdict() == Verdict::executed);
  CHECK(refused.error()->message == "no");
}

TEMPLATE_TEST_CASE("what was read back after a lost answer counts once a later COMMIT was answered", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  int commits = 0;
  service.transactions.on_point([&](std::string_view point) { commits += point == "commit.before" ? 1 : 0; });
  service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt, 3);
  CHECK(service.call("k").verdict() == Verdict::executed);
  CHECK(commits == 4);
  CHECK(service.runs == 1);
  service.policy.record_limit = 50ms;
  service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt, 1000);
  CHECK(service.call("never").verdict() == Verdict::in_doubt);
  service.transactions.fail_commits(Faulty::Fault::after, ErrorCode::in_doubt, 0);
  CHECK(service.call("never").verdict() == Verdict::replayed);
  CHECK(service.rows("never") == 1);
}

TEMPLATE_TEST_CASE("a run with effects outside is not repeated after a COMMIT that did not happen", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
  const auto outcome = service.call("k", [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
    attempt.effects_started();
    return std::string("sent");
  });
  CHECK(outcome.verdict() == Verdict::in_doubt);
  CHECK(service.runs == 1);
  CHECK(service.rows("k") == 0);
  CHECK(service.call("k").verdict() == Verdict::in_doubt);
}

TEMPLATE_TEST_CASE("where the database stays away after COMMIT the call is in doubt, and settled later", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  service.policy.record_limit = 50ms;
  for (const bool happened : {true, false}) {
    const std::string key = happened ? "happened" : "lost";
    service.transactions.fail_commits(happened ? Faulty::Fault::after : Faulty::Fault::before,
                                      ErrorCode::in_doubt);
    service.transactions.fail_begins(ErrorCode::unavailable, 1000, 1);
    CHECK(service.call(key).verdict() == Verdict::in_doubt);
    service.transactions.fail_begins(ErrorCode::unavailable, 0);
    CHECK(service.call(key).verdict() == (happened ? Verdict::replayed : Verdict::executed));
    CHECK(service.rows(key) == 1);
  }
  service.transactions.fail_begins(ErrorCode::unavailable);
  const auto down = service.call("k");
  CHECK(down.verdict() == Verdict::storage_down);
  CHECK(down.error()->code == ErrorCode::unavailable);
}

TEMPLATE_TEST_CASE(
    "after a COMMIT that did not happen a rival's outcome is replayed, not taken for one's own", "",
    ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  Service<TestType> rival(database);
  service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
  int begins = 0;
  service.transactions.on_point([&](std::string_view point) {
    if (point != "begin" || ++begins != 2) return;
    CHECK(rival.call("k", [](auto&&...) -> Result<std::string> { return std::string("the rival's"); })
              .verdict() == Verdict::executed);
  });
  const auto outcome = service.call("k");
  CHECK(outcome.verdict() == Verdict::replayed);
  CHECK(outcome.value() == "the rival's");
  CHECK(service.rows("k") == 1);
}

TEMPLATE_TEST_CASE("a COMMIT that the database undid is repeated", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::timeout, 3);
  CHECK(service.call("k").verdict() == Verdict::executed);
  CHECK(service.runs == 4);
  CHECK(service.rows("k") == 1);
}

TEMPLATE_TEST_CASE("a handler that ends its transaction is told so loudly", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  for (const std::string end : {"COMMIT", "ROLLBACK"}) {
    CHECK_THROWS_AS(service.call(end,
                                 [&](auto&& connection, auto&&...) -> Result<std::string> {
                                   TestType::execute(connection, end);
                                   return std::string();
                                 }),
                    std::logic_error);
  }
  CHECK(service.runs == 2);
  CHECK(service.call("another").verdict() == Verdict::executed);
}

TEMPLATE_TEST_CASE("another payload, and a result that cannot be stored", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  struct Paid {
    std::string key;
    int amount;
  };
  auto pay = transactional<Paid>(*service.real, "k:#{key}", service.policy,
                                 [](typename TestType::Connection, const Paid& paid) { return paid.amount; });
  CHECK(pay({"k", 5}).value() == 5);
  CHECK(pay({"k", 5}).verdict() == Verdict::replayed);
  CHECK(pay({"k", 6}).verdict() == Verdict::key_reused);
  service.policy.result_bytes_max = 10;
  CHECK(service.call("large").verdict() == Verdict::result_unavailable);
  CHECK(service.rows("large") == 1);
  CHECK(service.call("large").verdict() == Verdict::result_unavailable);
  CHECK(service.runs == 1);
}

TEMPLATE_TEST_CASE("a live claim of a plain guard is waited for outside of a transaction [guard-17]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  const auto storage = database.storage();
  auto plain = service.policy;
  plain.fingerprint = service.policy.fingerprint = false;
  auto owner = Guard::claim(*storage, "k:k", plain).value();
  REQUIRE(owner.acquired());
  const auto busy = service.call("k");
  CHECK(busy.verdict() == Verdict::in_progress);
  CHECK(busy.retry_after() > Duration::zero());
  service.policy.on_busy = OnBusy::wait;
  service.policy.wait_limit = 30s;
  // The owner completes while the caller has a transaction open: it must not have to wait for its patience.
  std::thread completes;
  bool recorded = false;
  service.transactions.on_point([&](std::string_view point) {
    if (point != "begun" || completes.joinable()) return;
    completes = std::thread([&] { recorded = owner.complete("the owner's").recorded; });
  });
  const auto began = std::chrono::steady_clock::now();
  const auto outcome = service.call("k");
  CHECK(outcome.verdict() == Verdict::replayed);
  CHECK(outcome.value() == "the owner's");
  CHECK(service.runs == 0);
  completes.join();
  CHECK(recorded);
  CHECK(std::chrono::steady_clock::now() - began < 20s);
}

TEMPLATE_TEST_CASE("many threads and processes with one service: each key has one row [guard-13] [guard-14]",
                   "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  constexpr int processes = 3;
  constexpr int threads = 3;
  constexpr int keys = 12;
  const TestType database;
  { const Service<TestType> creator(database); }
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    children.push_back(fault::start([&] {
      const auto transactions = database.transactions();
      const Policy policy{.operation = "tx", .on_busy = OnBusy::wait, .wait_limit = 60s, .record_limit = 60s};
      auto guarded = transactional<Ask>(*transactions, "k:#{key}", policy,
                                        [](typename TestType::Connection connection, const Ask& ask) {
                                          TestType::insert(connection, ask.key);
                                        });
      std::atomic<int> untold = 0;
      std::vector<std::thread> callers;
      for (int t = 0; t < threads; ++t) {
        callers.emplace_back([&] {
          for (int key = 0; key < keys; ++key) untold += guarded({std::to_string(key)}).has_value() ? 0 : 1;
        });
      }
      for (auto& caller : callers) caller.join();
      if (untold != 0) throw std::runtime_error("not told");
    }));
  }
  for (const auto child : children) CHECK_FALSE(fault::was_killed(child));
  Service<TestType> after(database);
  for (int key = 0; key < keys; ++key) CHECK(after.rows(std::to_string(key)) == 1);
}

TEST_CASE("a policy that makes no sense in a transaction is refused when it is built") {
  const fault::Sqlite database;
  const auto transactions = database.transactions();
  const auto handler = [](SQLite::Database&, const Ask&) {};
  const auto refused = [&](const Policy& policy) {
    CHECK_THROWS_AS(transactional<Ask>(*transactions, "k:#{key}", policy, handler), std::invalid_argument);
  };
  refused({.auto_renew = true});
  refused({.on_stale = OnStale::reconcile});
  refused({.on_storage_down = OnStorageDown::fail_open});
  refused({.acknowledge = Acknowledge::post});
  refused({.lease = 0s});
  const auto other = database.storage();
  refused({.storage = other.get()});
}

#ifdef ONCEWARD_TEST_MARIADB
namespace {

/// As a query, and as a statement that is closed before anybody asks what went wrong.
void touch(MYSQL* connection, const std::string& row, bool prepared) {
  const auto sql = "UPDATE grants SET k = k WHERE k = '" + row + "'";
  if (!prepared) return fault::Mariadb::execute(connection, sql);
  const std::unique_ptr<MYSQL_STMT, my_bool (*)(MYSQL_STMT*)> statement(mysql_stmt_init(connection),
                                                                        &mysql_stmt_close);
  if (mysql_stmt_prepare(statement.get(), sql.c_str(), sql.size()) != 0 ||
      mysql_stmt_execute(statement.get()) != 0)
    throw std::runtime_error(mysql_stmt_error(statement.get()));
}

}  // namespace

TEST_CASE("calls whose handlers deadlock are repeated until each has run [guard-64]") {
  ONCEWARD_NEEDS(fault::Mariadb)
  for (const bool prepared : {false, true}) {
    const fault::Mariadb database;
    Service<fault::Mariadb> setup(database);
    {
      auto transaction = setup.real->begin().value();
      for (const auto* row : {"a", "b"}) fault::Mariadb::insert(transaction->connection(), row);
      REQUIRE(transaction->commit());
    }
    std::atomic<int> runs = 0;
    std::latch both(2);
    const auto crossing = [&](const std::string& key, const std::string& first, const std::string& second) {
      Service<fault::Mariadb> service(database);
      service.policy.record_limit = 30s;
      bool met = false;
      return service.call(key, [&](MYSQL* connection, const Ask&, Attempt&) -> Result<std::string> {
        ++runs;
        touch(connection, first, prepared);
        if (!std::exchange(met, true)) both.arrive_and_wait();
        touch(connection, second, prepared);
        return std::string("done");
      });
    };
    // Keys of two shards, so that they meet at the rows alone.
    const auto storage = database.storage();
    std::string other = "k2";
    const auto shard = [&](const std::string& key) {
      return storage->shard_of(guard_partition("tx", "k:" + key));
    };
    while (shard(other) == shard("k1")) other += '.';
    std::optional<Outcome<std::string>> one;
    std::thread thread([&] { one = crossing("k1", "a", "b"); });
    const auto two = crossing(other, "b", "a");
    thread.join();
    CHECK(one->verdict() == Verdict::executed);
    CHECK(two.verdict() == Verdict::executed);
    CHECK(runs > 2);
    CHECK(setup.rows("k1") == 1);
    CHECK(setup.rows(other) == 1);
  }
}

TEST_CASE("a handler that goes on after a deadlock has undone its transaction is told so loudly") {
  ONCEWARD_NEEDS(fault::Mariadb)
  const fault::Mariadb database;
  Service<fault::Mariadb> service(database);
  Service<fault::Mariadb> other(database);
  {
    auto transaction = service.real->begin().value();
    for (const auto* row : {"a", "b"}) fault::Mariadb::insert(transaction->connection(), row);
    REQUIRE(transaction->commit());
  }
  auto rival = other.real->begin().value();
  // Of the two the server undoes the lighter one: the rival has many rows.
  for (int i = 0; i < 50; ++i) fault::Mariadb::insert(rival->connection(), "r" + std::to_string(i));
  touch(rival->connection(), "a", false);
  std::thread thread;
  std::atomic<bool> undone = false;
  const auto swallow = [&](MYSQL* connection, const Ask&, Attempt&) -> Result<std::string> {
    touch(connection, "b", false);
    thread = std::thread([&] { touch(rival->connection(), "b", false); });
    try {
      touch(connection, "a", false);
    } catch (const std::runtime_error&) {
      undone = true;
    }
    return std::string("as if nothing had happened");
  };
  CHECK_THROWS_AS(service.call("k", swallow), std::logic_error);
  thread.join();
  rival->rollback();
  CHECK(undone);
  CHECK(service.rows("k") == 0);
  CHECK_FALSE(service.has_record("k"));
}

TEST_CASE("a server that is killed in mid-transaction and comes back costs a repetition [guard-63]") {
  MariadbServer server;
  if (server.missing()) return;
  REQUIRE(server.command("CREATE TABLE grants (k VARCHAR(64)) ENGINE = InnoDB"));
  auto options = server.options();
  const auto transactions = mariadb::transactions(options).value();
  int runs = 0;
  const Policy policy{.operation = "tx", .record_limit = 60s};
  auto guarded =
      transactional<Ask>(*transactions, "k:#{key}", policy, [&](MYSQL* connection, const Ask& ask) {
        fault::Mariadb::insert(connection, ask.key);
        if (++runs == 1) {
          server.kill();
          server.start();
        }
      });
  CHECK(guarded({"k"}).verdict() == Verdict::executed);
  CHECK(runs == 2);
  server.kill();
  server.start();
  CHECK(guarded({"k"}).verdict() == Verdict::replayed);
  auto transaction = transactions->begin().value();
  CHECK(fault::Mariadb::rows(transaction->connection(), "k") == 1);
}
#endif
