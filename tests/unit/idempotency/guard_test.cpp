#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <barrier>
#include <limits>
#include <set>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FakeClock;
using testing::FaultyStorage;

namespace {

struct Bench {
  FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  FaultyStorage storage{*memory};
  Policy policy{.operation = "points.grant", .lease = 30s, .retention = 1h, .record_limit = 200ms};

  Guard claim(std::string_view key, std::string_view print = {}) {
    return Guard::claim(storage, key, policy, print).value();
  }
  Record stored(std::string_view key) {
    return read_one(*memory, guard_partition("points.grant", key), key).value().value();
  }
  void remove(std::string_view key) {
    const auto record = stored(key);
    REQUIRE(commit_one(*memory, {guard_partition("points.grant", key),
                                 {Operation::remove(std::string(key), record.revision)}})
                ->applied());
  }
};

}  // namespace

TEST_CASE(
    "the first call acquires, a completed one replays its result in one round trip [guard-1] [guard-2] [guard-5]") {
  for (const Value& result :
       {Value(0), Value(false), Value(""), Value(Map()), Value(), Value(List{1, "x"})}) {
    Bench bench;
    auto first = bench.claim("k");
    REQUIRE(first.acquired());
    CHECK(first.attempt() == 1);
    CHECK(first.fence() > 0);
    CHECK(first.complete(result).recorded);
    CHECK(bench.storage.calls(FaultyStorage::Call::commit) == 2);
    auto second = bench.claim("k");
    CHECK_FALSE(second.acquired());
    CHECK(second.verdict() == Verdict::replayed);
    CHECK(second.result() == result);
    CHECK(second.fence() == first.fence());
    CHECK(bench.storage.calls(FaultyStorage::Call::commit) == 3);
    CHECK(bench.storage.calls(FaultyStorage::Call::read) == 0);
  }
}

TEST_CASE("equal keys of two operations are two keys [guard-6]") {
  Bench bench;
  auto first = bench.claim("k");
  auto other = Guard::claim(bench.storage, "k", {.operation = "coupon.grant"}).value();
  CHECK(first.acquired());
  CHECK(other.acquired());
}

TEST_CASE("after retention the key runs again under a larger fence [guard-9]") {
  Bench bench;
  auto first = bench.claim("k");
  first.complete(Value(1));
  bench.clock.advance(1h);
  auto again = bench.claim("k");
  CHECK(again.acquired());
  CHECK(again.fence() > first.fence());
}

TEST_CASE("a final error is given again, without running [guard-11]") {
  Bench bench;
  auto first = bench.claim("k");
  const Error error{ErrorCode::conflict, "the account is closed: \"x\"", 42};
  CHECK(first.complete_with_error(error).recorded);
  auto second = bench.claim("k");
  CHECK(second.verdict() == Verdict::replayed);
  CHECK(second.error() == error);
}

TEST_CASE("a released key runs again as attempt 2, under a larger fence [guard-12] [guard-39]") {
  Bench bench;
  auto first = bench.claim("k");
  const auto fence = first.fence();
  REQUIRE(first.release().has_value());
  auto second = bench.claim("k");
  CHECK(second.acquired());
  CHECK(second.attempt() == 2);
  CHECK(second.fence() > fence);
}

TEST_CASE("of many threads with one key exactly one runs [guard-13]") {
  constexpr int threads = 16;
  const auto storage = open_memory().value();
  std::atomic<int> ran = 0;
  std::atomic<int> told = 0;
  std::barrier start(threads);
  std::vector<std::jthread> callers;
  for (int i = 0; i < threads; ++i) {
    callers.emplace_back([&] {
      start.arrive_and_wait();
      auto guard = Guard::claim(*storage, "k").value();
      if (guard.acquired()) {
        ++ran;
        guard.complete(Value(7));
      } else {
        if (guard.verdict() == Verdict::in_progress || guard.result() == Value(7)) ++told;
      }
    });
  }
  callers.clear();
  CHECK(ran == 1);
  CHECK(told == threads - 1);
}

TEST_CASE("a stale claim is taken over by exactly one, as attempt 2 [guard-15] [guard-26]") {
  Bench bench;
  auto dead = bench.claim("k");
  bench.clock.advance(31s);
  std::atomic<int> took = 0;
  std::atomic<int> attempt = 0;
  std::atomic<Revision> fence = 0;
  std::vector<std::jthread> takers;
  std::barrier start(2);
  for (int i = 0; i < 2; ++i) {
    takers.emplace_back([&] {
      start.arrive_and_wait();
      auto guard = bench.claim("k");
      if (!guard.acquired()) return;
      ++took;
      attempt = guard.attempt();
      fence = guard.fence();
      guard.complete(Value(1));
    });
  }
  takers.clear();
  CHECK(took == 1);
  CHECK(attempt == 2);
  CHECK(fence > dead.fence());
}

