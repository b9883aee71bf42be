// Guarded calls that block no thread: coroutines and callbacks.
#include <onceward/idempotency/idempotent_callback.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

using namespace onceward;
using namespace std::chrono_literals;
using testing::FaultyStorage;

namespace {

struct Ask {
  std::string id;
  int amount = 1;
};

/// What an application runs its coroutines on: so many threads, one queue.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
  }
  ~Pool() {
    for (auto& thread : threads_) thread.request_stop();
    changed_.notify_all();
  }
  void add(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_one();
  }
  [[nodiscard]] std::function<void(std::function<void()>)> executor() {
    return [this](std::function<void()> work) { add(std::move(work)); };
  }

 private:
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, stop, [&] { return !queue_.empty(); });
      if (queue_.empty()) return;
      auto next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      next();
      next = nullptr;
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::jthread> threads_;
};

/// Runs one asynchronous call to its end on this thread's time.
template <class T>
T wait_for(Async<T> work) {
  std::optional<T> value;
  std::exception_ptr thrown;
  std::latch ended(1);
  start(std::move(work), [&](std::optional<T> given, std::exception_ptr exception) {
    value = std::move(given);
    thrown = exception;
    ended.count_down();
  });
  ended.wait();
  if (thrown) std::rethrow_exception(thrown);
  return *std::move(value);
}

Async<std::string> say(std::string text) { co_return text; }

}  // namespace

TEST_CASE("a guarded coroutine runs once and is replayed") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  int runs = 0;
  const auto call =
      idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a"}, [&](const Ask& ask) -> Async<std::string> {
        ++runs;
        auto said = co_await say("hello " + ask.id);
        co_return said;
      });
  const auto first = wait_for(call({"x"}));
  CHECK(first.verdict() == Verdict::executed);
  CHECK(first.value() == "hello x");
  const auto second = wait_for(call({"x"}));
  CHECK(second.verdict() == Verdict::replayed);
  CHECK(second.value() == "hello x");
  CHECK(wait_for(call({"x", 2})).verdict() == Verdict::key_reused);
  CHECK(runs == 1);
  CHECK(guards.figures("a").total() == 3);
}

TEST_CASE("ten thousand guarded coroutines on two threads, each key runs once") {
  constexpr int calls = 10'000;
  constexpr int keys = 2'500;
  const auto storage = open_memory().value();
  Pool pool(2);
  Guards guards(*storage, {.executor = pool.executor()});
  guards.start();
  std::atomic<int> runs = 0;
  std::atomic<int> told = 0;
  std::latch ended(calls);
  {
    const auto call = idempotent_async<Ask>(guards, "k:#{id}",
                                            {.operation = "many", .on_busy = OnBusy::wait, .wait_limit = 60s},
                                            [&](const Ask& ask) -> Async<std::string> {
                                              ++runs;
                                              auto said = co_await say(ask.id);
                                              co_return said;
                                            });
    for (int i = 0; i < calls; ++i) {
      pool.add([&, i] {
        start(call({std::to_string(i % keys)}),
              [&, i](const auto& outcome, const std::exception_ptr& thrown) {
                if (!thrown && outcome->has_value() && outcome->value() == std::to_string(i % keys)) ++told;
                ended.count_down();
              });
      });
    }
    ended.wait();
  }
  CHECK(runs == keys);
  CHECK(told == calls);
  CHECK(guards.figures("many").of(CallEnd::executed) == keys);
  CHECK(guards.figures("many").of(CallEnd::replayed) == calls - keys);
}

TEST_CASE("a coroutine that throws gives its key back, one whose effects had started leaves it in doubt") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  bool effects = false;
  int runs = 0;
  const auto call =
      idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a", .on_stale = OnStale::in_doubt},
                            [&](const Ask&, Attempt& attempt) -> Async<int> {
                              auto said = co_await say("before");
                              if (effects) attempt.effects_started();
                              if (++runs != 2) throw std::runtime_error("no");
                              co_return attempt.number();
                            });
  CHECK_THROWS_AS(wait_for(call({"x"})), std::runtime_error);
  CHECK(wait_for(call({"x"})).value() == 2);
  effects = true;
  CHECK_THROWS_AS(wait_for(call({"y"})), std::runtime_error);
  const auto doubt = wait_for(call({"y"}));
  CHECK(doubt.verdict() == Verdict::in_doubt);
  CHECK(runs == 3);
}

