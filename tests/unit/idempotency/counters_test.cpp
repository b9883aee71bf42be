// Every call ends in exactly one counter, whatever its policy, its storage and its handler do.
#include <onceward/idempotency/idempotent.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <random>
#include <set>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;

namespace {

struct Ask {
  std::string id;
  int amount = 1;
};

/// Calls with random policies on a storage that fails at random; counts what it called.
class Storm {
 public:
  Storm(Bench& bench, Storage& second, unsigned seed) : bench_(bench), second_(second), dice_(seed) {}

  /// How many calls were made.
  int run(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      break_storage();
      one_of(3) ? by_hand() : one_of(4) ? many() : wrapped();
    }
    return calls_;
  }

 private:
  bool one_of(unsigned n) { return dice_() % n == 0; }

  void break_storage() {
    if (!one_of(3)) return;
    constexpr std::array codes = {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::in_doubt,
                                  ErrorCode::corrupt, ErrorCode::exhausted};
    bench_.storage.fail_calls(one_of(4) ? Call::read : Call::commit, one_of(2) ? Fault::before : Fault::after,
                              codes[dice_() % codes.size()], 1 + dice_() % 3, dice_() % 3);
  }

  Policy policy() {
    Policy made = bench_.policy;
    made.lease = one_of(3) ? 2ms : 60s;
    made.auto_renew = one_of(4);
    made.on_busy = one_of(4) ? OnBusy::wait : OnBusy::reject;
    made.wait_limit = 1ms;
    made.on_stale = static_cast<OnStale>(dice_() % 3);
    made.on_storage_down = static_cast<OnStorageDown>(dice_() % 3);
    made.fallback = &second_;
    made.on_duplicate = static_cast<OnDuplicate>(dice_() % 3);
    made.acknowledge = one_of(3) ? Acknowledge::post : Acknowledge::await;
    made.attempts_max = one_of(3) ? 2 : 100;
    made.result_bytes_max = one_of(5) ? 3 : 1000;
    made.record_limit = 1ms;
    made.replay_cache = one_of(3) ? 10 : 0;
    if (one_of(20)) made.lease = 0s;
    return made;
  }
  std::string key() { return one_of(15) ? std::string() : std::to_string(dice_() % 20); }

  void end(Guard& guard) {
    switch (dice_() % 8) {
      case 0: (void)guard.release(); break;
      case 1: (void)guard.leave_in_doubt({ErrorCode::in_doubt, "x"}); break;
      case 2: (void)guard.complete_with_error({ErrorCode::conflict, "x"}); break;
      case 3: (void)guard.complete_unstored({ErrorCode::conflict, "x"}); break;
      case 4: (void)guard.renew(); break;  // and dropped
      default: (void)guard.complete(Value("result")); break;
    }
    if (one_of(3)) (void)guard.complete(Value("twice"));
  }

  void by_hand() {
    ++calls_;
    const auto name = key();
    auto guard = Guard::claim(bench_.guards, name, policy(), one_of(2) ? "p1" : "p2");
    if (guard && guard->acquired() && one_of(6)) {
      std::this_thread::sleep_for(3ms);
      (void)bench_.rival(name, OnStale::takeover);  // of another process, not counted here
    }
    if (guard && !one_of(4)) end(*guard);
  }
  void many() {
    const std::vector<std::string> keys = {key(), key(), key()};
    std::vector<Guards::Request> requests;
    for (const auto& one : keys) requests.push_back({one, one_of(2) ? "p1" : "p2"});
    auto guards = bench_.guards.claim_many(requests, policy());
    calls_ += 3;
    const Value value("r");
    std::vector<Guards::Finished> finished;
    for (auto& guard : guards) {
      if (guard) finished.push_back({&*guard, &value});
    }
    if (one_of(2)) (void)Guards::complete_many(finished);
  }
  void wrapped() {
    const auto made = policy();
    if (!made.check()) return;
    auto call =
        idempotent<Ask>(bench_.guards, "#{id}", made, [&](const Ask&, Attempt& attempt) -> Result<int> {
          if (one_of(6)) attempt.effects_started();
          if (one_of(6)) throw std::runtime_error("no");
          if (one_of(4)) return fail(static_cast<ErrorCode>(dice_() % error_codes), "x");
          return 12345;
        }).reconciling([&](const Ask&, Attempt&) {
          if (one_of(4)) throw std::runtime_error("no");
          if (one_of(2)) return Reconciled<int>::took_effect(3);
          return one_of(2) ? Reconciled<int>::no_effect() : Reconciled<int>::unknown();
        });
    for (int i = 0; i < 3; ++i) {
      ++calls_;
      try {
        (void)call({key(), one_of(5) ? 2 : 1});
      } catch (const std::runtime_error&) {  // the handler's, or DuplicateCall: what is counted is the point
        continue;
      }
    }
  }