TEST_CASE("a busy key is told at once and left untouched [guard-16]") {
  Bench bench;
  auto owner = bench.claim("k");
  const auto before = bench.stored("k");
  auto second = bench.claim("k");
  CHECK(second.verdict() == Verdict::in_progress);
  CHECK(second.retry_after() == 30s);
  CHECK(bench.stored("k") == before);
}

TEST_CASE("a waiter gets the result of the one it waited for [guard-17]") {
  const auto storage = open_memory().value();
  auto owner = Guard::claim(*storage, "k").value();
  std::optional<Guard> waiter;
  std::jthread waiting([&] { waiter = Guard::claim(*storage, "k", {.on_busy = OnBusy::wait}).value(); });
  owner.complete(Value("done"));
  waiting.join();
  CHECK(waiter->verdict() == Verdict::replayed);
  CHECK(waiter->result() == Value("done"));
}

TEST_CASE("a wait that passes its limit ends as in_progress and writes nothing [guard-19]") {
  Bench bench;
  bench.policy.on_busy = OnBusy::wait;
  bench.policy.wait_limit = 30ms;
  auto owner = bench.claim("k");
  const auto before = bench.stored("k");
  CHECK(bench.claim("k").verdict() == Verdict::in_progress);
  CHECK(bench.stored("k") == before);
  CHECK(owner.complete(Value(1)).recorded);
}

TEST_CASE("a stop request ends a wait") {
  Bench bench;
  bench.policy.on_busy = OnBusy::wait;
  bench.policy.wait_limit = 1h;
  auto owner = bench.claim("k");
  std::stop_source stop;
  std::atomic<Verdict> verdict = Verdict::executed;
  std::jthread waiting(
      [&] { verdict = Guard::claim(bench.storage, "k", bench.policy, {}, stop.get_token())->verdict(); });
  stop.request_stop();
  waiting.join();
  CHECK(verdict.load() == Verdict::in_progress);
}

TEST_CASE("a record that vanishes between refusal and look is claimed, never run unguarded [guard-23]") {
  int commits = 0;  // outlives the guards, whose destructors still pass the hook
  Bench bench;
  auto owner = bench.claim("k");
  bench.clock.advance(31s);
  // Just before the takeover is written, the stale record goes away.
  bench.storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && ++commits == 2) bench.remove("k");
  });
  auto taker = bench.claim("k");
  CHECK(taker.acquired());
  CHECK_FALSE(taker.unguarded());
  CHECK(bench.stored("k").revision == taker.fence());
}

TEST_CASE("the caller's clock decides nothing [guard-27]") {
  // The storage's clock stands still, so that real time passing here cannot end a lease.
  Bench bench;
  auto owner = bench.claim("k");
  CHECK(bench.claim("k").verdict() == Verdict::in_progress);
  bench.clock.advance(29s);
  CHECK(bench.claim("k").verdict() == Verdict::in_progress);
  bench.clock.advance(1s);
  CHECK(bench.claim("k").acquired());
}

TEST_CASE("a renewed lease is not robbed, and keeps its fence [guard-28]") {
  Bench bench;
  auto owner = bench.claim("k");
  const auto fence = owner.fence();
  for (int i = 0; i < 10; ++i) {
    bench.clock.advance(15s);
    REQUIRE(owner.renew().has_value());
    CHECK(bench.claim("k").verdict() == Verdict::in_progress);
  }
  CHECK(owner.fence() == fence);
  CHECK(owner.complete(Value(1)).verdict == Verdict::executed);
  CHECK(bench.claim("k").fence() == fence);
}

TEST_CASE("an owner that wakes up late changes nothing [guard-30] [guard-31]") {
  for (const bool completes : {true, false}) {
    Bench bench;
    auto late = bench.claim("k");
    bench.clock.advance(31s);
    auto taker = bench.claim("k");
    REQUIRE(taker.acquired());
    const auto before = bench.stored("k");
    if (completes) {
      CHECK(late.complete(Value("late")).verdict == Verdict::lease_lost);
    } else {
      CHECK(late.release().error().code == ErrorCode::conflict);
    }
    CHECK(bench.stored("k") == before);
    CHECK(taker.complete(Value("taker")).recorded);
    CHECK(bench.claim("k").result() == Value("taker"));
  }
}

