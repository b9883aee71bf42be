#include "pipeline/driver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <thread>

namespace onceward::pipeline_detail {
namespace {

constexpr auto first_pause = std::chrono::milliseconds(10);
constexpr auto longest_pause = std::chrono::seconds(1);
constexpr auto turn_pause = std::chrono::milliseconds(250);

std::string turn_key(const Run& run) { return fmt::format("turn/{}/{}", run.pipeline, run.turn); }

}  // namespace

void Held::advance_to_calls() { next = advance(run, plan.compiled(), now, 1, calls); }

std::size_t Gate::take(std::size_t wanted) {
  std::unique_lock lock(mutex_);
  free_.wait(lock, [&] { return most_ > 0; });
  const auto taken = std::min(wanted, most_);
  most_ -= taken;
  return taken;
}

void Gate::give_back(std::size_t count) {
  {
    const std::lock_guard lock(mutex_);
    most_ += count;
  }
  free_.notify_all();
}

Driver::Driver(Storage& storage, const RunnerOptions& options, std::string owner)
    : storage_(storage), options_(options), owner_(std::move(owner)), keeper_(options.lease / 3) {
  for (const auto& [name, most] : options.limits) {
    if (name.find('@') != std::string::npos) gates_.try_emplace(name, std::max<std::size_t>(most, 1));
  }
}

double Driver::chance() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

Timing Driver::timing_of(const Move& move) const {
  switch (move.kind) {
    case Move::Kind::call: return {.due_in = options_.lease};
    case Move::Kind::wait: return {.due_in = move.wait};
    case Move::Kind::await: return {};
    case Move::Kind::ended: return {.expires_in = options_.retention};
  }
  return {};
}

Operation Driver::write_of(Held& held) const {
  const auto timing = timing_of(held.next);
  held.run.due_in = timing.due_in ? timing.due_in->count() : -1;
  stamp(held.run);
  auto value = encode(held.run);
  if (value.size() > limits::value_bytes && !held.made.empty()) {
    // What would have been called next was not.
    for (const auto& call : held.calls) *call.place = Place{call.place->id, call.place->role};
    held.calls.clear();
    held.next = drop_results(held.run, held.made);
    held.made.clear();
    return write_of(held);
  }
  return held.revision == absent
             ? Operation::insert(held.record_key, std::move(value), timing)
             : Operation::replace(held.record_key, held.revision, std::move(value), timing);
}

Result<void> Driver::drive(std::span<Held*> runs, const std::stop_token& stop) {
  std::vector<Held*> active(runs.begin(), runs.end());
  const auto settled = [](const Held* held) {
    return held->lost.has_value() || held->next.kind != Move::Kind::call;
  };
  for (std::erase_if(active, settled); !active.empty(); std::erase_if(active, settled)) {
    if (stop.stop_requested()) {
      release_all(active);
      return record(active);
    }
    std::vector<Held*> turnless;
    std::copy_if(active.begin(), active.end(), std::back_inserter(turnless),
                 [](const Held* held) { return !held->run.turn.empty() && held->run.turn_revision == 0; });
    if (!turnless.empty()) {
      if (auto recorded = record(turnless); !recorded) return recorded;
      continue;
    }
    auto calls = ready_of(active);
    if (!calls.empty()) {
      Keeper::Group group;
      group.renew = [&] { renew(active); };
      group.give_up = Keeper::Clock::now() + options_.longest_call;
      for (const auto& item : calls) {
        if (const auto left = time_left(item.held->run, *item.call, item.held->now))
          group.timeouts.emplace_back(Keeper::Clock::now() + *left, std::stop_source());
      }
      if (options_.renew || !group.timeouts.empty()) keeper_.enter(group);
      call(calls, stop);
      if (options_.renew || !group.timeouts.empty()) keeper_.leave(group);
    }
    for (auto* held : active) {
      held->made.clear();
      for (auto& made : held->calls) held->made.push_back(std::move(made.path));
      if (held->run.state == RunState::running) {
        held->advance_to_calls();
      } else {
        held->next = {};
        held->calls.clear();
      }
      // What would be called next is left to others at once.
      if (stop.stop_requested() && held->next.kind == Move::Kind::call) release_all(std::array{held});
    }
    if (auto recorded = record(active); !recorded) return recorded;
  }
  return {};
}

void Driver::release_all(std::span<Held* const> runs) const {
  for (auto* held : runs) {
    for (const auto& call : held->calls) release(call, false, {}, held->run);
    held->calls.clear();
    held->next = {Move::Kind::wait, Duration::zero()};
  }
}

std::vector<Driver::Ready> Driver::ready_of(std::span<Held*> runs) const {
  std::vector<Ready> calls;
  calls.reserve(runs.size());
  for (auto* held : runs) {
    for (const auto& call : held->calls) {
      const auto token = [&](std::string_view act) {
        return step_token(options_.name_space, held->run.pipeline, held->partition, held->key, call.path,
                          act);
      };
      const bool undo = call.kind == Call::Kind::undo;
      calls.push_back({held, &call, token(undo ? "undo" : "do"), undo ? token("do") : std::string()});
    }
  }
  // Calls of one step stand together, so that a downstream that takes many at once gets them at once.
  std::stable_sort(calls.begin(), calls.end(), [](const Ready& a, const Ready& b) {
    return std::pair(a.call->node->entry, a.call->kind) < std::pair(b.call->node->entry, b.call->kind);
  });
  return calls;
}

void Driver::call(std::span<Ready> calls, const std::stop_token& stop) {
  while (!calls.empty()) {
    const auto& first = *calls.front().call;
    auto same = static_cast<std::size_t>(std::find_if(calls.begin(), calls.end(),
                                                      [&](const Ready& c) {
                                                        return c.call->node->entry != first.node->entry ||
                                                               c.call->kind != first.kind;
                                                      }) -
                                         calls.begin());
    const auto gate = gates_.find(first.node->entry->spec.name);
    if (gate != gates_.end()) same = gate->second.take(same);
    call_some(calls.first(same), stop);
    if (gate != gates_.end()) gate->second.give_back(same);
    calls = calls.subspan(same);
  }
}

void Driver::call_some(std::span<Ready> calls, const std::stop_token& stop) {
  std::vector<StepContext> contexts;
  contexts.reserve(calls.size());
  // A call whose time is bounded is told to stop when it is over, or when the runner stops.
  std::vector<std::stop_source> sources;
  std::vector<std::unique_ptr<std::stop_callback<std::function<void()>>>> links;
  Keeper::Group timed;
  for (const auto& item : calls) {
    const auto left = time_left(item.held->run, *item.call, item.held->now);
    auto token = stop;
    if (left) {
      auto& source = sources.emplace_back();
      token = source.get_token();
      timed.timeouts.emplace_back(Keeper::Clock::now() + *left, source);
      links.push_back(std::make_unique<std::stop_callback<std::function<void()>>>(
          stop, [source]() mutable { source.request_stop(); }));
    }
    StepContext context(item.held->run.pipeline, item.held->key, item.call->path, item.token,
                        item.call->arguments, item.call->place->attempt, std::move(token));
    const bool undo = item.call->kind == Call::Kind::undo;
    contexts.push_back(
        std::move(context).with(left, item.done_token, undo ? &item.call->place->value : nullptr));
  }
  timed.give_up = Keeper::Clock::time_point::min();
  if (!sources.empty()) keeper_.enter(timed);
  std::vector<StepOutcome> outcomes(calls.size(), Unknown{});
  const auto kind = calls.front().call->kind;
  std::vector<Verification> found(kind == Call::Kind::verify ? calls.size() : 0, Unknown{});
  for (std::size_t i = 0; i < found.size(); ++i) {
    try {
      found[i] = calls[i].call->node->entry->step->verify(contexts[i]);
    } catch (const std::exception& exception) {
      found[i] = Unknown{exception.what()};
    }
  }
  if (found.empty()) call_steps(calls, contexts, outcomes);
  if (!sources.empty()) keeper_.leave(timed);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    auto& held = *calls[i].held;
    if (!found.empty()) {
      apply(held.run, *calls[i].call, std::move(found[i]));
    } else if (stop.stop_requested() && held.run.state == RunState::running &&
               (std::holds_alternative<Unknown>(outcomes[i]) || std::holds_alternative<Park>(outcomes[i]))) {
      const auto* unknown = std::get_if<Unknown>(&outcomes[i]);
      release(*calls[i].call, true, unknown == nullptr ? std::string() : unknown->reason, held.run);
    } else {
      apply(held.run, *calls[i].call, std::move(outcomes[i]), chance(), held.now);
    }
  }
}

