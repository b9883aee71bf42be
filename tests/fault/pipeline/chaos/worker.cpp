#include "worker.hpp"

#include "scenario.hpp"

#include <onceward/storage/open.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace chaos {

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t batch = 16;

class Worker {
 public:
  explicit Worker(const Job& job)
      : job_(job), storage_(open_storage(job.url).value()), remote_(job.socket()) {
    registry_.add(book_step(remote_, job.broken)).value();
    plans_.emplace(compile_plans(registry_, catalog_));
    runner_.emplace(*storage_, catalog_,
                    RunnerOptions{.lease = lease, .span = 32, .workers = 2, .idle_poll = 50ms});
  }

  void go() {
    runner_->start_workers();
    std::vector<int> numbers;
    for (int n = 0; n < job_.runs; ++n) {
      if (n % workers == job_.worker || (n + 1) % workers == job_.worker) numbers.push_back(n);
    }
    // A worker that is killed repeats its last batch: all it does may be done again.
    for (auto at = progress(); at < numbers.size(); at += batch) {
      remember(at);
      const auto some = std::span(numbers).subspan(at, std::min(batch, numbers.size() - at));
      start(some);
      for (const int n : some) ask(n);
    }
    remember(numbers.size());
    for (;;) std::this_thread::sleep_for(1s);
  }

 private:
  /// Repeats what the storage had no time for; anything else is a defect.
  template <class Work>
  auto patiently(const Work& work) -> decltype(work()) {
    for (;;) {
      auto result = work();
      if (result || retry_advice(result.error().code) == RetryAdvice::give_up) return result;
      std::this_thread::sleep_for(5ms);
    }
  }
  static void refuse(const Error& error) { throw std::runtime_error(describe(error)); }

  void start(std::span<const int> numbers) {
    std::vector<int> together;
    for (const int n : numbers) {
      const auto name = name_of(n);
      if (n % 8 == 0) {
        const auto run =
            patiently([&] { return runner_->start(plans_->of(n), name.partition, name.key, input_of(n)); });
        if (!run) refuse(run.error());
      } else if (n % 8 == 1) {
        const auto stored = patiently([&] {
          return runner_->enqueue(*storage_, plans_->of(n), name.partition, name.key, input_of(n));
        });
        if (!stored) refuse(stored.error());
      } else {
        together.push_back(n);
      }
    }
    const auto driven = patiently([&] { return drive(together); });
    if (!driven) refuse(driven.error());
  }
  Result<void> drive(std::span<const int> numbers) {
    std::vector<PreparedRun> prepared;
    std::vector<Batch> batches;
    for (const int n : numbers) {
      const auto name = name_of(n);
      prepared.push_back(runner_->prepare(plans_->of(n), name.partition, name.key, input_of(n)).value());
      batches.push_back({name.partition, {prepared.back().insert}});
    }
    const auto written = storage_->commit(batches);
    if (!written) return fail(written.error());
    std::vector<PreparedRun> fresh;
    std::vector<Revision> revisions;
    for (std::size_t i = 0; i < prepared.size(); ++i) {
      if (!written->batches[i].applied()) continue;
      fresh.push_back(std::move(prepared[i]));
      revisions.push_back(written->batches[i].revision);
    }
    return runner_->drive(fresh, revisions);
  }

  /// Signals what waits for a signal, and cancels what is to be cancelled; a run that has ended takes
  /// neither.
  void ask(int n) {
    if (!recovers_backward(n)) return;
    const auto told = patiently([&] { return runner_->signal(name_of(n), "go", payload_of(n)); });
    if (!told && told.error().code != ErrorCode::wrong_state) refuse(told.error());
    if (mode_of(n) != Mode::cancelled) return;
    const auto asked = patiently([&] {
      return runner_->cancel(name_of(n), Cancel::compensate, {"chaos", "to see what is undone"});
    });
    if (!asked && asked.error().code != ErrorCode::wrong_state) refuse(asked.error());
  }

  [[nodiscard]] std::size_t progress() const {
    std::size_t at = 0;
    std::ifstream(job_.progress()) >> at;
    return at;
  }
  void remember(std::size_t at) const {
    const auto text = std::to_string(at) + "\n";
    const int file = ::open(job_.progress().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::pwrite(file, text.data(), text.size(), 0) < 0)
      throw std::runtime_error("no progress file");
    ::close(file);
  }

  Job job_;
  std::unique_ptr<Storage> storage_;
  Remote remote_;
  StepRegistry registry_;
  PlanCatalog catalog_;
  std::optional<Plans> plans_;
  std::optional<Runner> runner_;
};

}  // namespace

int work(const Job& job) {
  Worker(job).go();
  return 0;
}

}  // namespace chaos