TEST_CASE("errors of coroutines are treated by their class") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  ErrorCode code = ErrorCode::unavailable;
  int runs = 0;
  const auto call =
      idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a", .on_stale = OnStale::in_doubt},
                            [&](const Ask&) -> Async<Result<int>> {
                              ++runs;
                              co_return fail(code, "no");
                            });
  CHECK(wait_for(call({"x"})).error()->code == ErrorCode::unavailable);
  code = ErrorCode::conflict;
  CHECK(wait_for(call({"x"})).error()->code == ErrorCode::conflict);
  CHECK(wait_for(call({"x"})).verdict() == Verdict::replayed);
  code = ErrorCode::in_doubt;
  CHECK(wait_for(call({"y"})).verdict() == Verdict::in_doubt);
  CHECK(wait_for(call({"y"})).verdict() == Verdict::in_doubt);
  CHECK(runs == 3);
}

TEST_CASE("a coroutine's work found without effect again and again is not run more often than allowed") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  int runs = 0;
  int asked = 0;
  const auto call =
      idempotent_async<Ask>(guards, "k:#{id}",
                            {.operation = "a", .on_stale = OnStale::reconcile, .attempts_max = 2},
                            [&](const Ask&) -> Async<Result<int>> {
                              ++runs;
                              co_return fail(ErrorCode::in_doubt, "who knows");
                            })
          .reconciling([&](const Ask&, Attempt&) {
            ++asked;
            return Reconciled<int>::no_effect();
          });
  for (int i = 0; i < 2; ++i) CHECK(wait_for(call({"x"})).verdict() == Verdict::in_doubt);
  CHECK(wait_for(call({"x"})).verdict() == Verdict::attempts_exhausted);
  CHECK(wait_for(call({"x"})).verdict() == Verdict::attempts_exhausted);
  CHECK(runs == 2);
  CHECK(asked == 2);
}

TEST_CASE(
    "an asynchronous call on Guards that are not started is refused, and stopped ones end their calls") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  const auto call = idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a", .on_busy = OnBusy::wait},
                                          [](const Ask& ask) { return ask.amount; });
  CHECK(wait_for(call({"x"})).error()->code == ErrorCode::wrong_state);
  guards.start();
  auto held = Guard::claim(guards, "k:x", {.operation = "a"}).value();
  std::latch ended(1);
  std::optional<Verdict> verdict;
  start(call({"x"}), [&](const auto& outcome, const std::exception_ptr&) {
    verdict = outcome->verdict();
    ended.count_down();
  });
  guards.stop();
  ended.wait();
  CHECK(verdict == Verdict::in_progress);
}

TEST_CASE("a waiting coroutine goes on when the owner completes, and ends when it is stopped") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  const auto call =
      idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a", .on_busy = OnBusy::wait, .wait_limit = 60s},
                            [](const Ask& ask) { return ask.amount; });
  auto held = Guard::claim(guards, "k:x", {.operation = "a"}).value();
  std::latch both(2);
  std::optional<Outcome<int>> waited;
  std::optional<Outcome<int>> stopped;
  std::stop_source stop;
  start(call({"x"}), [&](auto outcome, const std::exception_ptr&) {
    waited = std::move(outcome);
    both.count_down();
  });
  start(call({"x"}, stop.get_token()), [&](auto outcome, const std::exception_ptr&) {
    stopped = std::move(outcome);
    both.count_down();
  });
  stop.request_stop();
  held.complete(Value(5));
  both.wait();
  CHECK(waited->verdict() == Verdict::replayed);
  CHECK(waited->value() == 5);
  const bool fine = stopped->verdict() == Verdict::in_progress || stopped->verdict() == Verdict::replayed;
  CHECK(fine);
}

TEST_CASE("a callback handler replies later, from another thread, and is replayed") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  std::vector<std::jthread> workers;
  std::atomic<int> runs = 0;
  const auto call = idempotent_callback<std::string, Ask>(
      guards, "k:#{id}", {.operation = "c"}, [&](const Ask& ask, Attempt& attempt, Reply<std::string> reply) {
        ++runs;
        workers.emplace_back(
            [&ask, &attempt, reply] { reply(ask.id + "#" + std::to_string(attempt.number())); });
      });
  for (const auto expected : {Verdict::executed, Verdict::replayed}) {
    std::latch ended(1);
    call({"x"}, [&](std::optional<Outcome<std::string>> outcome, const std::exception_ptr&) {
      CHECK(outcome->verdict() == expected);
      CHECK(outcome->value() == "x#1");
      ended.count_down();
    });
    ended.wait();
  }
  CHECK(runs == 1);
}

