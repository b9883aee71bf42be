#include <onceward/core/clock.hpp>
#include <onceward/testing/fake_clock.hpp>

#include "support/catch.hpp"

#include <thread>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FakeClock;

TEST_CASE("the system clock tells the system's time, in UTC") {
  const SystemClock clock;
  for (int i = 0; i < 3; ++i) {
    const auto apart = clock.now() - std::chrono::system_clock::now();
    CHECK(std::chrono::abs(apart) < 1s);
    std::this_thread::sleep_for(5ms);
  }
}

TEST_CASE("the system clock goes on with the time that passes") {
  const SystemClock clock;
  const auto wall_before = clock.now();
  const auto steady_before = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(30ms);
  const auto passed_at_least = std::chrono::steady_clock::now() - steady_before;
  const auto moved = clock.now() - wall_before;
  const auto passed_at_most = std::chrono::steady_clock::now() - steady_before;
  CHECK(moved + 2us >= passed_at_least);
  CHECK(moved <= passed_at_most + 1ms);
}

TEST_CASE("the system clock never runs backwards, whatever thread looks") {
  const SystemClock clock;
  std::vector<std::thread> threads;
  std::vector<int> went_back(4, 0);
  for (auto& count : went_back) {
    threads.emplace_back([&] {
      auto last = clock.now();
      for (int i = 0; i < 50'000; ++i) {
        const auto next = clock.now();
        if (next < last) ++count;
        last = next;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(went_back == std::vector<int>(4, 0));
}

TEST_CASE("a fake clock stands until it is moved") {
  FakeClock clock;
  const Clock& seen = clock;
  const auto start = seen.now();
  CHECK(start == Timestamp(std::chrono::days(19'000)));
  std::this_thread::sleep_for(5ms);
  CHECK(seen.now() == start);
  clock.advance(90s);
  CHECK(seen.now() == start + 90s);
  clock.advance(1us);
  CHECK(seen.now() == start + 90s + 1us);
  CHECK(seen.now() == start + 90s + 1us);
}

TEST_CASE("a fake clock goes where it is set, back included") {
  FakeClock clock(Timestamp(1h));
  CHECK(clock.now() == Timestamp(1h));
  clock.set(Timestamp(-5us));
  CHECK(clock.now() == Timestamp(-5us));
  clock.advance(-1us);
  CHECK(clock.now() == Timestamp(-6us));
}

TEST_CASE("a fake clock loses no step of several threads") {
  FakeClock clock(Timestamp{});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 10'000; ++step) clock.advance(1us);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(clock.now() == Timestamp(40'000us));
}
