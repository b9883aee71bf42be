// How a run is written, and what an answer means that was refused or lost.
#include "pipeline/driver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace onceward::pipeline_detail {
namespace {

constexpr auto first_pause = std::chrono::milliseconds(10);
constexpr auto longest_pause = std::chrono::seconds(1);
constexpr auto turn_pause = std::chrono::milliseconds(250);

std::string turn_key(const Run& run) { return fmt::format("turn/{}/{}", run.pipeline, run.turn); }

}  // namespace

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
  auto timing = timing_of(held.next);
  // What stopped short of success is owed to somebody until he has looked at it.
  if (held.run.state != RunState::succeeded) timing.expires_in.reset();
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
    held.next = {Move::Kind::wait, turn_pause};
  }
  return true;
}

void Driver::applied(Held& held, const BatchAnswer& answer, Timestamp now) const {
  held.revision = answer.revision;
  held.hear(now);
  if (held.run.turn_revision == turn_of_this_write) held.run.turn_revision = answer.revision;
  const auto due = timing_of(held.next).due_in;
  held.due = due ? std::optional(now + *due) : std::nullopt;
  if (held.next.kind != Move::Kind::ended) anchor(held.run, now);
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
      std::vector<Held*> again;
      for (std::size_t i = 0; i < left.size(); ++i) {
        auto& held = *left[i];
        auto& answer = committed->batches[i];
        if (answer.applied()) {
          applied(held, answer, committed->now);
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

/// Runs that wait and may have to no longer.
Result<void> Driver::look_again(std::span<Held*> runs) {
  for (auto* held : runs) {
    held->asked = false;
    held->made.clear();
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
