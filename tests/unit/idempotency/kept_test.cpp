// Replays that are kept in the process.
#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <random>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FaultyStorage;

namespace {

struct Ask {
  std::string id;
  int amount = 1;
};

struct Bench {
  std::unique_ptr<Storage> memory = open_memory().value();
  FaultyStorage storage{*memory};
  Policy policy{.operation = "kept", .lease = 50ms, .retention = 1h, .replay_cache = 1000};

  [[nodiscard]] std::size_t trips() const {
    return storage.calls(FaultyStorage::Call::commit) + storage.calls(FaultyStorage::Call::read);
  }
};

}  // namespace

TEST_CASE("a kept replay makes no round trip, in every copy of the wrapper [guard-79]") {
  Bench bench;
  Guards guards(bench.storage);
  auto call = idempotent<Ask>(guards, "k:#{id}", bench.policy, [](const Ask& ask) { return ask.amount; });
  CHECK(call({"a"}).verdict() == Verdict::executed);
  CHECK(bench.trips() == 2);
  const auto copy = call;
  for (int i = 0; i < 3; ++i) {
    const auto again = copy({"a"});
    CHECK(again.verdict() == Verdict::replayed);
    CHECK(again.value() == 1);
    CHECK(again.attempt() == 1);
    CHECK(again.fence() > 0);
  }
  CHECK(bench.trips() == 2);
  CHECK(call({"a", 2}).verdict() == Verdict::key_reused);
  CHECK(guards.figures("kept").of(CallEnd::replayed) == 3);
  CHECK(guards.figures("kept").total() == 5);
  // What another process stored is kept after its first replay.
  auto other =
      idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [](const Ask& ask) { return ask.amount; });
  CHECK(other({"a"}).verdict() == Verdict::replayed);
  const auto before = bench.trips();
  CHECK(other({"a"}).verdict() == Verdict::replayed);
  CHECK(bench.trips() == before);
}

TEST_CASE("nothing is kept past its retention, nor longer than the policy says [guard-79]") {
  Bench bench;
  bench.policy.retention = 120ms;
  int runs = 0;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [&](const Ask&) { return ++runs; });
  CHECK(call({"a"}).value() == 1);
  const auto stored = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < stored + 130ms) std::this_thread::yield();
  CHECK(call({"a"}).value() == 2);

  bench.policy.retention = 1h;
  bench.policy.replay_cache_for = 30ms;
  auto shortly = idempotent<Ask>(bench.storage, "s:#{id}", bench.policy, [](const Ask&) { return 1; });
  (void)shortly({"a"});
  const auto kept = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < kept + 40ms) std::this_thread::yield();
  const auto before = bench.trips();
  CHECK(shortly({"a"}).verdict() == Verdict::replayed);
  CHECK(bench.trips() == before + 1);
}

TEST_CASE("an owner that sleeps beyond the retention changes nothing that came and went meanwhile") {
  Bench bench;
  const Policy policy{.operation = "sleeper", .lease = 20ms, .retention = 100ms};
  const auto wait = [](Duration length) {
    const auto until = std::chrono::steady_clock::now() + length;
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  };
  auto sleeper = Guard::claim(bench.storage, "a", policy).value();
  wait(30ms);
  auto other = Guard::claim(bench.storage, "a", policy).value();
  REQUIRE(other.acquired());
  CHECK(other.complete(Value("right")).recorded);
  wait(120ms);
  REQUIRE_FALSE(read_one(*bench.memory, guard_partition("sleeper", "a"), "a")->has_value());
  CHECK(sleeper.complete(Value("late")).verdict == Verdict::lease_lost);
  CHECK_FALSE(read_one(*bench.memory, guard_partition("sleeper", "a"), "a")->has_value());
}

TEST_CASE("claims and errors are not kept, nor what could not be recorded") {
  Bench bench;
  bench.policy.record_limit = 20ms;
  auto held = Guard::claim(bench.storage, "k:busy", bench.policy).value();
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [](const Ask& ask) -> Result<int> {
    if (ask.id == "bad") return fail(ErrorCode::conflict, "no");
    return 1;
  });
  CHECK(call({"busy"}).verdict() == Verdict::in_progress);
  CHECK(held.complete(Value(9)).recorded);
  const auto early = call({"busy"});
  CHECK(early.verdict() == Verdict::replayed);
  CHECK(early.value() == 9);
  for (int i = 0; i < 2; ++i) {
    const auto before = bench.trips();
    CHECK(call({"bad"}).error()->code == ErrorCode::conflict);
    CHECK(bench.trips() > before);
  }
  bench.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                           1'000'000, 1);
  CHECK_FALSE(call({"lost"}).recorded());
  bench.storage.heal();
  const auto before = bench.trips();
  CHECK(call({"lost"}).verdict() != Verdict::replayed);
  CHECK(bench.trips() > before);
}

