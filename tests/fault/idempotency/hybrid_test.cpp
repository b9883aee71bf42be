// Hybrid calls: a fast storage before the database, lost, flushed and away at every step. It costs the way to
// the database and never a row.
#include <onceward/idempotency/operator.hpp>
#include <onceward/idempotency/transaction.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "databases.hpp"
#ifdef ONCEWARD_TEST_REDIS
#include "support/redis_server.hpp"
#endif

#include <atomic>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FaultyStorage;

namespace {

struct Ask {
  std::string key;
  int amount = 1;
};
using Database = fault::Sqlite;
using Faulty = testing::FaultyTransactions<Database::Connection>;
using Handler = std::function<Result<std::string>(const Ask&)>;

/// A storage that belongs to somebody else.
class Borrowed final : public Storage {
 public:
  explicit Borrowed(Storage& owner) noexcept : owner_(owner) {}
  Result<CommitAnswer> commit(std::span<const Batch> batches) override { return owner_.commit(batches); }
  Result<ReadAnswer> read(std::span<const RecordRef> records) override { return owner_.read(records); }
  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    return owner_.scan(partition, prefix, cursor, limit);
  }
  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    return owner_.due(shards, limit);
  }
  [[nodiscard]] Shard shard_count() const noexcept override { return owner_.shard_count(); }

 private:
  Storage& owner_;
};

struct Service {
  std::unique_ptr<Transactions<Database::Connection>> real;
  Faulty transactions;
  FastPath fast;
  Policy policy{.operation = "hy", .lease = 30s, .retention = 24h, .record_limit = 2s};
  int runs = 0;

  Service(const Database& database, std::function<Result<std::unique_ptr<Storage>>()> open,
          FastPathOptions options = {.rest = 1us})
      : real(database.transactions()), transactions(*real), fast(std::move(open), options) {}

  Outcome<std::string> call(const Ask& ask, const Handler& then) {
    auto guarded = hybrid<Ask>(fast, transactions, "k:#{key}", policy,
                               [&](Database::Connection connection, const Ask& asked) -> Result<std::string> {
                                 ++runs;
                                 Database::insert(connection, asked.key);
                                 return then(asked);
                               });
    return guarded(ask);
  }
  Outcome<std::string> call(const std::string& key) {
    return call({key}, [](const Ask& ask) { return "row of " + ask.key; });
  }
  int rows(const std::string& key) {
    auto transaction = real->begin().value();
    return Database::rows(transaction->connection(), key);
  }
};

/// The fast storage in memory, with faults; a flush is another memory.
struct Memory {
  std::unique_ptr<Storage> memory = open_memory().value();
  std::optional<FaultyStorage> faulty{std::in_place, *memory};
  int opened = 0;

  std::function<Result<std::unique_ptr<Storage>>()> open() {
    return [this]() -> Result<std::unique_ptr<Storage>> {
      ++opened;
      return std::unique_ptr<Storage>(std::make_unique<Borrowed>(*faulty));
    };
  }
  std::optional<KeyView> view(const std::string& key) {
    return GuardOperator(*memory).inspect("hy", "k:" + key).value();
  }
};

}  // namespace

TEST_CASE("a replay that the fast storage knows never touches the database") {
  const Database database;
  Memory memory;
  Service service(database, memory.open());
  const auto first = service.call("k");
  CHECK(first.verdict() == Verdict::executed);
  CHECK(service.transactions.begun() == 1);
  const auto second = service.call("k");
  CHECK(second.verdict() == Verdict::replayed);
  CHECK(second.value() == "row of k");
  CHECK(second.fence() == first.fence());  // the database's, not the fast storage's
  CHECK(second.attempt() == first.attempt());
  CHECK(service.transactions.begun() == 1);
  CHECK(service.call({"e"}, [](const Ask&) { return fail(ErrorCode::conflict, "no"); }).error());
  const auto begun = service.transactions.begun();
  CHECK(service.call("e").error()->message == "no");
  CHECK(service.transactions.begun() == begun);
  CHECK(memory.opened == 1);
}

