#include "pipeline/driver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace onceward::pipeline_detail {
namespace {

constexpr auto first_pause = std::chrono::milliseconds(10);
constexpr auto longest_pause = std::chrono::seconds(1);

}  // namespace

double Driver::chance() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

Timing Driver::timing_of(const Move& move) const {
  switch (move.kind) {
    case Move::Kind::call: return {.due_in = options_.lease};
    case Move::Kind::wait: return {.due_in = move.wait};
    case Move::Kind::ended: return {.expires_in = options_.retention};
  }
  return {};
}

Operation Driver::write_of(const Held& held) const {
  return Operation::replace(held.record_key, held.revision, encode(held.run), timing_of(held.next));
}

Result<void> Driver::drive(std::span<Held*> runs, const std::stop_token& stop) {
  std::vector<Held*> active(runs.begin(), runs.end());
  const auto settled = [](const Held* held) {
    return held->lost.has_value() || held->next.kind != Move::Kind::call;
  };
  for (std::erase_if(active, settled); !active.empty(); std::erase_if(active, settled)) {
    // A run whose arguments cannot be computed has moved without a call; it is recorded with the others.
    auto calls = calls_of(active);
    call(calls, stop);
    if (auto recorded = record(active); !recorded) return recorded;
  }
  return {};
}

std::vector<Driver::Call> Driver::calls_of(std::span<Held*> runs) {
  std::vector<Call> calls;
  calls.reserve(runs.size());
  for (auto* held : runs) {
    const auto& plan = held->plan.compiled();
    auto arguments = arguments_of(held->run, plan);
    if (!arguments) {
      held->next = give_up(held->run, describe(arguments.error()));
      continue;
    }
    const auto& step = plan.steps[held->run.steps.size()];
    calls.push_back(
        {held, &step,
         step_token(options_.name_space, held->run.pipeline, held->partition, held->key, step.definition->id),
         *std::move(arguments)});
  }
  // Calls of one step stand together, so that a downstream that takes many at once gets them at once.
  std::stable_sort(calls.begin(), calls.end(),
                   [](const Call& a, const Call& b) { return a.step->entry < b.step->entry; });
  return calls;
}

void Driver::call(std::span<Call> calls, const std::stop_token& stop) {
  while (!calls.empty()) {
    const auto* entry = calls.front().step->entry;
    const auto same = static_cast<std::size_t>(
        std::find_if(calls.begin(), calls.end(), [&](const Call& c) { return c.step->entry != entry; }) -
        calls.begin());
    std::vector<StepContext> contexts;
    contexts.reserve(same);
    for (const auto& item : calls.first(same)) {
      contexts.emplace_back(item.held->run.pipeline, item.held->key, item.step->definition->id, item.token,
                            item.arguments, item.held->run.attempt, stop);
    }
    std::vector<StepOutcome> outcomes(same, Unknown{});
    try {
      entry->step->run_many(contexts, outcomes);
    } catch (const std::exception& exception) {
      std::fill(outcomes.begin(), outcomes.end(), Unknown{exception.what()});
    } catch (...) {
      std::fill(outcomes.begin(), outcomes.end(), Unknown{"an exception that is no std::exception"});
    }
    for (std::size_t i = 0; i < same; ++i) {
      auto& held = *calls[i].held;
      held.next = after_outcome(held.run, held.plan.compiled(), std::move(outcomes[i]), chance());
    }
    calls = calls.subspan(same);
  }
}

Operation Driver::fitting_write_of(Held& held) const {
  auto write = write_of(held);
  if (write.value.size() <= limits::value_bytes) return write;
  held.next = drop_result(held.run, held.plan.compiled());
  return write_of(held);
}

void Driver::settle(Held& held, const std::optional<Record>& found) {
  if (found && found->value == encode(held.run)) {
    held.revision = found->revision;
    held.due = found->due;
    return;
  }
  if (!found) {
    held.run.reason = "its record is gone";
    held.lost = view_of(held.run, held.partition, held.key, std::nullopt);
    return;
  }
  auto other = decode_run(*found);
  if (!other) held.run.reason = describe(other.error());
  held.lost = view_of(other ? *other : held.run, held.partition, held.key, found->due);
}

Result<void> Driver::record(std::span<Held*> runs) {
  std::vector<Held*> left(runs.begin(), runs.end());
  const auto started = std::chrono::steady_clock::now();
  std::chrono::milliseconds pause = first_pause;
  for (;;) {
    std::vector<Batch> batches;
    batches.reserve(left.size());
    for (auto* held : left) {
      batches.push_back({held->partition, {}});
      batches.back().operations.push_back(fitting_write_of(*held));
    }
    auto committed = storage_.commit(batches);
    if (committed) {
      for (std::size_t i = 0; i < left.size(); ++i) {
        auto& answer = committed->batches[i];
        if (!answer.applied()) {
          settle(*left[i], answer.found);
          continue;
        }
        left[i]->revision = answer.revision;
        const auto due = timing_of(left[i]->next).due_in;
        left[i]->due = due ? std::optional(committed->now + *due) : std::nullopt;
      }
      return {};
    }
    const auto advice = retry_advice(committed.error().code);
    // The step's effect took place: recording is repeated for as long as the lease keeps others away, and the
    // step is not called again.
    const bool late = std::chrono::steady_clock::now() - started > options_.lease;
    if (advice == RetryAdvice::give_up || late) return fail(std::move(committed).error());
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
    if (advice == RetryAdvice::read_back) {
      std::vector<Held*> again;
      if (auto read = read_back(left, again); !read) continue;
      left = std::move(again);
      if (left.empty()) return {};
    }
  }
}

Result<void> Driver::read_back(std::span<Held*> runs, std::vector<Held*>& again) {
  std::vector<RecordRef> refs;
  for (const auto* held : runs) refs.push_back({held->partition, held->record_key});
  const auto stored = storage_.read(refs);
  if (!stored) return fail(stored.error());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    auto& held = *runs[i];
    const auto& record = stored->records[i];
    if (record && record->revision == held.revision) {
      again.push_back(&held);
    } else {
      settle(held, record);
    }
  }
  return {};
}

}  // namespace onceward::pipeline_detail
