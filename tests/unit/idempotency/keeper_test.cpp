// What Guards add to a storage: renewal, posted and background completions, waking, spans, figures.
#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <filesystem>
#include <latch>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FaultyStorage;
using Call = FaultyStorage::Call;
using Fault = FaultyStorage::Fault;

namespace {

struct Bench {
  std::unique_ptr<Storage> memory = open_memory().value();
  FaultyStorage storage{*memory};
  Guards guards{storage};
  Policy policy{.operation = "k", .lease = 60s, .retention = 1h, .record_limit = 100ms};

  Bench() { guards.start(); }
  std::string stored(std::string_view key) {
    const auto record = read_one(*memory, guard_partition("k", key), key).value();
    return record ? record->value : std::string();
  }
  [[nodiscard]] std::uint64_t ended(CallEnd end) const { return guards.figures("k").of(end); }
};

/// Until it holds; a test that waits in vain is ended by its time limit.
template <class Condition>
void until(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

std::size_t threads_of_this_process() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

}  // namespace

TEST_CASE("what needs a thread is refused on a bare storage, and on Guards that do not run") {
  const auto memory = open_memory().value();
  Guards guards(*memory);
  for (const auto& policy : {Policy{.operation = "k", .auto_renew = true},
                             Policy{.operation = "k", .acknowledge = Acknowledge::post}}) {
    const auto bare = Guard::claim(*memory, "a", policy);
    CHECK(bare.error().code == ErrorCode::invalid_argument);
    CHECK(bare.error().message.find("Guards") != std::string::npos);
    CHECK(Guard::claim(guards, "a", policy).error().code == ErrorCode::wrong_state);
    guards.start();
    guards.start();
    CHECK(Guard::claim(guards, "a", policy)->acquired());
    guards.stop();
    guards.stop();
    CHECK(Guard::claim(guards, "a", policy).error().code == ErrorCode::wrong_state);
  }
  CHECK(Guard::claim(guards, "b", {.operation = "k"})->acquired());
  CHECK(guards.figures("k").of(CallEnd::refused) == 4);
}

TEST_CASE("a handler of five leases is never robbed, and its renewal ends with it [guard-28]") {
  Bench bench;
  bench.policy.lease = 60ms;
  bench.policy.auto_renew = true;
  bench.policy.on_stale = OnStale::takeover;
  std::atomic<int> runs = 0;
  auto call = idempotent<std::string>(bench.guards, "#{p0}", bench.policy, [&](const std::string&) {
    ++runs;
    const auto until_then = std::chrono::steady_clock::now() + 300ms;
    while (std::chrono::steady_clock::now() < until_then) {
      const auto other = Guard::claim(bench.storage, "x", {.operation = "k"});
      CHECK(other->verdict() == Verdict::in_progress);
      std::this_thread::yield();
    }
  });
  CHECK(call("x").verdict() == Verdict::executed);
  CHECK(runs == 1);
  const auto commits = bench.storage.calls(Call::commit);
  auto thrower = idempotent<std::string>(bench.guards, "#{p0}", bench.policy,
                                         [](const std::string&) { throw std::runtime_error("no"); });
  CHECK_THROWS_AS(thrower("y"), std::runtime_error);
  const auto after_throw = bench.storage.calls(Call::commit);
  CHECK(after_throw == commits + 2);
  // Two leases later nothing was renewed: nothing is held.
  const auto later = std::chrono::steady_clock::now() + 150ms;
  until([&] { return std::chrono::steady_clock::now() > later; });
  CHECK(bench.storage.calls(Call::commit) == after_throw);
}

TEST_CASE("hundreds of renewed guards have two threads between them: renewals, and ends of leases") {
  Bench bench;
  bench.policy.lease = 90ms;
  bench.policy.auto_renew = true;
  const auto before = threads_of_this_process();
  std::vector<Guard> held;
  for (int i = 0; i < 300; ++i)
    held.push_back(Guard::claim(bench.guards, std::to_string(i), bench.policy).value());
  CHECK(threads_of_this_process() == before + 1);
  const auto later = std::chrono::steady_clock::now() + 300ms;
  until([&] { return std::chrono::steady_clock::now() > later; });
  for (auto& guard : held) {
    CHECK_FALSE(guard.lost().stop_requested());
    CHECK(guard.complete(Value(1)).recorded);
  }
  CHECK(bench.ended(CallEnd::executed) == 300);
}

TEST_CASE("who loses his lease is told, and changes nothing [guard-30] [guard-31]") {
  Bench bench;
  bench.policy.lease = 60ms;
  bench.policy.auto_renew = true;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  CHECK_FALSE(guard.lost().stop_requested());
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
  until([&] { return guard.lost().stop_requested(); });
  until([&] {  // the storage's own clock decides when the other one may take it
    return Guard::claim(*bench.memory, "x", {.operation = "k", .on_stale = OnStale::in_doubt})->verdict() ==
           Verdict::in_doubt;
  });
  auto taker = Guard::claim(*bench.memory, "x", {.operation = "k"}).value();
  REQUIRE(taker.acquired());
  bench.storage.heal();
  const auto late = guard.complete(Value("late"));
  CHECK(late.verdict == Verdict::lease_lost);
  CHECK(taker.complete(Value("right")).recorded);
  CHECK(bench.stored("x").find("right") != std::string::npos);
  CHECK(bench.ended(CallEnd::lease_lost) == 1);
}

TEST_CASE("a renewal whose answer is lost loses no claim") {
  Bench bench;
  bench.policy.lease = 60ms;
  bench.policy.auto_renew = true;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  const auto before = bench.storage.calls(Call::commit);
  bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt, 2);
  until([&] { return bench.storage.calls(Call::commit) >= before + 5; });
  CHECK_FALSE(guard.lost().stop_requested());
  CHECK(guard.complete(Value(1)).recorded);
}

