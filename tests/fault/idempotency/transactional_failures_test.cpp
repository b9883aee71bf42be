// Transactional calls whose work fails: the outcome is recorded in the very transaction that held the key, so
// that nobody who waits for it gets in between.
#include "transactional_service.hpp"

#include <latch>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

using fault::Ask;
using fault::Service;

namespace {

/// Another caller of the same key, with connections of its own, that waits while the first one is at work.
template <class Database>
class Rival {
 public:
  using Handler = typename Service<Database>::Handler;

  explicit Rival(const Database& database) : service_(database) {
    service_.transactions.on_point([this](std::string_view point) {
      if (point == "begin" && !std::exchange(asked_, true)) asks_.count_down();
    });
  }
  ~Rival() { end(); }
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;

  /// Returns when the call is about to wait for the first one's transaction.
  void call(const std::string& key) {
    thread_ = std::thread([this, key] {
      outcome = service_.call(key, [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
        attempt.effects_started();
        return std::string("the rival's");
      });
    });
    asks_.wait();
    std::this_thread::sleep_for(50ms);  // it waits by now; right either way
  }
  void end() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] int runs() const { return service_.runs; }
  std::optional<Outcome<std::string>> outcome{};

 private:
  Service<Database> service_;
  bool asked_ = false;
  std::latch asks_{1};
  std::thread thread_;
};

const auto throws_after_effects = [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
  attempt.effects_started();
  throw std::domain_error("the line is dead");
};
const auto is_away = [](auto&&...) { return fail(ErrorCode::unavailable, "bank closed"); };

}  // namespace

TEMPLATE_TEST_CASE(
    "who waits for a call whose work throws after its effects finds the key in doubt [guard-34]", "",
    ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  Rival<TestType> rival(database);
  int begins = 0;
  service.transactions.on_point([&](std::string_view point) {
    if (point == "begin" && ++begins == 2) rival.end();  // a later transaction would find it gone through
  });
  CHECK_THROWS_AS(service.call("k",
                               [&](auto&& connection, auto&& ask, Attempt& attempt) -> Result<std::string> {
                                 rival.call("k");
                                 return throws_after_effects(connection, ask, attempt);
                               }),
                  std::domain_error);
  rival.end();
  CHECK(begins == 1);
  CHECK(rival.runs() == 0);
  CHECK(rival.outcome->verdict() == Verdict::in_doubt);
  CHECK(service.rows("k") == 0);
  CHECK(service.call("k").verdict() == Verdict::in_doubt);
}

TEMPLATE_TEST_CASE("who waits for a call that ends with a final error gets that error [guard-11]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  Rival<TestType> rival(database);
  int begins = 0;
  service.transactions.on_point([&](std::string_view point) {
    if (point == "begin" && ++begins == 2) rival.end();
  });
  const auto outcome = service.call("k", [&](auto&&...) -> Result<std::string> {
    rival.call("k");
    return fail(ErrorCode::conflict, "no such user");
  });
  rival.end();
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(outcome.error()->message == "no such user");
  CHECK(outcome.recorded());
  CHECK(rival.runs() == 0);
  CHECK(rival.outcome->verdict() == Verdict::replayed);
  CHECK(rival.outcome->error()->message == "no such user");
  CHECK(service.rows("k") == 0);
}

TEMPLATE_TEST_CASE("a key is run as often as the policy allows, whether its work throws or fails [guard-12]",
                   "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  service.policy.attempts_max = 3;
  std::vector<int> attempts;
  const auto fails = [&](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
    attempts.push_back(attempt.number());
    if (attempts.size() == 2) throw std::domain_error("no");
    return fail(ErrorCode::unavailable, "bank closed");
  };
  const auto first = service.call("k", fails);
  CHECK(first.error()->message == "bank closed");
  CHECK(first.attempt() == 1);
  CHECK_THROWS_AS(service.call("k", fails), std::domain_error);
  CHECK(service.call("k", fails).attempt() == 3);
  const auto last = service.call("k", fails);
  CHECK(last.verdict() == Verdict::attempts_exhausted);
  CHECK(attempts == std::vector{1, 2, 3});
  CHECK(service.rows("k") == 0);
}

TEMPLATE_TEST_CASE("a process that is killed while its failure is recorded leaves nothing [guard-63]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  int number = 0;
  for (const std::string_view moment : {"undone", "commit.before", "commit.after"}) {
    const auto key = std::to_string(++number);
    REQUIRE(fault::was_killed(fault::start([&] {
      Service<TestType> service(database);
      service.transactions.on_point([&](std::string_view point) {
        if (point == moment) std::raise(SIGKILL);
      });
      (void)service.call(key, is_away);
    })));
    INFO(moment);
    Service<TestType> after(database);
    const bool recorded = moment == "commit.after";
    CHECK(after.rows(key) == 0);
    CHECK(after.has_record(key) == recorded);
    CHECK(after.call(key).attempt() == (recorded ? 2 : 1));
    CHECK(after.rows(key) == 1);
  }
}

