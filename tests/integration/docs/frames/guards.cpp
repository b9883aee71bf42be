// The fragments of docs/guards.md.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/idempotency/operator.hpp>
#include <onceward/storage/open.hpp>
#include <onceward/testing/recorded_journal.hpp>

using namespace std::chrono_literals;

struct GrantRequest {
  std::string merchant;
  std::int64_t user;
  std::string task;
  int points;
};
struct GrantReceipt {
  std::string grant_id;
  std::int64_t balance;
};

class Ledger {
 public:
  GrantReceipt grant(const GrantRequest& request) { return {"g-1", balance_ += request.points}; }

 private:
  std::int64_t balance_ = 0;
};

int settled = 0;
void settle(const char*) { ++settled; }
int report(const onceward::Error&) { return 1; }
int unsettled = 0;
void report(const onceward::KeyView&) { ++unsettled; }
int report(onceward::Verdict verdict) { return verdict == onceward::Verdict::replayed ? 0 : 1; }

int claim(const std::unique_ptr<onceward::Storage>& storage) {
#include "guard_claim.inc"
  return 0;
}

onceward::Value ask_ledger(const std::string&) { return onceward::Map{{"grant_id", "g-7"}, {"balance", 7}}; }

/// A key in doubt is settled, and its operator's name is in the journal.
bool operate(const std::unique_ptr<onceward::Storage>& storage) {
  onceward::testing::RecordedJournal journal;
  auto guard = onceward::Guard::claim(*storage, "doubt", {.operation = "points.grant"}).value();
  guard.leave_in_doubt({onceward::ErrorCode::in_doubt, "no answer"});
#include "guard_operator.inc"
  return unsettled == 0 && journal.lines().size() == 1 && journal.lines()[0].actor == "ann" &&
         onceward::GuardOperator(*storage).inspect("points.grant", "doubt").value()->resolved_by == "ann";
}

int main() {
  auto storage = onceward::open_storage("memory:").value();
  Ledger ledger;
#include "guard_wrapper.inc"
  const auto again = grant({"gifts-uk", 42, "first-order", 50});
  const bool once = outcome.value().balance == 50 && again.value().balance == 50;
  return once && claim(storage) == 0 && claim(storage) == 0 && settled == 1 && operate(storage) ? 0 : 1;
}
