// Who waits for an owner: woken in this process, asking elsewhere, and never for ever.
#include "guards_bench.hpp"

#include <atomic>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::until;

namespace {

constexpr int waiters = 6;
/// After so many looks of each a pause takes 100 to 200 ms.
constexpr std::size_t looks_until_slow = waiters * 7;

}  // namespace

TEST_CASE("every end of an owner wakes its waiters, who look once [guard-17]") {
  using End = void (*)(Guard&);
  const std::vector<End> ends = {
      [](Guard& guard) { guard.complete(Value(1)); },
      [](Guard& guard) {
        guard.complete_with_error({ErrorCode::conflict, "no"});
      },
      [](Guard& guard) {
        guard.complete_unstored({ErrorCode::limit_exceeded, "large"});
      },
  };
  for (const auto end : ends) {
    Bench bench;
    auto owner = bench.claim("k");
    auto waiting = bench.policy;
    waiting.on_busy = OnBusy::wait;
    waiting.wait_limit = 60s;
    std::atomic<int> told = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < waiters; ++i) {
      threads.emplace_back([&] {
        const auto guard = Guard::claim(bench.guards, "k", waiting).value();
        if (!guard.acquired() && guard.verdict() != Verdict::in_progress) ++told;
      });
    }
    REQUIRE(until([&] { return bench.reads() >= looks_until_slow; }));
    end(owner);
    const auto looks = bench.reads();
    threads.clear();
    CHECK(told == waiters);
    // One look each; one more for who was just looking.
    CHECK(bench.reads() <= looks + 2 * waiters);
  }
}

TEST_CASE("a key that is given back wakes its waiters, and one of them runs [guard-15]") {
  Bench bench;
  auto owner = bench.claim("k");
  auto waiting = bench.policy;
  waiting.on_busy = OnBusy::wait;
  waiting.wait_limit = 60s;
  std::atomic<int> ran = 0;
  std::atomic<int> told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < waiters; ++i) {
    threads.emplace_back([&] {
      auto guard = Guard::claim(bench.guards, "k", waiting).value();
      if (guard.acquired()) {
        ++ran;
        guard.complete(Value(2));
      } else if (guard.result() == Value(2)) {
        ++told;
      }
    });
  }
  REQUIRE(until([&] { return bench.reads() >= looks_until_slow; }));
  REQUIRE(owner.release().has_value());
  threads.clear();
  CHECK(ran == 1);
  CHECK(told == waiters - 1);
}

TEST_CASE("a waiter whose owner is in another process asks until it has ended") {
  Bench bench;
  auto owner = bench.rival("k");
  auto waiting = bench.policy;
  waiting.on_busy = OnBusy::wait;
  waiting.wait_limit = 60s;
  for (const bool with_guards : {true, false}) {
    INFO(with_guards);
    std::optional<Guard> waiter;
    const auto before = bench.reads();
    std::jthread thread([&] {
      waiter = with_guards ? Guard::claim(bench.guards, "k", waiting).value()
                           : Guard::claim(bench.storage, "k", waiting).value();
    });
    REQUIRE(until([&] { return bench.reads() >= before + 3; }));
    if (with_guards) {
      REQUIRE(owner.release().has_value());
      thread.join();
      REQUIRE(waiter->acquired());
      owner = *std::move(waiter);
    } else {
      CHECK(owner.complete(Value("there")).recorded);
      thread.join();
      CHECK(waiter->result() == Value("there"));
    }
  }
}

TEST_CASE("a stop request ends a wait in its middle, with or without Guards [guard-19]") {
  Bench bench;
  auto owner = bench.claim("k");
  auto waiting = bench.policy;
  waiting.on_busy = OnBusy::wait;
  waiting.wait_limit = 600s;
  for (const bool with_guards : {true, false}) {
    std::stop_source stop;
    std::optional<Guard> waiter;
    const auto before = bench.reads();
    std::jthread thread([&] {
      waiter = with_guards ? Guard::claim(bench.guards, "k", waiting, {}, stop.get_token()).value()
                           : Guard::claim(bench.storage, "k", waiting, {}, stop.get_token()).value();
    });
    REQUIRE(until([&] { return bench.reads() >= before + 3; }));
    stop.request_stop();
    thread.join();
    CHECK(waiter->verdict() == Verdict::in_progress);
    CHECK(waiter->retry_after() > 0s);
  }
  CHECK(owner.complete(Value(1)).recorded);
}

TEST_CASE("a waiter takes over when the owner's lease ends, and finds out first where its policy says so") {
  for (const auto stale : {OnStale::takeover, OnStale::reconcile, OnStale::in_doubt}) {
    Bench bench;
    bench.policy.lease = 150ms;
    auto dead = bench.claim("k");
    auto waiting = bench.policy;
    waiting.lease = 60s;
    waiting.on_busy = OnBusy::wait;
    waiting.wait_limit = 60s;
    waiting.on_stale = stale;
    const auto waiter = Guard::claim(bench.guards, "k", waiting).value();
    CHECK(waiter.acquired() == (stale != OnStale::in_doubt));
    CHECK(waiter.must_reconcile() == (stale == OnStale::reconcile));
    if (stale == OnStale::in_doubt) CHECK(waiter.verdict() == Verdict::in_doubt);
    if (stale != OnStale::in_doubt) CHECK(waiter.attempt() == 2);
  }
}

TEST_CASE("a key whose storage call hangs holds up no other key [guard-24]") {
  Bench bench;
  std::atomic<bool> hangs = false;
  std::atomic<bool> go_on = false;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || hangs.exchange(true)) return;
    CHECK(until([&] { return go_on.load(); }));
  });
  std::optional<Guard> slow;
  std::jthread thread([&] { slow = bench.claim("slow"); });
  REQUIRE(until([&] { return hangs.load(); }));
  CHECK(bench.claim("quick").complete(Value(1)).recorded);
  CHECK(bench.claim("quick").result() == Value(1));
  go_on = true;
  thread.join();
  CHECK(slow->acquired());
}
