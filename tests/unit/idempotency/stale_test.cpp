// What becomes of work whose end nobody knows, and of errors, by their class; the fallback storage.
#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

using namespace onceward;
using namespace std::chrono_literals;
using testing::FakeClock;
using testing::FaultyStorage;
using Call = FaultyStorage::Call;
using Fault = FaultyStorage::Fault;

namespace {

struct Bench {
  FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  std::unique_ptr<Storage> second_memory = open_memory({.clock = &clock}).value();
  FaultyStorage storage{*memory};
  FaultyStorage second{*second_memory};
  Policy policy{.operation = "s", .lease = 30s, .retention = 1h, .record_limit = 50ms};

  static std::string state_in(Storage& where, std::string_view key) {
    const auto record = read_one(where, guard_partition("s", key), key).value();
    if (!record) return "absent";
    const auto value = Value::from_json(record->value).value();
    return *value.find("state")->string();
  }
};

struct Ask {
  std::string id;
  int amount = 1;
};

}  // namespace

TEST_CASE("an error in doubt keeps the key, and the next call does what the policy says [guard-34]") {
  for (const auto stale : {OnStale::takeover, OnStale::in_doubt, OnStale::reconcile}) {
    Bench bench;
    bench.policy.on_stale = stale;
    int runs = 0;
    auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) -> Result<int> {
      if (++runs == 1) return fail(ErrorCode::in_doubt, "the reply was lost");
      return runs;
    });
    const auto first = call({"a"});
    CHECK(first.verdict() == Verdict::in_doubt);
    CHECK(first.error()->message == "the reply was lost");
    CHECK(Bench::state_in(*bench.memory, "k:a") == "in_doubt");
    const auto second = call({"a"});
    if (stale == OnStale::takeover) {
      CHECK(second.value() == 2);
      CHECK(second.attempt() == 2);
    } else {
      // Without a way to find out, reconcile can only leave it in doubt.
      CHECK(second.verdict() == Verdict::in_doubt);
      CHECK(runs == 1);
      CHECK(Bench::state_in(*bench.memory, "k:a") == "in_doubt");
    }
  }
}

TEST_CASE("a stale attempt is reconciled by one caller, by what the application found out") {
  using Found = Reconciled<int>;
  for (int found = 0; found < 4; ++found) {
    Bench bench;
    bench.policy.on_stale = OnStale::reconcile;
    {
      auto dead = Guard::claim(bench.storage, "k:a", bench.policy).value();
      bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1);
    }
    bench.clock.advance(31s);
    int runs = 0;
    int asked = 0;
    auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) {
                  return ++runs;
                }).reconciling([&](const Ask& ask, Attempt& attempt) {
      ++asked;
      CHECK(ask.id == "a");
      CHECK(attempt.number() == 2);
      if (found == 0) return Found::took_effect(77);
      if (found == 1) return Found::no_effect();
      if (found == 2) return Found::unknown();
      throw std::runtime_error("the ledger is away");
    });
    if (found == 3) {
      CHECK_THROWS_AS(call({"a"}), std::runtime_error);
      CHECK(Bench::state_in(*bench.memory, "k:a") == "in_doubt");
      CHECK(runs == 0);
      continue;
    }
    const auto outcome = call({"a"});
    CHECK(asked == 1);
    if (found == 0) {
      CHECK(outcome.verdict() == Verdict::replayed);
      CHECK(outcome.value() == 77);
      CHECK(call({"a"}).value() == 77);
      CHECK(runs == 0);
    } else if (found == 1) {
      CHECK(outcome.verdict() == Verdict::executed);
      CHECK(runs == 1);
    } else {
      CHECK(outcome.verdict() == Verdict::in_doubt);
      CHECK(runs == 0);
    }
  }
}

