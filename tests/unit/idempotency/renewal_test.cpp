// Renewal in the background where answers are lost, handlers ask late, and threads start and stop.
#include <onceward/testing/fake_clock.hpp>

#include "guards_bench.hpp"

#include <atomic>
#include <latch>
#include <mutex>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using guards_bench::Bench;
using guards_bench::Call;
using guards_bench::Fault;
using guards_bench::until;
using testing::FaultyStorage;

TEST_CASE("a renewal that meets an earlier one whose answer was lost lengthens the lease all the same") {
  testing::FakeClock clock;
  const auto memory = open_memory({.clock = &clock}).value();
  testing::FaultyStorage storage(*memory);
  const Policy policy{.operation = "b", .lease = 30s, .retention = 1h};
  auto guard = Guard::claim(storage, "k", policy).value();
  clock.advance(10s);
  storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  CHECK(guard.renew().error().code == ErrorCode::in_doubt);
  clock.advance(15s);
  REQUIRE(guard.renew().has_value());
  const auto record = read_one(*memory, guard_partition("b", "k"), "k").value().value();
  CHECK(record.due == clock.now() + 30s);
  clock.advance(29s);
  CHECK(Guard::claim(storage, "k", policy)->verdict() == Verdict::in_progress);
  CHECK(guard.complete(Value(1)).recorded);
}

TEST_CASE("a renewal in the background that was refused for a lost answer is written again at once") {
  Bench bench;
  bench.policy.lease = 3s;
  bench.policy.auto_renew = true;
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> times;
  bench.storage.on_call([&](std::string_view point) {
    if (point != "commit.before") return;
    const std::lock_guard lock(mutex);
    times.push_back(std::chrono::steady_clock::now());
  });
  auto guard = bench.claim("k");
  bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  // The claim, the renewal whose answer is lost, the one that is refused for it, and that one again.
  REQUIRE(until([&] { return bench.commits() >= 4; }));
  const std::lock_guard lock(mutex);
  CHECK(times[3] - times[2] < 500ms);
  CHECK_FALSE(guard.lost().stop_requested());
}

TEST_CASE("who is told that its lease is lost may ask the Guards at once") {
  Bench bench;
  bench.policy.lease = 90ms;
  bench.policy.auto_renew = true;
  auto other = bench.claim("other");
  auto guard = bench.claim("k");
  std::atomic<bool> told = false;
  const std::stop_callback callback(guard.lost(), [&] {
    (void)bench.guards.figures();
    (void)other.release();
    (void)Guard::claim(bench.guards, "third", bench.policy);
    told = true;
  });
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1'000'000);
  REQUIRE(until([&] { return guard.lost().stop_requested(); }));
  REQUIRE(until([&] { return told.load(); }));
  bench.storage.heal();
}

TEST_CASE("a lease counts from its claim, however long its caller waited before") {
  Bench bench;
  auto owner = bench.rival("k");
  auto waiting = bench.policy;
  waiting.lease = 900ms;
  waiting.auto_renew = true;
  waiting.on_busy = OnBusy::wait;
  std::optional<Guard> guard;
  std::jthread waiter([&] { guard = Guard::claim(bench.guards, "k", waiting).value(); });
  REQUIRE(until([&] { return bench.commits() == 1; }));
  std::this_thread::sleep_for(1s);  // longer than the lease it is going to get
  // Its claim passes, and the first renewal does not.
  bench.storage.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 1, 1);
  REQUIRE(owner.release().has_value());
  waiter.join();
  REQUIRE(guard->acquired());
  REQUIRE(until([&] { return bench.commits() >= 4; }));
  CHECK_FALSE(guard->lost().stop_requested());
  CHECK(guard->complete(Value(1)).recorded);
}

TEST_CASE("Guards may be started and stopped by several threads at once, and stop has ended them") {
  Bench bench;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 200; ++j) {
          bench.guards.start();
          bench.guards.stop();
        }
      });
    }
  }
  bench.guards.start();
  bench.policy.acknowledge = Acknowledge::post;
  CHECK(bench.claim("k").complete(Value(1)).acknowledgement.wait_for(10s)->recorded);
}

