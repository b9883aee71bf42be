// The decision about a taken key, over every (state, event) pair.
#include "idempotency/machine.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace std::chrono_literals;
using guard_detail::decide;
using guard_detail::Decision;
using guard_detail::KeyRecord;
using Kind = Decision::Kind;

namespace {

KeyRecord record(KeyRecord::State state, int attempt = 1) {
  return {state, "owner-a", attempt, 7, "print", Value(5), Error{ErrorCode::conflict, "no"}};
}

/// The record as it is stored.
std::string text_of(const KeyRecord& record) {
  const auto json = record.result.to_json();
  return guard_detail::encode(
      {record.state, record.owner, record.attempt, record.fence, record.fingerprint,
       record.state == KeyRecord::State::done ? std::string_view(json) : std::string_view(),
       record.has_error() ? &record.error : nullptr, record.resolved_by, record.reason});
}

}  // namespace

TEST_CASE("another payload is told apart before anything else [guard-40]") {
  for (const auto state : {KeyRecord::State::claimed, KeyRecord::State::done, KeyRecord::State::failed,
                           KeyRecord::State::released}) {
    for (const Duration left : {Duration(1s), Duration(0), Duration(-1s)}) {
      for (const auto* owner : {"owner-a", "owner-b"}) {
        const auto decision = decide(record(state), left, {}, owner, "other print");
        CHECK(decision.kind == Kind::answer);
        CHECK(decision.verdict == Verdict::key_reused);
      }
    }
  }
}

TEST_CASE("an ended key is replayed whoever asks and however late") {
  for (const auto state : {KeyRecord::State::done, KeyRecord::State::failed}) {
    for (const Duration left : {Duration(1s), Duration(-1s)}) {
      for (const auto stale : {OnStale::takeover, OnStale::in_doubt}) {
        const auto decision =
            decide(record(state), left, {.on_busy = OnBusy::wait, .on_stale = stale}, "owner-a", "print");
        CHECK(decision.kind == Kind::answer);
        CHECK(decision.verdict == Verdict::replayed);
      }
    }
  }
}

TEST_CASE("a released key is taken until the attempts are used up") {
  CHECK(decide(record(KeyRecord::State::released, 2), -1s, {.attempts_max = 3}, "b", "print").kind ==
        Kind::take);
  const auto used_up = decide(record(KeyRecord::State::released, 3), -1s, {.attempts_max = 3}, "b", "print");
  CHECK(used_up.kind == Kind::answer);
  CHECK(used_up.verdict == Verdict::attempts_exhausted);
  // What an operator gave back runs all the same.
  auto by_operator = record(KeyRecord::State::released, 3);
  by_operator.resolved_by = "ann";
  CHECK(decide(by_operator, -1s, {.attempts_max = 3}, "b", "print").kind == Kind::take);
}

TEST_CASE("a live claim is its owner's alone [guard-16] [guard-27] [guard-55]") {
  const auto claimed = record(KeyRecord::State::claimed);
  CHECK(decide(claimed, 1s, {}, "owner-a", "print").kind == Kind::resume);
  const auto busy = decide(claimed, 3s, {}, "b", "print");
  CHECK(busy.kind == Kind::answer);
  CHECK(busy.verdict == Verdict::in_progress);
  CHECK(busy.retry_after == 3s);
  CHECK(decide(claimed, 3s, {.on_busy = OnBusy::wait}, "b", "print").kind == Kind::wait);
}

TEST_CASE("a stale claim is taken over or left in doubt, as the policy says [guard-34]") {
  const auto claimed = record(KeyRecord::State::claimed);
  for (const Duration left : {Duration(0), Duration(-1)}) {
    CHECK(decide(claimed, left, {}, "b", "print").kind == Kind::take);
    const auto doubt = decide(claimed, left, {.on_stale = OnStale::in_doubt}, "b", "print");
    CHECK(doubt.kind == Kind::answer);
    CHECK(doubt.verdict == Verdict::in_doubt);
  }
  CHECK(decide(record(KeyRecord::State::claimed, 9), 0s, {.attempts_max = 9}, "b", "print").verdict ==
        Verdict::attempts_exhausted);
}

TEST_CASE("a key's record reads back as it was written, and damage is noticed") {
  for (const auto state : {KeyRecord::State::claimed, KeyRecord::State::done, KeyRecord::State::failed,
                           KeyRecord::State::released}) {
    const auto original = record(state);
    const auto written = text_of(original);
    const auto read = guard_detail::decode_key_record({"k", written});
    REQUIRE(read.has_value());
    CHECK(text_of(*read) == written);
    for (std::size_t cut = 0; cut < written.size(); ++cut) {
      const auto damaged = guard_detail::decode_key_record({"k", written.substr(0, cut)});
      REQUIRE_FALSE(damaged.has_value());
      CHECK(damaged.error().code == ErrorCode::corrupt);
    }
  }
}
