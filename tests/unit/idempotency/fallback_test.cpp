// The second storage of a policy: what is known there, and what a caller that waits for it holds meanwhile.
#include <onceward/testing/fake_clock.hpp>

#include "guards_bench.hpp"
#include "trips.hpp"

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::state_in;
using testing::FakeClock;
using testing::FaultyStorage;
using Need = guard_detail::Trip::Need;

namespace {

struct Pair {
  FakeClock clock;
  std::unique_ptr<Storage> first_memory = open_memory({.clock = &clock}).value();
  std::unique_ptr<Storage> second_memory = open_memory({.clock = &clock}).value();
  FaultyStorage first{*first_memory};
  FaultyStorage second{*second_memory};
  Policy policy{.operation = "f",
                .lease = 30s,
                .retention = 1h,
                .on_storage_down = OnStorageDown::fallback,
                .fallback = &second,
                .record_limit = 50ms};

  Guard claim(std::string_view key = "k") { return Guard::claim(first, key, policy, "print").value(); }
  Guard claim_there(std::string_view key = "k") {
    return Guard::claim(second, key, {.operation = "f", .lease = 30s, .retention = 1h}, "print").value();
  }
};

}  // namespace

TEST_CASE("of two callers that wait for the fallback's owner beyond their own leases one runs [guard-15]") {
  Pair pair;
  pair.policy.on_busy = OnBusy::wait;
  pair.policy.lease = 1s;
  auto owner = pair.claim_there();
  trips::ByHand one(pair.first, "k", pair.policy, "one");
  trips::ByHand two(pair.first, "k", pair.policy, "two");
  one.run_to_pause();
  REQUIRE(one.trip.need() == Need::pause);
  pair.clock.advance(2s);
  two.run_to_pause();
  REQUIRE(two.trip.need() == Need::pause);
  REQUIRE(owner.release().has_value());
  one.resume();
  two.resume();
  CHECK(static_cast<int>(one.claim.acquired) + static_cast<int>(two.claim.acquired) == 1);
}

TEST_CASE("who waited for the fallback's owner and runs has a whole lease before it") {
  Pair pair;
  pair.policy.on_busy = OnBusy::wait;
  auto owner = pair.claim_there();
  trips::ByHand one(pair.first, "k", pair.policy, "one");
  one.run_to_pause();
  pair.clock.advance(29s);
  REQUIRE(owner.release().has_value());
  one.resume();
  REQUIRE(one.trip.need() == Need::ended);
  REQUIRE(one.claim.acquired);
  CHECK(one.claim.attempt == 2);
  const auto record = read_one(*pair.first_memory, guard_partition("f", "k"), "k").value().value();
  CHECK(record.due == pair.clock.now() + 30s);
  CHECK(record.revision == one.claim.revision);
}

TEST_CASE("a caller that saw a live owner never runs beside it when the storage goes away [guard-50]") {
  for (const auto down : {OnStorageDown::fail_open, OnStorageDown::fallback, OnStorageDown::fail_closed}) {
    Pair pair;
    auto owner = pair.claim();
    REQUIRE(owner.acquired());
    pair.policy.on_storage_down = down;
    pair.policy.on_busy = OnBusy::wait;
    pair.policy.wait_limit = 50ms;
    pair.first.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 1'000'000);
    const auto waiter = Guard::claim(pair.first, "k", pair.policy, "print");
    if (down == OnStorageDown::fail_closed) {
      CHECK(waiter.error().code == ErrorCode::unavailable);
    } else {
      REQUIRE(waiter.has_value());
      CHECK_FALSE(waiter->acquired());
      CHECK(waiter->verdict() == Verdict::in_progress);
      CHECK(waiter->retry_after() > 0s);
    }
    CHECK(state_in(*pair.second_memory, "f", "k") == "absent");
  }
}

TEST_CASE("a wait for the fallback's owner ends at its limit, and leaves nothing in the first storage") {
  Pair pair;
  pair.policy.on_busy = OnBusy::wait;
  pair.policy.wait_limit = 20ms;
  auto owner = pair.claim_there();
  const auto waiter = pair.claim();
  CHECK(waiter.verdict() == Verdict::in_progress);
  CHECK(waiter.retry_after() == 30s);
  CHECK(state_in(*pair.first_memory, "f", "k") == "absent");
  CHECK(owner.complete(Value("there")).recorded);
  CHECK(pair.claim().result() == Value("there"));
}

TEST_CASE("the first storage learns how a key ended in the fallback, whatever the end [guard-50]") {
  for (int end = 0; end < 3; ++end) {
    Pair pair;
    auto there = pair.claim_there();
    const auto fence = there.fence();
    if (end == 0) CHECK(there.complete(Value("result")).recorded);
    if (end == 1) CHECK(there.complete_with_error({ErrorCode::conflict, "closed", 7}).recorded);
    if (end == 2) CHECK(there.complete_unstored({ErrorCode::limit_exceeded, "large"}).recorded);
    pair.clock.advance(10min);
    for (const bool fallback_known : {true, false}) {
      // Once it is brought along the fallback is asked no more.
      if (!fallback_known)
        pair.second.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 1'000'000);
      const auto guard = pair.claim();
      CHECK_FALSE(guard.acquired());
      CHECK(guard.verdict() == (end == 2 ? Verdict::result_unavailable : Verdict::replayed));
      CHECK(guard.attempt() == 1);
      CHECK(guard.fence() == fence);
      if (end == 0) CHECK(guard.result() == Value("result"));
      if (end == 1) CHECK(guard.error()->native_code == 7);
      if (end == 2) CHECK(guard.error()->code == ErrorCode::limit_exceeded);
    }
    // Brought along with what was left of its retention.
    pair.clock.advance(49min);
    CHECK_FALSE(pair.claim().acquired());
    pair.clock.advance(2min);
    pair.second.heal();
    CHECK(pair.claim().acquired());
  }
}