TEST_CASE("the RAII form is told that it must reconcile, attempts used up or not") {
  Bench bench;
  bench.policy.on_stale = OnStale::reconcile;
  bench.policy.attempts_max = 1;
  auto first = Guard::claim(bench.storage, "a", bench.policy).value();
  CHECK_FALSE(first.must_reconcile());
  const auto left = first.leave_in_doubt({ErrorCode::in_doubt, "who knows"});
  CHECK(left.verdict == Verdict::in_doubt);
  CHECK(left.recorded);
  auto second = Guard::claim(bench.storage, "a", bench.policy).value();
  CHECK(second.acquired());
  CHECK(second.must_reconcile());
  CHECK(second.complete(Value("found")).recorded);
  CHECK(Guard::claim(bench.storage, "a", bench.policy)->result() == Value("found"));
}

TEST_CASE("a stale key in doubt gives the error that left it so; a live one is in progress") {
  Bench bench;
  bench.policy.on_stale = OnStale::in_doubt;
  auto guard = Guard::claim(bench.storage, "a", bench.policy).value();
  CHECK(Guard::claim(bench.storage, "a", bench.policy)->verdict() == Verdict::in_progress);
  CHECK(guard.leave_in_doubt({ErrorCode::timeout, "no reply in time"}).recorded);
  const auto other = Guard::claim(bench.storage, "a", bench.policy).value();
  CHECK(other.verdict() == Verdict::in_doubt);
  CHECK(other.error()->message == "no reply in time");
  // It is listed as due at once, and kept until its retention ends.
  CHECK(bench.memory->due({}, 10)->entries.size() == 1);
  bench.clock.advance(1h);
  CHECK(Guard::claim(bench.storage, "a", bench.policy)->acquired());
}

TEST_CASE("an exception gives the key back until effects have started") {
  Bench bench;
  bench.policy.on_stale = OnStale::in_doubt;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [](const Ask& ask, Attempt& attempt) {
    if (ask.amount == 2) attempt.effects_started();
    throw std::runtime_error("no");
  });
  CHECK_THROWS_AS(call({"a", 1}), std::runtime_error);
  CHECK(Bench::state_in(*bench.memory, "k:a") == "released");
  CHECK_THROWS_AS(call({"b", 2}), std::runtime_error);
  CHECK(Bench::state_in(*bench.memory, "k:b") == "in_doubt");
  CHECK(call({"b", 2}).verdict() == Verdict::in_doubt);
}

TEST_CASE("an application classifies its own errors") {
  Bench bench;
  bench.policy.classify = [](const Error& error) {
    return error.native_code == 503 ? ErrorClass::retryable : ErrorClass::final;
  };
  int runs = 0;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask& ask) -> Result<int> {
    return ++runs, fail(ErrorCode::unavailable, "no", ask.amount);
  });
  CHECK(call({"a", 503}).error()->native_code == 503);
  CHECK(call({"a", 503}).attempt() == 2);
  CHECK(call({"b", 500}).error()->native_code == 500);
  CHECK(call({"b", 500}).verdict() == Verdict::replayed);
  CHECK(runs == 3);
  CHECK(classify_error({ErrorCode::unavailable, ""}) == ErrorClass::retryable);
  CHECK(classify_error({ErrorCode::timeout, ""}) == ErrorClass::retryable);
  CHECK(classify_error({ErrorCode::in_doubt, ""}) == ErrorClass::in_doubt);
  CHECK(classify_error({ErrorCode::conflict, ""}) == ErrorClass::final);
}

TEST_CASE("keys for others are equal over attempts, and different for every operation, key and name") {
  Bench bench;
  std::vector<std::string> seen;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&, Attempt& attempt) {
    seen.push_back(attempt.child_key("charge"));
    CHECK(attempt.key() == "k:a");
    CHECK(attempt.fence() > 0);
    if (attempt.number() == 1) throw std::runtime_error("again");
  });
  CHECK_THROWS(call({"a"}));
  (void)call({"a"});
  REQUIRE(seen.size() == 2);
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0].size() == 32);
  CHECK(seen[0] == child_key("s", "k:a", "charge"));
  CHECK(seen[0] != child_key("s", "k:a", "mail"));
  CHECK(seen[0] != child_key("s", "k:b", "charge"));
  CHECK(seen[0] != child_key("t", "k:a", "charge"));
  CHECK(child_key("s", "ab", "c") != child_key("s", "a", "bc"));
  CHECK(Guard::claim(bench.storage, "g", bench.policy)->child_key("x") == child_key("s", "g", "x"));
}

