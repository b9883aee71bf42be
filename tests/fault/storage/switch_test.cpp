// A service goes from one storage to another and back while it works: real servers, guarded calls, processes
// that are killed in between.
#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/redis.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/storage/switchable.hpp>

#include "support/catch.hpp"
#include "support/redis_server.hpp"
#include "support/temporary_folder.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<SwitchableStorage> open_pair(const RedisServer& server, const TemporaryFolder& folder) {
  return SwitchableStorage::open(
             {"redis", redis::open(server.options()).value()},
             {"sqlite",
              sqlite::open(folder.file("switch.db"), {.synchronous = sqlite::Synchronous::normal}).value()},
             {.refresh = 50ms})
      .value();
}

std::string key_of(std::size_t number) { return "order:" + std::to_string(number); }

const Policy policy{.operation = "pay", .lease = 30s, .retention = 1h};

}  // namespace

TEST_CASE("100 switches between Redis and SQLite under load, and no guarded call runs twice") {
  RedisServer server({"--appendonly", "yes"});
  if (server.missing()) {
    WARN("skipped: there is no redis-server on this machine");
    return;
  }
  const TemporaryFolder folder;
  const auto storage = open_pair(server, folder);
  constexpr std::size_t keys = 40'000;
  std::vector<std::atomic<int>> effects(keys);
  std::atomic<std::size_t> next = 0;
  std::atomic<std::size_t> calls = 0;
  std::atomic<int> replays = 0;
  std::atomic<int> wrong = 0;
  std::atomic<int> errors = 0;
  {
    std::vector<std::jthread> callers;
    for (unsigned caller = 0; caller < 8; ++caller) {
      callers.emplace_back([&, caller](const std::stop_token& stop) {
        std::mt19937 dice(caller);
        while (!stop.stop_requested()) {
          // Half of the calls are about keys that were called before, some of them long ago.
          const auto last = next.load();
          const auto number = dice() % 2 == 0 || last == 0 ? next++ : dice() % last;
          if (number >= keys) return;
          auto guard = Guard::claim(*storage, key_of(number), policy);
          ++calls;
          if (!guard) {
            ++errors;
            continue;
          }
          if (guard->acquired()) {
            ++effects[number];
            if (!guard->complete(Value("paid " + std::to_string(number))).recorded) ++errors;
          } else if (guard->verdict() == Verdict::replayed) {
            ++replays;
            if (guard->result() != Value("paid " + std::to_string(number))) ++wrong;
          }
        }
      });
    }
    const auto until = std::chrono::steady_clock::now() + 120s;
    for (int i = 0; i < 100; ++i) {
      const auto seen = calls.load();
      REQUIRE(storage->switch_to(i % 2 == 0 ? "sqlite" : "redis"));
      if (i % 7 == 0) REQUIRE(storage->drain(200).has_value());
      while (calls < seen + 50 && next < keys) {
        REQUIRE(std::chrono::steady_clock::now() < until);
        std::this_thread::sleep_for(1ms);
      }
    }
  }
  CHECK(errors == 0);
  CHECK(wrong == 0);
  CHECK(replays > 100);
  std::size_t twice = 0;
  std::size_t lost = 0;
  const auto done = std::min(next.load(), keys);
  for (std::size_t i = 0; i < done; ++i) {
    twice += effects[i] > 1 ? 1U : 0U;
    auto guard = Guard::claim(*storage, key_of(i), policy).value();
    if (guard.acquired() && effects[i] > 0) ++lost;
  }
  CHECK(twice == 0);
  CHECK(lost == 0);
  CHECK(storage->status()->generation == 101);
  while (!storage->drain(1000).value().done) {
  }
}

TEST_CASE("processes that switch, call and are killed leave no key that ran twice") {
  RedisServer server({"--appendonly", "yes"});
  if (server.missing()) {
    WARN("skipped: there is no redis-server on this machine");
    return;
  }
  const TemporaryFolder folder;
  (void)open_pair(server, folder);
  constexpr std::size_t keys = 300;
  const auto notes = folder.file("effects");
  // An effect is a line in a file, written only once a claim is held. Who is killed between the claim and the
  // completion leaves a claim whose lease outlasts the test: no other caller may run that key.
  const auto work = [&](unsigned seed) {
    const auto storage = open_pair(server, folder);
    const int file = ::open(notes.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    std::mt19937 dice(seed);
    for (;;) {
      if (dice() % 40 == 0) (void)storage->switch_to(dice() % 2 == 0 ? "sqlite" : "redis");
      if (dice() % 40 == 0) (void)storage->drain(50);
      const auto number = dice() % keys;
      auto guard = Guard::claim(*storage, key_of(number), policy);
      if (!guard || !guard->acquired()) continue;
      const auto line = std::to_string(number) + "\n";
      if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(3);
      (void)guard->complete(Value("paid"));
    }
  };
  std::mt19937 dice(1);
  std::array<pid_t, 3> processes{};
  unsigned seed = 0;
  const auto start = [&](pid_t& process) {
    ++seed;
    process = ::fork();
    if (process == 0) {
      work(seed);
      std::_Exit(0);
    }
    REQUIRE(process > 0);
  };
  for (auto& process : processes) start(process);
  for (int kill = 0; kill < 25; ++kill) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + dice() % 150));
    auto& process = processes[dice() % processes.size()];
    REQUIRE(::kill(process, SIGKILL) == 0);
    REQUIRE(::waitpid(process, nullptr, 0) == process);
    start(process);
  }
  for (const auto process : processes) {
    REQUIRE(::kill(process, SIGKILL) == 0);
    REQUIRE(::waitpid(process, nullptr, 0) == process);
  }
  std::vector<int> effects(keys);
  {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(notes.c_str(), "r"), &std::fclose);
    REQUIRE(file);
    unsigned number = 0;
    while (std::fscanf(file.get(), "%u", &number) == 1) ++effects.at(number);
  }
  const auto storage = open_pair(server, folder);
  int ran = 0;
  for (std::size_t i = 0; i < keys; ++i) {
    INFO("key " << i);
    CHECK(effects[i] <= 1);
    ran += effects[i];
    auto guard = Guard::claim(*storage, key_of(i), policy).value();
    if (effects[i] == 1) CHECK_FALSE(guard.acquired());
  }
  CHECK(ran > 100);
}
