// Many keys at once: round trips, mixed answers, keys named twice, what is held while others are waited for.
#include "guards_bench.hpp"

#include <array>
#include <atomic>
#include <stdexcept>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;

namespace {

std::vector<Guards::Request> requests_of(const std::vector<std::string>& keys) {
  std::vector<Guards::Request> requests;
  for (const auto& key : keys) requests.push_back({key});
  return requests;
}

std::vector<std::string> numbered(std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back(std::to_string(i));
  return keys;
}

}  // namespace

TEST_CASE("a key named twice does not wait for itself") {
  Bench bench;
  bench.policy.on_busy = OnBusy::wait;
  bench.policy.wait_limit = 500ms;
  bench.policy.lease = 100ms;  // shorter than the wait: the second would take over from the first
  const std::vector<std::string> keys = {"a", "b", "a"};
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  CHECK(guards[0]->acquired());
  CHECK(guards[1]->acquired());
  CHECK(guards[2]->verdict() == Verdict::in_progress);
  CHECK(bench.reads() == 0);
  CHECK(bench.commits() == 1);
}

TEST_CASE("what is held of many keys is renewed while the others are waited for [guard-28]") {
  Bench bench;
  auto owner = bench.rival("busy");
  bench.policy.lease = 600ms;
  bench.policy.auto_renew = true;
  bench.policy.on_busy = OnBusy::wait;
  bench.policy.wait_limit = 1500ms;
  std::atomic<int> robbed = 0;
  std::atomic<int> looked = 0;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "read.before") return;
    ++looked;
    if (bench.rival("free").verdict() != Verdict::in_progress) ++robbed;
  });
  const std::vector<std::string> keys = {"free", "busy"};
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  bench.storage.on_call({});
  CHECK(looked > 3);
  CHECK(robbed == 0);
  CHECK(guards[1]->verdict() == Verdict::in_progress);
  REQUIRE(guards[0]->acquired());
  CHECK_FALSE(guards[0]->lost().stop_requested());
  CHECK(guards[0]->complete(Value(1)).verdict == Verdict::executed);
}

TEST_CASE("stale keys of many are taken over in a second round trip") {
  testing::FaultyStorage* watched = nullptr;
  Bench bench;
  watched = &bench.storage;
  const auto keys = numbered(100);
  {
    auto dying = bench.guards.claim_many(requests_of(keys), bench.policy);
    // Gives them back one by one.
  }
  const auto before = watched->calls(Call::commit);
  auto again = bench.guards.claim_many(requests_of(keys), bench.policy);
  CHECK(watched->calls(Call::commit) == before + 2);
  CHECK(bench.reads() == 0);
  for (const auto& guard : again) {
    CHECK(guard->acquired());
    CHECK(guard->attempt() == 2);
  }
}

TEST_CASE("a claim of many whose answer is lost finds all of its claims [guard-55]") {
  Bench bench;
  const auto keys = numbered(50);
  bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  CHECK(bench.commits() == 1);
  CHECK(bench.reads() == 1);
  for (const auto& guard : guards) {
    CHECK(guard->acquired());
    CHECK(guard->attempt() == 1);
  }
}

TEST_CASE("a storage that fails in the middle of many keys fails those alone") {
  Bench bench;
  const auto keys = numbered(limits::span_batches + 10);
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1, 1);
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  for (std::size_t i = 0; i < guards.size(); ++i) {
    const bool first_span = i < limits::span_batches;
    if (guards[i].has_value() != first_span) FAIL("key " << i);
    if (!first_span && guards[i].error().code != ErrorCode::unavailable) FAIL("key " << i);
  }
  CHECK(bench.ended(CallEnd::storage_down) == 10);
}