TEST_CASE("a callback handler that replies at once, twice or never ends its call once") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  const auto told = [&](const auto& call) {
    std::latch ended(1);
    std::optional<Outcome<int>> got;
    call({"x"}, [&](std::optional<Outcome<int>> outcome, const std::exception_ptr&) {
      got = std::move(outcome);
      ended.count_down();
    });
    ended.wait();
    return *std::move(got);
  };
  const auto twice = idempotent_callback<int, Ask>(guards, "k:#{id}", {.operation = "twice"},
                                                   [](const Ask&, Attempt&, const Reply<int>& reply) {
                                                     reply(1);
                                                     reply(2);
                                                   });
  CHECK(told(twice).value() == 1);
  const auto never = idempotent_callback<int, Ask>(guards, "k:#{id}", {.operation = "never"},
                                                   [](const Ask&, Attempt&, const Reply<int>&) {});
  const auto doubt = told(never);
  CHECK(doubt.verdict() == Verdict::in_doubt);
  CHECK(doubt.error()->code == ErrorCode::in_doubt);
}

TEST_CASE("asynchronous calls share their round trips, and a storage that stays away fails each of them") {
  const auto memory = open_memory().value();
  FaultyStorage storage(*memory);
  Guards guards(storage);
  guards.start();
  const auto call = idempotent_async<Ask>(guards, "k:#{id}", {.operation = "a", .record_limit = 100ms},
                                          [](const Ask& ask) { return ask.amount; });
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable, 1);
  CHECK(wait_for(call({"x"})).verdict() == Verdict::storage_down);
  CHECK(wait_for(call({"x"})).verdict() == Verdict::executed);
  // The claim arrives and the completion does not: it is stored in the background once it can be.
  storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::unavailable,
                     10'000, 1);
  const auto unrecorded = wait_for(call({"y"}));
  CHECK(unrecorded.verdict() == Verdict::executed);
  CHECK_FALSE(unrecorded.recorded());
  storage.heal();
  const auto partition = guard_partition("a", "k:y");
  for (;;) {
    const auto stored = read_one(*memory, partition, "k:y").value();
    if (stored && stored->value.find("\"done\"") != std::string::npos) break;
    std::this_thread::yield();
  }
  CHECK(wait_for(call({"y"})).verdict() == Verdict::replayed);
}

namespace {

Async<void> note(std::vector<std::string>& noted, std::string id) {
  noted.push_back(std::move(id));
  co_return;
}

}  // namespace

TEST_CASE("a coroutine that returns nothing is guarded too, and its exception passes through") {
  const auto storage = open_memory().value();
  Pool pool(1);
  Guards guards(*storage, {.executor = pool.executor()});
  guards.start();
  std::vector<std::string> noted;
  auto call =
      idempotent_async<Ask>(guards, "k:#{id}", {.operation = "none"}, [&](const Ask& ask) -> Async<void> {
        if (ask.id == "bad") throw std::runtime_error("bad");
        co_await note(noted, ask.id);
      });
  const auto verdict_of = [&](const std::string& id) {
    std::latch ended(1);
    std::optional<Verdict> verdict;
    start(call({id}), Done<Outcome<void>>([&](auto outcome, std::exception_ptr) {
            if (outcome) verdict = outcome->verdict();
            ended.count_down();
          }));
    ended.wait();
    return verdict;
  };
  CHECK(verdict_of("a") == Verdict::executed);
  CHECK(verdict_of("a") == Verdict::replayed);
  CHECK(verdict_of("bad") == std::nullopt);
  CHECK(noted == std::vector<std::string>{"a"});
}

TEST_CASE("a callback call that waits for another owner ends when it is stopped") {
  const auto storage = open_memory().value();
  Guards guards(*storage);
  guards.start();
  const Policy policy{.operation = "cb", .on_busy = OnBusy::wait, .wait_limit = 1h};
  const auto owner = Guard::claim(guards, "k:a", policy).value();
  auto call = idempotent_callback<int, Ask>(guards, "k:#{id}", policy,
                                            [](const Ask&, Attempt&, Reply<int> reply) { reply(1); });
  std::stop_source stop;
  std::latch ended(1);
  std::optional<Verdict> verdict;
  call(
      {"a"},
      [&](auto outcome, std::exception_ptr) {
        if (outcome) verdict = outcome->verdict();
        ended.count_down();
      },
      stop.get_token());
  CHECK(verdict == std::nullopt);
  stop.request_stop();
  ended.wait();
  CHECK(verdict == Verdict::in_progress);
}