TEMPLATE_TEST_CASE("work whose transaction is lost before its failure is recorded", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  for (const auto code : {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::exhausted}) {
    Service<TestType> service(database);
    const auto key = [&](const char* name) { return name + std::to_string(static_cast<int>(code)); };
    const auto no_such_user = [](auto&&...) { return fail(ErrorCode::conflict, "no such user"); };
    // A retryable failure leaves nothing behind: this attempt is not counted.
    service.transactions.fail_undos(code);
    CHECK(service.call(key("away"), is_away).error()->message == "bank closed");
    CHECK_FALSE(service.has_record(key("away")));
    service.transactions.fail_undos(code);
    const auto throws = [](auto&&...) -> Result<std::string> { throw std::domain_error("no"); };
    CHECK_THROWS_AS(service.call(key("throws"), throws), std::domain_error);
    CHECK(service.call(key("throws")).attempt() == 1);
    // What must be remembered is, in the next transaction, also where that one fails or cannot be had.
    service.transactions.fail_undos(code);
    service.transactions.fail_begins(ErrorCode::unavailable, 2, 1);
    CHECK(service.call(key("final"), no_such_user).recorded());
    CHECK(service.call(key("final")).error()->message == "no such user");
    service.transactions.fail_undos(code);
    service.transactions.fail_begins(ErrorCode::unavailable, 2, 1);
    service.transactions.fail_commits(Faulty::Fault::before, ErrorCode::in_doubt);
    CHECK_THROWS_AS(service.call(key("effects"), throws_after_effects), std::domain_error);
    CHECK(service.call(key("effects")).verdict() == Verdict::in_doubt);
    CHECK(service.rows(key("effects")) == 0);
  }
}

TEMPLATE_TEST_CASE("a COMMIT of an error that fails is repeated without another run", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  using Faulty = typename Service<TestType>::Faulty;
  const TestType database;
  Service<TestType> service(database);
  for (const auto fault : {Faulty::Fault::before, Faulty::Fault::after}) {
    const std::string key = fault == Faulty::Fault::before ? "before" : "after";
    const int before = service.runs;
    service.transactions.fail_commits(fault, ErrorCode::in_doubt);
    CHECK(service.call(key, [](auto&&...) { return fail(ErrorCode::conflict, "no"); }).recorded());
    service.transactions.fail_commits(fault, ErrorCode::in_doubt);
    CHECK_THROWS_AS(service.call("effects " + key, throws_after_effects), std::domain_error);
    CHECK(service.runs == before + 2);
    CHECK(service.call(key).error()->message == "no");
    CHECK(service.call("effects " + key).verdict() == Verdict::in_doubt);
    // Given back: whether it is counted may be lost, and nothing waits for that.
    service.transactions.fail_commits(fault, ErrorCode::in_doubt);
    CHECK(service.call("away " + key, is_away).error()->message == "bank closed");
    CHECK(service.call("away " + key).attempt() == (fault == Faulty::Fault::before ? 1 : 2));
  }
}

TEMPLATE_TEST_CASE("who ran with effects and finds another's outcome is told that it lost the key [guard-30]",
                   "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  Service<TestType> other(database);
  int begins = 0;
  service.transactions.on_point([&](std::string_view point) {
    if (point == "begin" && ++begins == 2) CHECK(other.call("k").verdict() == Verdict::executed);
  });
  service.transactions.fail_undos(ErrorCode::timeout);
  const auto outcome = service.call("k", [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
    attempt.effects_started();
    return fail(ErrorCode::in_doubt, "no answer");
  });
  CHECK(outcome.verdict() == Verdict::lease_lost);
  CHECK(outcome.error()->message == "no answer");
  CHECK(service.call("k").value() == "row of k");
}

TEMPLATE_TEST_CASE("a handler that ends its transaction and fails records nothing that is not so", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  service.policy.record_limit = 50ms;
  using Code = ErrorCode;
  const auto ends = [&](const std::string& how, std::optional<Code> code, bool effects = false) {
    return [=](auto&& connection, auto&&, Attempt& attempt) -> Result<std::string> {
      if (effects) attempt.effects_started();
      TestType::execute(connection, how);
      if (!code) throw std::domain_error("no");
      return fail(*code, "failed");
    };
  };
  for (const auto code : {Code::unavailable, Code::conflict, Code::in_doubt}) {
    const auto key = "commit" + std::to_string(static_cast<int>(code));
    CHECK_THROWS_AS(service.call(key, ends("COMMIT", code)), std::logic_error);
    // Its rows are there, and nobody says how it ended: the claim stands until its lease has passed.
    CHECK(service.rows(key) == 1);
    CHECK(service.call(key).verdict() == Verdict::in_progress);
  }
  CHECK_THROWS_AS(service.call("thrown", ends("COMMIT", {})), std::exception);
  CHECK(service.call("thrown").verdict() == Verdict::in_progress);
  CHECK_THROWS_AS(service.call("effects", ends("COMMIT", {}, true)), std::exception);
  CHECK(service.call("effects").verdict() == Verdict::in_progress);

  CHECK_THROWS_AS(service.call("rolled", ends("ROLLBACK", {}, true)), std::domain_error);
  CHECK(service.call("rolled").verdict() == Verdict::in_doubt);
  CHECK(service.rows("rolled") == 0);
}

