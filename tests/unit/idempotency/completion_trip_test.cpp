// A completion as a protocol: every answer at every station, without a storage.
#include <onceward/storage/memory.hpp>

#include "support/catch.hpp"
#include "trips.hpp"

#include <vector>

using namespace onceward;
using namespace onceward::guard_detail;
using namespace std::chrono_literals;
using Need = Trip::Need;

namespace {

constexpr Revision own_revision = 50;

/// A claim of "me" under revision 50 that is about to be written over.
struct Ending {
  std::unique_ptr<Storage> storage = open_memory().value();
  Claim claim;

  explicit Ending(KeyRecordView record = {.state = KeyState::done, .result = "1"}) {
    trips::prepare(claim, "k", {.operation = "t"}, "me", "print");
    claim.revision = own_revision;
    record.owner = "me";
    record.fingerprint = "print";
    encode_into(operation_of(claim).value, record);
  }
  CompletionTrip trip(Duration patience = 1h) {
    return CompletionTrip(claim, *storage, {std::nullopt, 1h}, patience);
  }
  [[nodiscard]] const Operation& operation() const { return claim.batch.operations.front(); }
};

BatchAnswer refused(std::optional<Record> found) { return {.refused = 0, .found = std::move(found)}; }
Record record(KeyRecordView view, Revision revision) { return {"k", encode(view), revision}; }
Record own_claim(Revision revision) {
  return record({.state = KeyState::claimed, .owner = "me", .fingerprint = "print"}, revision);
}

enum class Next : std::uint8_t { ended, write_again, look };

Next after(ErrorCode code) {
  switch (code) {
    case ErrorCode::unavailable:
    case ErrorCode::timeout:
    case ErrorCode::exhausted: return Next::write_again;
    case ErrorCode::in_doubt: return Next::look;
    default: return Next::ended;
  }
}

}  // namespace

TEST_CASE("an ending expects the record its owner wrote last, and applied it is recorded") {
  Ending ending;
  auto trip = ending.trip();
  REQUIRE(trip.need() == Need::commit);
  CHECK(ending.operation().kind == Operation::Kind::replace);
  CHECK(ending.operation().expected == own_revision);
  CHECK(ending.operation().timing.expires_in == 1h);
  trip.committed(BatchAnswer{.revision = 51}, {});
  CHECK(trip.need() == Need::ended);
  CHECK(trip.completion().recorded);
  CHECK(trip.completion().verdict == Verdict::executed);
  CHECK(trip.written() == 51);
  CHECK_FALSE(trip.may_go_on());
}

TEST_CASE("an ending that fails is repeated, looked for, or given up, by the code; never without a pause") {
  for (std::size_t i = 0; i < error_codes; ++i) {
    const auto code = static_cast<ErrorCode>(i);
    INFO(to_string(code));
    Ending ending;
    auto trip = ending.trip();
    trip.committed(fail(code, "x"), {});
    if (after(code) == Next::ended) {
      CHECK(trip.need() == Need::ended);
      CHECK_FALSE(trip.completion().recorded);
      CHECK(trip.completion().error->code == code);
      CHECK_FALSE(trip.may_go_on());
      continue;
    }
    REQUIRE(trip.need() == Need::pause);
    trip.paused(false);
    CHECK(trip.need() == (after(code) == Next::look ? Need::read : Need::commit));
  }
}

TEST_CASE("an ending whose patience is over ends, and may go on later where it stopped") {
  for (const auto code :
       {ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::in_doubt, ErrorCode::exhausted}) {
    Ending ending;
    auto trip = ending.trip(0s);
    trip.committed(fail(code, "x"), {});
    REQUIRE(trip.need() == Need::ended);
    CHECK(trip.may_go_on());
    CHECK_FALSE(trip.completion().recorded);
    CHECK(trip.completion().error->code == code);
    trip.go_on();
    CHECK_FALSE(trip.may_go_on());
    if (code == ErrorCode::in_doubt) {
      REQUIRE(trip.need() == Need::read);
      trip.looked(own_claim(own_revision), {});
    }
    REQUIRE(trip.need() == Need::commit);
    trip.committed(BatchAnswer{.revision = 60}, {});
    CHECK(trip.completion().recorded);
  }
}

TEST_CASE("a look that fails is repeated, whatever its code") {
  for (std::size_t i = 0; i < error_codes; ++i) {
    Ending ending;
    auto trip = ending.trip();
    trip.committed(fail(ErrorCode::in_doubt, "x"), {});
    trip.paused(false);
    trip.looked(fail(static_cast<ErrorCode>(i), "y"), {});
    REQUIRE(trip.need() == Need::pause);
    trip.paused(false);
    CHECK(trip.need() == Need::read);
  }
}

