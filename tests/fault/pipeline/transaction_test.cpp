// tx steps: their rows and the record that they are done are both there or neither, whenever their process
// dies.
#include <onceward/pipeline/runner.hpp>
#include <onceward/testing/faulty_transactions.hpp>

#include "../idempotency/databases.hpp"
#include "support/catch.hpp"
#include "support/forked.hpp"

#include <csignal>
#include <random>
#include <set>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

using Moment = std::function<void()>;

/// Writes one row, named by its token.
template <class Database>
class Row final : public Step {
 public:
  explicit Row(Moment moment) : moment_(std::move(moment)) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "row@1", .effect = Effect::tx, .undo = true};
  }
  StepOutcome run(StepContext& step) override {
    moment_();
    Database::insert(step.connection<typename Database::Connection>(), std::string(step.token()));
    moment_();
    if (outcome) return outcome(step);
    return Done{};
  }
  StepOutcome undo(StepContext& step) override {
    Database::execute(step.connection<typename Database::Connection>(),
                      "DELETE FROM grants WHERE k = '" + std::string(step.done_token()) + "'");
    moment_();
    return Done{};
  }
  std::function<StepOutcome(StepContext&)> outcome{};

 private:
  Moment moment_;
};

/// One process of the service on a database.
template <class Database>
struct Service {
  using Connection = typename Database::Connection;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<Transactions<Connection>> real;
  testing::FaultyTransactions<Connection> transactions;
  StepRegistry registry;
  Row<Database>* row = nullptr;
  PlanCatalog catalog;
  std::unique_ptr<Runner> runner;
  std::optional<Plan> plan;

  explicit Service(
      const Database& database, const Moment& moment = [] {}, Duration lease = 30s)
      : storage(database.storage()), real(database.transactions()), transactions(*real) {
    auto made = std::make_unique<Row<Database>>(moment);
    row = made.get();
    registry.add(std::move(made)).value();
    plan = pipeline("rows")
               .recover(Recover::backward)
               .step("a", "row@1")
               .step("b", "row@1")
               .step("c", "row@1")
               .compile(registry)
               .value();
    catalog.add(*plan).value();
    transactions.on_point([moment](std::string_view) { moment(); });
    RunnerOptions options{.lease = lease};
    options.transactions = step_transactions<Connection>(transactions);
    runner = std::make_unique<Runner>(*storage, catalog, std::move(options));
  }
  RunView start(const std::string& key) { return runner->start(*plan, "p", key, Map()).value(); }
  RunView find(const std::string& key) { return runner->find("rows", "p", key).value().value(); }
  int rows(const std::string& key, const std::string& step) {
    auto transaction = real->begin().value();
    return Database::rows(transaction->connection(), step_token("onceward", "rows", "p", key, step));
  }
};

#define ONCEWARD_NEEDS(Database)                                  \
  if (Database::missing()) {                                      \
    WARN("no server of this database on this machine: left out"); \
    return;                                                       \
  }

constexpr const char* steps[] = {"a", "b", "c"};

}  // namespace