TEST_CASE("renewed claims of a storage that is away keep no others from being renewed") {
  const auto away_memory = open_memory().value();
  testing::FaultyStorage away(*away_memory);
  Bench bench;
  bench.policy.lease = 1500ms;
  bench.policy.auto_renew = true;
  auto elsewhere = bench.policy;
  elsewhere.operation = "away";
  elsewhere.storage = &away;
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; ++i) keys.push_back(std::to_string(i));
  std::vector<Guards::Request> requests;
  for (const auto& key : keys) requests.push_back({key});
  auto dead = bench.guards.claim_many(requests, elsewhere);
  auto alive = bench.guards.claim_many(requests, bench.policy);
  away.fail_calls(Call::commit, Fault::before, ErrorCode::unavailable, 100'000'000);
  REQUIRE(until([&] {
    return std::all_of(dead.begin(), dead.end(),
                       [](const auto& guard) { return guard->lost().stop_requested(); });
  }));
  CHECK(std::none_of(alive.begin(), alive.end(),
                     [](const auto& guard) { return guard->lost().stop_requested(); }));
  CHECK(bench.rival("2999").verdict() == Verdict::in_progress);
}

namespace {

/// A storage whose commits hang from now on, until it is let go.
class Hanging {
 public:
  explicit Hanging(FaultyStorage& storage) {
    storage.on_call([state = state_](std::string_view point) {
      if (!point.starts_with("commit") || !state->hangs) return;
      ++state->hanging;
      state->free.wait();
    });
  }
  ~Hanging() { let_go(); }
  Hanging(const Hanging&) = delete;
  Hanging& operator=(const Hanging&) = delete;
  void hang() { state_->hangs = true; }
  [[nodiscard]] bool hanging() const { return state_->hanging > 0; }
  void let_go() {
    if (state_->hangs.exchange(false)) state_->free.count_down();
  }

