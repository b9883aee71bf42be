// bench_pipeline URL [SECONDS]: runs of a pipeline with three trivial steps, inline from one thread, with 32
// and 64 threads, and driven side by side in spans of 64. `bench_pipeline plans`: what parsing and compiling
// 100 steps takes. `bench_pipeline waiting [RUNS] [PARTITIONS]`: what waiting runs cost in a memory storage.
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>

using namespace onceward;
using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

namespace {

class Nothing final : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override { return {.name = "nothing@1"}; }
  StepOutcome run(StepContext&) override { return Done{}; }
};

struct Bench {
  StepRegistry registry;
  PlanCatalog catalog;
  std::optional<Plan> plan;

  Bench() {
    registry.add(std::make_unique<Nothing>()).value();
    plan = pipeline("three")
               .step("a", "nothing@1")
               .step("b", "nothing@1")
               .step("c", "nothing@1")
               .compile(registry)
               .value();
    catalog.add(*plan).value();
  }
};

double seconds_of(SteadyClock::duration time) { return std::chrono::duration<double>(time).count(); }

double cpu_seconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

/// Bytes of this process that lie in memory.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  long pages = 0;
  file >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Keys that no measurement before used, nor another run of the program: a run that is there is only shown.
class Keys {
 public:
  std::string operator()(std::size_t thread, std::size_t number) const {
    return begun_ + "-" + std::to_string(thread) + "-" + std::to_string(number);
  }

 private:
  std::string begun_ = std::to_string(SystemClock().now().time_since_epoch().count());
};

void run_threads(Bench& bench, Storage& storage, std::size_t threads, double seconds) {
  Runner runner(storage, bench.catalog);
  const Keys key_of;
  std::atomic<bool> stop = false;
  std::vector<std::vector<double>> times(threads);
  const auto cpu = cpu_seconds();
  const auto begun = SteadyClock::now();
  {
    std::vector<std::jthread> workers;
    for (std::size_t t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        const auto partition = "user" + std::to_string(t);
        for (std::size_t i = 0; !stop; ++i) {
          const auto from = SteadyClock::now();
          const auto view = runner.start(*bench.plan, partition, key_of(t, i), Map());
          if (!view || view->state != RunState::succeeded) {
            std::fprintf(stderr, "%s\n", view ? view->reason.c_str() : describe(view.error()).c_str());
            std::exit(1);
          }
          times[t].push_back(seconds_of(SteadyClock::now() - from));
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
  }
  const auto took = seconds_of(SteadyClock::now() - begun);
  std::vector<double> all;
  for (auto& some : times) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  const auto count = static_cast<double>(all.size());
  std::printf("%3zu threads: %8.0f runs/s, p50 %6.0f us, p99 %6.0f us, %5.1f us of processor a run\n",
              threads, count / took, all[all.size() / 2] * 1e6, all[all.size() * 99 / 100] * 1e6,
              (cpu_seconds() - cpu) / count * 1e6);
}

void run_spans(Bench& bench, Storage& storage, std::size_t span, double seconds) {
  Runner runner(storage, bench.catalog);
  const Keys key_of;
  const auto cpu = cpu_seconds();
  const auto begun = SteadyClock::now();
  std::size_t count = 0;
  while (seconds_of(SteadyClock::now() - begun) < seconds) {
    std::vector<PreparedRun> runs;
    std::vector<Batch> batches;
    for (std::size_t i = 0; i < span; ++i) {
      runs.push_back(
          runner.prepare(*bench.plan, "user" + std::to_string(i), key_of(1000, count + i), Map()).value());
      batches.push_back({runs.back().partition(), {runs.back().insert}});
    }
    const auto answer = storage.commit(batches).value();
    std::vector<Revision> revisions;
    for (const auto& batch : answer.batches) revisions.push_back(batch.revision);
    runner.drive(runs, revisions).value();
    count += span;
  }
  const auto took = seconds_of(SteadyClock::now() - begun);
  std::printf("span of %3zu: %8.0f runs/s, %5.1f us of processor a run\n", span,
              static_cast<double>(count) / took, (cpu_seconds() - cpu) / static_cast<double>(count) * 1e6);
}

void run_plans(Bench& bench) {
  auto builder = pipeline("hundred");
  builder.input("user", Value::Kind::string).input("n", Value::Kind::integer, false);
  for (int i = 0; i < 100; ++i) {
    const auto before = i == 0 ? std::string("n") : "steps.s" + std::to_string(i - 1) + "?.id";
    builder.step("s" + std::to_string(i), "nothing@1")
        .when("user != '' && " + before + " == null")
        .retry({.attempts = 5});
  }
  const auto text = to_xml(builder.definition());
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) {
    const auto from = SteadyClock::now();
    const auto plan = compile_pipeline_xml(text, "bench.xml", bench.registry);
    times.push_back(seconds_of(SteadyClock::now() - from));
    if (!plan) {
      std::fprintf(stderr, "%s\n", describe(plan.error()).c_str());
      std::exit(1);
    }
  }
  std::sort(times.begin(), times.end());
  std::printf("parse and compile of 100 steps (%zu bytes): p50 %.2f ms, worst %.2f ms\n", text.size(),
              times[100] * 1e3, times.back() * 1e3);
}

void run_waiting(Bench& bench, std::size_t count, std::size_t partitions) {
  const auto plan = pipeline("waiting")
                        .input("user", Value::Kind::string)
                        .step("a", "nothing@1")
                        .wait("day", 24h)
                        .step("b", "nothing@1")
                        .compile(bench.registry)
                        .value();
  bench.catalog.add(plan).value();
  const auto storage = open_memory().value();
  Runner runner(*storage, bench.catalog);
  const auto before = resident_bytes();
  for (std::size_t i = 0; i < count; ++i)
    runner
        .start(plan, "m/user" + std::to_string(i % partitions), "k" + std::to_string(i),
               Map{{"user", std::to_string(i)}})
        .value();
  const auto record = read_one(*storage, "m/user0", run_record_key("waiting", "k0")).value();
  std::printf("%zu waiting runs: %.0f bytes each, of which the record is %zu\n", count,
              (resident_bytes() - before) / static_cast<double>(count), record->value.size());
  runner.start_workers();
  const auto cpu = cpu_seconds();
  std::this_thread::sleep_for(5s);
  std::printf("two idle workers beside them: %.3f %% of a processor\n", (cpu_seconds() - cpu) / 5 * 100);
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "memory:";
  Bench bench;
  if (what == "plans") {
    run_plans(bench);
    return 0;
  }
  if (what == "waiting") {
    const auto number = [&](int at, long long otherwise) {
      return static_cast<std::size_t>(count > at ? std::atoll(words[at]) : otherwise);
    };
    run_waiting(bench, number(2, 1'000'000), number(3, 10'000));
    return 0;
  }
  const double seconds = count > 2 ? std::atof(words[2]) : 5;
  auto storage = open_storage(what);
  if (!storage) {
    std::fprintf(stderr, "%s\n", describe(storage.error()).c_str());
    return 1;
  }
  for (const std::size_t threads : {1U, 32U, 64U}) run_threads(bench, **storage, threads, seconds);
  run_spans(bench, **storage, 64, seconds);
  return 0;
}
