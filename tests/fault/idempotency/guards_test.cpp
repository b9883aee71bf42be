// Processes with Guards that are killed or stopped: posted completions, spans, renewal.
#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "processes.hpp"

#include <functional>
#include <thread>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using fault::Folder;

namespace {

const Timestamp before_the_crash{std::chrono::days(20'000)};

/// One process of the service: Guards over the files of a folder.
struct Process {
  testing::FakeClock clock;
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  Guards guards;
  Policy policy{.operation = "fault", .lease = 30s, .retention = 24h};

  Process(const Folder& folder, Timestamp now, const Clock* real = nullptr)
      : clock(now),
        sqlite(sqlite::open(folder.file("guards.db"), {.synchronous = sqlite::Synchronous::normal,
                                                       .clock = real == nullptr ? &clock : real})
                   .value()),
        storage(*sqlite),
        guards(storage, {.flush_deadline = 1s}) {
    guards.start();
  }
  Guard claim(std::string_view key) { return Guard::claim(guards, key, policy).value(); }
};

bool exists(const std::string& file) { return std::filesystem::exists(file); }

/// Waits for another process; false where nothing comes of it.
template <class Condition>
bool until(const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace

TEST_CASE("a process killed at any moment of posted calls loses no claim and told nobody a false recorded") {
  constexpr int keys = 5;
  int takeovers = 0;
  int replays = 0;
  int number = 1;
  for (bool killed = true; killed; ++number) {
    INFO("killed at moment " << number);
    const Folder folder;
    killed = fault::was_killed(fault::start([&] {
      Process process(folder, before_the_crash);
      process.policy.acknowledge = Acknowledge::post;
      std::atomic<int> moment = 0;
      const auto reach = [&] {
        if (++moment == number) std::raise(SIGKILL);
      };
      process.storage.on_call([&](std::string_view) { reach(); });
      std::vector<std::string> names;
      for (int i = 0; i < keys; ++i) names.push_back(std::to_string(i));
      std::vector<Guards::Request> requests;
      for (const auto& name : names) requests.push_back({name});
      auto guards = process.guards.claim_many(requests, process.policy);
      std::vector<Acknowledgement> posted;
      for (int i = 0; i < keys; ++i) {
        fault::add_line(folder.file("effects"), names[static_cast<std::size_t>(i)]);
        posted.push_back(guards[static_cast<std::size_t>(i)]->complete(Value(i)).acknowledgement);
        reach();
      }
      process.guards.stop();  // sends them, in one call
      for (int i = 0; i < keys; ++i) {
        const auto answer = posted[static_cast<std::size_t>(i)].wait();
        if (!answer.recorded) throw std::runtime_error("not recorded");
        fault::add_line(folder.file("recorded"), names[static_cast<std::size_t>(i)]);
        reach();
      }
    }));
    Process soon(folder, before_the_crash + 10s);
    Process late(folder, before_the_crash + 1h);
    for (int i = 0; i < keys; ++i) {
      const auto key = std::to_string(i);
      const bool effect = fault::lines_of(folder.file("effects"), key) == 1;
      const bool recorded = fault::lines_of(folder.file("recorded"), key) == 1;
      // While the lease of the dead runs, what took effect is not run again.
      auto early = soon.claim(key);
      if (effect) CHECK_FALSE(early.acquired());
      if (recorded) CHECK(early.result() == Value(i));
      const bool done = early.verdict() == Verdict::replayed;
      if (early.acquired()) REQUIRE(early.release().has_value());
      auto next = late.claim(key);
      if (done) {
        CHECK(next.result() == Value(i));
        ++replays;
      } else {
        CHECK(next.acquired());
        if (effect) CHECK(next.attempt() == 2);
        takeovers += effect ? 1 : 0;
      }
    }
  }
  // The claim and the flush have two moments each, and each key has one after its work and one when told.
  CHECK(number - 2 == 4 + 2 * keys);
  CHECK(takeovers > 0);
  CHECK(replays > keys);
}

TEST_CASE("a process killed while it completes many keys has ended all or none of one call") {
  for (int moment = 1; moment <= 2; ++moment) {
    const Folder folder;
    REQUIRE(fault::was_killed(fault::start([&] {
      Process process(folder, before_the_crash);
      std::vector<Guard> held;
      for (int i = 0; i < 50; ++i) held.push_back(process.claim(std::to_string(i)));
      int reached = 0;
      process.storage.on_call([&](std::string_view) {
        if (++reached == moment) std::raise(SIGKILL);
      });
      const Value value("all");
      std::vector<Guards::Finished> finished;
      for (auto& guard : held) finished.push_back({&guard, &value});
      (void)Guards::complete_many(finished);
    })));
    Process late(folder, before_the_crash + 1h);
    for (int i = 0; i < 50; ++i) {
      auto guard = late.claim(std::to_string(i));
      if (guard.acquired() != (moment == 1)) FAIL("key " << i);
      if (moment == 2 && guard.result() != Value("all")) FAIL("key " << i);
    }
  }
}

TEST_CASE("a process killed in a renewal leaves a claim that lapses and is taken over [guard-26]") {
  for (const auto* point : {"commit.before", "commit.after"}) {
    const Folder folder;
    REQUIRE(fault::was_killed(fault::start([&] {
      Process process(folder, before_the_crash);
      process.policy.lease = 60ms;  // of this process's steady clock; the storage's stands still
      process.policy.auto_renew = true;
      auto guard = process.claim("k");
      std::atomic<int> reached = 0;
      process.storage.on_call([&](std::string_view at) {
        if (at == point && ++reached == 3) std::raise(SIGKILL);
      });
      std::this_thread::sleep_for(60s);
    })));
    Process soon(folder, before_the_crash);
    CHECK(soon.claim("k").verdict() == Verdict::in_progress);
    Process late(folder, before_the_crash + 1s);
    auto taker = late.claim("k");
    CHECK(taker.acquired());
    CHECK(taker.attempt() == 2);
  }
}

TEST_CASE(
    "a process stopped beyond its lease is told when it wakes, and changes nothing [guard-28] [guard-30]") {
  const Folder folder;
  const SystemClock real;
  { const Process creator(folder, before_the_crash, &real); }
  const auto child = fault::start([&] {
    Process process(folder, before_the_crash, &real);
    process.policy.lease = 500ms;
    process.policy.auto_renew = true;
    auto guard = process.claim("k");
    fault::add_line(folder.file("holding"), "k");
    if (!until([&] { return exists(folder.file("go on")); })) throw std::runtime_error("never told to go on");
    // The first renewal after the sleep finds another one's record.
    if (!until([&] { return guard.lost().stop_requested(); })) throw std::runtime_error("never told");
    const auto completion = guard.complete(Value("late"));
    fault::add_line(folder.file("verdict"), to_string(completion.verdict));
  });
  REQUIRE(until([&] { return exists(folder.file("holding")); }));
  Process other(folder, before_the_crash, &real);
  other.policy.lease = 60s;
  // Three leases long it renews.
  const auto three_leases = std::chrono::steady_clock::now() + 1500ms;
  while (std::chrono::steady_clock::now() < three_leases) {
    const auto busy = Guard::claim(other.guards, "k", other.policy);
    if (busy) REQUIRE(busy->verdict() == Verdict::in_progress);
    std::this_thread::sleep_for(50ms);
  }
  std::optional<Guard> taker;
  for (int i = 0; i < 20 && !taker; ++i) {
    REQUIRE(::kill(child, SIGSTOP) == 0);
    std::this_thread::sleep_for(800ms);
    auto claimed = Guard::claim(other.guards, "k", other.policy);
    if (claimed && claimed->acquired()) taker = *std::move(claimed);
    // Stopped in the middle of a write it holds the file's lock: it goes on for a moment then.
    if (!taker) REQUIRE(::kill(child, SIGCONT) == 0);
  }
  REQUIRE(taker);
  fault::add_line(folder.file("go on"), "go");
  REQUIRE(::kill(child, SIGCONT) == 0);
  CHECK_FALSE(fault::was_killed(child));
  CHECK(fault::lines_of(folder.file("verdict"), "lease_lost") == 1);
  CHECK(taker->complete(Value("right")).recorded);
  CHECK(other.claim("k").result() == Value("right"));
}

TEST_CASE(
    "a key is replayed to the same payload and refused to another one by a process begun later [guard-42]") {
  struct Order {
    std::string id;
    std::vector<std::string> items;
    double weight = 0;
  };
  const Folder folder;
  const Order order{"o-1", {"a", "\xc3\xa4"}, 0.1 + 0.2};
  const auto place = [&](const Order& sent) {
    Process process(folder, before_the_crash);
    auto call = idempotent<Order>(process.guards, "#{id}", process.policy,
                                  [](const Order& got) { return got.items.size(); });
    return call(sent);
  };
  // By a process that is gone: nothing but what is stored tells the payloads apart.
  REQUIRE_FALSE(fault::was_killed(fault::start([&] {
    if (place(order).verdict() != Verdict::executed) throw std::runtime_error("not executed");
  })));
  const auto again = place(order);
  CHECK(again.verdict() == Verdict::replayed);
  CHECK(again.value() == 2);
  auto other = order;
  other.weight = 0.3;
  CHECK(place(other).verdict() == Verdict::key_reused);
}
