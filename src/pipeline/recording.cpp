// How a run is written, and what an answer means that was refused or lost.
#include "pipeline/driver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace onceward::pipeline_detail {
namespace {

constexpr auto first_pause = std::chrono::milliseconds(10);
constexpr auto longest_pause = std::chrono::seconds(1);
/// A run looks for its turn again after half of what it has waited, a second at the most; after a minute less
/// often, by a sixtieth.
constexpr Duration shortest_turn_pause = std::chrono::milliseconds(250);
constexpr Duration usual_turn_pause = std::chrono::seconds(1);
constexpr Duration longest_turn_pause = std::chrono::seconds(30);

Duration turn_pause(const Held& held) {
  const auto& begun = held.run.begun;
  if (begun.relative || held.now == Timestamp{}) return shortest_turn_pause;
  const Duration waited = held.now.time_since_epoch() - Duration(begun.us);
  return std::clamp(std::max(std::min(waited / 2, usual_turn_pause), waited / 60), shortest_turn_pause,
                    longest_turn_pause);
}

std::string turn_key(const Run& run) { return fmt::format("turn/{}/{}", run.pipeline, run.turn); }

}  // namespace

std::optional<Duration> kept_for(RunState state, const RunnerOptions& options) noexcept {
  switch (state) {
    case RunState::succeeded: return options.retention;
    case RunState::failed:
    case RunState::cancelled: return options.failed_retention;
    default: return std::nullopt;
  }
}

Timing Driver::timing_of(const Move& move) const {
  switch (move.kind) {
    case Move::Kind::call: return {.due_in = options_.lease};
    case Move::Kind::wait: return {.due_in = move.wait};
    case Move::Kind::await: return {};
    case Move::Kind::ended: return {};
  }
  return {};
}

Operation Driver::write_of(Held& held) const {
  auto timing = timing_of(held.next);
  if (held.next.kind == Move::Kind::ended) timing.expires_in = kept_for(held.run.state, options_);
  held.run.due_in = timing.due_in ? timing.due_in->count() : -1;
  stamp(held.run);
  auto value = encode(held.run);
  if (value.size() > room_of(held.run) && (!held.made.empty() || !held.stored.value.empty())) {
    forget_too_large(held);
    return write_of(held);
  }
  return held.revision == absent
             ? Operation::insert(held.record_key, std::move(value), timing)
             : Operation::replace(held.record_key, held.revision, std::move(value), timing);
}

/// The run as it is does not fit into its record: what begins with this write is forgotten, and the run given
/// up.
void Driver::forget_too_large(Held& held) const {
  if (!held.made.empty()) {
    // What would have been called next was not.
    for (const auto& call : held.calls) {
      if (call.kind == Call::Kind::act)
        *call.place = Place{call.place->id, call.place->role};
      else
        release(call, false, {}, held.run);
    }
    held.calls.clear();
    held.next = drop_results(held.run, held.plan.compiled(), held.made);
    held.made.clear();
  } else {
    const auto record = std::exchange(held.stored, {});
    held.calls.clear();
    if (auto before = decode_run(record)) {
      before->owner = held.run.owner;
      before->serial = held.run.serial;
      held.run = *std::move(before);
      anchor(held.run, record);
      take_over(held.run, held.plan.compiled());
    }
    held.next = give_up(held.run, std::string(record_full));
  }
  held.stored = {};
}

Batch Driver::batch_of(Held& held) const {
  auto& run = held.run;
  if (!run.turn.empty() && run.turn_revision == 0 && held.next.kind == Move::Kind::call)
    run.turn_revision = turn_of_this_write;
  Batch batch{held.partition, {write_of(held)}};
  if (run.turn_revision == turn_of_this_write && held.next.kind == Move::Kind::call)
    batch.operations.push_back(Operation::insert(turn_key(run), held.record_key));
  if (run.turn_revision > 0 && held.next.kind == Move::Kind::ended)
    batch.operations.push_back(Operation::remove(turn_key(run), run.turn_revision));
  return batch;
}

