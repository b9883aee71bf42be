// A doubt once known stays one, until somebody has found out: dropped guards, errors and exceptions after
// effects may have begun, a storage that goes away.
#include <onceward/idempotency/idempotent_callback.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "guards_bench.hpp"

#include <latch>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::state_in;

namespace {

struct Ask {
  std::string id;
  int amount = 1;
};

struct Bench {
  testing::FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  std::unique_ptr<Storage> second = open_memory({.clock = &clock}).value();
  testing::FaultyStorage storage{*memory};
  Policy policy{
      .operation = "d", .lease = 30s, .retention = 1h, .on_stale = OnStale::reconcile, .record_limit = 50ms};

  Guard claim() { return Guard::claim(storage, "k", policy).value(); }
  void leave_in_doubt() { CHECK(claim().leave_in_doubt({ErrorCode::in_doubt, "who knows"}).recorded); }
  std::string state() { return state_in(*memory, "d", "k"); }
};

/// Every form of a guarded call, to be told the same of each: what it ended with, or the text it threw.
template <class Handler>
std::vector<std::function<std::string(const Ask&)>> forms(Bench& bench, Guards& guards, Handler handler) {
  const auto told = [](const Outcome<int>& outcome) { return std::string(to_string(outcome.verdict())); };
  std::vector<std::function<std::string(const Ask&)>> all;
  all.push_back([=, call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, handler)](const Ask& ask) {
    try {
      return told(call(ask));
    } catch (const std::runtime_error& thrown) {
      return std::string(thrown.what());
    }
  });
  const auto waits = [told](const auto& call, const Ask& ask) {
    std::latch ended(1);
    std::string text;
    start(call(ask), [&](std::optional<Outcome<int>> outcome, const std::exception_ptr& thrown) {
      try {
        if (thrown) std::rethrow_exception(thrown);
        text = told(*outcome);
      } catch (const std::runtime_error& error) {
        text = error.what();
      }
      ended.count_down();
    });
    ended.wait();
    return text;
  };
  all.push_back([=, call = idempotent_async<Ask>(guards, "#{id}", bench.policy, handler)](const Ask& ask) {
    return waits(call, ask);
  });
  const auto coroutine = [handler](const Ask& ask, Attempt& attempt) -> Async<Result<int>> {
    co_return handler(ask, attempt);
  };
  all.push_back([=, call = idempotent_async<Ask>(guards, "#{id}", bench.policy, coroutine)](const Ask& ask) {
    return waits(call, ask);
  });
  return all;
}

}  // namespace

TEST_CASE("a guard that must reconcile and is dropped leaves its key in doubt") {
  Bench bench;
  bench.leave_in_doubt();
  {
    const auto looks = bench.claim();
    REQUIRE(looks.must_reconcile());
  }
  CHECK(bench.state() == "in_doubt");
  auto next = bench.claim();
  CHECK(next.must_reconcile());
  CHECK(next.attempt() == 3);
  // Moved over, it is dropped as well.
  next = Guard::claim(bench.storage, "another", bench.policy).value();
  CHECK(bench.state() == "in_doubt");
  // Who has looked says so.
  REQUIRE(bench.claim().release().has_value());
  CHECK(bench.state() == "released");
  auto free = bench.claim();
  CHECK(free.acquired());
  CHECK_FALSE(free.must_reconcile());
}

TEST_CASE(
    "a dropped guard that must reconcile makes one call, and where that fails its lease ends in doubt") {
  for (const auto fault : {Fault::before, Fault::after}) {
    Bench bench;
    bench.leave_in_doubt();
    {
      const auto looks = bench.claim();
      bench.storage.fail_calls(Call::commit, fault, ErrorCode::in_doubt, 1'000);
    }
    CHECK(bench.storage.calls(Call::commit) == 5);  // two of each claim taken, and the one
    bench.storage.heal();
    bench.clock.advance(31s);
    CHECK(bench.claim().must_reconcile());
  }
}

TEST_CASE("a doubt that is known stays one when the storage goes away before it is taken over [guard-50]") {
  for (const auto down : {OnStorageDown::fail_open, OnStorageDown::fallback}) {
    for (const auto fault : {ErrorCode::unavailable, ErrorCode::in_doubt}) {
      Bench bench;
      bench.leave_in_doubt();
      bench.policy.on_storage_down = down;
      bench.policy.fallback = bench.second.get();
      bench.storage.fail_calls(Call::commit, Fault::before, fault, 100, 1);
      bench.storage.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 100);
      {
        const auto guard = bench.claim();
        CHECK(guard.acquired());
        CHECK(guard.unguarded() == (down == OnStorageDown::fail_open));
        CHECK(guard.must_reconcile());
        CHECK(guard.attempt() == 2);
      }
      // Dropped, it is in doubt where it was claimed, and where it stood before.
      if (down == OnStorageDown::fallback) CHECK(state_in(*bench.second, "d", "k") == "in_doubt");
      CHECK(bench.state() == "in_doubt");
      bench.storage.heal();
      CHECK(bench.claim().must_reconcile());
    }
  }
}