TEST_CASE("the fast storage is told after COMMIT and never before") {
  const Database database;
  Memory memory;
  Service service(database, memory.open());
  std::vector<KeyStanding> seen;
  service.transactions.on_point([&](std::string_view) { seen.push_back(memory.view("k")->standing); });
  REQUIRE(service.call("k").verdict() == Verdict::executed);
  CHECK(seen == std::vector(4, KeyStanding::claimed));  // begin, begun, commit.before, commit.after
  CHECK(memory.view("k")->standing == KeyStanding::done);
  service.transactions.on_point({});
  service.policy.record_limit = 20ms;
  service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
  service.transactions.fail_begins(ErrorCode::unavailable, 1000, 1);
  CHECK(service.call("lost").verdict() == Verdict::in_doubt);
  service.transactions.fail_begins(ErrorCode::unavailable, 0);
  CHECK(memory.view("lost")->standing == KeyStanding::released);
  CHECK_THROWS(
      service.call({"throws"}, [](const Ask&) -> Result<std::string> { throw std::domain_error("no"); }));
  CHECK(memory.view("throws")->standing == KeyStanding::released);
  CHECK(service.call("throws").attempt() == 2);  // the database counts
}

TEST_CASE("a caller at work is seen in the fast storage, and waited for there [guard-16] [guard-17]") {
  const Database database;
  Memory memory;
  Service service(database, memory.open());
  Service other(database, memory.open());
  std::optional<Outcome<std::string>> waited;
  std::thread waiter;
  const auto outcome = service.call({"k"}, [&](const Ask&) -> Result<std::string> {
    const auto busy = other.call("k");
    CHECK(busy.verdict() == Verdict::in_progress);
    CHECK(busy.retry_after() > Duration::zero());
    CHECK(other.transactions.begun() == 0);
    waiter = std::thread([&] {
      other.policy.on_busy = OnBusy::wait;
      waited = other.call("k");
    });
    return std::string("the first's");
  });
  waiter.join();
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(waited->verdict() == Verdict::replayed);
  CHECK(waited->value() == "the first's");
  CHECK(service.rows("k") == 1);
}

TEST_CASE("a fast storage that fails at any call costs no row and no verdict") {
  const Database database;
  int number = 0;
  for (const auto code :
       {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::in_doubt, ErrorCode::corrupt}) {
    for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
      for (const auto call : {FaultyStorage::Call::commit, FaultyStorage::Call::read}) {
        for (std::size_t skip = 0; skip < 3; ++skip) {
          Memory memory;
          Service service(database, memory.open(), {.lease = 1ms, .rest = 1us});
          service.policy.on_busy = OnBusy::wait;  // for the claim that stands where an outcome was not told
          memory.faulty->fail_calls(call, fault, code, 1, skip);
          const auto key = std::to_string(++number);
          CHECK(service.call(key).verdict() == Verdict::executed);
          memory.faulty->fail_calls(call, fault, code, 1, skip);
          const auto again = service.call(key);
          CHECK(again.verdict() == Verdict::replayed);
          CHECK(again.value() == "row of " + key);
          CHECK(service.runs == 1);
          CHECK(service.rows(key) == 1);
        }
      }
    }
  }
}

TEST_CASE("a fast storage that is emptied at any step costs no row, and is told again") {
  const Database database;
  for (const std::string step : {"begin", "begun", "work", "commit.before", "commit.after"}) {
    Memory memory;
    Service service(database, memory.open());
    const auto empty = [&] {
      GuardOperator keys(*memory.memory);
      (void)keys.forget("hy", "k:" + step, {.actor = "test", .reason = "a flush", .force = true}).value();
    };
    service.transactions.on_point([&](std::string_view point) {
      if (point == step) empty();
    });
    CHECK(service
              .call({step},
                    [&](const Ask&) -> Result<std::string> {
                      if (step == "work") empty();
                      return std::string("done");
                    })
              .verdict() == Verdict::executed);
    service.transactions.on_point({});
    CHECK_FALSE(memory.view(step));
    CHECK(service.call(step).verdict() == Verdict::replayed);  // by the database, which tells it again
    const auto begun = service.transactions.begun();
    CHECK(service.call(step).value() == "done");
    CHECK(service.transactions.begun() == begun);
    CHECK(service.runs == 1);
    CHECK(service.rows(step) == 1);
  }
}