  Bench& bench_;
  Storage& second_;
  std::mt19937 dice_;
  int calls_ = 0;
};

}  // namespace

TEST_CASE("whatever happens, every call ends in exactly one counter [guard-82]") {
  std::set<CallEnd> seen;
  for (unsigned seed = 1; seed <= 30; ++seed) {
    const auto second = open_memory().value();  // completions in the background go there too
    Bench bench;
    Storm storm(bench, *second, seed);
    const int calls = storm.run(60);
    bench.storage.heal();
    bench.guards.stop();
    const auto figures = bench.guards.figures("b");
    INFO("seed " << seed);
    REQUIRE(figures.total() == static_cast<std::uint64_t>(calls));
    for (std::size_t i = 0; i < call_ends; ++i) {
      if (figures.ended[i] > 0) seen.insert(static_cast<CallEnd>(i));
    }
  }
  // The storm is worth its name: it meets every end.
  for (std::size_t i = 0; i < call_ends; ++i) {
    INFO(to_string(static_cast<CallEnd>(i)));
    CHECK(seen.contains(static_cast<CallEnd>(i)));
  }
}

TEST_CASE("calls of several threads are counted each once, and all figures are those of their operations") {
  const auto second = open_memory().value();
  Bench bench;
  std::atomic<int> calls = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i <= 4; ++i)
      threads.emplace_back([&, i] { calls += Storm(bench, *second, 100 + i).run(60); });
  }
  bench.storage.heal();
  bench.guards.stop();
  CHECK(bench.guards.figures("b").total() == static_cast<std::uint64_t>(calls.load()));
  const auto all = bench.guards.figures();
  REQUIRE(all.size() == 1);
  CHECK(all.at("b").ended == bench.guards.figures("b").ended);
}

TEST_CASE("each end has a name of its own") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < call_ends; ++i) names.insert(to_string(static_cast<CallEnd>(i)));
  CHECK(names.size() == call_ends);
}

TEST_CASE("a call is counted as what its caller was told [guard-82]") {
  Bench bench;
  bench.policy.on_stale = OnStale::reconcile;
  const auto leave_in_doubt = [&](std::string_view key) {
    REQUIRE(bench.claim(key).leave_in_doubt({ErrorCode::in_doubt, "?"}).recorded);
  };
  const auto make = [&](Policy policy, Reconciled<int> (*found)()) {
    return idempotent<Ask>(bench.guards, "#{id}", std::move(policy), [](const Ask&) { return 1; })
        .reconciling([found](const Ask&, Attempt&) { return found(); });
  };
  leave_in_doubt("done");
  const auto before = bench.guards.figures("b");
  CHECK(make(bench.policy, [] { return Reconciled<int>::took_effect(3); })({"done"}).verdict() ==
        Verdict::replayed);
  CHECK(bench.guards.figures("b").of(CallEnd::replayed) == before.of(CallEnd::replayed) + 1);
  CHECK(bench.guards.figures("b").of(CallEnd::executed) == before.of(CallEnd::executed));

  leave_in_doubt("none");
  auto once = bench.policy;
  once.attempts_max = 1;
  CHECK(make(once, [] { return Reconciled<int>::no_effect(); })({"none"}).verdict() ==
        Verdict::attempts_exhausted);
  CHECK(bench.guards.figures("b").of(CallEnd::attempts_exhausted) == 1);
  CHECK(bench.guards.figures("b").of(CallEnd::released) == 0);

  REQUIRE(bench.claim("text").complete(Value("no number")).recorded);
  CHECK(make(bench.policy, [] { return Reconciled<int>::unknown(); })({"text"}).verdict() ==
        Verdict::result_unavailable);
  CHECK(bench.guards.figures("b").of(CallEnd::result_unavailable) == 1);
  CHECK(bench.guards.figures("b").of(CallEnd::replayed) == before.of(CallEnd::replayed) + 1);
  CHECK(bench.guards.figures("b").total() == 6);
}