 private:
  struct State {
    std::atomic<bool> hangs = false;
    std::atomic<int> hanging = 0;
    std::latch free{1};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

TEST_CASE("a storage that hangs robs no lease of another one [guard-28]") {
  const auto memory = open_memory().value();
  FaultyStorage slow(*memory);
  Hanging hanging(slow);
  Bench bench;
  bench.policy.lease = 1500ms;
  bench.policy.auto_renew = true;
  auto elsewhere = bench.policy;
  elsewhere.operation = "slow";
  elsewhere.storage = &slow;
  const auto held_there = Guard::claim(bench.guards, "k", elsewhere).value();
  auto held = bench.claim("k");
  hanging.hang();
  REQUIRE(until([&] { return hanging.hanging(); }));
  const auto later = std::chrono::steady_clock::now() + 2500ms;
  while (std::chrono::steady_clock::now() < later) {
    std::this_thread::sleep_for(20ms);
    REQUIRE(bench.rival("k").verdict() == Verdict::in_progress);
  }
  CHECK(held_there.lost().stop_requested());
  CHECK_FALSE(held.lost().stop_requested());
  CHECK(held.complete(Value(1)).recorded);
  hanging.let_go();
}

TEST_CASE("the owner is told when its lease has passed, also while the storage hangs [guard-30]") {
  Bench bench;
  Hanging hanging(bench.storage);
  bench.policy.lease = 300ms;
  bench.policy.auto_renew = true;
  const auto began = std::chrono::steady_clock::now();
  auto held = bench.claim("k");
  hanging.hang();
  REQUIRE(until([&] { return held.lost().stop_requested(); }));
  CHECK(std::chrono::steady_clock::now() - began >= 300ms);
  CHECK(hanging.hanging());
  hanging.let_go();
}

TEST_CASE("Guards that have stopped renew nothing, and still tell who loses its lease") {
  Bench bench;
  bench.policy.lease = 100ms;
  bench.policy.auto_renew = true;
  auto held = bench.claim("k");
  bench.guards.stop();
  REQUIRE(until([&] { return held.lost().stop_requested(); }));
  CHECK(bench.rival("k", OnStale::takeover).acquired());
  bench.guards.start();
  CHECK(held.complete(Value(1)).verdict == Verdict::lease_lost);
}

TEST_CASE("who renews by hand after the Guards have stopped is not told before that has passed") {
  Bench bench;
  bench.policy.lease = 1500ms;
  bench.policy.auto_renew = true;
  auto held = bench.claim("k");
  bench.guards.stop();
  const auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < begun + 2s) {  // longer than the lease it began with
    REQUIRE(held.renew().has_value());
    REQUIRE_FALSE(held.lost().stop_requested());
    std::this_thread::sleep_for(50ms);
  }
  REQUIRE(until([&] { return held.lost().stop_requested(); }));
  CHECK(std::chrono::steady_clock::now() - begun >= 3s);
}

TEST_CASE("an owner that takes its time when it is told holds up no renewal [guard-28]") {
  Bench bench;
  bench.policy.lease = 1500ms;
  bench.policy.auto_renew = true;
  auto loser = bench.claim("loser");
  std::latch free(1);
  std::atomic<bool> told = false;
  const std::stop_callback callback(loser.lost(), [&] {
    told = true;
    free.wait();
  });
  auto held = bench.claim("held");
  const auto partition = guard_partition("b", "loser");
  const auto record = read_one(*bench.memory, partition, "loser").value().value();
  REQUIRE(commit_one(*bench.memory, {partition, {Operation::remove("loser", record.revision)}})->applied());
  REQUIRE(until([&] { return told.load(); }));
  const auto later = std::chrono::steady_clock::now() + 2500ms;
  while (std::chrono::steady_clock::now() < later) {
    std::this_thread::sleep_for(20ms);
    REQUIRE(bench.rival("held").verdict() == Verdict::in_progress);
  }
  free.count_down();
  CHECK(held.complete(Value(1)).recorded);
}

TEST_CASE("a renewal ends with its guard, however that ends") {
  using End = void (*)(Guard&);
  const std::vector<End> ends = {
      [](Guard& guard) { guard.complete(Value(1)); },
      [](Guard& guard) {
        guard.complete_with_error({ErrorCode::conflict, "no"});
      },
      [](Guard& guard) {
        guard.complete_unstored({ErrorCode::limit_exceeded, "large"});
      },
      [](Guard& guard) {
        guard.leave_in_doubt({ErrorCode::in_doubt, "who knows"});
      },
      [](Guard& guard) { (void)guard.release(); },
      [](Guard& guard) { const auto dropped = std::move(guard); },
  };
  for (std::size_t i = 0; i < ends.size(); ++i) {
    Bench bench;
    bench.policy.lease = 60ms;
    bench.policy.auto_renew = true;
    auto guard = bench.claim("k");
    auto witness = bench.claim("w");
    REQUIRE(until([&] { return bench.commits() >= 5; }));
    ends[i](guard);
    // Every renewal from here on is the witness's: the ended key is not written again.
    const auto stands = read_one(*bench.memory, guard_partition("b", "k"), "k").value();
    const auto renewed = bench.commits();
    REQUIRE(until([&] { return bench.commits() >= renewed + 3; }));
    INFO(i);
    CHECK(read_one(*bench.memory, guard_partition("b", "k"), "k").value() == stands);
    CHECK_FALSE(guard.lost().stop_requested());
    CHECK_FALSE(witness.lost().stop_requested());
  }
}

TEST_CASE("a renewed guard may be moved, and renewed by hand beside the Guards [guard-73]") {
  Bench bench;
  bench.policy.lease = 60ms;
  bench.policy.auto_renew = true;
  auto first = bench.claim("k");
  const auto fence = first.fence();
  Guard guard = std::move(first);
  auto other = bench.claim("other");
  const auto until_then = std::chrono::steady_clock::now() + 300ms;
  while (std::chrono::steady_clock::now() < until_then) {
    REQUIRE(guard.renew().has_value());
    Guard moved = std::move(guard);
    guard = std::move(moved);
    REQUIRE(bench.rival("k").verdict() == Verdict::in_progress);
  }
  CHECK(guard.fence() == fence);
  CHECK_FALSE(guard.lost().stop_requested());
  // What it held before is given back.
  guard = std::move(other);
  CHECK(bench.state("k") == "released");
  CHECK(guard.complete(Value(1)).recorded);
  CHECK(bench.state("other") == "done");
}