TEST_CASE("a completion that meets a renewal under way is stored over it") {
  Bench bench;
  bench.policy.lease = 90ms;
  bench.policy.auto_renew = true;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  std::atomic<bool> renewing = false;
  std::atomic<bool> go_on = false;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.after" || renewing.exchange(true)) return;
    until([&] { return go_on.load(); });
  });
  until([&] { return renewing.load(); });
  // The renewal is written, and its answer is not there yet: this guard expects a revision that has passed.
  const auto completion = guard.complete(Value("mine"));
  CHECK(completion.verdict == Verdict::executed);
  CHECK(completion.recorded);
  go_on = true;
  bench.guards.stop();
  CHECK(bench.stored("x").find("\"done\"") != std::string::npos);
  CHECK(bench.stored("x").find("mine") != std::string::npos);
}

TEST_CASE("a posted completion travels with the next claim, and is acknowledged") {
  const auto memory = open_memory().value();
  FaultyStorage storage(*memory);
  Guards guards(storage, {.flush_deadline = 1s});
  guards.start();
  const Policy policy{.operation = "k", .acknowledge = Acknowledge::post};
  auto first = Guard::claim(guards, "a", policy).value();
  const auto posted = first.complete(Value(7));
  CHECK(posted.verdict == Verdict::executed);
  CHECK_FALSE(posted.recorded);
  REQUIRE(posted.acknowledgement.valid());
  CHECK_FALSE(posted.acknowledgement.ready());
  CHECK(storage.calls(Call::commit) == 1);
  // A caller meanwhile sees the claim: a crash now would be a takeover, not a lost claim.
  CHECK(Guard::claim(*memory, "a", {.operation = "k"})->verdict() == Verdict::in_progress);
  auto second = Guard::claim(guards, "b", policy).value();
  CHECK(storage.calls(Call::commit) == 2);
  REQUIRE(posted.acknowledgement.ready());
  CHECK(posted.acknowledgement.wait().recorded);
  CHECK(Guard::claim(*memory, "a", {.operation = "k"})->result() == Value(7));
  const auto last = second.complete(Value(8));
  guards.stop();
  CHECK(last.acknowledgement.wait().recorded);
  CHECK(guards.figures("k").of(CallEnd::executed) == 2);
  CHECK_THROWS_AS(Acknowledgement().wait(), std::logic_error);
}

TEST_CASE("a posted completion with nobody to travel with goes out by its deadline, many in one call") {
  Bench bench;
  bench.policy.acknowledge = Acknowledge::post;
  std::vector<Guard> held;
  for (int i = 0; i < 50; ++i)
    held.push_back(Guard::claim(bench.guards, std::to_string(i), bench.policy).value());
  const auto before = bench.storage.calls(Call::commit);
  std::vector<Acknowledgement> all;
  for (auto& guard : held) all.push_back(guard.complete(Value(1)).acknowledgement);
  for (const auto& one : all) CHECK(one.wait_for(10s)->recorded);
  CHECK(bench.storage.calls(Call::commit) - before < 50);
}

TEST_CASE("a posted completion whose key was taken over says so") {
  Bench bench;
  bench.policy.acknowledge = Acknowledge::post;
  bench.policy.lease = 20ms;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  std::optional<Guard> taker;
  until([&] {
    auto claimed = Guard::claim(*bench.memory, "x", {.operation = "k"}).value();
    if (!claimed.acquired()) return false;
    taker = std::move(claimed);
    return true;
  });
  CHECK(guard.complete(Value("late")).acknowledgement.wait().verdict == Verdict::lease_lost);
  CHECK(taker->complete(Value("right")).recorded);
  CHECK(bench.stored("x").find("right") != std::string::npos);
}

