// Completions nobody waits for: what carries them, what bounds them, and that each is answered.
#include <onceward/idempotency/idempotent.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::until;

namespace {

/// Nothing goes out by itself soon: what travels, travels with a claim.
const GuardsOptions patient{.flush_deadline = 1s};

}  // namespace

TEST_CASE("a posted completion that a caller carries is answered, though the Guards stop meanwhile") {
  for (const bool fails : {true, false}) {
    Bench bench(patient);
    bench.policy.acknowledge = Acknowledge::post;
    const auto posted = bench.claim("a").complete(Value(1)).acknowledgement;
    std::atomic<bool> carried = false;
    std::atomic<bool> stopped = false;
    bench.storage.on_call([&](std::string_view point) {
      if (point != "commit.before" || carried.exchange(true)) return;
      CHECK(until([&] { return stopped.load(); }));
    });
    if (fails) bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
    std::jthread carrier([&] {
      const auto guard = Guard::claim(bench.guards, "b", {.operation = "b"});
      CHECK(guard.has_value() == !fails);
    });
    REQUIRE(until([&] { return carried.load(); }));
    bench.guards.stop();
    stopped = true;
    const auto answer = posted.wait_for(10s);
    REQUIRE(answer);
    CHECK(answer->recorded == !fails);
    CHECK(bench.state("a") == (fails ? "claimed" : "done"));
    carrier.join();
    CHECK(bench.ended(fails ? CallEnd::unrecorded : CallEnd::executed) == 1);
  }
}

TEST_CASE("a claim carries only what goes to its own storage") {
  const auto far_memory = open_memory().value();
  testing::FaultyStorage far(*far_memory);
  Bench bench(patient);
  auto distant = bench.policy;
  distant.operation = "far";
  distant.storage = &far;
  distant.acknowledge = Acknowledge::post;
  const auto posted = Guard::claim(bench.guards, "a", distant)->complete(Value(1)).acknowledgement;
  const auto before = far.calls(Call::commit);
  CHECK(bench.claim("b").acquired());
  CHECK(far.calls(Call::commit) == before);
  const auto carrier = Guard::claim(bench.guards, "c", distant).value();
  CHECK(carrier.acquired());
  CHECK(far.calls(Call::commit) == before + 1);
  CHECK(posted.ready());
}

TEST_CASE("several posted completions travel with one claim, and a retry in this process is a replay") {
  Bench bench(patient);
  bench.policy.acknowledge = Acknowledge::post;
  std::vector<Guard> held;
  for (int i = 0; i < 20; ++i) held.push_back(bench.claim(std::to_string(i)));
  REQUIRE(bench.commits() == 20);
  std::vector<Acknowledgement> all;
  for (auto& guard : held) all.push_back(guard.complete(Value(5)).acknowledgement);
  CHECK(bench.commits() == 20);
  // The claim of a key whose end is still on its way: the end goes first, in the same call.
  const auto again = bench.claim("7");
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.result() == Value(5));
  CHECK(bench.commits() == 21);
  for (const auto& one : all) {
    REQUIRE(one.ready());
    CHECK(one.wait().recorded);
    CHECK(one.wait().verdict == Verdict::executed);
  }
}

TEST_CASE("final errors and results that cannot be stored are posted too, doubt never") {
  Bench bench(patient);
  bench.policy.acknowledge = Acknowledge::post;
  auto failed = bench.claim("failed");
  auto large = bench.claim("large");
  auto doubt = bench.claim("doubt");
  const auto before = bench.commits();
  const auto first = failed.complete_with_error({ErrorCode::conflict, "closed"});
  const auto second = large.complete_unstored({ErrorCode::limit_exceeded, "large"});
  CHECK(bench.commits() == before);
  CHECK(second.verdict == Verdict::result_unavailable);
  CHECK(doubt.leave_in_doubt({ErrorCode::in_doubt, "who knows"}).recorded);
  CHECK(bench.commits() == before + 1);
  CHECK(first.acknowledgement.wait_for(10s)->recorded);
  CHECK(second.acknowledgement.wait_for(10s)->verdict == Verdict::result_unavailable);
  CHECK(bench.state("failed") == "failed");
  CHECK(bench.claim("large").verdict() == Verdict::result_unavailable);
  CHECK(bench.ended(CallEnd::failed) == 1);
  CHECK(bench.ended(CallEnd::left_in_doubt) == 1);
}

TEST_CASE("more posted completions than are allowed are awaited") {
  Bench bench({.flush_deadline = 1s, .posted_max = 3});
  bench.policy.acknowledge = Acknowledge::post;
  std::vector<Guard> held;
  for (int i = 0; i < 5; ++i) held.push_back(bench.claim(std::to_string(i)));
  const auto before = bench.commits();
  std::vector<Completion> all;
  for (auto& guard : held) all.push_back(guard.complete(Value(1)));
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i].acknowledgement.valid() == (i < 3));
    CHECK(all[i].recorded == (i >= 3));
  }
  CHECK(bench.commits() == before + 2);
  bench.guards.stop();
  for (std::size_t i = 0; i < 3; ++i) CHECK(all[i].acknowledgement.wait().recorded);
}

