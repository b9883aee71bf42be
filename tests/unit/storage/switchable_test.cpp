#include <onceward/storage/memory.hpp>
#include <onceward/storage/partitions.hpp>
#include <onceward/storage/switchable.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "storage/decorators/switch_marker.hpp"
#include "support/catch.hpp"
#include "support/interleaving.hpp"
#include "support/waited_clock.hpp"

#include <random>
#include <set>

using namespace onceward;
using testing::FaultyStorage;

namespace {

/// Two storages that outlive the processes which use them.
struct Pair {
  testing::FakeClock base;
  WaitedClock clock{base};
  std::shared_ptr<Storage> one = open_memory({.clock = &clock}).value();
  std::shared_ptr<Storage> two = open_memory({.clock = &clock}).value();

  [[nodiscard]] Result<std::unique_ptr<SwitchableStorage>> open(std::shared_ptr<Storage> a,
                                                                std::shared_ptr<Storage> b,
                                                                SwitchOptions options = {}) {
    options.sleep = [this](Duration duration) { clock.wait(duration); };
    return SwitchableStorage::open({"one", std::move(a)}, {"two", std::move(b)}, options);
  }
  [[nodiscard]] std::unique_ptr<SwitchableStorage> process() { return open(one, two).value(); }

  [[nodiscard]] storage_detail::Marker marker(Storage& storage, std::string_view partition) const {
    return storage_detail::read_marker(read_one(storage, partition, storage_detail::marker_key).value())
        .value();
  }
  /// "one" is the first primary.
  [[nodiscard]] int writable(std::string_view partition) const {
    return int{marker(*one, partition).writable(true)} + int{marker(*two, partition).writable(false)};
  }
};

/// A process of its own, whose every call of the two storages passes through here.
struct Process {
  FaultyStorage one;
  FaultyStorage two;
  std::unique_ptr<SwitchableStorage> storage;

  explicit Process(Pair& pair) : one(*pair.one), two(*pair.two) {
    // The faults outlive what is opened over them.
    storage = pair.open(unowned(one), unowned(two)).value();
  }
  void on_call(const std::function<void(std::string_view)>& hook) {
    one.on_call(hook);
    two.on_call(hook);
  }

