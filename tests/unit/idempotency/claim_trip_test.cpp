// A claim as a protocol: every answer at every station, without a storage.
#include <onceward/storage/memory.hpp>

#include "support/catch.hpp"
#include "trips.hpp"

#include <thread>
#include <vector>

using namespace onceward;
using namespace onceward::guard_detail;
using namespace std::chrono_literals;
using trips::ByHand;
using Need = Trip::Need;

namespace {

const Timestamp now{std::chrono::days(20'000)};

struct Places {
  std::unique_ptr<Storage> first = open_memory().value();
  std::unique_ptr<Storage> second = open_memory().value();
  Policy policy{.operation = "t", .lease = 30s, .retention = 1h, .fallback = second.get()};

  ByHand trip(OnStorageDown down = OnStorageDown::fail_closed) {
    policy.on_storage_down = down;
    return ByHand(*first, "k", policy, "me");
  }
};

BatchAnswer applied(Revision revision) { return {.revision = revision}; }
BatchAnswer refused(std::optional<Record> found) { return {.refused = 0, .found = std::move(found)}; }

Record record(KeyRecordView view, Revision revision, Duration lease_left = 10s) {
  return {"k", encode(view), revision, now + lease_left, now + 30min};
}
Record claimed(std::string_view owner, Revision revision, Duration lease_left = 10s) {
  return record({.state = KeyState::claimed, .owner = owner, .fingerprint = "print"}, revision, lease_left);
}
Record done(Revision revision) {
  return record({.state = KeyState::done, .owner = "it", .fence = 3, .fingerprint = "print", .result = "7"},
                revision);
}

bool is_away(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::timeout || code == ErrorCode::in_doubt;
}

std::vector<ErrorCode> all_codes() {
  std::vector<ErrorCode> codes;
  for (std::size_t i = 0; i < error_codes; ++i) codes.push_back(static_cast<ErrorCode>(i));
  return codes;
}

/// How a trip ends that cannot go on for this error.
void check_down(ByHand& by_hand, Places& places, OnStorageDown down, ErrorCode code) {
  INFO(to_string(code));
  if (!is_away(code) || down == OnStorageDown::fail_closed) {
    REQUIRE(by_hand.trip.need() == Need::ended);
    REQUIRE(by_hand.trip.error());
    CHECK(by_hand.trip.error()->code == code);
    CHECK_FALSE(by_hand.claim.acquired);
  } else if (down == OnStorageDown::fail_open) {
    REQUIRE(by_hand.trip.need() == Need::ended);
    CHECK(by_hand.claim.acquired);
    CHECK(by_hand.claim.storage == nullptr);
    CHECK(by_hand.claim.attempt == 1);
  } else {
    REQUIRE(by_hand.trip.need() == Need::commit);
    CHECK(&by_hand.trip.storage() == places.second.get());
    CHECK(by_hand.trip.batch().operations[0].kind == Operation::Kind::insert);
    by_hand.trip.committed(applied(5), now);
    REQUIRE(by_hand.trip.need() == Need::ended);
    CHECK(by_hand.claim.storage == places.second.get());
    CHECK(by_hand.claim.fence == 5);
  }
}

constexpr auto downs = {OnStorageDown::fail_closed, OnStorageDown::fail_open, OnStorageDown::fallback};

}  // namespace

TEST_CASE("a claim begins with one insert of its key, and applied it is held under that revision") {
  Places places;
  auto by_hand = places.trip();
  REQUIRE(by_hand.trip.need() == Need::commit);
  CHECK(&by_hand.trip.storage() == places.first.get());
  const auto& batch = by_hand.trip.batch();
  REQUIRE(batch.operations.size() == 1);
  CHECK(batch.partition == guard_partition("t", "k"));
  CHECK(batch.operations[0].kind == Operation::Kind::insert);
  CHECK(batch.operations[0].key == "k");
  CHECK(batch.operations[0].timing.due_in == 30s);
  CHECK(batch.operations[0].timing.expires_in == 1h);
  const auto written = decode_key_record({"k", batch.operations[0].value}).value();
  CHECK(written.state == KeyState::claimed);
  CHECK(written.owner == "me");
  CHECK(written.fingerprint == "print");
  CHECK(by_hand.trip.ref().key == "k");
  by_hand.trip.committed(applied(77), now);
  CHECK(by_hand.trip.need() == Need::ended);
  CHECK(by_hand.claim.acquired);
  CHECK(by_hand.claim.storage == places.first.get());
  CHECK(by_hand.claim.fence == 77);
  CHECK(by_hand.claim.revision == 77);
  CHECK(by_hand.claim.attempt == 1);
}

TEST_CASE("a claim that fails is looked for where it may have been written, else its policy decides") {
  for (const auto down : downs) {
    for (const auto code : all_codes()) {
      Places places;
      auto by_hand = places.trip(down);
      by_hand.trip.committed(fail(code, "x"), now);
      if (code == ErrorCode::in_doubt || code == ErrorCode::timeout) {
        CHECK(by_hand.trip.need() == Need::read);
        CHECK(&by_hand.trip.storage() == places.first.get());
      } else {
        check_down(by_hand, places, down, code);
      }
    }
  }
}

TEST_CASE("a look that fails ends the claim as its policy says") {
  for (const auto down : downs) {
    for (const auto code : all_codes()) {
      Places places;
      auto by_hand = places.trip(down);
      by_hand.trip.committed(fail(ErrorCode::in_doubt, "x"), now);
      by_hand.trip.looked(fail(code, "y"), now);
      check_down(by_hand, places, down, code);
    }
  }
}

TEST_CASE("a claim whose answer was lost is found, or written again a few times [guard-55]") {
  Places places;
  auto found = places.trip();
  found.trip.committed(fail(ErrorCode::in_doubt, "x"), now);
  found.trip.looked(claimed("me", 9), now);
  CHECK(found.trip.need() == Need::ended);
  CHECK(found.claim.acquired);
  CHECK(found.claim.revision == 9);
  CHECK(found.claim.fence == 9);

  auto lost = places.trip();
  int writes = 0;
  for (; lost.trip.need() == Need::commit; ++writes) {
    lost.trip.committed(fail(ErrorCode::in_doubt, "x"), now);
    lost.trip.looked(std::optional<Record>(), now);
  }
  CHECK(writes == 4);
  CHECK(lost.trip.error()->code == ErrorCode::in_doubt);

  auto slow = places.trip();
  slow.trip.committed(fail(ErrorCode::timeout, "x"), now);
  slow.trip.looked(std::optional<Record>(), now);
  CHECK(slow.trip.error()->code == ErrorCode::timeout);

  // Another one was there first: what it left is answered.
  auto second = places.trip();
  second.trip.committed(fail(ErrorCode::in_doubt, "x"), now);
  second.trip.looked(done(4), now);
  CHECK(second.trip.need() == Need::ended);
  CHECK(second.claim.verdict == Verdict::replayed);
  CHECK(second.claim.result == Value(7));

  // Its own claim is found when its lease is over: it counts as any other that was left.
  auto late = places.trip();
  late.trip.committed(fail(ErrorCode::in_doubt, "x"), now);
  late.trip.looked(claimed("me", 9, -1us), now);
  REQUIRE(late.trip.need() == Need::commit);
  CHECK(late.trip.batch().operations[0].expected == 9);
}

TEST_CASE("a refused claim does what stands in its way says") {
  Places places;
  auto busy = places.trip();
  busy.trip.committed(refused(claimed("other", 9, 4s)), now);
  CHECK(busy.trip.need() == Need::ended);
  CHECK(busy.claim.verdict == Verdict::in_progress);
  CHECK(busy.claim.retry_after == 4s);

  auto stale = places.trip();
  stale.trip.committed(refused(claimed("other", 9, 0s)), now);
  REQUIRE(stale.trip.need() == Need::commit);
  CHECK(stale.trip.batch().operations[0].kind == Operation::Kind::replace);
  CHECK(stale.trip.batch().operations[0].expected == 9);
  stale.trip.committed(applied(12), now);
  CHECK(stale.claim.attempt == 2);
  CHECK(stale.claim.fence == 12);

  auto vanished = places.trip();
  vanished.trip.committed(refused(std::nullopt), now);
  REQUIRE(vanished.trip.need() == Need::commit);
  CHECK(vanished.trip.batch().operations[0].kind == Operation::Kind::insert);

  auto spoilt = places.trip();
  spoilt.trip.committed(refused(Record{"k", "spoilt", 3}), now);
  CHECK(spoilt.trip.need() == Need::ended);
  CHECK(spoilt.claim.verdict == Verdict::result_unavailable);
  CHECK(spoilt.claim.error->code == ErrorCode::corrupt);

  auto ended = places.trip();
  ended.trip.committed(refused(done(8)), now);
  CHECK(ended.claim.verdict == Verdict::replayed);
  CHECK(ended.claim.replay_left == 30min);
  CHECK(ended.claim.fence == 3);
}

TEST_CASE("a key that changes all the time is given up, with an error [guard-23]") {
  Places places;
  auto by_hand = places.trip();
  int writes = 0;
  for (; by_hand.trip.need() == Need::commit && writes < 1000; ++writes)
    by_hand.trip.committed(refused(claimed("other", writes + 1, -1s)), now);
  CHECK(writes == 64);
  REQUIRE(by_hand.trip.error());
  CHECK(by_hand.trip.error()->code == ErrorCode::conflict);
  CHECK_FALSE(by_hand.claim.acquired);
}

TEST_CASE("a waiting claim pauses longer and longer, looks, and ends when it is stopped [guard-17]") {
  Places places;
  places.policy.on_busy = OnBusy::wait;
  auto by_hand = places.trip();
  by_hand.trip.committed(refused(claimed("other", 9)), now);
  Duration longest{};
  for (int i = 0; i < 12; ++i) {
    REQUIRE(by_hand.trip.need() == Need::pause);
    CHECK(by_hand.trip.pause() > 0us);
    CHECK(by_hand.trip.pause() <= longest_pause);
    longest = std::max(longest, by_hand.trip.pause());
    by_hand.trip.paused(false);
    REQUIRE(by_hand.trip.need() == Need::read);
    by_hand.trip.looked(claimed("other", 9), now);
  }
  CHECK(longest >= longest_pause / 2);
  by_hand.trip.paused(true);
  by_hand.trip.looked(claimed("other", 9, 3s), now);
  CHECK(by_hand.trip.need() == Need::ended);
  CHECK(by_hand.claim.verdict == Verdict::in_progress);
  CHECK(by_hand.claim.retry_after == 3s);

  // Stopped, and the owner has ended meanwhile: the answer is there and is given.
  auto lucky = places.trip();
  lucky.trip.committed(refused(claimed("other", 9)), now);
  lucky.trip.paused(true);
  lucky.trip.looked(done(10), now);
  CHECK(lucky.claim.verdict == Verdict::replayed);
  CHECK(lucky.claim.retry_after == 0s);
}

TEST_CASE("the fallback is asked behind a claim, again where that may help, and unheard nothing runs") {
  for (const auto code : all_codes()) {
    for (const bool stopped : {false, true}) {
      Places places;
      auto by_hand = places.trip(OnStorageDown::fallback);
      by_hand.trip.committed(applied(7), now);
      REQUIRE(by_hand.trip.need() == Need::read);
      CHECK(&by_hand.trip.storage() == places.second.get());
      by_hand.trip.looked(fail(code, "x"), now);
      if (is_away(code)) {
        REQUIRE(by_hand.trip.need() == Need::pause);
        by_hand.trip.paused(stopped);
        REQUIRE(by_hand.trip.need() == Need::read);
        CHECK(&by_hand.trip.storage() == places.second.get());
        if (!stopped) {
          by_hand.trip.looked(std::optional<Record>(), now);
          // Its lease ran meanwhile: it is written again, and the fallback asked once more.
          REQUIRE(by_hand.trip.need() == Need::commit);
          by_hand.trip.committed(applied(8), now);
          by_hand.trip.looked(std::optional<Record>(), now);
          CHECK(by_hand.trip.need() == Need::ended);
          CHECK(by_hand.claim.acquired);
          CHECK(by_hand.claim.storage == places.first.get());
          continue;
        }
        by_hand.trip.looked(fail(code, "x"), now);
      }
      REQUIRE(by_hand.trip.need() == Need::commit);
      CHECK(&by_hand.trip.storage() == places.first.get());
      CHECK(by_hand.trip.batch().operations[0].kind == Operation::Kind::remove);
      CHECK(by_hand.trip.batch().operations[0].expected == 7);
      by_hand.trip.committed(applied(9), now);
      CHECK(by_hand.trip.need() == Need::ended);
      CHECK_FALSE(by_hand.claim.acquired);
      REQUIRE(by_hand.trip.error());
      CHECK(by_hand.trip.error()->code == code);
    }
  }
}

TEST_CASE("a claim that is given back or brings an end along is over, whatever the storage answers") {
  std::vector<Result<BatchAnswer>> answers = {applied(9), refused(claimed("other", 8)),
                                              refused(std::nullopt)};
  for (const auto code : all_codes()) answers.emplace_back(fail(code, "x"));
  for (const auto& answer : answers) {
    for (const bool ended : {true, false}) {
      Places places;
      auto by_hand = places.trip(OnStorageDown::fallback);
      by_hand.trip.committed(applied(7), now);
      by_hand.trip.looked(ended ? done(20) : claimed("there", 20, 2s), now);
      REQUIRE(by_hand.trip.need() == Need::commit);
      CHECK(&by_hand.trip.storage() == places.first.get());
      const auto& operation = by_hand.trip.batch().operations[0];
      CHECK(operation.kind == (ended ? Operation::Kind::replace : Operation::Kind::remove));
      CHECK(operation.expected == 7);
      if (ended) CHECK(decode_key_record({"k", operation.value}).value().state == KeyState::done);
      by_hand.trip.committed(answer, now);
      CHECK(by_hand.trip.need() == Need::ended);
      CHECK_FALSE(by_hand.claim.acquired);
      CHECK(by_hand.claim.storage == nullptr);
      CHECK_FALSE(by_hand.trip.error());
      CHECK(by_hand.claim.verdict == (ended ? Verdict::replayed : Verdict::in_progress));
    }
  }
}

TEST_CASE("no pause of a wait goes beyond its limit [guard-19]") {
  Places places;
  places.policy.on_busy = OnBusy::wait;
  places.policy.wait_limit = 2ms;  // less than the shortest pause there is
  auto by_hand = places.trip();
  by_hand.trip.committed(refused(claimed("other", 9)), now);
  REQUIRE(by_hand.trip.need() == Need::pause);
  CHECK(by_hand.trip.pause() > 0us);
  CHECK(by_hand.trip.pause() <= 2ms);
  std::this_thread::sleep_for(2ms);
  by_hand.trip.paused(false);
  by_hand.trip.looked(claimed("other", 9, 4s), now);
  CHECK(by_hand.trip.need() == Need::ended);
  CHECK(by_hand.claim.verdict == Verdict::in_progress);
}
