// bench_task [URL] [SECONDS]: events per second of a task centre. 1,000 live tasks, of which 5 match an
// event.
#include <onceward/storage/open.hpp>
#include <onceward/task/task_center.hpp>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

using namespace onceward;
using SteadyClock = std::chrono::steady_clock;

namespace {

class Nothing final : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override { return {.name = "nothing@1"}; }
  StepOutcome run(StepContext&) override { return Done{}; }
};

CampaignDefinition campaign_of(int tasks, int matching) {
  CampaignDefinition campaign{"shop"};
  for (int i = 0; i < tasks; ++i) {
    TaskDefinition task{"t" + std::to_string(i)};
    task.rules.push_back({i < matching ? "paid" : "other" + std::to_string(i), "event.n >= 1", "event.n"});
    task.stages.push_back({1'000'000'000, "p"});
    campaign.tasks.push_back(std::move(task));
  }
  for (const auto& [id, units] : {std::pair("hot", 1000), std::pair("plenty", 1'000'000'000)}) {
    TaskDefinition claimed{id};
    claimed.claim = Mode::manual;
    claimed.rules.push_back({"never"});
    claimed.stages.push_back({1, "p"});
    claimed.quota = QuotaDefinition{units, Period::once, QuotaAt::claim};
    campaign.tasks.push_back(std::move(claimed));
  }
  PipelineDefinition pipeline{"p"};
  pipeline.steps.push_back({"s", "nothing@1"});
  campaign.pipelines.push_back(std::move(pipeline));
  return campaign;
}

long peak_kib() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

double cpu_seconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

struct Figure {
  double per_second = 0;
  double per_cpu_second = 0;  ///< what a core would do that is all ours
};

template <class Work>
Figure measure(int threads, double seconds, const Work& work) {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> done = 0;
  const auto begin = SteadyClock::now();
  const auto cpu = cpu_seconds();
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (std::uint64_t i = 0; !stop; ++i) done += work(t, i);
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  workers.clear();
  const std::chrono::duration<double> passed = SteadyClock::now() - begin;
  return {static_cast<double>(done) / passed.count(), static_cast<double>(done) / (cpu_seconds() - cpu)};
}

}  // namespace

int main(int count, char** words) {
  const std::string url = count > 1 ? words[1] : "memory:";
  const double seconds = count > 2 ? std::atof(words[2]) : 3;
  auto storage = open_storage(url);
  if (!storage) {
    std::fprintf(stderr, "%s\n", describe(storage.error()).c_str());
    return 1;
  }
  StepRegistry registry;
  registry.add(std::make_unique<Nothing>()).value();
  PlanCatalog catalog;
  Runner runner(**storage, catalog);
  TaskCenter center(**storage, catalog, runner);
  center.publish(Campaign::compile(campaign_of(1000, 5), registry).value()).value();
  const auto stamp = std::to_string(SteadyClock::now().time_since_epoch().count());
  std::atomic<std::uint64_t> next = 0;
  const auto event_of = [&](std::uint64_t users) {
    const auto id = ++next;
    return Event{"shop", stamp + "-" + std::to_string(id),     "u" + std::to_string(id % users),
                 "paid", Timestamp(std::chrono::days(20'000)), {{"n", 3}}};
  };
  std::atomic<std::uint64_t> refused = 0;
  const auto batch = [&](std::size_t size, std::uint64_t users) {
    std::vector<Event> events;
    for (std::size_t i = 0; i < size; ++i) events.push_back(event_of(users));
    std::uint64_t applied = 0;
    for (const auto& answer : center.report_many(events)) {
      if (answer) {
        ++applied;
      } else {
        ++refused;
      }
    }
    return applied;
  };
  const auto show = [&](const char* what, const Figure& figure) {
    std::printf("%-48s %10.0f /s %10.0f /CPU s   peak %ld KiB\n", what, figure.per_second,
                figure.per_cpu_second, peak_kib());
  };
  for (const std::uint64_t users : {1'000U, 10'000U, 100'000U, 1'000'000U}) {
    const auto what = "batches of 256, 1 thread, " + std::to_string(users) + " users";
    // Users that are there already: how many there are is the question, not what a new one costs.
    if (url == "memory:") {
      for (std::uint64_t i = 0; i < users; i += 256) batch(256, users);
    }
    show(what.c_str(), measure(1, seconds, [&](int, std::uint64_t) { return batch(256, users); }));
  }
  // One thread makes its batch while another's is at the server.
  show("batches of 256, 4 threads, 100000 users",
       measure(4, seconds, [&](int, std::uint64_t) { return batch(256, 100'000); }));
  for (const int threads : {1, 32, 64}) {
    const auto what = "single events, " + std::to_string(threads) + " threads";
    show(what.c_str(), measure(threads, seconds, [&](int, std::uint64_t) { return batch(1, 100'000); }));
  }
  // What a page of a shop's tasks costs its user.
  show("lists of 50 tasks, 1 thread", measure(1, seconds, [&](int, std::uint64_t i) {
         const auto page = center.list({"shop", "u" + std::to_string(i % 1000)});
         return std::uint64_t{page ? 1U : 0U};
       }));
  std::atomic<std::uint64_t> won = 0;
  const auto claim_of = [&](const char* task) {
    return [&, task](int, std::uint64_t) {
      const auto id = ++next;
      const auto reply = center.claim({"shop", stamp + "c" + std::to_string(id), task, "k"});
      if (reply && reply->outcome == Reply::Outcome::done) ++won;
      return std::uint64_t{reply ? 1U : 0U};
    };
  };
  show("claims of one pool with units left, 64 threads", measure(64, seconds, claim_of("plenty")));
  won = 0;
  show("claims of one pool of 1,000 units, 64 threads", measure(64, seconds, claim_of("hot")));
  std::printf("units claimed: %llu of 1000; events refused: %llu\n", static_cast<unsigned long long>(won),
              static_cast<unsigned long long>(refused));
  return won <= 1000 ? 0 : 1;
}