TEST_CASE("many keys are completed in one round trip, each by its own verdict") {
  Bench bench;
  std::vector<Guard> held;
  for (const auto& key : numbered(6)) held.push_back(bench.claim(key));
  // 1 is taken over by another, 2 is gone, 3 was completed before, 4 is moved from, 5 is named twice.
  const auto remove = [&](std::string_view key) {
    const auto partition = guard_partition("b", key);
    const auto record = read_one(*bench.memory, partition, key).value().value();
    REQUIRE(commit_one(*bench.memory, {partition, {Operation::remove(std::string(key), record.revision)}})
                ->applied());
  };
  remove("1");
  auto taker = bench.rival("1");
  REQUIRE(taker.acquired());
  remove("2");
  CHECK(held[3].complete(Value("earlier")).recorded);
  const Guard elsewhere = std::move(held[4]);
  const Value value("all");
  const auto before = bench.commits();
  const std::vector<Guards::Finished> finished = {{&held[0], &value}, {&held[1], &value}, {&held[2], &value},
                                                  {&held[3], &value}, {&held[4], &value}, {&held[5], &value},
                                                  {&held[5], &value}};
  const auto done = Guards::complete_many(finished);
  CHECK(bench.commits() == before + 2);  // the second for the record that was gone
  REQUIRE(done.size() == 7);
  CHECK(done[0].recorded);
  CHECK(done[1].verdict == Verdict::lease_lost);
  CHECK(done[2].recorded);
  CHECK_FALSE(done[3].recorded);
  CHECK_FALSE(done[4].recorded);
  CHECK(done[5].recorded);
  CHECK_FALSE(done[6].recorded);
  CHECK(bench.rival("3").result() == Value("earlier"));
  CHECK(bench.rival("2").result() == value);
  CHECK(bench.rival("4").verdict() == Verdict::in_progress);
  CHECK(taker.complete(Value("taker")).recorded);
  CHECK(Guards::complete_many({}).empty());
}

TEST_CASE("completions of many outlive a storage that is away, and what it does not take goes on behind") {
  Bench bench;
  bench.policy.record_limit = 30ms;
  const auto keys = numbered(20);
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  const Value value("v");
  std::vector<Guards::Finished> finished;
  for (auto& guard : guards) finished.push_back({&*guard, &value});
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
  const auto done = Guards::complete_many(finished);
  for (const auto& one : done) {
    CHECK_FALSE(one.recorded);
    REQUIRE(one.acknowledgement.valid());
  }
  CHECK(bench.rival("7").verdict() == Verdict::in_progress);
  bench.storage.heal();
  for (const auto& one : done) CHECK(one.acknowledgement.wait_for(30s)->recorded);
  CHECK(bench.rival("7").result() == value);
  CHECK(bench.ended(CallEnd::unrecorded) == 20);
}

TEST_CASE("many keys of a policy that does not hold together are refused one by one, and counted") {
  Bench bench;
  bench.policy.lease = 0s;
  const auto keys = numbered(3);
  const auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  REQUIRE(guards.size() == 3);
  for (const auto& guard : guards) CHECK(guard.error().code == ErrorCode::invalid_argument);
  CHECK(bench.ended(CallEnd::refused) == 3);
  CHECK(bench.commits() == 0);
}

TEST_CASE("a storage that throws while some keys are waited for costs the others nothing") {
  Bench bench;
  auto owner = bench.rival("busy");
  bench.policy.auto_renew = true;
  bench.policy.on_busy = OnBusy::wait;
  bench.policy.wait_limit = 60s;
  std::atomic<int> looks = 0;
  bench.storage.on_call([&](std::string_view point) {
    if (point == "read.before" && ++looks == 2) throw std::logic_error("a driver's own");
  });
  const std::vector<std::string> keys = {"free", "busy"};
  auto guards = bench.guards.claim_many(requests_of(keys), bench.policy);
  CHECK(guards[0]->acquired());
  REQUIRE_FALSE(guards[1].has_value());
  CHECK(guards[1].error().code == ErrorCode::unavailable);
  CHECK(guards[1].error().message.find("a driver's own") != std::string::npos);
  CHECK(guards[0]->complete(Value(1)).recorded);
}
