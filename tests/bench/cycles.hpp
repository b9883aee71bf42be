#pragma once
#include <onceward/idempotency/guards.hpp>
#include <onceward/storage/storage.hpp>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

// What the storage benchmarks share: a cycle is one guarded first call (claim + complete, 64-byte key,
// 200-byte result); ours and the raw client's take turns in one run, and medians are printed. They decide
// nothing.
namespace bench {

using namespace onceward;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t key_bytes = 64;
constexpr std::size_t result_bytes = 200;
constexpr std::size_t span = 256;
/// What a guard stores with a claim, and with a result.
constexpr std::size_t claim_value_bytes = 110;
constexpr std::size_t result_value_bytes = result_bytes + 80;

[[noreturn]] inline void end(const std::string& why) {
  std::fprintf(stderr, "benchmark: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) end(describe(result.error()));
  return *std::move(result);
}

/// A key that never comes twice, and of which no two follow each other in a store.
inline std::string next_key() {
  static const auto run = static_cast<std::uint64_t>(SteadyClock::now().time_since_epoch().count());
  static std::atomic<std::uint64_t> count = 0;
  const auto number = ++count;
  auto key = std::to_string((number + run) * 0x9E3779B97F4A7C15ULL) + ":" + std::to_string(number) + ":";
  key.resize(key_bytes, 'k');
  return key;
}

struct Figure {
  double cycles_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

using Work = std::function<void()>;
using Worker = std::function<Work()>;  ///< what one thread does again and again, made by that thread

/// Of `threads` threads for a second; a call of the work does `each` cycles.
inline Figure measure(unsigned threads, std::size_t each, const Worker& worker) {
  std::vector<std::vector<float>> latencies(threads);
  std::barrier start(static_cast<std::ptrdiff_t>(threads) + 1);
  std::atomic<bool> stop = false;
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      const auto work = worker();
      work();
      start.arrive_and_wait();
      while (!stop.load(std::memory_order_relaxed)) {
        const auto began = SteadyClock::now();
        work();
        latencies[i].push_back(std::chrono::duration<float, std::micro>(SteadyClock::now() - began).count());
      }
    });
  }
  start.arrive_and_wait();
  const auto began = SteadyClock::now();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  stop = true;
  for (auto& thread : running) thread.join();
  const std::chrono::duration<double> took = SteadyClock::now() - began;
  std::vector<float> all;
  for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  return {static_cast<double>(all.size() * each) / took.count(), all[all.size() / 2],
          all[all.size() * 99 / 100]};
}

/// Guarded first calls, one at a time.
inline Worker guarded(Storage& storage) {
  return [&storage]() -> Work {
    return [&storage] {
      static const Policy policy{.operation = "bench"};
      auto guard = need(Guard::claim(storage, next_key(), policy));
      if (!guard.complete(Value(std::string(result_bytes, 'r'))).recorded) end("a call was not recorded");
    };
  };
}

/// The same with posted completions: each travels with another call's claim. As many as may wait
/// unacknowledged on a thread are asked for before the next one begins.
inline Worker guarded_posting(Guards& guards) {
  return [&guards]() -> Work {
    auto last = std::make_shared<Acknowledgement>();
    return [&guards, last] {
      static const Policy policy{.operation = "bench", .acknowledge = Acknowledge::post};
      auto guard = need(Guard::claim(guards, next_key(), policy));
      auto completion = guard.complete(Value(std::string(result_bytes, 'r')));
      if (!completion.acknowledgement.valid()) end("a completion was not posted");
      if (last->valid()) {
        const auto before = last->wait();
        if (!before.recorded || before.verdict != Verdict::executed) end("a call was not recorded");
      }
      *last = std::move(completion.acknowledgement);
    };
  };
}

/// As many first calls as `span` side by side: their claims in one commit, their completions in another.
inline Worker guarded_span(Storage& storage) {
  return [&storage]() -> Work {
    return [&storage] {
      using namespace std::chrono_literals;
      std::vector<Batch> batches;
      for (std::size_t i = 0; i < span; ++i) {
        auto key = next_key();
        auto partition = guard_partition("bench", key);
        batches.push_back(
            {std::move(partition),
             {Operation::insert(std::move(key), std::string(claim_value_bytes, 'c'), {30s, 24h})}});
      }
      const auto claimed = need(storage.commit(batches));
      for (std::size_t i = 0; i < span; ++i) {
        auto& operation = batches[i].operations.front();
        operation = Operation::replace(std::move(operation.key), claimed.batches[i].revision,
                                       std::string(result_value_bytes, 'r'), {std::nullopt, 24h});
      }
      for (const auto& answer : need(storage.commit(batches)).batches) {
        if (!answer.applied()) end("a cycle ended otherwise than it must");
      }
    };
  };
}

/// A line of the table: ours with these threads, beside theirs.
struct Line {
  const char* name;
  double goal;  ///< ours over theirs
  unsigned threads;
  std::size_t each;
  Worker ours;
  unsigned their_threads;
  std::size_t their_each;
  Worker theirs;
};

inline void print(const char* client, const std::vector<Line>& lines, int rounds) {
  std::printf("%-24s %10s %10s %6s %5s   %s\n", "cycles/s", "ours", client, "ratio", "goal",
              "p50/p99 us: ours, theirs");
  for (const auto& line : lines) {
    std::vector<Figure> ours;
    std::vector<Figure> theirs;
    for (int round = 0; round < rounds; ++round) {
      ours.push_back(measure(line.threads, line.each, line.ours));
      theirs.push_back(measure(line.their_threads, line.their_each, line.theirs));
    }
    const auto median = [](std::vector<Figure>& figures) {
      std::sort(figures.begin(), figures.end(),
                [](const Figure& a, const Figure& b) { return a.cycles_per_second < b.cycles_per_second; });
      return figures[figures.size() / 2];
    };
    const auto a = median(ours);
    const auto b = median(theirs);
    std::printf("%-24s %10.0f %10.0f %6.2f %5.2f   %.0f/%.0f, %.0f/%.0f\n", line.name, a.cycles_per_second,
                b.cycles_per_second, a.cycles_per_second / b.cycles_per_second, line.goal, a.p50_us, a.p99_us,
                b.p50_us, b.p99_us);
    std::fflush(stdout);
  }
}

}  // namespace bench
