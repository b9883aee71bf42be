#pragma once
#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/fake_clock.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace onceward::pipeline_test {

using namespace std::chrono_literals;
using testing::FakeClock;
using testing::FaultyStorage;

/// A step made of a function.
class FunctionStep final : public Step {
 public:
  using Body = std::function<StepOutcome(StepContext&)>;
  FunctionStep(StepSpec spec, Body body) : spec_(std::move(spec)), body_(std::move(body)) {}
  [[nodiscard]] StepSpec spec() const override { return spec_; }
  StepOutcome run(StepContext& step) override { return body_(step); }

 private:
  StepSpec spec_;
  Body body_;
};

/// A downstream that knows tokens: counts the calls of each and has one effect for each.
class Downstream {
 public:
  Value credit(std::string_view token, std::int64_t amount) {
    const std::lock_guard lock(mutex_);
    ++calls_[std::string(token)];
    return effects_.try_emplace(std::string(token), Map{{"amount", amount}}).first->second;
  }
  [[nodiscard]] std::size_t effects() const {
    const std::lock_guard lock(mutex_);
    return effects_.size();
  }
  [[nodiscard]] std::size_t calls() const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const auto& [token, count] : calls_) sum += count;
    return sum;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t> calls_;
  std::map<std::string, Value> effects_;
};

/// A memory storage under a clock that is moved by hand, with faults to order, and steps made of functions.
struct Bench {
  FakeClock clock;
  std::unique_ptr<Storage> memory = open_memory({.clock = &clock}).value();
  FaultyStorage storage{*memory};
  Downstream downstream;
  StepRegistry registry;
  PlanCatalog catalog;
  RunnerOptions options{.lease = 30s};

  Bench() {
    add("credit@1", [this](StepContext& step) {
      return Done{downstream.credit(step.token(), step.optional_arg<std::int64_t>("amount").value_or(1))};
    });
  }
  void add(std::string name, FunctionStep::Body body, Effect effect = Effect::idempotent) {
    StepSpec spec{
        .name = std::move(name), .arguments = {{"amount", Value::Kind::integer, false}}, .effect = effect};
    registry.add(std::make_unique<FunctionStep>(std::move(spec), std::move(body))).value();
  }
  Plan plan(const PipelineBuilder& builder) {
    auto compiled = builder.compile(registry).value();
    catalog.add(compiled).value();
    return compiled;
  }
  [[nodiscard]] std::size_t commits() const { return storage.calls(FaultyStorage::Call::commit); }
  [[nodiscard]] std::optional<Record> stored(std::string_view pipeline, std::string_view key) {
    return read_one(*memory, "p", run_record_key(pipeline, key)).value();
  }
};

/// The same policy without chance.
inline RetryPolicy steady(int attempts) { return {.attempts = attempts, .jitter = false}; }

}  // namespace onceward::pipeline_test
