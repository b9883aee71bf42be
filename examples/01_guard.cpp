// A handler that must take effect once: wrapped in one declaration, called three times, run once.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/open.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

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

/// Stands for your own service.
class Ledger {
 public:
  GrantReceipt grant(const GrantRequest& request) {
    balance_ += request.points;
    return {"grant-" + std::to_string(++grants_), balance_};
  }
  [[nodiscard]] int grants() const { return grants_; }

 private:
  std::int64_t balance_ = 0;
  int grants_ = 0;
};

int main(int argc, char** argv) {
  const std::string url = argc > 1 ? argv[1] : "memory:";
  auto storage = onceward::open_storage(url);
  if (!storage) {
    std::fprintf(stderr, "01_guard: %s\n", describe(storage.error()).c_str());
    return 2;
  }

  Ledger ledger;
  auto grant = onceward::idempotent<GrantRequest>(     // the annotation: once, at start-up
      **storage, "grant:#{merchant}:#{user}:#{task}",  // a wrong field name does not compile
      {.operation = "points.grant",
       .lease = 30s,
       .retention = 720h,
       .on_duplicate = onceward::OnDuplicate::replay},
      [&](const GrantRequest& request) { return ledger.grant(request); });

  const GrantRequest request{"gifts-uk", 42, "first-order", 50};
  for (int call = 1; call <= 3; ++call) {
    const auto outcome = grant(request);
    const std::string verdict(to_string(outcome.verdict()));
    std::printf("call %d: %-9s %s, balance %lld (attempt %d)\n", call, verdict.c_str(),
                outcome.value().grant_id.c_str(), static_cast<long long>(outcome.value().balance),
                outcome.attempt());
  }

  // The RAII form, for code that is no lambda.
  auto guard = onceward::Guard::claim(**storage, "settle:2024-03-10", {.operation = "settlement"});
  if (!guard) return 1;
  if (guard->acquired()) {
    // ... the work; an exception here gives the key back ...
    guard->complete("settled");
  }
  std::printf("settlement: %s\n", std::string(to_string(guard->verdict())).c_str());

  std::printf("the handler ran %d time(s) in this process\n", ledger.grants());
  return ledger.grants() <= 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