TEMPLATE_TEST_CASE("a tx step's row and its record are both there or neither, through 500 kills [pipeline-4]",
                   "", ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  std::mt19937 random(20111209);
  std::set<std::string> open;
  std::set<std::string> all;
  int kills = 0;
  for (int i = 0; kills < 500; ++i) {
    REQUIRE(i < 2'000);
    const auto key = std::to_string(i);
    // By a moment of the program, or at any time at all.
    const int fatal = i % 2 == 0 ? 1 + static_cast<int>(random() % 26) : 0;
    Forked child([&]() -> int {
      int moment = 0;
      Service<TestType> service(
          database,
          [&] {
            if (++moment == fatal) std::raise(SIGKILL);
          },
          20ms);
      service.start(key);
      while (fatal == 0) service.runner->work().value();
      service.runner->work().value();
      return 0;
    });
    if (fatal == 0) {
      std::this_thread::sleep_for(
          std::chrono::microseconds(static_cast<std::int64_t>(random() % 60'000)));  // when it dies is chance
      child.kill();
    }
    const int code = child.wait();
    kills += code == -1 ? 1 : 0;
    REQUIRE((code == -1 || code == 0));
    Service<TestType> service(database);
    const auto stored = service.runner->find("rows", "p", key).value();
    if (stored) {
      open.insert(key);
      all.insert(key);
    }
    for (auto run = open.begin(); run != open.end();) {
      const auto view = service.find(*run);
      for (std::size_t s = 0; s < 3; ++s)
        REQUIRE(service.rows(*run, steps[s]) == (s < view.steps.size() ? 1 : 0));
      run = view.state == RunState::running ? std::next(run) : open.erase(run);
    }
  }
  // What is left is finished by whoever comes, once the last lease has ended.
  Service<TestType> service(database);
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!open.empty() && std::chrono::steady_clock::now() < until) {
    REQUIRE(service.runner->work());
    std::erase_if(open, [&](const auto& key) { return service.find(key).state != RunState::running; });
  }
  CHECK(open.empty());
  std::size_t finished = 0;
  for (const auto& key : all) finished += service.find(key).state == RunState::succeeded ? 1U : 0U;
  CHECK(finished > 100);
}

TEMPLATE_TEST_CASE("rows of a tx step that is not done are rolled back, whatever it answers", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  int calls = 0;
  service.row->outcome = [&](StepContext&) -> StepOutcome {
    switch (++calls) {
      case 1: return Retry{"not now", 0s};
      case 2: return Unknown{"who knows"};
      case 3: throw std::runtime_error("broken");
      case 4: return Park{0s};
      default: return Done{};
    }
  };
  auto view = service.start("k");
  CHECK(service.rows("k", "a") == 0);
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (view.state == RunState::running && std::chrono::steady_clock::now() < until) {
    CHECK(service.rows("k", "a") == (view.steps.empty() ? 0 : 1));
    REQUIRE(service.runner->work());
    view = service.find("k");
  }
  CHECK(view.state == RunState::succeeded);
  CHECK(calls == 7);
  for (const auto* step : steps) CHECK(service.rows("k", step) == 1);
}

TEMPLATE_TEST_CASE("undoing a tx step takes its row back in the transaction that records it", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  const TestType database;
  Service<TestType> service(database);
  service.row->outcome = [&](StepContext& step) -> StepOutcome {
    if (step.step_id() == "c") return Reject{"closed", "no account"};
    return Done{};
  };
  const auto view = service.start("k");
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "closed: no account");
  CHECK(view.undone.size() == 2);
  for (const auto* step : steps) CHECK(service.rows("k", step) == 0);
}

TEMPLATE_TEST_CASE("a lost answer to COMMIT is settled by the record; a refused one runs the step again", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  for (const bool happened : {true, false}) {
    const TestType database;
    Service<TestType> service(database);
    if (happened)
      service.transactions.fail_commits(
          testing::FaultyTransactions<typename TestType::Connection>::Fault::after, ErrorCode::in_doubt);
    else
      service.transactions.fail_commits(
          testing::FaultyTransactions<typename TestType::Connection>::Fault::before, ErrorCode::timeout);
    auto view = service.start("k");
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (view.state == RunState::running && std::chrono::steady_clock::now() < until) {
      REQUIRE(service.runner->work());
      view = service.find("k");
    }
    CHECK(view.state == RunState::succeeded);
    for (const auto* step : steps) CHECK(service.rows("k", step) == 1);
  }
}

TEMPLATE_TEST_CASE("a worker that lost its lease in a tx step leaves no row [pipeline-18]", "",
                   ONCEWARD_TEST_DATABASES) {
  ONCEWARD_NEEDS(TestType)
  if (std::is_same_v<TestType, fault::Sqlite>) return;  // one writer: nobody can take a run over meanwhile
  const TestType database;
  Service<TestType> late(
      database, [] {}, 50ms);
  Service<TestType> other(database);
  int calls = 0;
  late.row->outcome = [&](StepContext&) -> StepOutcome {
    if (++calls > 1) return Done{};
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (other.runner->work().value().ended == 0 && std::chrono::steady_clock::now() < until) continue;
    return Done{};
  };
  const auto view = late.start("k");
  CHECK(view.state == RunState::succeeded);
  CHECK(calls == 1);
  for (const auto* step : steps) CHECK(other.rows("k", step) == 1);
}
