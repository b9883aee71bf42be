// The fragments of docs/guards.md.
#include <onceward/idempotency/http.hpp>
#include <onceward/idempotency/idempotent_async.hpp>
#include <onceward/idempotency/operator.hpp>
#include <onceward/storage/open.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include <future>
#include <map>

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
  GrantReceipt charge(const std::string& key, const GrantRequest& request) {
    return charges_[key] = {key, request.points};
  }
  const GrantReceipt* find(const std::string& key) const {
    const auto found = charges_.find(key);
    return found == charges_.end() ? nullptr : &found->second;
  }

 private:
  std::int64_t balance_ = 0;
  std::map<std::string, GrantReceipt> charges_;
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

bool classifies() {
#include "guard_classify.inc"
  return policy.classify({.native_code = 503}) == onceward::ErrorClass::retryable;
}

bool reconciles(const std::unique_ptr<onceward::Storage>& storage) {
  Ledger ledger;
#include "guard_reconcile.inc"
  return charge({"gifts-uk", 42, "first-order", 50}).value().balance == 50;
}

bool guards_all(const std::unique_ptr<onceward::Storage>& storage) {
  Ledger ledger;
#include "guards_object.inc"
  return stored.recorded && outcome.value().balance == 50;
}

bool suspends(const std::unique_ptr<onceward::Storage>& storage) {
  Ledger ledger;
  onceward::Guards guards(*storage);
  guards.start();
  std::promise<std::int64_t> told;
  const auto tell = [&](const GrantReceipt& receipt) { told.set_value(receipt.balance); };
#include "guard_async.inc"
  return told.get_future().get() == 50;
}

struct Payment {
  std::string merchant;
  std::string key;
  int pence;
};
int charges = 0;
std::string charge(const Payment& payment) {
  ++charges;
  return "{\"pence\":" + std::to_string(payment.pence) + "}";
}

bool over_http(const std::unique_ptr<onceward::Storage>& storage) {
#include "guard_http.inc"
  const auto first = post({"\"8e03978e\""}, "tea", 450);
  const auto again = post({"8e03978e"}, "tea", 450);
  return first.status == 201 && again.status == 201 && again.body == first.body && charges == 1 &&
         again.headers.back().name == "Idempotency-Replayed" && post({}, "tea", 450).status == 400 &&
         post({"8e03978e"}, "tea", 451).status == 422 && post({"8e03978e"}, "books", 450).status == 201;
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
  const bool guarded = classifies() && reconciles(storage) &&
                       guards_all(onceward::open_storage("memory:").value()) &&
                       suspends(onceward::open_storage("memory:").value()) && over_http(storage) && operate(storage);
  return once && guarded && claim(storage) == 0 && claim(storage) == 0 && settled == 1 ? 0 : 1;
}