TEST_CASE("two callers who do not see each other in the fast storage meet in the database") {
  const Database database;
  Memory memory;
  Service service(database, memory.open());
  Service other(database, memory.open());
  std::optional<Outcome<std::string>> second;
  std::thread thread;
  const auto outcome = service.call({"k"}, [&](const Ask&) -> Result<std::string> {
    memory.memory = open_memory().value();
    memory.faulty.emplace(*memory.memory);
    thread = std::thread([&] { second = other.call("k"); });
    while (!memory.view("k")) std::this_thread::yield();  // it has claimed, and is on its way to the database
    return std::string("the first's");
  });
  thread.join();
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(second->verdict() == Verdict::replayed);
  CHECK(second->value() == "the first's");
  CHECK(service.rows("k") == 1);
}

TEST_CASE("what the fast storage holds of another payload, or in doubt, the database decides [guard-40]") {
  const Database database;
  Memory memory;
  Service service(database, memory.open());
  CHECK(service.call({"k", 1}, [](const Ask&) { return fail(ErrorCode::unavailable, "away"); }).error());
  // The first one left nothing in the database but that it was tried: another payload may run.
  CHECK(service.call({"k", 2}, [](const Ask&) { return std::string("2"); }).value() == "2");
  CHECK(service.call({"k", 1}, [](const Ask&) { return std::string("1"); }).verdict() == Verdict::key_reused);
  CHECK(service.call({"k", 2}, [](const Ask&) { return std::string("3"); }).value() == "2");
  CHECK(service.runs == 2);
  CHECK(service.rows("k") == 1);
}

TEST_CASE("a caller that dies leaves a claim in the fast storage no longer than its lease [guard-26]") {
  const Database database;
  Memory memory;
  auto policy = Policy{.operation = "hy", .lease = 50ms, .retention = 24h, .fingerprint = false};
  memory.faulty->fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                            1, 1);
  (void)Guard::claim(*memory.faulty, "k:k", policy);  // not given back
  REQUIRE(memory.view("k")->standing == KeyStanding::claimed);
  Service service(database, memory.open());
  service.policy.fingerprint = false;
  service.policy.on_busy = OnBusy::wait;
  CHECK(service.call("k").verdict() == Verdict::executed);
}

TEST_CASE("the fast storage forgets no later than the database [guard-9]") {
  const Database database;
  Memory memory;
  Service service(database, memory.open(), {.retention = 1s, .rest = 1us});
  REQUIRE(service.call("short").verdict() == Verdict::executed);
  CHECK(*memory.view("short")->left <= 1s);
  Service longer(database, memory.open());
  longer.policy.retention = 10s;
  longer.policy.lease = 5s;
  REQUIRE(longer.call("k").verdict() == Verdict::executed);
  const auto in_database = GuardOperator(*database.storage()).inspect("hy", "k:k").value();
  CHECK(*memory.view("k")->left <= *in_database->left + 1ms);  // asked a moment earlier
}

TEST_CASE("a fast storage that cannot be opened is left alone for a while, and the calls run") {
  const Database database;
  int asked = 0;
  Service service(database,
                  [&]() -> Result<std::unique_ptr<Storage>> {
                    ++asked;
                    return fail(ErrorCode::unavailable, "no server");
                  },
                  {.rest = 1h});
  CHECK(service.call("k").verdict() == Verdict::executed);
  CHECK(service.call("k").verdict() == Verdict::replayed);
  CHECK(asked == 1);
  CHECK(service.fast.last_error()->message == "no server");
  CHECK_THROWS_AS(FastPath({}), std::invalid_argument);
  const auto open = [] { return open_memory(); };
  CHECK_THROWS_AS(FastPath(open, {.rest = 0s}), std::invalid_argument);
  CHECK_THROWS_AS(FastPath(open, {.retention = 1ms}), std::invalid_argument);
  CHECK_THROWS_AS(FastPath(open, {.lease = 0s}), std::invalid_argument);
}