TEST_CASE("fields that do not count are no part of the payload") {
  struct Meta {
    std::string trace;
    int version = 1;
  };
  struct Sent {
    std::string id;
    Meta meta;
    std::string sent_at;
  };
  Bench bench;
  bench.policy.fingerprint_without = {"meta.trace", "sent_at"};
  auto call = idempotent<Sent>(bench.storage, "k:#{id}", bench.policy, [](const Sent&) { return 1; });
  const auto sent = [](std::string trace, int version, std::string at) {
    Sent made;
    made.id = "a";
    made.meta.trace = std::move(trace);
    made.meta.version = version;
    made.sent_at = std::move(at);
    return made;
  };
  CHECK(call(sent("t1", 1, "monday")).verdict() == Verdict::executed);
  CHECK(call(sent("t2", 1, "tuesday")).verdict() == Verdict::replayed);
  CHECK(call(sent("t2", 2, "tuesday")).verdict() == Verdict::key_reused);
  bench.policy.fingerprint_without = {"met"};
  CHECK_THROWS_AS(idempotent<Sent>(bench.storage, "k:#{id}", bench.policy, [](const Sent&) { return 1; }),
                  std::invalid_argument);
  bench.policy.fingerprint_without = {};
  bench.policy.fingerprint = false;
  auto loose = idempotent<Sent>(bench.storage, "k:#{id}", bench.policy, [](const Sent&) { return 1; });
  CHECK(loose(sent("t3", 9, "")).verdict() == Verdict::replayed);
}

TEST_CASE("several arguments make one key and one payload, by name and by place") {
  Bench bench;
  auto named = idempotent<Ask, int>(bench.storage, {params("ask", "day"), "k:#{ask.id}:#{day}"}, bench.policy,
                                    [](const Ask& ask, const int& day) { return ask.amount + day; });
  CHECK(named({"a", 1}, 7).value() == 8);
  CHECK(named({"a", 1}, 7).verdict() == Verdict::replayed);
  CHECK(named({"a", 2}, 7).verdict() == Verdict::key_reused);
  CHECK(named({"a", 2}, 8).value() == 10);
  auto placed =
      idempotent<Ask, int>(bench.storage, "k:#{p0.id}:#{a1}", bench.policy,
                           [](const Ask&, const int&, Attempt& attempt) { return attempt.number(); });
  CHECK(placed({"a", 1}, 7).value() == 8);
}

TEST_CASE("member functions are handlers, and results are of any shape that is written down") {
  struct Service {
    int calls = 0;
    std::optional<std::string> find(const Ask& ask) {
      ++calls;
      return ask.amount == 1 ? std::optional("one") : std::nullopt;
    }
    std::vector<int> list(const Ask& ask) const { return {ask.amount, ask.amount + 1}; }
  };
  Bench bench;
  Service service;
  auto find = idempotent<Ask>(bench.storage, "f:#{id}", bench.policy, &Service::find, service);
  CHECK(find({"a"}).value() == "one");
  CHECK(find({"a"}).value() == "one");
  CHECK(find({"b", 2}).value() == std::nullopt);
  CHECK(find({"b", 2}).verdict() == Verdict::replayed);
  CHECK(service.calls == 2);
  auto list = idempotent<Ask>(bench.storage, "l:#{id}", bench.policy, &Service::list, service);
  CHECK(list({"a"}).value() == std::vector<int>{1, 2});
  CHECK(list({"a"}).value() == std::vector<int>{1, 2});
  auto nothing =
      idempotent<Ask>(bench.storage, "n:#{id}", bench.policy, [](const Ask&) -> Result<void> { return {}; });
  CHECK(nothing({"a"}).verdict() == Verdict::executed);
  CHECK(nothing({"a"}).has_value());
}