TEST_CASE("in_doubt leaves a stale claim alone and visible [guard-34]") {
  Bench bench;
  bench.policy.on_stale = OnStale::in_doubt;
  auto owner = bench.claim("k");
  bench.clock.advance(31s);
  const auto before = bench.stored("k");
  CHECK(bench.claim("k").verdict() == Verdict::in_doubt);
  CHECK(bench.stored("k") == before);
  const auto due = bench.memory->due({}, 10).value();
  REQUIRE(due.entries.size() == 1);
  CHECK(due.entries[0].record.key == "k");
}

TEST_CASE("a policy that does not hold together is refused by field [guard-36]") {
  const auto refused = [](const Policy& policy, std::string_view field) {
    const auto checked = policy.check();
    REQUIRE_FALSE(checked.has_value());
    CHECK(checked.error().code == ErrorCode::invalid_argument);
    CHECK(checked.error().message.find(field) != std::string::npos);
  };
  refused({.lease = 0s}, "lease");
  refused({.lease = -1s}, "lease");
  refused({.lease = Duration::max()}, "lease");
  refused({.lease = 2h, .retention = 1h}, "retention");
  refused({.retention = Duration::max()}, "retention");
  refused({.operation = ""}, "operation");
  refused({.operation = "Grant Points"}, "operation");
  refused({.wait_limit = 0s}, "wait_limit");
  refused({.attempts_max = 0}, "attempts_max");
  refused({.result_bytes_max = 0}, "result_bytes_max");
  refused({.result_bytes_max = limits::value_bytes}, "result_bytes_max");
  CHECK(Policy().check().has_value());
}

TEST_CASE("another payload of a key is refused and learns nothing [guard-40]") {
  Bench bench;
  bench.claim("k", "aaaa").complete(Value("secret"));
  auto other = bench.claim("k", "bbbb");
  CHECK(other.verdict() == Verdict::key_reused);
  CHECK(other.result().is_null());
  CHECK(bench.claim("k", "aaaa").verdict() == Verdict::replayed);
}

TEST_CASE("an empty or overlong key is refused before the storage is touched [guard-48]") {
  Bench bench;
  for (const std::string& key : {std::string(), std::string(513, 'k')}) {
    const auto claimed = Guard::claim(bench.storage, key, bench.policy);
    REQUIRE_FALSE(claimed.has_value());
    CHECK(claimed.error().code == ErrorCode::invalid_argument);
  }
  CHECK(bench.storage.calls(FaultyStorage::Call::commit) == 0);
  CHECK(Guard::claim(bench.storage, std::string(512, 'k'), bench.policy)->acquired());
}

TEST_CASE("while the storage is down a claim fails closed, or runs unguarded where asked [guard-50]") {
  Bench bench;
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           2);
  CHECK(Guard::claim(bench.storage, "k", bench.policy).error().code == ErrorCode::unavailable);
  bench.policy.on_storage_down = OnStorageDown::fail_open;
  auto open = bench.claim("k");
  CHECK(open.acquired());
  CHECK(open.unguarded());
  CHECK_FALSE(open.complete(Value(1)).recorded);
}

TEST_CASE("a completion outlives a short outage, and after a long one the claim still stands [guard-51]") {
  Bench bench;
  auto guard = bench.claim("k");
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           2);
  CHECK(guard.complete(Value(1)).recorded);
  auto other = bench.claim("long");
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           1'000'000);
  const auto completion = other.complete(Value(1));
  CHECK(completion.verdict == Verdict::executed);
  CHECK_FALSE(completion.recorded);
  bench.storage.heal();
  CHECK(bench.claim("long").verdict() == Verdict::in_progress);
}

TEST_CASE("stored bytes that cannot be read are never run again [guard-53]") {
  Bench bench;
  bench.claim("k").complete(Value(1));
  const auto record = bench.stored("k");
  REQUIRE(commit_one(*bench.memory, {guard_partition("points.grant", "k"),
                                     {Operation::replace("k", record.revision, "{\"v\":9}")}})
              ->applied());
  auto guard = bench.claim("k");
  CHECK(guard.verdict() == Verdict::result_unavailable);
  CHECK(guard.error()->code == ErrorCode::corrupt);
}

TEST_CASE("a claim whose reply was lost is its owner's [guard-55]") {
  Bench bench;
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt);
  auto guard = bench.claim("k");
  CHECK(guard.acquired());
  CHECK(guard.attempt() == 1);
  CHECK(guard.complete(Value(1)).recorded);
}

