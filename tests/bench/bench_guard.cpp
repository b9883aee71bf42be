// What a guarded call costs on memory storage, beside the same two commits made by hand: the same partitions,
// keys, record bytes and times. Rounds take turns; medians are printed. It decides nothing.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>

#include "unit/expr/heap_requests.hpp"

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

constexpr int rounds = 41;
constexpr int calls = 2000;

struct Figure {
  std::vector<double> nanoseconds{};
  double requests_of_a_call = 0;

  template <class Call>
  void round(const Call& call) {
    const auto before = heap_requests();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call(i);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    nanoseconds.push_back(took.count() / calls);
    requests_of_a_call = static_cast<double>(heap_requests() - before) / calls;
  }
  double median() {
    const auto middle = nanoseconds.begin() + static_cast<std::ptrdiff_t>(nanoseconds.size() / 2);
    std::nth_element(nanoseconds.begin(), middle, nanoseconds.end());
    return *middle;
  }
};

void expect(bool fine) {
  if (fine) return;
  std::fprintf(stderr, "bench_guard: a call ended otherwise than it must\n");
  std::exit(1);
}

std::string key_of(const GrantRequest& request) {
  return "grant:" + request.merchant + ":" + std::to_string(request.user) + ":" + request.task;
}

}  // namespace

int main() {
  const Policy policy{.operation = "points.grant", .lease = 30s, .retention = 720h};
  auto cached_policy = policy;
  cached_policy.replay_cache = 10'000;
  const auto handler = [](const GrantRequest& asked) { return GrantReceipt{"grant", asked.points}; };
  Figure first, bare, replay, cached, raii;
  std::int64_t user = 0;
  // A storage of each round's own: all rounds and both sides meet one that is as full.
  for (int round = 0; round < rounds; ++round) {
    const auto storage = open_memory().value();
    const auto other = open_memory().value();
    std::vector<GrantRequest> asked;
    for (int i = 0; i < calls; ++i) asked.push_back({"gifts-uk", 1'000'000 + ++user, "first-order", 50});
    auto grant = idempotent<GrantRequest>(*storage, "grant:#{merchant}:#{user}:#{task}", policy, handler);
    first.round(
        [&](int i) { expect(grant(asked[static_cast<std::size_t>(i)]).verdict() == Verdict::executed); });
    replay.round(
        [&](int i) { expect(grant(asked[static_cast<std::size_t>(i)]).verdict() == Verdict::replayed); });
    // The same records, made before: what is left is the storage's own work.
    std::vector<Batch> claims, completions;
    for (const auto& request : asked) {
      const auto key = key_of(request);
      const auto partition = guard_partition(policy.operation, key);
      const auto stored = read_one(*storage, partition, key).value().value();
      claims.push_back({partition, {Operation::insert(key, stored.value, {policy.lease, policy.retention})}});
      completions.push_back(
          {partition, {Operation::replace(key, absent, stored.value, {std::nullopt, policy.retention})}});
    }
    bare.round([&](int i) {
      const auto at = static_cast<std::size_t>(i);
      const auto claimed = other->commit({&claims[at], 1}).value();
      completions[at].operations.front().expected = claimed.batches.front().revision;
      expect(other->commit({&completions[at], 1})->batches.front().applied());
    });
    auto kept =
        idempotent<GrantRequest>(*storage, "grant:#{merchant}:#{user}:#{task}", cached_policy, handler);
    for (const auto& request : asked) expect(kept(request).verdict() == Verdict::replayed);
    // A result is kept because it is asked for again: the first of the passes finds it far from the
    // processor.
    for (int pass = 0; pass < 5; ++pass) {
      cached.round(
          [&](int i) { expect(kept(asked[static_cast<std::size_t>(i)]).verdict() == Verdict::replayed); });
    }
    std::vector<std::string> keys;
    for (int i = 0; i < calls; ++i) keys.push_back("settle:" + std::to_string(++user) + ":first-order");
    const Value result(Map{{"grant_id", "grant"}, {"balance", 50}});
    raii.round([&](int i) {
      auto guard = Guard::claim(*storage, keys[static_cast<std::size_t>(i)], policy).value();
      expect(guard.complete(result).recorded);
    });
  }
  std::printf("%-34s %9s %18s\n", "on memory storage", "ns, p50", "heap requests");
  const auto print = [](const char* name, double nanoseconds, double asked) {
    std::printf("%-34s %9.0f %18.1f\n", name, nanoseconds, asked);
  };
  print("first call, idempotent()", first.median(), first.requests_of_a_call);
  print("the same two commits by hand", bare.median(), bare.requests_of_a_call);
  print("the library's own part", first.median() - bare.median(),
        first.requests_of_a_call - bare.requests_of_a_call);
  print("claim and complete, Guard", raii.median(), raii.requests_of_a_call);
  print("replay, idempotent()", replay.median(), replay.requests_of_a_call);
  print("replay kept in the process", cached.median(), cached.requests_of_a_call);
  return 0;
}