TEST_CASE("stop sends what is posted, and a posting policy is refused afterwards") {
  Bench bench(patient);
  bench.policy.acknowledge = Acknowledge::post;
  auto first = bench.claim("a");
  auto second = bench.claim("b");
  const auto posted = first.complete(Value(1));
  bench.guards.stop();
  REQUIRE(posted.acknowledgement.ready());
  CHECK(posted.acknowledgement.wait().recorded);
  // Held over the stop: its completion is awaited instead.
  const auto late = second.complete(Value(2));
  CHECK(late.recorded);
  CHECK_FALSE(late.acknowledgement.valid());
  CHECK(Guard::claim(bench.guards, "c", bench.policy).error().code == ErrorCode::wrong_state);
}

TEST_CASE("a posted completion outlives a storage that is away, within and beyond its record limit") {
  for (const bool beyond : {false, true}) {
    Bench bench;
    bench.policy.acknowledge = Acknowledge::post;
    bench.policy.record_limit = beyond ? 20ms : 60s;
    auto guard = bench.claim("k");
    bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
    const auto posted = guard.complete(Value("kept")).acknowledgement;
    if (beyond) {
      CHECK_FALSE(posted.wait().recorded);
      CHECK(posted.wait().error->code == ErrorCode::unavailable);
      CHECK(bench.ended(CallEnd::unrecorded) == 1);
    } else {
      REQUIRE(until([&] { return bench.commits() >= 4; }));
      CHECK_FALSE(posted.ready());
    }
    // Neither a lost claim nor a false "recorded": another caller finds it held.
    CHECK(bench.rival("k").verdict() == Verdict::in_progress);
    bench.storage.heal();
    REQUIRE(until([&] { return posted.ready() && posted.wait().recorded; }));
    CHECK(bench.rival("k").result() == Value("kept"));
    CHECK(bench.guards.figures("b").total() == 1);
  }
}

TEST_CASE("a posted completion whose answer is lost is stored once and told so") {
  for (const auto code : {ErrorCode::in_doubt, ErrorCode::timeout}) {
    Bench bench;
    bench.policy.acknowledge = Acknowledge::post;
    bench.policy.record_limit = 60s;
    auto guard = bench.claim("k");
    bench.storage.fail_calls(Call::commit, Fault::after, code);
    const auto posted = guard.complete(Value("once")).acknowledgement;
    const auto answer = posted.wait_for(30s);
    REQUIRE(answer);
    CHECK(answer->recorded);
    CHECK(answer->verdict == Verdict::executed);
    CHECK(bench.rival("k").result() == Value("once"));
  }
}

TEST_CASE("nothing is kept of a posted result before it is stored, and the outcome says so") {
  Bench bench(patient);
  bench.policy.acknowledge = Acknowledge::post;
  bench.policy.replay_cache = 100;
  int runs = 0;
  auto call = idempotent<std::string>(bench.guards, "#{p0}", bench.policy,
                                      [&](const std::string&) { return ++runs; });
  const auto first = call("a");
  CHECK(first.verdict() == Verdict::executed);
  CHECK_FALSE(first.recorded());
  REQUIRE(first.acknowledgement().valid());
  const auto before = bench.commits();
  CHECK(call("a").value() == 1);
  CHECK(bench.commits() == before + 1);
  CHECK(call("a").value() == 1);
  CHECK(bench.commits() == before + 1);
  CHECK(first.acknowledgement().wait().recorded);
  CHECK(runs == 1);
}

TEST_CASE("an acknowledgement may be waited for without end, and outlives its Guards") {
  Acknowledgement kept;
  {
    Bench bench(patient);
    bench.policy.acknowledge = Acknowledge::post;
    kept = bench.claim("k").complete(Value(1)).acknowledgement;
    CHECK_FALSE(kept.wait_for(1us));
    std::jthread stopper([&] { bench.guards.stop(); });
    const auto answer = kept.wait_for(Duration::max());
    REQUIRE(answer);
    CHECK(answer->recorded);
  }
  CHECK(kept.ready());
  CHECK(kept.wait().recorded);
  CHECK_FALSE(Acknowledgement().ready());
  CHECK_FALSE(Acknowledgement().wait_for(1ms));
}

TEST_CASE(
    "a storage that throws is an error: what travels with a claim is answered, and the thread goes on") {
  for (const bool carried : {true, false}) {
    Bench bench(carried ? patient : GuardsOptions{});
    bench.policy.acknowledge = Acknowledge::post;
    auto guard = bench.claim("a");
    std::atomic<bool> threw = false;
    bench.storage.on_call([&](std::string_view point) {
      if (point == "commit.before" && !threw.exchange(true)) throw std::logic_error("a driver's own");
    });
    const auto posted = guard.complete(Value(1)).acknowledgement;
    if (carried) CHECK(Guard::claim(bench.guards, "b", {.operation = "b"})->acquired());
    const auto answer = posted.wait_for(10s);
    REQUIRE(answer);
    CHECK(answer->recorded);
    CHECK(threw);
    CHECK(bench.state("a") == "done");
  }
}