TEST_CASE("the cache keeps as many as it may, and what was used last stays") {
  const auto later = guard_detail::since_boot() + 1h;
  const auto has = [](auto& cache, const std::string& key) {
    return cache.find(key, [](const auto&) { return true; });
  };
  for (const std::size_t most : {0U, 1U, 2U, 32U, 160U, 1023U}) {
    ReplayCache<int, int> cache(most);
    for (int i = 0; i < 3'000; ++i) {
      cache.put(std::to_string(i), {i, 0, 1, 1, later});
      if (most > 1) CHECK(cache.find("0", [](const auto& kept) { return kept.content == 0; }));
      CHECK(cache.size() == std::min<std::size_t>(most, static_cast<std::size_t>(i) + 1));
    }
    CHECK_FALSE(has(cache, "1"));
    CHECK(has(cache, "2999") == (most > 0));
    cache.put("0", {5, 0, 1, 1, guard_detail::since_boot()});
    CHECK_FALSE(has(cache, "0"));
  }
  // Called in turn, as many keys as there is room for all stay.
  ReplayCache<int, int> exact(32);
  for (int i = 0; i < 32; ++i) exact.put(std::to_string(i), {i, 0, 1, 1, later});
  for (int i = 0; i < 32; ++i) CHECK(has(exact, std::to_string(i)));

  ReplayCache<int, int> large(10'000);
  for (int i = 0; i < 30'000; ++i) large.put(std::to_string(i), {i, 0, 1, 1, later});
  CHECK(large.size() <= 10'000);
  CHECK(large.size() > 9'900);
  large.resize(10);
  for (int i = 0; i < 100; ++i) large.put("n" + std::to_string(i), {i, 0, 1, 1, later});
  CHECK(large.size() == 10);
  large.resize(5'000);
  for (int i = 0; i < 100; ++i) large.put("m" + std::to_string(i), {i, 0, 1, 1, later});
  for (int i = 0; i < 100; ++i) CHECK(has(large, "m" + std::to_string(i)));
}

TEST_CASE("the cache does what a list of pairs would do, in any order of use") {
  std::minstd_rand random(7);
  const auto now = guard_detail::since_boot();
  ReplayCache<int, int> cache(40);
  std::vector<std::pair<int, int>> model;  // key and content, the one used last first
  const auto found = [&](int key) {
    return std::find_if(model.begin(), model.end(), [&](const auto& pair) { return pair.first == key; });
  };
  for (int step = 0; step < 100'000; ++step) {
    const int key = static_cast<int>(random() % 90);
    const auto text = std::to_string(key);
    const auto at = found(key);
    switch (random() % 8) {
      case 0:  // past its time
        cache.put(text, {step, 0, 1, 1, now - 1us});
        if (at != model.end()) model.erase(at);
        if (model.size() == 40) model.pop_back();
        REQUIRE_FALSE(cache.find(text, [](const auto&) { return true; }));
        break;
      case 1:
      case 2:
      case 3:
        cache.put(text, {step, 0, 1, 1, now + 1h});
        if (at != model.end()) model.erase(at);
        model.insert(model.begin(), {key, step});
        if (model.size() > 40) model.pop_back();
        break;
      default:
        int content = -1;
        REQUIRE(cache.find(text, [&](const auto& kept) {
          content = kept.content;
          return true;
        }) == (at != model.end()));
        if (at == model.end()) break;
        REQUIRE(content == at->second);
        std::rotate(model.begin(), at, at + 1);
    }
    REQUIRE(cache.size() == model.size());
  }
}

TEST_CASE("many threads share the kept replays") {
  Bench bench;
  bench.policy.replay_cache = 64;
  bench.policy.on_busy = OnBusy::wait;
  auto call = idempotent<Ask>(bench.storage, "k:#{id}", bench.policy, [](const Ask& ask) { return ask.id; });
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const auto id = std::to_string((i * (t + 1)) % 200);
        const auto outcome = call({id});
        if (!outcome.has_value() || outcome.value() != id) ++wrong;
      }
    });
  }
  threads.clear();
  CHECK(wrong == 0);
}

TEST_CASE("nested calls of one thread keep their payloads and claims apart [guard-71]") {
  Bench bench;
  auto inner = idempotent<Ask>(bench.storage, "inner:#{id}", bench.policy, [&](const Ask& ask) {
    auto guard = Guard::claim(bench.storage, "deep:" + ask.id, bench.policy).value();
    CHECK(guard.complete(Value("deep")).recorded);
    return "inner " + ask.id;
  });
  auto outer = idempotent<Ask>(bench.storage, "outer:#{id}", bench.policy, [&](const Ask& ask) {
    return "outer of " + inner({ask.id + ask.id}).value();
  });
  for (int round = 0; round < 2; ++round) {
    for (const auto* id : {"a", "b", "c"}) {
      CHECK(outer({id}).value() == "outer of inner " + std::string(id) + id);
      CHECK(outer({id, 2}).verdict() == Verdict::key_reused);
      CHECK(inner({std::string(id) + id}).value() == "inner " + std::string(id) + id);
      CHECK(Guard::claim(bench.storage, "deep:" + std::string(id) + id, bench.policy)->result() ==
            Value("deep"));
    }
  }
}