TEST_CASE(
    "a completion that finds the storage away is stored in the background, never given back [guard-51]") {
  Bench bench;
  bench.policy.record_limit = 30ms;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
  const auto completion = guard.complete(Value(5));
  CHECK(completion.verdict == Verdict::executed);
  CHECK_FALSE(completion.recorded);
  CHECK(completion.error->code == ErrorCode::unavailable);
  REQUIRE(completion.acknowledgement.valid());
  CHECK_FALSE(completion.acknowledgement.ready());
  CHECK(bench.stored("x").find("\"claimed\"") != std::string::npos);
  bench.storage.heal();
  const auto stored = completion.acknowledgement.wait();
  CHECK(stored.recorded);
  CHECK(Guard::claim(bench.guards, "x", bench.policy)->result() == Value(5));
  CHECK(bench.ended(CallEnd::unrecorded) == 1);
  CHECK(bench.ended(CallEnd::replayed) == 1);
}

TEST_CASE("Guards that stop while the storage is away give the background up, in time") {
  Bench bench;
  bench.policy.record_limit = 30ms;
  auto guard = Guard::claim(bench.guards, "x", bench.policy).value();
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
  const auto completion = guard.complete(Value(5));
  bench.guards.stop();
  CHECK_FALSE(completion.acknowledgement.wait().recorded);
  CHECK(bench.stored("x").find("\"claimed\"") != std::string::npos);
}

TEST_CASE("waiters of a process are woken by the end itself, and ask seldom [guard-17]") {
  Bench bench;
  auto owner = Guard::claim(bench.guards, "x", bench.policy).value();
  auto waiting = bench.policy;
  waiting.on_busy = OnBusy::wait;
  waiting.wait_limit = 60s;
  constexpr int waiters = 8;
  std::atomic<int> told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < waiters; ++i) {
    threads.emplace_back([&] {
      const auto guard = Guard::claim(bench.guards, "x", waiting).value();
      if (guard.verdict() == Verdict::replayed && guard.result() == Value(9)) ++told;
    });
  }
  // Each has looked several times: it now waits for up to 200 ms at a time.
  until([&] { return bench.storage.calls(Call::read) >= waiters * 6; });
  const auto before = std::chrono::steady_clock::now();
  CHECK(owner.complete(Value(9)).recorded);
  threads.clear();
  CHECK(told == waiters);
  CHECK(std::chrono::steady_clock::now() - before < 5s);
}

TEST_CASE("a wait ends at its limit and when it is stopped; the owner goes on [guard-19]") {
  Bench bench;
  auto owner = Guard::claim(bench.guards, "x", bench.policy).value();
  auto waiting = bench.policy;
  waiting.on_busy = OnBusy::wait;
  waiting.wait_limit = 20ms;
  CHECK(Guard::claim(bench.guards, "x", waiting)->verdict() == Verdict::in_progress);
  waiting.wait_limit = 600s;
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  CHECK(Guard::claim(bench.guards, "x", waiting, {}, stop.get_token())->verdict() == Verdict::in_progress);
  CHECK(owner.complete(Value(1)).recorded);
}

TEST_CASE("many keys are claimed and completed in one round trip each") {
  Bench bench;
  const auto done = Guard::claim(bench.guards, "done", bench.policy)->complete(Value(1));
  CHECK(done.recorded);
  auto held = Guard::claim(bench.guards, "held", bench.policy).value();
  const auto before = bench.storage.calls(Call::commit);
  const std::vector<Guards::Request> requests = {{"a", "p"}, {"done"}, {"held"}, {"b"}, {""}, {"a", "p"}};
  auto guards = bench.guards.claim_many(requests, bench.policy);
  CHECK(bench.storage.calls(Call::commit) == before + 1);
  REQUIRE(guards.size() == 6);
  CHECK(guards[0]->acquired());
  CHECK(guards[1]->verdict() == Verdict::replayed);
  CHECK(guards[2]->verdict() == Verdict::in_progress);
  CHECK(guards[3]->acquired());
  CHECK(guards[4].error().code == ErrorCode::invalid_argument);
  CHECK(guards[5]->verdict() == Verdict::in_progress);
  const Value one("one");
  const Value too_large(std::string(std::size_t{1} << 19, 'x'));
  const std::vector<Guards::Finished> finished = {
      {&*guards[0], &one}, {&*guards[3], &too_large}, {&*guards[1], &one}};
  const auto completions = Guards::complete_many(finished);
  CHECK(completions[0].recorded);
  CHECK(completions[1].verdict == Verdict::result_unavailable);
  CHECK_FALSE(completions[2].recorded);
  CHECK(bench.storage.calls(Call::commit) == before + 3);
  CHECK(Guard::claim(bench.guards, "a", bench.policy)->result() == one);
  CHECK(bench.guards.claim_many({}, bench.policy).empty());
  CHECK(bench.guards.figures("k").total() == 8);  // one is still held
  CHECK(held.complete(one).recorded);
  CHECK(bench.guards.figures("k").total() == 9);
}

