// The fragments of docs/pipelines.md.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/ledger.hpp>

#include <SQLiteCpp/SQLiteCpp.h>

/// Stands for the service behind the step.
class PointsService {
 public:
  std::int64_t credit(std::string_view token, const std::string& user, int amount) {
    return ledger_.credit(token, user, amount).value().balance;
  }
  [[nodiscard]] std::size_t effects() const { return ledger_.effects().size(); }

 private:
  onceward::testing::Ledger ledger_;
};

#include "pipeline_step.inc"
#include "pipeline_tx.inc"

class SendMail : public Step {
 public:
  StepSpec spec() const override {
    return {.name = "send-mail@1", .arguments = {{"user", Value::Kind::string}}};
  }
  StepOutcome run(StepContext&) override { return Done{}; }
};

bool rows() {
  SQLite::Database database("rewards.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("CREATE TABLE points (user TEXT, amount INTEGER)");
  StepRegistry registry;
  registry.add(std::make_unique<BookPoints>()).value();
  const auto plan = pipeline("rows").step("book", "book-points@1", {{"user", "'ann'"}}).compile(registry).value();
  PlanCatalog catalog;
  catalog.add(plan).value();
#include "pipeline_tx_run.inc"
  if (runner.start(plan, "gifts-uk", "k", Map()).value().state != RunState::succeeded) return false;
  SQLite::Statement count(database, "SELECT count(*) FROM points WHERE user = 'ann'");
  return count.executeStep() && count.getColumn(0).getInt() == 1;
}

int main() {
  PointsService points;
  const auto storage = open_memory().value();
#include "pipeline_plan.inc"
#include "pipeline_xml.inc"
#include "pipeline_run.inc"
  if (run.state != RunState::succeeded || run.steps.size() != 2 || points.effects() != 1) return 1;
  catalog.add(campaign).value();
  const auto waiting =
      runner.start(campaign, "gifts-uk/user/ann", Map{{"user", "ann"}, {"friends", List{"bob", "eve"}}}).value();
  if (waiting.state != RunState::running || !waiting.due || points.effects() != 5) return 2;
#include "pipeline_signal.inc"
  runner.work().value();
  if (runner.find("campaign-reward", "gifts-uk/user/ann", "ann").value()->state != RunState::cancelled) return 3;
  return rows() ? 0 : 4;
}