TEST_CASE(
    "while the storage is away the fallback is claimed, and what ended there is not run again [guard-50]") {
  Bench bench;
  bench.policy.on_storage_down = OnStorageDown::fallback;
  CHECK_FALSE(bench.policy.check().has_value());
  bench.policy.fallback = &bench.second;
  int runs = 0;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) { return ++runs; });
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 2);
  CHECK(call({"a"}).value() == 1);
  CHECK(call({"a"}).verdict() == Verdict::replayed);
  CHECK(Bench::state_in(*bench.second_memory, "k:a") == "done");
  CHECK(Bench::state_in(*bench.memory, "k:a") == "absent");
  // The first one is back: it learns how the key ended.
  const auto again = call({"a"});
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.value() == 1);
  CHECK(Bench::state_in(*bench.memory, "k:a") == "done");
  const auto reads = bench.second.calls(Call::read);
  CHECK(call({"a"}).value() == 1);
  CHECK(bench.second.calls(Call::read) == reads);
  CHECK(call({"a", 2}).verdict() == Verdict::key_reused);
  CHECK(runs == 1);
  // Both away: closed.
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1);
  bench.second.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1);
  CHECK(call({"z"}).verdict() == Verdict::storage_down);
  // Only the fallback away: what it knows is waited for.
  bench.second.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 1);
  CHECK(call({"y"}).value() == 2);
}

TEST_CASE(
    "a key that is claimed, in doubt, spoilt or another's in the fallback is not run in the first one") {
  for (int there = 0; there < 5; ++there) {
    Bench bench;
    bench.policy.on_storage_down = OnStorageDown::fallback;
    bench.policy.fallback = &bench.second;
    bench.policy.on_stale = OnStale::in_doubt;
    auto held = Guard::claim(bench.second, "k", {.operation = "s", .lease = 30s}, "print").value();
    if (there == 1) bench.clock.advance(31s);
    if (there == 2) (void)held.leave_in_doubt({ErrorCode::in_doubt, "who knows"});
    if (there == 3) {
      const auto partition = guard_partition("s", "k");
      const auto record = read_one(*bench.second_memory, partition, "k").value().value();
      REQUIRE(commit_one(*bench.second_memory,
                         {partition, {Operation::replace("k", record.revision, "spoilt", {30s, 1h})}})
                  ->applied());
    }
    const auto guard =
        Guard::claim(bench.storage, "k", bench.policy, there == 4 ? "another" : "print").value();
    INFO(there);
    CHECK_FALSE(guard.acquired());
    constexpr std::array expected = {Verdict::in_progress, Verdict::in_doubt, Verdict::in_doubt,
                                     Verdict::result_unavailable, Verdict::key_reused};
    CHECK(guard.verdict() == expected[static_cast<std::size_t>(there)]);
    CHECK(Bench::state_in(*bench.memory, "k") == "absent");
    if (there == 0) {
      CHECK(guard.retry_after() > 0s);
      CHECK(held.complete(Value(3)).recorded);
      CHECK(Guard::claim(bench.storage, "k", bench.policy, "print")->result() == Value(3));
    }
  }
}

TEST_CASE("a completion goes to the storage its claim lies in") {
  Bench bench;
  bench.policy.on_storage_down = OnStorageDown::fallback;
  bench.policy.fallback = &bench.second;
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::timeout, 1);
  auto guard = Guard::claim(bench.storage, "k", bench.policy).value();
  REQUIRE(guard.acquired());
  CHECK(guard.renew().has_value());
  CHECK(guard.complete(Value(1)).recorded);
  CHECK(Bench::state_in(*bench.second_memory, "k") == "done");
  CHECK(Bench::state_in(*bench.memory, "k") == "absent");
}
