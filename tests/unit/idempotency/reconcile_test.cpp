// Asking the application about an earlier attempt: how often, by whom, and what it may not hide.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <barrier>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::state_in;
using Found = Reconciled<int>;

namespace {

struct Ask {
  std::string id;
};

struct Bench {
  testing::FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  testing::FaultyStorage storage{*memory};
  Policy policy{
      .operation = "r", .lease = 30s, .retention = 1h, .on_stale = OnStale::reconcile, .record_limit = 20ms};
};

}  // namespace

TEST_CASE("work that is found without effect again and again is not run more often than allowed") {
  Bench bench;
  bench.policy.attempts_max = 3;
  int runs = 0;
  int asked = 0;
  const auto call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, [&](const Ask&) -> Result<int> {
                      ++runs;
                      return fail(ErrorCode::in_doubt, "who knows");
                    }).reconciling([&](const Ask&, Attempt&) {
    ++asked;
    return Found::no_effect();
  });
  for (int i = 0; i < 3; ++i) CHECK(call({"a"}).verdict() == Verdict::in_doubt);
  CHECK(runs == 3);
  // The last one is still asked about: it may have taken effect.
  const auto asked_again = call({"a"});
  CHECK(asked == 3);
  CHECK(asked_again.verdict() == Verdict::attempts_exhausted);
  CHECK_FALSE(asked_again.has_value());
  CHECK(call({"a"}).verdict() == Verdict::attempts_exhausted);
  CHECK(runs == 3);
  CHECK(asked == 3);
}

TEST_CASE("attempts used up or not, an effect that is found is given") {
  Bench bench;
  bench.policy.attempts_max = 1;
  int runs = 0;
  const auto call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, [&](const Ask&) -> Result<int> {
                      ++runs;
                      return fail(ErrorCode::in_doubt, "who knows");
                    }).reconciling([](const Ask&, Attempt&) { return Found::took_effect(9); });
  CHECK(call({"a"}).verdict() == Verdict::in_doubt);
  const auto found = call({"a"});
  CHECK(found.verdict() == Verdict::replayed);
  CHECK(found.value() == 9);
  CHECK(found.recorded());
  CHECK(call({"a"}).value() == 9);
  CHECK(runs == 1);
}

TEST_CASE("of many callers with one stale key one asks the application, and one runs [guard-15]") {
  constexpr int callers = 8;
  Bench bench;
  {
    auto dead = Guard::claim(bench.storage, "a", bench.policy).value();
    bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable);
  }
  bench.clock.advance(31s);
  std::atomic<int> asked = 0;
  std::atomic<int> runs = 0;
  bench.policy.fingerprint = false;
  bench.policy.on_busy = OnBusy::wait;
  const auto call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, [&](const Ask&) {
                      return ++runs;
                    }).reconciling([&](const Ask&, Attempt&) {
    ++asked;
    return Found::no_effect();
  });
  std::barrier start(callers);
  std::atomic<int> told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      const auto outcome = call({"a"});
      if (outcome.has_value() && outcome.value() == 1) ++told;
    });
  }
  threads.clear();
  CHECK(asked == 1);
  CHECK(runs == 1);
  CHECK(told == callers);
}

TEST_CASE(
    "a handler that throws after no effect was found gives its key back, with effects begun it does not") {
  for (const bool effects : {false, true}) {
    Bench bench;
    CHECK(Guard::claim(bench.storage, "a", bench.policy)
              ->leave_in_doubt({ErrorCode::in_doubt, "who knows"})
              .recorded);
    bench.policy.fingerprint = false;
    const auto call =
        idempotent<Ask>(bench.storage, "#{id}", bench.policy, [&](const Ask&, Attempt& attempt) {
          CHECK(attempt.number() == 2);
          CHECK_FALSE(attempt.have_effects_started());
          if (effects) attempt.effects_started();
          if (attempt.number() == 2) throw std::runtime_error("no");
          return 1;
        }).reconciling([](const Ask&, Attempt& attempt) {
          CHECK(attempt.have_effects_started());  // the earlier one's may have
          return Found::no_effect();
        });
    CHECK_THROWS_AS(call({"a"}), std::runtime_error);
    CHECK(state_in(*bench.memory, "r", "a") == (effects ? "in_doubt" : "released"));
  }
}

TEST_CASE("what was found and could not be stored is told, and asked about again") {
  Bench bench;
  CHECK(Guard::claim(bench.storage, "a", bench.policy)
            ->leave_in_doubt({ErrorCode::in_doubt, "who knows"})
            .recorded);
  bench.policy.fingerprint = false;
  int asked = 0;
  const auto call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, [](const Ask&) {
                      FAIL("it took effect before");
                      return 0;
                    }).reconciling([&](const Ask&, Attempt&) {
    ++asked;
    return Found::took_effect(4);
  });
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000, 2);
  const auto first = call({"a"});
  CHECK(first.value() == 4);
  CHECK_FALSE(first.recorded());
  bench.storage.heal();
  bench.clock.advance(31s);
  CHECK(call({"a"}).value() == 4);
  CHECK(asked == 2);
  CHECK(call({"a"}).value() == 4);
  CHECK(asked == 2);
}