#ifdef ONCEWARD_TEST_REDIS
TEST_CASE("Redis killed, flushed and started anew at every step costs speed alone [guard-57] [guard-59]") {
  RedisServer server;
  if (server.missing()) {
    WARN("no Redis server on this machine: left out");
    return;
  }
  const Database database;
  const auto open = [&] {
    auto options = server.options();
    options.timeout = options.connect_timeout = 200ms;
    return redis::open(options);
  };
  Service service(database, open, {.lease = 20ms, .rest = 1us});
  service.policy.on_busy = OnBusy::wait;  // for the claim that stands where an outcome was not told
  int number = 0;
  using Harm = std::function<void()>;
  const Harm flush = [&] { (void)server.command("FLUSHALL"); };
  const Harm restart = [&] {
    server.kill();
    server.start();
  };
  const Harm kill = [&] { server.kill(); };
  const Harm scripts = [&] { (void)server.command("SCRIPT FLUSH"); };
  for (const auto* harm : {&flush, &restart, &kill, &scripts}) {
    for (const std::string step :
         {"before", "begin", "begun", "work", "commit.before", "commit.after", "after"}) {
      const auto key = std::to_string(++number);
      INFO(step << " " << number);
      service.runs = 0;
      if (step == "before") (*harm)();
      service.transactions.on_point([&](std::string_view point) {
        if (point == step) (*harm)();
      });
      const auto first = service.call({key}, [&](const Ask&) -> Result<std::string> {
        if (step == "work") (*harm)();
        return std::string("done");
      });
      service.transactions.on_point({});
      CHECK(first.verdict() == Verdict::executed);
      if (step == "after") (*harm)();
      CHECK(service.call(key).value() == "done");
      CHECK(service.runs == 1);
      CHECK(service.rows(key) == 1);
      if (!server.runs()) server.start();
      // What it lost it learns again: the second of these replays is its own.
      const auto until = std::chrono::steady_clock::now() + 10s;
      for (;;) {
        const auto begun = service.transactions.begun();
        CHECK(service.call(key).value() == "done");
        if (service.transactions.begun() == begun) break;
        REQUIRE(std::chrono::steady_clock::now() < until);
      }
    }
  }
}

TEST_CASE(
    "processes with a hybrid service, some killed, while Redis is flushed: each key has one row [guard-14]") {
  const RedisServer server;
  if (server.missing()) return;
  constexpr int processes = 6;
  constexpr int keys = 30;
  const Database database;
  { const auto creator = database.transactions(); }
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    children.push_back(fault::start([&, i] {
      Service service(database, [&] {
        auto options = server.options();
        options.timeout = 200ms;
        return redis::open(options);
      });
      service.policy = {.operation = "hy",
                        .lease = 30s,
                        .retention = 24h,
                        .on_busy = OnBusy::wait,
                        .wait_limit = 60s,
                        .record_limit = 60s};
      int points = 0;
      service.transactions.on_point([&](std::string_view) {
        if (i < 3 && ++points == 20 + 9 * i) std::raise(SIGKILL);
      });
      for (int key = 0; key < keys; ++key) {
        if (key % 10 == i) (void)server.command("FLUSHALL");
        if (service.call(std::to_string(key)).value() != "row of " + std::to_string(key))
          throw std::runtime_error("another outcome");
      }
    }));
  }
  int killed = 0;
  for (const auto child : children) killed += fault::was_killed(child) ? 1 : 0;
  INFO(killed << " processes were killed");
  Service after(database, [] { return open_memory(); });
  for (int key = 0; key < keys; ++key) CHECK(after.rows(std::to_string(key)) == 1);
}
#endif