/// Whether it was the record of its turn that refused a write; then the write is to be made again.
bool Driver::turn_refused(Held& held, const BatchAnswer& answer) const {
  if (answer.refused != 1) return false;
  if (held.run.turn_revision != turn_of_this_write) {
    held.run.turn_revision = 0;  // somebody took the record of its turn away: there is nothing to give back
  } else if (answer.found && answer.found->value == held.record_key) {
    held.run.turn_revision = answer.found->revision;  // it has had its turn for long
  } else {
    // Another run of its value is on: this one waits for its turn.
    held.run.turn_revision = 0;
    for (const auto& call : held.calls) release(call, false, "waits for its turn", held.run);
    held.calls.clear();
    held.next = {Move::Kind::wait, turn_pause(held)};
  }
  return true;
}

void Driver::applied(Held& held, const BatchAnswer& answer, Timestamp now,
                     Keeper::Clock::time_point heard) const {
  held.revision = answer.revision;
  held.hear(now, heard);
  if (!held.stored.key.empty()) held.stored = {};
  if (held.run.turn_revision == turn_of_this_write) held.run.turn_revision = answer.revision;
  const auto due = timing_of(held.next).due_in;
  held.due = due ? std::optional(now + *due) : std::nullopt;
  held.end_recorded = held.next.kind == Move::Kind::ended;
  if (!held.end_recorded) anchor(held.run, now);
}

bool Driver::settle(Held& held, const std::optional<Record>& found) const {
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
      held.asked = adopt_requests(held.run, *other) || held.asked;
      if (landed) {
        held.end_recorded = held.next.kind == Move::Kind::ended;
        held.run.turn_revision = other->turn_revision;
        anchor(held.run, *found);
        if (found->due && held.run.due_in >= 0) held.hear(*found->due - Duration(held.run.due_in));
      }
      return before;
    }
  }
  if (!other) held.run.reason = describe(other.error());
  held.lost = view_of(other ? *other : held.run, held.partition, held.key, found->due);
  return false;
}

Result<void> Driver::record(std::span<Held*> runs) {
  std::vector<Held*> left(runs.begin(), runs.end());
  for (auto* held : left) ++held->run.serial;
  std::optional<std::chrono::steady_clock::time_point> failing;  // since when
  std::chrono::milliseconds pause = first_pause;
  while (!left.empty()) {
    std::vector<Batch> batches;
    batches.reserve(left.size());
    for (auto* held : left) batches.push_back(batch_of(*held));
    auto committed = storage_.commit(batches);
    if (committed) {
      const auto heard = Keeper::Clock::now();
      std::vector<Held*> again;
      for (std::size_t i = 0; i < left.size(); ++i) {
        auto& held = *left[i];
        auto& answer = committed->batches[i];
        if (answer.applied()) {
          applied(held, answer, committed->now, heard);
        } else if (turn_refused(held, answer) || settle(held, answer.found)) {
          again.push_back(&held);
        }
      }
      left = std::move(again);
      continue;
    }
    const auto advice = retry_advice(committed.error().code);
    // The step's effect took place: recording is repeated for as long as the lease keeps others away, and the
    // step is not called again.
    const auto now = std::chrono::steady_clock::now();
    if (!failing) failing = now;
    const bool late = now - *failing > options_.lease;
    if (advice == RetryAdvice::give_up && left.size() > 1) return record_alone(left);
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
    if (held->next.kind != Move::Kind::call) asked.push_back(held);  // else it is when the call returns
  }
  return asked.empty() ? Result<void>() : look_again(asked);
}

/// The storage refuses the writes of several runs together, for good: each of them alone, so that one that
/// cannot be written leaves the others be.
Result<void> Driver::record_alone(std::span<Held*> runs) {
  for (auto* held : runs) {
    --held->run.serial;  // of the write that nobody took
    auto recorded = record({&held, 1});
    if (recorded) continue;
    if (retry_advice(recorded.error().code) != RetryAdvice::give_up) return recorded;
    held->lost = view_of(held->run, held->partition, held->key, held->due);
    held->lost->state = RunState::running;
    held->lost->reason = describe(recorded.error());
  }
  return {};
}

/// Runs that wait and may have to no longer.
Result<void> Driver::look_again(std::span<Held*> runs) {
  for (auto* held : runs) {
    held->asked = false;
    held->made.clear();
    held->stored = {held->record_key, encode(held->run), held->revision, held->due, {}};
    if (held->next.kind != Move::Kind::call && held->run.state == RunState::running) held->advance_to_calls();
  }
  return record(runs);
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