TEST_CASE("a completion or release whose reply was lost has happened once") {
  Bench bench;
  auto guard = bench.claim("k");
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt);
  const auto completion = guard.complete(Value("x"));
  CHECK(completion.recorded);
  CHECK(completion.verdict == Verdict::executed);
  CHECK(bench.claim("k").result() == Value("x"));
}

TEST_CASE("a completion that finds its record gone makes it again [guard-57]") {
  Bench bench;
  auto guard = bench.claim("k");
  bench.remove("k");
  CHECK(guard.complete(Value(9)).recorded);
  CHECK(bench.claim("k").result() == Value(9));
}

TEST_CASE("a completion that finds a rival's record leaves it alone") {
  Bench bench;
  auto guard = bench.claim("k");
  bench.remove("k");
  auto rival = bench.claim("k");
  REQUIRE(rival.acquired());
  CHECK(guard.complete(Value("mine")).verdict == Verdict::lease_lost);
  CHECK(rival.complete(Value("rival")).recorded);
  CHECK(bench.claim("k").result() == Value("rival"));
}

TEST_CASE("nested guards each have their own record [guard-71]") {
  Bench bench;
  auto outer = bench.claim("outer");
  {
    auto inner = bench.claim("inner");
    CHECK(inner.complete(Value("in")).recorded);
  }
  CHECK(outer.complete(Value("out")).recorded);
  CHECK(bench.claim("inner").result() == Value("in"));
  CHECK(bench.claim("outer").result() == Value("out"));
}

TEST_CASE("a moved guard completes once, and the one moved from is inert [guard-73]") {
  Bench bench;
  auto first = bench.claim("k");
  Guard second = std::move(first);
  CHECK_FALSE(first.acquired());  // NOLINT(bugprone-use-after-move): what is tested
  CHECK_FALSE(first.complete(Value("wrong")).recorded);
  CHECK(second.complete(Value("right")).recorded);
  CHECK(bench.claim("k").result() == Value("right"));
}

TEST_CASE(
    "a guard that goes out of scope gives its key back, and survives a storage that is gone [guard-60]") {
  Bench bench;
  { auto guard = bench.claim("k"); }
  CHECK(bench.claim("k").attempt() == 2);
  bench.clock.advance(31s);
  {
    auto guard = bench.claim("other");
    bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                             ErrorCode::unavailable);
  }
  CHECK(bench.claim("other").verdict() == Verdict::in_progress);
}

TEST_CASE("fences grow with every claim of a key") {
  Bench bench;
  std::set<Revision> fences;
  Revision last = 0;
  for (int i = 0; i < 50; ++i) {
    auto guard = bench.claim("k");
    REQUIRE(guard.acquired());
    CHECK(guard.fence() > last);
    last = guard.fence();
    if (i % 2 == 0) {
      REQUIRE(guard.release().has_value());
    } else {
      bench.clock.advance(31s);
    }
  }
}

TEST_CASE("attempts are bounded") {
  Bench bench;
  bench.policy.attempts_max = 2;
  REQUIRE(bench.claim("k").release().has_value());
  REQUIRE(bench.claim("k").release().has_value());
  CHECK(bench.claim("k").verdict() == Verdict::attempts_exhausted);
}

TEST_CASE("a completion of a guard that holds nothing says so, and stores nothing") {
  Bench bench;
  auto owner = bench.claim("k");
  auto second = bench.claim("k");
  const auto check = [](const Completion& completion, Verdict verdict) {
    CHECK(completion.verdict == verdict);
    CHECK_FALSE(completion.recorded);
    REQUIRE(completion.error);
    CHECK(completion.error->code == ErrorCode::wrong_state);
  };
  check(second.complete(Value("theirs")), Verdict::in_progress);
  CHECK(owner.complete(Value("mine")).verdict == Verdict::executed);
  check(owner.complete(Value("again")), Verdict::lease_lost);
  check(owner.complete_with_error({ErrorCode::conflict, "no"}), Verdict::lease_lost);
  check(owner.complete_unstored({ErrorCode::limit_exceeded, "large"}), Verdict::lease_lost);
  check(owner.leave_in_doubt({ErrorCode::in_doubt, "?"}), Verdict::lease_lost);
  check(bench.claim("k").complete(Value("replayed")), Verdict::replayed);
  const auto moved = std::move(owner);
  check(owner.complete(Value("moved from")), Verdict::lease_lost);  // NOLINT(bugprone-use-after-move)
  CHECK(bench.claim("k").result() == Value("mine"));
  auto released = bench.claim("r");
  REQUIRE(released.release().has_value());
  check(released.complete(Value("late")), Verdict::lease_lost);
}
