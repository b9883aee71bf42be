// What a guarded call costs on memory storage: medians of rounds, beside the same two commits without a
// guard.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

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

constexpr int rounds = 21;
constexpr int calls = 5000;

/// Nanoseconds for one call: the median of the rounds. `call` gets a number that never comes twice.
template <class Call>
double nanoseconds(const Call& call) {
  std::vector<double> figures;
  std::int64_t number = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call(++number);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    figures.push_back(took.count() / calls);
  }
  std::nth_element(figures.begin(), figures.begin() + rounds / 2, figures.end());
  return figures[rounds / 2];
}

void expect(bool fine) {
  if (fine) return;
  std::fprintf(stderr, "bench_guard: a call ended otherwise than it must\n");
  std::exit(1);
}

}  // namespace

int main() {
  const auto storage = open_memory().value();
  const auto request = [](std::int64_t user) { return GrantRequest{"gifts-uk", user, "first-order", 50}; };
  auto grant =
      idempotent<GrantRequest>(*storage, "grant:#{merchant}:#{user}:#{task}",
                               {.operation = "points.grant", .lease = 30s}, [](const GrantRequest& asked) {
                                 return GrantReceipt{"grant", asked.points};
                               });

  const double first =
      nanoseconds([&](std::int64_t i) { expect(grant(request(i)).verdict() == Verdict::executed); });
  const double replay =
      nanoseconds([&](std::int64_t) { expect(grant(request(1)).verdict() == Verdict::replayed); });
  const Policy policy{.operation = "plain", .lease = 30s};
  const double guard = nanoseconds([&](std::int64_t i) {
    auto claimed = Guard::claim(*storage, "grant:" + std::to_string(i), policy).value();
    expect(claimed.complete(Value(i)).recorded);
  });
  const double commits = nanoseconds([&](std::int64_t i) {
    const auto key = std::to_string(i);
    const auto written = commit_one(*storage, {"bench", {Operation::insert(key, "claimed")}}).value();
    expect(commit_one(*storage, {"bench", {Operation::replace(key, written.revision, "done")}})->applied());
  });
  std::printf("first call, idempotent()       %8.0f ns\n", first);
  std::printf("replay, idempotent()           %8.0f ns\n", replay);
  std::printf("claim and complete, Guard      %8.0f ns\n", guard);
  std::printf("the two commits, no guard      %8.0f ns\n", commits);
  return 0;
}