 private:
  static std::shared_ptr<Storage> unowned(Storage& storage) { return {std::shared_ptr<void>(), &storage}; }
};

Batch insert(std::string key, std::string value = "v") {
  return {"p", {Operation::insert(std::move(key), std::move(value))}};
}

std::vector<Record> records_of(Storage& storage, std::string_view partition) {
  return storage.scan(partition, {}, {}, 100).value().records;
}

void drain_whole(SwitchableStorage& storage) {
  while (!storage.drain(7).value().done) {
  }
}

void check_refused(const Error& error, ErrorCode code, const std::string& says) {
  INFO(error.message);
  CHECK(error.code == code);
  CHECK(error.message.find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("a pair of storages is known again, and another pair refused") {
  Pair pair;
  REQUIRE(pair.process()->switch_to("two"));
  // The order of naming does not matter, nor what was to be first.
  const auto again = SwitchableStorage::open({"two", pair.two}, {"one", pair.one}, {.first = "two"}).value();
  CHECK(again->status()->primary == "two");
  CHECK(again->status()->generation == 2);
  check_refused(SwitchableStorage::open({"one", pair.one}, {"three", pair.two}).error(),
                ErrorCode::invalid_argument, "remembers");
  const std::shared_ptr<Storage> wiped = open_memory({.clock = &pair.clock}).value();
  check_refused(pair.open(pair.one, wiped).error(), ErrorCode::corrupt, "restore it");
  check_refused(pair.open(pair.one, pair.one).error(), ErrorCode::invalid_argument, "the same storage");
  check_refused(
      SwitchableStorage::open({"one", wiped}, {"two", open_memory().value()}, {.first = "x"}).error(),
      ErrorCode::invalid_argument, "first primary");
  const std::shared_ptr<Storage> small = open_memory({.shards = 4}).value();
  check_refused(pair.open(pair.one, small).error(), ErrorCode::invalid_argument, "same count");
}

TEST_CASE("what a switchable storage keeps for itself is refused to callers") {
  Pair pair;
  const auto storage = pair.process();
  check_refused(commit_one(*storage, insert("~onceward/switch")).error(), ErrorCode::invalid_argument, "own");
  check_refused(commit_one(*storage, insert("k", "~onceward/moved:1")).error(), ErrorCode::invalid_argument,
                "own");
  check_refused(commit_one(*storage, {"onceward/switch", {Operation::insert("k", "v")}}).error(),
                ErrorCode::invalid_argument, "own");
  check_refused(storage->switch_to("three").error(), ErrorCode::invalid_argument, "no storage");
  check_refused(storage->drain(0).error(), ErrorCode::invalid_argument, "0 records");
}

TEST_CASE("what is drained lies in the new primary alone, as it was") {
  Pair pair;
  const auto storage = pair.process();
  std::vector<Record> before;
  for (int i = 0; i < 30; ++i) {
    const auto partition = "p" + std::to_string(i % 3);
    REQUIRE(
        commit_one(*storage, {partition, {Operation::insert("k" + std::to_string(i), std::string(100, 'v'))}})
            ->applied());
  }
  for (int i = 0; i < 3; ++i) {
    for (auto& record : records_of(*storage, "p" + std::to_string(i))) before.push_back(std::move(record));
  }
  REQUIRE(storage->switch_to("two"));
  std::size_t moved = 0;
  for (;;) {
    const auto step = storage->drain(7).value();
    moved += step.moved;
    if (step.done) break;
  }
  CHECK(moved == 30);
  std::vector<Record> after;
  for (int i = 0; i < 3; ++i) {
    const auto partition = "p" + std::to_string(i);
    for (auto& record : records_of(*storage, partition)) after.push_back(std::move(record));
    CHECK(pair.one->scan(partition, "k", {}, 100)->records.empty());
    CHECK(pair.marker(*pair.two, partition).state == storage_detail::Marker::State::whole);
  }
  CHECK(after == before);
  // Also what was moved and moved back: the revisions that callers hold are good.
  REQUIRE(storage->switch_to("one"));
  drain_whole(*storage);
  const auto written =
      commit_one(*storage, {"p0", {Operation::replace(before[0].key, before[0].revision, "new")}}).value();
  REQUIRE(written.applied());
  CHECK(written.revision > before[0].revision);
}

TEST_CASE("a process that has not heard of a switch writes to the new primary") {
  Pair pair;
  const auto late = pair.process();
  REQUIRE(commit_one(*late, insert("before"))->applied());
  const auto other = pair.process();
  REQUIRE(other->switch_to("two"));
  REQUIRE(commit_one(*other, insert("k"))->applied());
  CHECK_FALSE(commit_one(*late, insert("k"))->applied());
  CHECK_FALSE(commit_one(*late, insert("before"))->applied());
  CHECK(late->status()->primary == "two");
  CHECK(pair.writable("p") == 1);
}

TEST_CASE("whoever comes between any two steps of a write finds one storage writable and the key once") {
  // At each of the steps of one process, another one does everything it may do.
  const std::vector<std::function<void(SwitchableStorage&)>> rivals{
      [](SwitchableStorage& storage) { (void)commit_one(storage, insert("other")).value(); },
      [](SwitchableStorage& storage) { drain_whole(storage); },
      [](SwitchableStorage& storage) { REQUIRE(storage.switch_to("two")); },
      [](SwitchableStorage& storage) {
        REQUIRE(storage.switch_to("one"));
        (void)commit_one(storage, insert("other")).value();
        REQUIRE(storage.switch_to("two"));
        (void)commit_one(storage, insert("another")).value();
      },
      [](SwitchableStorage& storage) {
        REQUIRE(storage.switch_to("two"));
        drain_whole(storage);
        REQUIRE(storage.switch_to("one"));
      }};
  for (const auto& rival : rivals) {
    for (const bool inserts_too : {false, true}) {
      bool reached = true;
      for (std::size_t step = 0; reached; ++step) {
        Pair pair;
        REQUIRE(commit_one(*pair.process(), insert("old"))->applied());
        Process process(pair);
        const auto other = pair.process();
        REQUIRE(other->switch_to("two"));
        std::size_t steps = 0;
        int applied = 0;
        process.on_call([&](std::string_view) {
          if (steps++ != step) return;
          rival(*other);
          if (inserts_too) applied += int{commit_one(*other, insert("k", "rival"))->applied()};
        });
        INFO("step " << step);
        applied += int{commit_one(*process.storage, insert("k", "own"))->applied()};
        process.on_call({});
        reached = steps > step;
        CHECK(applied == 1);
        CHECK(pair.writable("p") == 1);
        const auto fresh = pair.process();
        CHECK(read_one(*fresh, "p", "k")->has_value());
        CHECK(read_one(*fresh, "p", "old").value()->value == "v");
        CHECK_FALSE(commit_one(*fresh, insert("k", "late"))->applied());
      }
    }
  }
}

TEST_CASE("whatever call of a storage fails, the next process finds everything once") {
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (const auto call :
         {FaultyStorage::Call::commit, FaultyStorage::Call::read, FaultyStorage::Call::scan}) {
      for (const bool first : {true, false}) {
        bool failed = true;
        for (std::size_t skip = 0; failed; ++skip) {
          Pair pair;
          REQUIRE(commit_one(*pair.process(), insert("old"))->applied());
          REQUIRE(pair.process()->switch_to("two"));
          Process process(pair);
          auto& faulty = first ? process.one : process.two;
          const auto before = faulty.calls(call);
          const bool write = call == FaultyStorage::Call::commit;
          faulty.fail_calls(call, fault, write ? ErrorCode::in_doubt : ErrorCode::unavailable, 1, skip);
          const auto done = commit_one(
              *process.storage, {"p", {Operation::replace("old", 1, "no"), Operation::insert("k", "own")}});
          const auto inserted = commit_one(*process.storage, insert("k", "own"));
          (void)process.storage->drain(100);
          failed = faulty.calls(call) - before > skip;
          INFO("call " << skip);
          if (done) CHECK_FALSE(done->applied());
          const auto fresh = pair.process();
          drain_whole(*fresh);
          CHECK(pair.writable("p") == 1);
          CHECK(read_one(*fresh, "p", "old").value()->value == "v");
          const auto there = read_one(*fresh, "p", "k").value().has_value();
          if (inserted && inserted->applied()) CHECK(there);
          if (!inserted && inserted.error().code != ErrorCode::in_doubt) CHECK_FALSE(there);
          CHECK(commit_one(*fresh, insert("k", "late"))->applied() == !there);
        }
      }
    }
  }
}

TEST_CASE("however the steps of two processes with two threads each mix, nothing is counted twice or lost") {
  for (unsigned seed = 0; seed < 600; ++seed) {
    Pair pair;
    std::array<Process, 2> processes{Process(pair), Process(pair)};
    std::atomic<std::int64_t> counted = 0;
    std::array<std::atomic<int>, 4> inserted{};
    std::atomic<bool> both = false;
    std::atomic<bool> stuck = false;
    const auto applied = [&](const Result<BatchAnswer>& answer) {
      if (!answer) stuck = true;
      return answer && answer->applied();
    };
    Interleaving mixed(4, seed);
    for (auto& process : processes) process.on_call([&](std::string_view) { mixed.step(); });
    for (std::size_t i = 0; i < 4; ++i) {
      mixed.start(i, [&, i] {
        std::mt19937 dice(seed * 10 + static_cast<unsigned>(i));
        auto& storage = *processes[i / 2].storage;
        for (int turn = 0; turn < 8; ++turn) {
          const auto key = dice() % inserted.size();
          switch (dice() % 6) {
            case 0: (void)storage.switch_to(dice() % 2 == 0 ? "one" : "two"); break;
            case 1: (void)storage.drain_partition("p", 3); break;
            case 2: (void)storage.scan("p", {}, {}, 10); break;
            case 3:
              if (applied(commit_one(storage, {"p", {Operation::add("count", 1)}}))) ++counted;
              break;
            default:
              if (applied(commit_one(storage, insert("k" + std::to_string(key))))) ++inserted[key];
          }
          if (pair.writable("p") > 1) both = true;
        }
      });
    }
    mixed.join();
    for (auto& process : processes) process.on_call({});
    INFO("seed " << seed);
    CHECK_FALSE(both);
    CHECK_FALSE(stuck);
    const auto fresh = pair.process();
    const auto count = read_one(*fresh, "p", "count").value();
    CHECK((count ? count->value : "0") == std::to_string(counted));
    for (std::size_t key = 0; key < inserted.size(); ++key) {
      CHECK(inserted[key] <= 1);
      CHECK(read_one(*fresh, "p", "k" + std::to_string(key))->has_value() == (inserted[key] == 1));
    }
  }
}

TEST_CASE("a switchable storage lists the partitions of both") {
  Pair pair;
  const auto storage = pair.process();
  REQUIRE(commit_one(*storage, {"old", {Operation::insert("k", "v")}})->applied());
  REQUIRE(storage->switch_to("two"));
  REQUIRE(commit_one(*storage, {"new", {Operation::insert("k", "v")}})->applied());
  std::set<std::string> named;
  std::string cursor;
  do {
    auto page = list_partitions(*storage, cursor, 1).value();
    named.insert(page.partitions.begin(), page.partitions.end());
    cursor = std::move(page.cursor);
  } while (!cursor.empty());
  CHECK(named == std::set<std::string>{"old", "new"});
}
