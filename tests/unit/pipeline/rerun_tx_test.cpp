// Operators' acts on runs with tx steps.
#include <onceward/storage/sqlite.hpp>

#include "works.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

const Operator ann{"ann", "ticket 7"};

struct RowStep final : Step {
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "row@1", .effect = Effect::tx, .undo = true};
  }
  StepOutcome run(StepContext& step) override {
    auto& database = step.connection<SQLite::Database&>();
    SQLite::Statement row(database, "INSERT INTO rows VALUES (?)");
    row.bind(1, std::string(step.token()));
    row.exec();
    return Done{Map{{"row", 7}}};
  }
  StepOutcome undo(StepContext& step) override {
    step.connection<SQLite::Database&>().exec("DELETE FROM rows");
    return Done{};
  }
};

}  // namespace

TEST_CASE("a tx step that is run again by hand has its rows once, keeps its result, and is undone") {
  TemporaryFolder folder;
  const auto file = folder.file("own.db");
  auto storage = sqlite::open(file).value();
  auto transactions = sqlite::transactions(file, {}, [](SQLite::Database& database) {
                        database.exec("CREATE TABLE IF NOT EXISTS rows (k VARCHAR(64))");
                      }).value();
  StepRegistry registry;
  registry.add(std::make_unique<RowStep>()).value();
  PlanCatalog catalog;
  const auto plan =
      pipeline("r").step("a", "row@1").await("w", "go").result("steps.a.row").compile(registry).value();
  catalog.add(plan).value();
  RunnerOptions options;
  options.transactions = step_transactions<SQLite::Database&>(*transactions);
  Runner runner(*storage, catalog, std::move(options));
  const auto rows = [&] { return SQLite::Database(file).execAndGet("SELECT count(*) FROM rows").getInt(); };
  for (const char* key : {"1", "2", "3"}) {
    const RunName name{"r", "p", key};
    runner.start(plan, "p", key, Map()).value();
    CHECK(rows() == 1);
    REQUIRE(runner.rerun_from(name, "a", ann));
    if (key[0] != '3') runner.work().value();  // the third is cancelled before it comes to its step again
    CHECK(rows() == 1);
    if (key[0] == '1') {
      REQUIRE(runner.signal(name, "go"));
      runner.work().value();
      CHECK(runner.find("r", "p", key).value()->result == Value(7));
      SQLite::Database(file, SQLite::OPEN_READWRITE).exec("DELETE FROM rows");
      continue;
    }
    REQUIRE(runner.cancel(name, Cancel::compensate, ann));
    runner.work().value();
    const auto view = runner.find("r", "p", key).value().value();
    CHECK(view.state == RunState::cancelled);
    CHECK(view.undone == Paths{"a"});
    CHECK(rows() == 0);
  }
}