TEST_CASE(
    "in the background an ending is tried as often as it takes, however its answers are lost [guard-51]") {
  Ending ending;
  auto trip = ending.trip();
  trip.begin_in_background();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(trip.need() == Need::ended);
    REQUIRE(trip.may_go_on());
    trip.go_on();
    if (trip.need() == Need::read) trip.looked(own_claim(own_revision), {});
    REQUIRE(trip.need() == Need::commit);
    trip.committed(fail(i % 2 == 0 ? ErrorCode::in_doubt : ErrorCode::unavailable, "x"), {});
  }
  trip.go_on();
  if (trip.need() == Need::read) trip.looked(own_claim(own_revision), {});
  trip.committed(BatchAnswer{.revision = 60}, {});
  CHECK(trip.completion().recorded);
}

TEST_CASE(
    "an ending goes over its own claim wherever that stands, and makes it again where it is gone [guard-57]") {
  for (const bool looks : {false, true}) {
    Ending ending;
    auto trip = ending.trip();
    const auto meet = [&](std::optional<Record> found) {
      if (!looks) return trip.committed(refused(std::move(found)), {});
      trip.committed(fail(ErrorCode::in_doubt, "x"), {});
      trip.paused(false);
      trip.looked(std::move(found), {});
    };
    meet(own_claim(70));
    REQUIRE(trip.need() == Need::commit);
    CHECK(ending.operation().kind == Operation::Kind::replace);
    CHECK(ending.operation().expected == 70);
    meet(std::nullopt);
    REQUIRE(trip.need() == Need::commit);
    CHECK(ending.operation().kind == Operation::Kind::insert);
    // Made again by a lost answer: it stands there, under whatever revision.
    meet(Record{"k", ending.operation().value, 80});
    CHECK(trip.need() == Need::ended);
    CHECK(trip.completion().recorded);
    CHECK(trip.written() == 80);
  }
}

TEST_CASE("an ending leaves every record alone that is not its own claim [guard-30]") {
  const std::vector<Record> others = {
      record({.state = KeyState::claimed, .owner = "other", .fingerprint = "print"}, 70),
      record({.state = KeyState::done, .owner = "other", .fingerprint = "print", .result = "1"}, 70),
      record({.state = KeyState::done, .owner = "me", .fingerprint = "print", .result = "2"}, 70),
      record({.state = KeyState::released, .owner = "me", .fingerprint = "print"}, 70),
      Record{"k", "spoilt", 70}};
  for (const auto& other : others) {
    INFO(other.value);
    Ending ending;
    auto trip = ending.trip();
    trip.committed(refused(other), {});
    CHECK(trip.need() == Need::ended);
    CHECK(trip.completion().verdict == Verdict::lease_lost);
    CHECK_FALSE(trip.completion().recorded);
    CHECK_FALSE(trip.completion().error);
    CHECK_FALSE(trip.may_go_on());
    auto own = ending.trip();
    own.only_over_own_claim();
    own.committed(refused(other), {});
    CHECK(own.completion().error->code == ErrorCode::conflict);
  }
}

TEST_CASE("a release makes nothing that is gone [guard-31]") {
  Ending ending({.state = KeyState::released});
  auto trip = ending.trip(0s);
  trip.only_over_own_claim();
  trip.committed(refused(std::nullopt), {});
  CHECK(trip.need() == Need::ended);
  CHECK(trip.completion().verdict == Verdict::lease_lost);
  CHECK(trip.completion().error->code == ErrorCode::conflict);
}

TEST_CASE("a renewal that meets an equal one is written again, for its lease is an older one") {
  Ending ending({.state = KeyState::claimed});
  auto trip = ending.trip(0s);
  trip.only_over_own_claim();
  trip.committed(refused(own_claim(70)), {});
  REQUIRE(trip.need() == Need::commit);
  CHECK(ending.operation().expected == 70);
  trip.committed(BatchAnswer{.revision = 71}, {});
  CHECK(trip.written() == 71);
}

TEST_CASE("a record that changes all the time ends an ending after its patience, and it may go on") {
  Ending ending;
  auto trip = ending.trip(0s);
  Revision revision = 70;
  int writes = 0;
  for (; trip.need() == Need::commit && writes < 100; ++writes)
    trip.committed(refused(own_claim(++revision)), {});
  CHECK(writes == 3);
  CHECK(trip.completion().error->code == ErrorCode::conflict);
  CHECK_FALSE(trip.completion().recorded);
  CHECK(trip.may_go_on());
  auto patient = ending.trip(1h);
  for (writes = 0; patient.need() == Need::commit && writes < 100; ++writes)
    patient.committed(refused(own_claim(++revision)), {});
  CHECK(writes == 100);
}
