// What the guard promises where the ordinary cases end: results that cannot be encoded, answers that are
// lost.
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include "idempotency/machine.hpp"

#include <array>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FakeClock;
using testing::FaultyStorage;

namespace {

struct Bench {
  FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  FaultyStorage storage{*memory};
  Policy policy{.operation = "promise", .lease = 30s, .retention = 1h, .record_limit = 200ms};
};

struct Ask {
  std::string id;
};

/// A result whose own codec gives up.
struct Stubborn {
  int number = 0;
};

}  // namespace

template <>
struct onceward::ValueCodec<Stubborn> {
  static Value to_value(const Stubborn&) { throw std::runtime_error("cannot be encoded"); }
  static Result<void> from_value(const Value&, Stubborn&) { return {}; }
};

TEST_CASE("a result whose codec throws is given to its caller, and the work never runs again") {
  Bench bench;
  int runs = 0;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) {
    ++runs;
    return Stubborn{7};
  });
  const auto first = call({"a"});
  CHECK(first.value().number == 7);
  CHECK(first.verdict() == Verdict::result_unavailable);
  CHECK(first.error()->message.find("cannot be encoded") != std::string::npos);
  bench.clock.advance(31s);
  const auto second = call({"a"});
  CHECK(second.verdict() == Verdict::result_unavailable);
  CHECK_FALSE(second.has_value());
  CHECK(runs == 1);
}

TEST_CASE("a result that was too large is never mistaken for work that failed") {
  Bench bench;
  bench.policy.result_bytes_max = 1000;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy,
                              [](const Ask&) { return std::string(2000, 'x'); });
  CHECK(call({"a"}).value().size() == 2000);
  const auto second = call({"a"});
  CHECK(second.verdict() == Verdict::result_unavailable);
  CHECK(second.error()->code == ErrorCode::limit_exceeded);
  CHECK(second.attempt() == 1);
}

TEST_CASE("a result that would not read back is told so at once, and an error's text is made readable") {
  Bench bench;
  const auto bytes = std::string("\xff\xfe");
  auto guard = Guard::claim(bench.storage, "bytes", bench.policy).value();
  CHECK(guard.complete(Value(bytes)).verdict == Verdict::result_unavailable);
  CHECK(Guard::claim(bench.storage, "bytes", bench.policy)->verdict() == Verdict::result_unavailable);
  Value deep(1);
  for (std::size_t i = 0; i < limits::json_depth; ++i) deep = Value(List{deep});
  auto nested = Guard::claim(bench.storage, "deep", bench.policy).value();
  CHECK(nested.complete(deep).verdict == Verdict::result_unavailable);
  auto umlaut = Guard::claim(bench.storage, "text", bench.policy).value();
  CHECK(umlaut.complete(Value("\xc3\xa4")).verdict == Verdict::executed);
  CHECK(Guard::claim(bench.storage, "text", bench.policy)->result() == Value("\xc3\xa4"));
  auto failed = Guard::claim(bench.storage, "error", bench.policy).value();
  CHECK(failed.complete_with_error({ErrorCode::conflict, bytes + " no"}).recorded);
  CHECK(Guard::claim(bench.storage, "error", bench.policy)->error()->message == "?? no");
}

TEST_CASE("a call without a fingerprint is compared with none, and wipes out none [guard-40]") {
  Bench bench;
  const auto claim = [&](std::string_view print) {
    return Guard::claim(bench.storage, "k", bench.policy, print).value();
  };
  REQUIRE(claim("aaaa").release().has_value());
  REQUIRE(claim("").release().has_value());
  CHECK(claim("bbbb").verdict() == Verdict::key_reused);
  REQUIRE(claim("aaaa").complete(Value(1)).recorded);
  CHECK(claim("").verdict() == Verdict::replayed);
}

TEST_CASE("a final error is given again whole, its offset too, and a huge one is cut and kept [guard-11]") {
  Bench bench;
  int runs = 0;
  Error error{ErrorCode::syntax, "no number", 3, 17};
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) -> Result<int> {
    ++runs;
    return fail(error);
  });
  CHECK(call({"offset"}).error() == error);
  CHECK(call({"offset"}).error() == error);
  error.message = std::string(limits::value_bytes, 'm');
  CHECK(call({"huge"}).recorded());
  bench.clock.advance(31s);
  const auto replay = call({"huge"});
  CHECK(replay.verdict() == Verdict::replayed);
  CHECK(replay.error()->code == ErrorCode::syntax);
  CHECK(replay.error()->message.starts_with("mmmm"));
  CHECK(runs == 2);
}

TEST_CASE("a renewal whose answer was lost leaves an owner that can renew, release and complete [guard-28]") {
  for (std::size_t end = 0; end < 3; ++end) {
    Bench bench;
    auto owner = Guard::claim(bench.storage, "k", bench.policy).value();
    const auto fence = owner.fence();
    bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt);
    (void)owner.renew();
    if (end == 0) CHECK(owner.renew().has_value());
    if (end == 1) CHECK(owner.release().has_value());
    if (end == 2) CHECK(owner.complete(Value(1)).recorded);
    CHECK(owner.fence() == fence);
    const auto next = Guard::claim(bench.storage, "k", bench.policy).value();
    const auto after = std::array{Verdict::in_progress, Verdict::executed, Verdict::replayed}.at(end);
    CHECK(next.verdict() == after);
  }
}

TEST_CASE("a claim whose answer came back after its lease is no right to run any more [guard-55]") {
  using namespace guard_detail;
  const KeyRecord own{KeyRecord::State::claimed, "me", 1, absent, "p", {}, {}};
  CHECK(decide(own, 1us, {}, "me", "p").kind == Decision::Kind::resume);
  CHECK(decide(own, 0us, {}, "me", "p").kind == Decision::Kind::take);
  CHECK(decide(own, 0us, {.on_stale = OnStale::in_doubt}, "me", "p").verdict == Verdict::in_doubt);
}

TEST_CASE("a claim that timed out after it was written is its owner's [guard-55]") {
  Bench bench;
  bench.policy.on_storage_down = OnStorageDown::fail_open;
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::timeout);
  auto guard = Guard::claim(bench.storage, "k", bench.policy).value();
  CHECK(guard.acquired());
  CHECK_FALSE(guard.unguarded());
  CHECK(guard.attempt() == 1);
}

TEST_CASE("an error is the same for its own caller and for every later one, however long [guard-11]") {
  Bench bench;
  for (const auto* const letter : {"m", "\xc3\xa9", "\xff"}) {
    for (const auto code : {ErrorCode::conflict, ErrorCode::in_doubt}) {
      std::string message;
      while (message.size() < 10'000) message += letter;
      message.insert(0, "a");  // no whole letter ends at byte 4096
      bench.policy.on_stale = OnStale::in_doubt;
      const auto call =
          idempotent<std::string>(bench.storage, "#{p0}", bench.policy,
                                  [&](const std::string&) -> Result<int> { return fail(code, message); });
      const auto key = std::string(to_string(code)) + std::to_string(static_cast<unsigned char>(*letter));
      const auto first = call(key);
      const auto later = call(key);
      REQUIRE(first.error());
      CHECK(first.error() == later.error());
      CHECK(first.error()->message.size() > 4000);
      CHECK(first.error()->message.size() <= 4096);
    }
  }
  const auto claim = [&] { return Guard::claim(bench.storage, "unstored", bench.policy).value(); };
  const auto unstored = claim().complete_unstored({ErrorCode::limit_exceeded, std::string(9'000, 'x')});
  CHECK(unstored.error == claim().error());
}
