// Guarded calls of several processes on one SQLite file, and of processes that are killed.
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

struct Ask {
  std::string key;
};

/// One process of the service, on the files of a folder.
struct Process {
  testing::FakeClock clock;
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  std::string effects;
  Policy policy{.operation = "fault", .lease = 30s, .retention = 24h};

  Process(
      const Folder& folder, Timestamp now, const std::function<void()>& moment = [] {})
      : clock(now),
        sqlite(sqlite::open(folder.file("guards.db"),
                            {.synchronous = sqlite::Synchronous::normal, .clock = &clock})
                   .value()),
        storage(*sqlite),
        effects(folder.file("effects")),
        moment_(moment) {
    storage.on_call([moment](std::string_view) { moment(); });
  }

  /// The effect is a line with the key.
  Outcome<std::string> call(const std::string& key) {
    auto guarded = idempotent<Ask>(storage, "k:#{key}", policy, [this](const Ask& ask) {
      moment_();
      fault::add_line(effects, ask.key);
      moment_();
      return "done " + ask.key;
    });
    return guarded({key});
  }

 private:
  std::function<void()> moment_;
};

}  // namespace

TEST_CASE("of many processes with one key exactly one runs, key after key [guard-14]") {
  constexpr int processes = 8;
  constexpr int keys = 25;
  const Folder folder;
  // The file is there before they race for it, and no connection is carried across a fork.
  { const Process creator(folder, before_the_crash); }
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    children.push_back(fault::start([&] {
      // Everything takes a little, so that the others come while one holds the key.
      Process process(folder, before_the_crash, [] { std::this_thread::sleep_for(1ms); });
      process.policy.on_busy = OnBusy::wait;
      process.policy.wait_limit = 60s;
      for (int key = 0; key < keys; ++key) {
        const auto name = std::to_string(key);
        const auto outcome = process.call(name);
        const bool told = outcome.verdict() == Verdict::executed || outcome.verdict() == Verdict::replayed;
        if (!told || outcome.value() != "done " + name) throw std::runtime_error("not told");
        fault::add_line(folder.file("verdicts"), to_string(outcome.verdict()));
      }
    }));
  }
  for (const auto child : children) CHECK_FALSE(fault::was_killed(child));
  for (int key = 0; key < keys; ++key)
    CHECK(fault::lines_of(folder.file("effects"), std::to_string(key)) == 1);
  CHECK(fault::lines_of(folder.file("verdicts"), "executed") == keys);
  CHECK(fault::lines_of(folder.file("verdicts"), "replayed") == keys * (processes - 1));
}

TEST_CASE("forked processes that share a past never share the name of an owner") {
  const Folder folder;
  {
    Process parent(folder, before_the_crash);
    REQUIRE(parent.call("warm up").verdict() == Verdict::executed);
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(fault::start([&] {
      Process process(folder, before_the_crash);
      const auto key = std::to_string(getpid());
      const auto guard = Guard::claim(process.storage, key, process.policy).value();
      const auto record =
          read_one(process.storage, guard_partition(process.policy.operation, key), key).value().value();
      const auto owner = *Value::from_json(record.value).value().find("owner")->string();
      fault::add_line(folder.file("owners"), owner);
    }));
  }
  for (const auto child : children) CHECK_FALSE(fault::was_killed(child));
  std::ifstream in(folder.file("owners"));
  int owners = 0;
  for (std::string owner; std::getline(in, owner); ++owners) {
    CHECK(fault::lines_of(folder.file("owners"), owner) == 1);
  }
  CHECK(owners == 4);
}

TEST_CASE(
    "a process killed at any moment of a call leaves its key for a retry or its result for a replay [guard-26]") {
  int number = 1;
  int replays = 0;
  int takeovers = 0;
  for (bool killed = true; killed; ++number) {
    INFO("killed at moment " << number);
    const Folder folder;
    killed = fault::was_killed(fault::start([&] {
      int moment = 0;
      Process process(folder, before_the_crash, [&] {
        if (++moment == number) std::raise(SIGKILL);
      });
      (void)process.call("k");
    }));
    const auto effects = folder.file("effects");
    const int before = fault::lines_of(effects, "k");

    // While the dead owner's lease runs nobody runs beside it; after it the key is taken over, unless it is
    // done.
    Process soon(folder, before_the_crash + 10s);
    const auto early = soon.call("k");
    const bool free = early.verdict() == Verdict::executed;  // killed before its claim was written
    CHECK((free || early.verdict() == Verdict::in_progress || early.verdict() == Verdict::replayed));
    if (free) CHECK(before == 0);
    Process late(folder, before_the_crash + 1h);
    const auto outcome = late.call("k");
    CHECK(outcome.value() == "done k");
    if (early.verdict() == Verdict::in_progress) {
      CHECK(outcome.verdict() == Verdict::executed);
      CHECK(outcome.attempt() == 2);
      ++takeovers;
    } else {
      CHECK(outcome.verdict() == Verdict::replayed);
      replays += free ? 0 : 1;
    }
    CHECK(fault::lines_of(effects, "k") == before + (early.verdict() == Verdict::replayed ? 0 : 1));
    CHECK(late.call("k").verdict() == Verdict::replayed);
  }
  // Two commits and the work have two moments each: the claim is written at the first, the result at the
  // last.
  CHECK(number - 2 == 6);
  CHECK(takeovers == 4);
  CHECK(replays == 2);
}

TEST_CASE("a process killed while it takes over leaves a claim that can be taken over again [guard-26]") {
  const Folder folder;
  const auto dies_in_the_work = [&](Timestamp now) {
    return fault::was_killed(fault::start([&] {
      int moment = 0;
      Process process(folder, now, [&] {
        if (fault::lines_of(folder.file("effects"), "k") > moment) std::raise(SIGKILL);
      });
      moment = fault::lines_of(folder.file("effects"), "k");
      (void)process.call("k");
    }));
  };
  CHECK(dies_in_the_work(before_the_crash));
  CHECK(dies_in_the_work(before_the_crash + 1min));
  CHECK(dies_in_the_work(before_the_crash + 2min));
  Process last(folder, before_the_crash + 3min);
  const auto outcome = last.call("k");
  CHECK(outcome.verdict() == Verdict::executed);
  CHECK(outcome.attempt() == 4);
}
