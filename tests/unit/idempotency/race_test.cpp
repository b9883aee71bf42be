// Ends that race a renewal under way, and many owners, renewals and takeovers at once.
#include <onceward/idempotency/idempotent.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::until;

namespace {

enum class End : std::uint8_t { complete, final_error, unstored, in_doubt, release, drop, posted };
constexpr std::size_t ends = 7;
constexpr std::array<std::string_view, ends> states = {"done",     "failed",   "done", "in_doubt",
                                                       "released", "released", "done"};

void end_with(Guard& guard, End end) {
  switch (end) {
    case End::complete:
    case End::posted: CHECK(guard.complete(Value("mine")).verdict == Verdict::executed); break;
    case End::final_error: CHECK(guard.complete_with_error({ErrorCode::conflict, "no"}).recorded); break;
    case End::unstored: CHECK(guard.complete_unstored({ErrorCode::conflict, "no"}).recorded); break;
    case End::in_doubt: CHECK(guard.leave_in_doubt({ErrorCode::in_doubt, "?"}).recorded); break;
    case End::release: CHECK(guard.release().has_value()); break;
    case End::drop: {
      const auto dropped = std::move(guard);
      break;
    }
  }
}

}  // namespace

TEST_CASE("whatever ends a claim goes over a renewal under way, written or not, answered or not [guard-28]") {
  for (std::size_t i = 0; i < ends; ++i) {
    for (const std::string_view held_up : {"commit.before", "commit.after"}) {
      for (const bool lost : {false, true}) {
        const auto end = static_cast<End>(i);
        INFO("end " << i << ", renewal held up at " << held_up << ", its answer lost: " << lost);
        Bench bench;
        bench.policy.lease = 90ms;
        bench.policy.record_limit = 60s;
        bench.policy.auto_renew = true;
        if (end == End::posted) bench.policy.acknowledge = Acknowledge::post;
        auto guard = bench.claim("k");
        const auto lost_token = guard.lost();
        std::atomic<bool> renewing = false;
        std::atomic<bool> go_on = false;
        const auto caller = std::this_thread::get_id();
        if (lost) bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
        bench.storage.on_call([&](std::string_view point) {
          if (point != held_up || std::this_thread::get_id() == caller || renewing.exchange(true)) return;
          CHECK(until([&] { return go_on.load(); }));
        });
        REQUIRE(until([&] { return renewing.load(); }));
        // What is posted goes out on the thread that is held up, after it.
        end_with(guard, end);
        go_on = true;
        bench.guards.stop();
        CHECK(bench.state("k") == states[i]);
        CHECK_FALSE(lost_token.stop_requested());
        CHECK(bench.guards.figures("b").total() == 1);
        CHECK(bench.ended(CallEnd::lease_lost) == 0);
        CHECK(bench.ended(CallEnd::unrecorded) == 0);
      }
    }
  }
}

TEST_CASE("a renewal that lands after a takeover changes nothing, and its owner is told [guard-30]") {
  Bench bench;
  bench.policy.lease = 300ms;
  bench.policy.auto_renew = true;
  std::atomic<bool> renewing = false;
  std::atomic<bool> go_on = false;
  auto guard = bench.claim("k");
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || renewing.exchange(true)) return;
    CHECK(until([&] { return go_on.load(); }));
  });
  REQUIRE(until([&] { return renewing.load(); }));
  std::optional<Guard> taker;
  auto other = bench.policy;
  other.auto_renew = false;
  other.lease = 60s;
  REQUIRE(until([&] {
    auto claimed = Guard::claim(*bench.memory, "k", other).value();
    if (claimed.acquired()) taker = std::move(claimed);
    return taker.has_value();
  }));
  const auto before = read_one(*bench.memory, guard_partition("b", "k"), "k").value();
  go_on = true;
  REQUIRE(until([&] { return guard.lost().stop_requested(); }));
  CHECK(read_one(*bench.memory, guard_partition("b", "k"), "k").value() == before);
  CHECK(guard.complete(Value("late")).verdict == Verdict::lease_lost);
  CHECK(read_one(*bench.memory, guard_partition("b", "k"), "k").value() == before);
  CHECK(taker->complete(Value("right")).recorded);
}

TEST_CASE("no stored result ever changes, whoever renews, takes over, and loses answers meanwhile") {
  Bench bench;
  std::mutex mutex;
  std::map<std::string, std::set<std::string>> stored;
  std::map<std::string, std::set<std::string>> replayed;
  std::atomic<int> number = 0;
  const auto work = [&](unsigned seed) {
    std::mt19937 dice(seed);
    for (int i = 0; i < 150; ++i) {
      auto policy = bench.policy;
      policy.lease = 4ms;
      policy.auto_renew = dice() % 2 == 0;
      policy.acknowledge = dice() % 3 == 0 ? Acknowledge::post : Acknowledge::await;
      policy.on_busy = dice() % 3 == 0 ? OnBusy::wait : OnBusy::reject;
      policy.wait_limit = 3ms;
      policy.record_limit = 2ms;
      if (dice() % 8 == 0) {
        bench.storage.fail_calls(Call::commit, dice() % 2 == 0 ? Fault::after : Fault::before,
                                 dice() % 2 == 0 ? ErrorCode::in_doubt : ErrorCode::unavailable);
      }
      // All threads meet at a few keys at a time, and leave them when they are done.
      const auto key = std::to_string(i / 5 + static_cast<int>(dice() % 3));
      auto guard = Guard::claim(bench.guards, key, policy);
      if (!guard) continue;
      if (guard->verdict() == Verdict::replayed) {
        const std::lock_guard lock(mutex);
        replayed[key].insert(*guard->result().string());
      }
      if (!guard->acquired()) continue;
      std::this_thread::sleep_for(std::chrono::microseconds(dice() % 8000));
      if (dice() % 4 == 0) continue;  // dropped
      const auto result = std::to_string(++number);
      auto completion = guard->complete(Value(result));
      if (completion.acknowledgement.valid()) completion = completion.acknowledgement.wait();
      if (completion.recorded && completion.verdict == Verdict::executed) {
        const std::lock_guard lock(mutex);
        stored[key].insert(result);
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i <= 4; ++i) threads.emplace_back([&, i] { work(i); });
  }
  bench.storage.heal();
  bench.guards.stop();
  CHECK(stored.size() > 10);
  for (const auto& [key, results] : stored) {
    INFO("key " << key);
    CHECK(results.size() == 1);
    CHECK(bench.rival(key).result() == Value(*results.begin()));
  }
  for (const auto& [key, results] : replayed) {
    INFO("key " << key);
    CHECK(results.size() == 1);
    CHECK(bench.rival(key).result() == Value(*results.begin()));
  }
}