TEST_CASE("a span of more keys than a commit takes is claimed whole, and a storage that fails fails each") {
  Bench bench;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < limits::span_batches + 100; ++i) keys.push_back(std::to_string(i));
  const std::vector<Guards::Request> requests = [&] {
    std::vector<Guards::Request> all;
    for (const auto& key : keys) all.push_back({key});
    return all;
  }();
  const auto before = bench.storage.calls(Call::commit);
  const auto guards = bench.guards.claim_many(requests, bench.policy);
  CHECK(std::all_of(guards.begin(), guards.end(), [](const auto& guard) { return guard->acquired(); }));
  CHECK(bench.storage.calls(Call::commit) == before + 2);
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1);
  const std::vector<Guards::Request> two = {{"y"}, {"z"}};
  for (const auto& guard : bench.guards.claim_many(two, bench.policy))
    CHECK(guard.error().code == ErrorCode::unavailable);
}

TEST_CASE("a policy changes while calls run; a change that does not hold together changes nothing") {
  Bench bench;
  const auto other = open_memory().value();
  Guards guards(bench.storage, {.storages = {{"other", other.get()}}});
  guards.start();
  auto call = idempotent<std::string>(guards, "#{p0}", bench.policy, [](const std::string&) { return 1; });
  CHECK(call("a").has_value());
  CHECK(call("a").has_value());
  CHECK(guards.override_policy("k", Map{{"on_duplicate", "code"}}).has_value());
  CHECK_FALSE(call("a").has_value());
  for (const auto& bad :
       {Value(Map{{"lease_ms", 0}}), Value(Map{{"lease_ms", 7'200'000}}), Value(Map{{"on_busy", "sleep"}}),
        Value(Map{{"no_such_field", 1}}), Value(Map{{"storage", "elsewhere"}}), Value(Map{{"storage", 1}}),
        Value(1), Value(Map{{"auto_renew", 1}}), Value(Map{{"replay_cache", -1}}),
        Value(Map{{"fingerprint_without", List{1}}}), Value(Map{{"on_storage_down", "fallback"}})}) {
    INFO(bad.to_json());
    const auto refused = guards.override_policy("k", bad);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::invalid_argument);
    CHECK_FALSE(call("a").has_value());
  }
  CHECK(guards.override_policy("k", Map{{"storage", "other"}}).has_value());
  CHECK(call("a").verdict() == Verdict::executed);
  CHECK(read_one(*other, guard_partition("k", "a"), "a")->has_value());
  CHECK(guards.override_policy("k", Value()).has_value());
  CHECK(call("a").value() == 1);
  CHECK(call("a").verdict() == Verdict::replayed);
}

TEST_CASE("calls whose policy has no name are counted together, whatever they call themselves") {
  Bench bench;
  for (int i = 0; i < 100; ++i) {
    const auto name = "No Name " + std::to_string(i);
    CHECK_FALSE(Guard::claim(bench.guards, "k", {.operation = name}).has_value());
    const std::vector<Guards::Request> span = {{"k"}};
    CHECK_FALSE(bench.guards.claim_many(span, {.operation = name})[0].has_value());
  }
  CHECK(bench.guards.figures().size() == 1);
  CHECK(bench.guards.figures(no_operation).of(CallEnd::refused) == 200);
}

TEST_CASE("the RAII form honours a policy without fingerprints, and one that tells a code alone") {
  Bench bench;
  bench.policy.fingerprint = false;
  CHECK(Guard::claim(bench.guards, "k", bench.policy, "first")->complete(Value("it")).recorded);
  const auto other = Guard::claim(bench.guards, "k", bench.policy, "second").value();
  CHECK(other.verdict() == Verdict::replayed);
  CHECK(other.result() == Value("it"));
  bench.policy.on_duplicate = OnDuplicate::code;
  const auto told = Guard::claim(bench.guards, "k", bench.policy).value();
  CHECK(told.verdict() == Verdict::replayed);
  CHECK(told.result() == Value());
}