TEMPLATE_TEST_CASE("a handler that begins another transaction behind its own is told so loudly", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  const auto swaps = [](const std::string& end, bool effects) {
    return [=](auto&& connection, auto&&, Attempt& attempt) -> Result<std::string> {
      if (effects) attempt.effects_started();
      TestType::execute(connection, end);
      TestType::execute(connection, "BEGIN");
      TestType::insert(connection, "second");
      return std::string("as if nothing had happened");
    };
  };
  CHECK_THROWS_AS(service.call("r", swaps("ROLLBACK", false)), std::logic_error);
  CHECK(service.rows("r") == 0);
  CHECK_FALSE(service.has_record("r"));
  CHECK_THROWS_AS(service.call("c", swaps("COMMIT", false)), std::logic_error);
  CHECK(service.call("c").verdict() == Verdict::in_progress);
  CHECK_THROWS_AS(service.call("e", swaps("ROLLBACK", true)), std::logic_error);
  CHECK(service.call("e").verdict() == Verdict::in_doubt);
  CHECK(service.rows("second") == 0);
}

#ifdef ONCEWARD_TEST_MARIADB
TEST_CASE("a deadlock that ends in an error with effects outside is left in doubt [guard-34]") {
  ONCEWARD_NEEDS(fault::Mariadb)
  const fault::Mariadb database;
  Service<fault::Mariadb> service(database);
  Service<fault::Mariadb> other(database);
  {
    auto transaction = service.real->begin().value();
    for (const auto* row : {"a", "b"}) fault::Mariadb::insert(transaction->connection(), row);
    REQUIRE(transaction->commit());
  }
  const auto touch = [](MYSQL* connection, const std::string& row) {
    fault::Mariadb::execute(connection, "UPDATE grants SET k = k WHERE k = '" + row + "'");
  };
  auto rival = other.real->begin().value();
  // Of the two the server undoes the lighter one: the rival has many rows.
  for (int i = 0; i < 50; ++i) fault::Mariadb::insert(rival->connection(), "r" + std::to_string(i));
  touch(rival->connection(), "a");
  std::thread thread;
  CHECK_THROWS_AS(service.call("k",
                               [&](MYSQL* connection, const Ask&, Attempt& attempt) -> Result<std::string> {
                                 attempt.effects_started();
                                 touch(connection, "b");
                                 thread = std::thread([&] { touch(rival->connection(), "b"); });
                                 touch(connection, "a");
                                 return std::string("not reached");
                               }),
                  std::runtime_error);
  thread.join();
  rival->rollback();
  CHECK(service.runs == 1);
  CHECK(service.rows("k") == 0);
  CHECK(service.call("k").verdict() == Verdict::in_doubt);
}

TEST_CASE("a server that is killed while the work fails keeps what it must remember [guard-63]") {
  MariadbServer server;
  if (server.missing()) return;
  REQUIRE(server.command("CREATE TABLE grants (k VARCHAR(64)) ENGINE = InnoDB"));
  const auto transactions = mariadb::transactions(server.options()).value();
  int runs = 0;
  const Policy policy{.operation = "tx", .on_stale = OnStale::in_doubt, .record_limit = 60s};
  auto guarded = transactional<Ask>(*transactions, "k:#{key}", policy,
                                    [&](MYSQL* connection, const Ask& ask, Attempt& attempt) -> Result<int> {
                                      fault::Mariadb::insert(connection, ask.key);
                                      ++runs;
                                      if (ask.key == "effects") attempt.effects_started();
                                      server.kill();
                                      server.start();
                                      if (ask.key == "effects") throw std::domain_error("the line is dead");
                                      return fail(ErrorCode::conflict, "no such user");
                                    });
  CHECK_THROWS_AS(guarded({"effects"}), std::domain_error);
  CHECK(guarded({"effects"}).verdict() == Verdict::in_doubt);
  CHECK(guarded({"final"}).recorded());
  CHECK(guarded({"final"}).error()->message == "no such user");
  CHECK(runs == 2);
}
#endif

TEMPLATE_TEST_CASE("an error that could be tried again, after effects outside, leaves the key in doubt", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  service.policy.on_stale = OnStale::in_doubt;
  const auto outcome = service.call("k", [](auto&&, auto&&, Attempt& attempt) -> Result<std::string> {
    attempt.effects_started();
    return fail(ErrorCode::unavailable, "bank closed");
  });
  CHECK(outcome.verdict() == Verdict::in_doubt);
  CHECK(service.call("k").verdict() == Verdict::in_doubt);
  CHECK(service.runs == 1);
}

TEMPLATE_TEST_CASE("commits that go on failing end a call in its record_limit", "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  service.policy.record_limit = 300ms;
  service.transactions.fail_commits(decltype(service.transactions)::Fault::before, ErrorCode::unavailable,
                                    1'000'000);
  const auto began = std::chrono::steady_clock::now();
  const auto outcome = service.call("k");
  CHECK(std::chrono::steady_clock::now() - began < 3s);
  CHECK(outcome.verdict() == Verdict::in_doubt);
  CHECK_FALSE(outcome.recorded());
}