TEST_CASE("an unguarded call whose doubt nobody can lift ends in doubt and runs nothing") {
  Bench bench;
  bench.leave_in_doubt();
  bench.policy.fingerprint = false;
  bench.policy.on_storage_down = OnStorageDown::fail_open;
  int runs = 0;
  const auto call = idempotent<Ask>(bench.storage, "#{id}", bench.policy, [&](const Ask&) { return ++runs; });
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1, 1);
  CHECK(call({"k"}).verdict() == Verdict::in_doubt);
  CHECK(runs == 0);
  CHECK(bench.state() == "in_doubt");
}

TEST_CASE("a key in doubt stays so while its fallback's claim is given back [guard-50]") {
  for (const bool stale : {false, true}) {
    Bench bench;
    bench.policy.on_storage_down = OnStorageDown::fallback;
    bench.policy.fallback = bench.second.get();
    std::optional<Guard> late;
    if (stale) {
      late = bench.claim();
      bench.clock.advance(31s);
    } else {
      bench.leave_in_doubt();
    }
    bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable);
    auto there = bench.claim();
    REQUIRE(there.acquired());
    CHECK(bench.claim().verdict() == Verdict::in_progress);
    CHECK(bench.state() == "in_doubt");
    const auto record = read_one(*bench.memory, guard_partition("d", "k"), "k").value().value();
    CHECK(record.due.has_value());  // listed with the stale ones
    CHECK(record.expires <= bench.clock.now() + 1h);
    // The owner that wakes up changes nothing: the fallback's may run now.
    if (late) CHECK(late->complete(Value("late")).verdict == Verdict::lease_lost);
    REQUIRE(there.release().has_value());
    auto next = bench.claim();
    CHECK(next.acquired());
    CHECK(next.must_reconcile());
  }
}

TEST_CASE("a retryable error after effects have started is in doubt, unless the application says otherwise") {
  for (const bool classified : {false, true}) {
    for (std::size_t form = 0; form < 3; ++form) {
      INFO(form);
      Bench bench;
      bench.policy.on_stale = OnStale::in_doubt;
      if (classified) bench.policy.classify = [](const Error&) { return ErrorClass::retryable; };
      Guards guards(bench.storage);
      guards.start();
      int runs = 0;
      const auto call = forms(bench, guards, [&](const Ask& ask, Attempt& attempt) -> Result<int> {
        ++runs;
        if (ask.amount == 1) attempt.effects_started();
        return fail(ErrorCode::timeout, "no reply in time");
      })[form];
      CHECK(call({"k"}) == (classified ? "executed" : "in_doubt"));
      CHECK(bench.state() == (classified ? "released" : "in_doubt"));
      CHECK(call({"k"}) == (classified ? "executed" : "in_doubt"));
      CHECK(runs == (classified ? 2 : 1));
      // Before effects it is retryable, whoever says so.
      CHECK(call({"before", 2}) == "executed");
      CHECK(state_in(*bench.memory, "d", "before") == "released");
    }
  }
}

TEST_CASE("an error that nobody can classify leaves its key in doubt") {
  for (std::size_t form = 0; form < 3; ++form) {
    INFO(form);
    Bench bench;
    bench.policy.on_stale = OnStale::in_doubt;
    bench.policy.classify = [](const Error&) -> ErrorClass { throw std::runtime_error("no idea"); };
    Guards guards(bench.storage);
    guards.start();
    int runs = 0;
    const auto call = forms(bench, guards, [&](const Ask&, Attempt&) -> Result<int> {
      ++runs;
      return fail(ErrorCode::in_doubt, "perhaps");
    })[form];
    CHECK(call({"k"}) == "no idea");
    CHECK(bench.state() == "in_doubt");
    CHECK(call({"k"}) == "in_doubt");
    CHECK(runs == 1);
  }
}

TEST_CASE(
    "a callback handler that throws after its reply has replied; before it, who may still reply is in doubt") {
  enum class When { replied, kept_and_thrown, thrown };
  for (const auto when : {When::replied, When::kept_and_thrown, When::thrown}) {
    Bench bench;
    bench.policy.on_stale = OnStale::in_doubt;
    Guards guards(bench.storage);
    guards.start();
    int runs = 0;
    std::optional<Reply<int>> kept;
    const auto call = idempotent_callback<int, Ask>(guards, "#{id}", bench.policy,
                                                    [&](const Ask&, Attempt&, const Reply<int>& reply) {
                                                      ++runs;
                                                      if (when == When::replied) reply(7);
                                                      if (when == When::kept_and_thrown) kept.emplace(reply);
                                                      throw std::runtime_error("no");
                                                    });
    const auto told = [&] {
      std::latch ended(1);
      std::optional<Outcome<int>> got;
      call({"k"}, [&](std::optional<Outcome<int>> outcome, const std::exception_ptr&) {
        got = std::move(outcome);
        ended.count_down();
      });
      ended.wait();
      return got;
    };
    const auto first = told();
    if (when == When::replied) {
      REQUIRE(first.has_value());
      CHECK(first->verdict() == Verdict::executed);
      CHECK(first->value() == 7);
      CHECK(told()->value() == 7);
      CHECK(runs == 1);
    } else {
      CHECK_FALSE(first.has_value());
      CHECK(bench.state() == (when == When::thrown ? "released" : "in_doubt"));
      if (kept) (*kept)(8);  // too late: it changes nothing
      CHECK(bench.state() == (when == When::thrown ? "released" : "in_doubt"));
    }
  }
}