void Driver::call_steps(std::span<Ready> calls, std::span<StepContext> contexts,
                        std::span<StepOutcome> outcomes) {
  auto& step = *calls.front().call->node->entry->step;
  const auto guarded = [&](const auto& work) {
    try {
      work();
    } catch (const std::exception& exception) {
      std::fill(outcomes.begin(), outcomes.end(), Unknown{exception.what()});
    } catch (...) {
      std::fill(outcomes.begin(), outcomes.end(), Unknown{"an exception that is no std::exception"});
    }
  };
  if (calls.front().call->kind == Call::Kind::act) {
    guarded([&] { step.run_many(contexts, outcomes); });
    return;
  }
  for (std::size_t i = 0; i < calls.size(); ++i) {
    try {
      outcomes[i] = step.undo(contexts[i]);
    } catch (const std::exception& exception) {
      outcomes[i] = Unknown{exception.what()};
    } catch (...) {
      outcomes[i] = Unknown{"an exception that is no std::exception"};
    }
  }
}

/// On the keeper's thread: the runs are within calls, and nobody else touches them.
void Driver::renew(std::span<Held*> runs) {
  std::vector<Batch> batches;
  std::vector<Held*> renewed;
  for (auto* held : runs) {
    if (held->lost) continue;
    held->run.due_in = options_.lease.count();
    batches.push_back({held->partition,
                       {Operation::replace(held->record_key, held->revision, encode(held->run),
                                           {.due_in = options_.lease})}});
    renewed.push_back(held);
  }
  if (batches.empty()) return;
  const auto committed = storage_.commit(batches);
  if (!committed)
    return;  // asked again soon; a write whose answer was lost is recognised when the run is recorded
  for (std::size_t i = 0; i < renewed.size(); ++i) {
    auto& held = *renewed[i];
    const auto& answer = committed->batches[i];
    if (answer.applied()) {
      held.revision = answer.revision;
      anchor(held.run, committed->now);
      held.now = committed->now;
      continue;
    }
    // A signal was sent meanwhile; else the run is lost, which its next write will show.
    if (!answer.found) continue;
    const auto other = decode_run(*answer.found);
    if (other && other->owner == held.run.owner && other->serial == held.run.serial) {
      held.revision = answer.found->revision;
      adopt_requests(held.run, *other);
    }
  }
}