TEST_CASE("answers lost on the way between two storages cost no exactly-once [guard-55]") {
  for (std::size_t lost = 0; lost < 2; ++lost) {
    Pair pair;
    CHECK(pair.claim_there().complete(Value(1)).recorded);
    // The claim's answer, or that of what was brought along.
    pair.first.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt, 1, lost);
    CHECK(pair.claim().result() == Value(1));
    CHECK(pair.claim().result() == Value(1));
  }
  Pair pair;
  // The claim was written and its answer lost, then the storage was away: the fallback's is taken, and the
  // first one's lapses.
  pair.first.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  pair.first.fail_calls(Call::read, Fault::before, ErrorCode::unavailable);
  auto guard = pair.claim();
  REQUIRE(guard.acquired());
  CHECK(state_in(*pair.second_memory, "f", "k") == "claimed");
  CHECK(state_in(*pair.first_memory, "f", "k") == "claimed");
  CHECK(pair.claim().verdict() == Verdict::in_progress);
  CHECK(guard.complete(Value(2)).recorded);
  pair.clock.advance(31s);
  const auto later = pair.claim();
  CHECK(later.verdict() == Verdict::replayed);
  CHECK(later.result() == Value(2));
}

TEST_CASE("a key that was given back in the fallback runs in the first storage as a further attempt") {
  Pair pair;
  REQUIRE(pair.claim_there().release().has_value());
  auto guard = pair.claim();
  CHECK(guard.acquired());
  CHECK(guard.attempt() == 2);
  pair.policy.on_stale = OnStale::reconcile;
  auto doubtful = pair.claim_there("d");
  CHECK(doubtful.leave_in_doubt({ErrorCode::in_doubt, "who knows"}).recorded);
  auto asked = pair.claim("d");
  CHECK(asked.acquired());
  CHECK(asked.must_reconcile());
}

TEST_CASE(
    "another payload leaves nothing of its own where the fallback knows the key [guard-40] [guard-50]") {
  for (const bool live : {false, true}) {
    Pair pair;
    auto there = pair.claim_there();
    if (!live) CHECK(there.complete(Value("a")).recorded);
    const auto other = Guard::claim(pair.first, "k", pair.policy, "another");
    CHECK(other->verdict() == Verdict::key_reused);
    CHECK(other->result() == Value());
    CHECK(state_in(*pair.first_memory, "f", "k") == "absent");
    if (live) CHECK(pair.claim().verdict() == Verdict::in_progress);
    if (live) CHECK(there.complete(Value("a")).recorded);
    const auto again = pair.claim();
    CHECK(again.verdict() == Verdict::replayed);
    CHECK(again.result() == Value("a"));
  }
}

TEST_CASE("a key that was given back stands as before once its fallback is heard [guard-12]") {
  Pair pair;
  {
    auto released = pair.claim();
    REQUIRE(released.release().has_value());
  }
  auto there = pair.claim_there();
  CHECK(pair.claim().verdict() == Verdict::in_progress);
  CHECK(state_in(*pair.first_memory, "f", "k") == "released");
  REQUIRE(there.release().has_value());
  CHECK(pair.claim().attempt() == 2);
}

TEST_CASE(
    "a fallback that does not answer at once is asked again, and what ended there is not run [guard-50]") {
  for (const auto code : {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::in_doubt}) {
    Pair pair;
    pair.policy.record_limit = 10s;
    CHECK(pair.claim_there().complete(Value("there")).recorded);
    pair.second.fail_calls(Call::read, Fault::before, code, 3);
    const auto guard = pair.claim();
    CHECK(guard.verdict() == Verdict::replayed);
    CHECK(guard.result() == Value("there"));
  }
  // A key that it does not know runs, with a whole lease: the claim is written again after the pauses.
  Pair pair;
  pair.policy.record_limit = 10s;
  pair.second.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 2);
  auto guard = pair.claim();
  CHECK(guard.acquired());
  CHECK(guard.attempt() == 1);
  CHECK(guard.complete(Value(1)).recorded);
}

TEST_CASE("where the fallback stays away nothing runs, and the key is as it was [guard-50]") {
  for (const auto code : {ErrorCode::unavailable, ErrorCode::corrupt}) {
    Pair pair;
    Guards guards(pair.first);
    CHECK(pair.claim_there().complete(Value("there")).recorded);
    pair.second.fail_calls(Call::read, Fault::before, code, 1'000'000);
    const auto reads = pair.second.calls(Call::read);
    const auto refused = Guard::claim(guards, "k", pair.policy, "print");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == code);
    CHECK(guards.figures("f").of(CallEnd::storage_down) == 1);
    CHECK((pair.second.calls(Call::read) == reads + 1) == (code == ErrorCode::corrupt));
    CHECK(state_in(*pair.first_memory, "f", "k") == "absent");
    pair.second.heal();
    CHECK(pair.claim().result() == Value("there"));
  }
}