bool Driver::settle(Held& held, const std::optional<Record>& found) {
  if (!found) {
    held.run.reason = "its record is gone";
    held.lost = view_of(held.run, held.partition, held.key, std::nullopt);
    return false;
  }
  auto other = decode_run(*found);
  if (other && other->owner == held.run.owner) {
    const bool landed = other->serial == held.run.serial;
    const bool before = other->serial == held.run.serial - 1;
    if (landed || before) {
      // The write itself, whose answer was lost; or the state before it, with a request or a renewal on it.
      held.revision = found->revision;
      held.due = found->due;
      const bool news = adopt_requests(held.run, *other);
      if (landed) {
        anchor(held.run, *found);
        if (found->due && held.run.due_in >= 0) held.now = *found->due - Duration(held.run.due_in);
      }
      held.asked = held.asked || news;
      return before;
    }
  }
  if (!other) held.run.reason = describe(other.error());
  held.lost = view_of(other ? *other : held.run, held.partition, held.key, found->due);
  return false;
}

Batch Driver::batch_of(Held& held) {
  Batch batch{held.partition, {}};
  const bool needs =
      !held.run.turn.empty() && held.run.turn_revision == 0 && held.next.kind == Move::Kind::call;
  if (needs) held.run.turn_revision = -1;
  const auto turn = held.run.turn_revision;
  const bool ends = held.next.kind == Move::Kind::ended && turn > 0;
  if (ends) held.run.turn_revision = 0;
  batch.operations.push_back(write_of(held));
  if (needs) batch.operations.push_back(Operation::insert(turn_key(held.run), held.record_key));
  if (ends) batch.operations.push_back(Operation::remove(turn_key(held.run), turn));
  return batch;
}

/// Another run of its serial-by value is on: this one waits for its turn.
bool Driver::lost_turn(Held& held, const BatchAnswer& answer) const {
  if (answer.refused != 1 || held.run.turn_revision != -1) return false;
  if (answer.found && answer.found->value == held.record_key) return false;
  held.run.turn_revision = 0;
  for (const auto& call : held.calls) release(call, false, "waits for its turn", held.run);
  held.calls.clear();
  held.next = {Move::Kind::wait, turn_pause};
  return true;
}

void Driver::applied(Held& held, const BatchAnswer& answer, Timestamp now) const {
  held.revision = answer.revision;
  held.now = now;
  if (held.run.turn_revision == -1) held.run.turn_revision = answer.revision;
  const auto due = timing_of(held.next).due_in;
  held.due = due ? std::optional(now + *due) : std::nullopt;
  if (held.next.kind != Move::Kind::ended) anchor(held.run, now);
}

Result<void> Driver::record(std::span<Held*> runs) {
  std::vector<Held*> left(runs.begin(), runs.end());
  for (auto* held : left) ++held->run.serial;
  const auto started = std::chrono::steady_clock::now();
  std::chrono::milliseconds pause = first_pause;
  while (!left.empty()) {
    std::vector<Batch> batches;
    batches.reserve(left.size());
    for (auto* held : left) batches.push_back(batch_of(*held));
    auto committed = storage_.commit(batches);
    if (committed) {
      std::vector<Held*> again;
      for (std::size_t i = 0; i < left.size(); ++i) {
        auto& held = *left[i];
        auto& answer = committed->batches[i];
        if (answer.applied()) {
          applied(held, answer, committed->now);
        } else if (lost_turn(held, answer) || settle(held, answer.found)) {
          again.push_back(&held);
        }
      }
      left = std::move(again);
      continue;
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
    }
  }
  // A signal or a cancellation that came in between is looked at now: who sent it saw a run that was held.
  std::vector<Held*> asked;
  for (auto* held : runs) {
    if (!std::exchange(held->asked, false) || held->lost || held->run.state != RunState::running) continue;
    if (held->next.kind == Move::Kind::call) continue;  // it is when the call returns
    held->made.clear();
    held->advance_to_calls();
    asked.push_back(held);
  }
  return asked.empty() ? Result<void>() : record(asked);
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
    } else if (settle(held, record)) {
      again.push_back(&held);
    }
  }
  return {};
}

}  // namespace onceward::pipeline_detail
