// What is asked of a stored run, whoever holds it: signals, and its cancellation.
#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"
#include "pipeline/runner_state.hpp"
#include "pipeline/storable.hpp"
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using pipeline_detail::cancel_modes;
using pipeline_detail::most_text;
using pipeline_detail::readable;
using pipeline_detail::Request;
using pipeline_detail::Run;
using pipeline_detail::wrong_state;

namespace {

constexpr std::ptrdiff_t most_signals = 64;

void append(Run& run, Request request) {
  request.number = run.next_request++;
  run.requests.push_back(std::move(request));
}

Result<bool> add_signal(Run& run, const Request& signal) {
  const bool open = run.state == RunState::running || run.state == RunState::needs_attention;
  if (!open) return wrong_state(run, "it takes nothing any more");
  const bool known =
      std::any_of(run.requests.begin(), run.requests.end(),
                  [&](const Request& r) { return r.name == signal.name && r.id == signal.id; }) ||
      std::find(run.taken.begin(), run.taken.end(), signal.name + "/" + signal.id) != run.taken.end();
  if (known) return false;
  const auto waiting = std::count_if(run.requests.begin(), run.requests.end(),
                                     [](const Request& r) { return !r.name.empty(); });
  if (waiting >= most_signals)
    return fail(ErrorCode::exhausted,
                fmt::format("{} signals wait for the run, and no more may", most_signals));
  append(run, signal);
  return true;
}

/// A cancellation that goes further takes the place of another; the same one again is the one that waits.
Result<bool> add_cancel(Run& run, const Request& asked) {
  if (run.state != RunState::running) return wrong_state(run, "there is nothing to cancel");
  const auto reach = reach_of(asked);
  if (run.undoing && reach < static_cast<int>(Cancel::abandon))
    return wrong_state(run, "it is being undone already; abandon it to end that");
  for (const auto& other : run.requests) {
    if (!other.name.empty()) continue;
    if (reach_of(other) == reach) return false;
    if (reach_of(other) > reach)
      return wrong_state(run, fmt::format("somebody asked for {} already",
                                          cancel_modes[static_cast<std::size_t>(reach_of(other))]));
  }
  append(run, asked);
  return true;
}

/// Of a run that needs attention, and so is in nobody's hands.
Result<RunAct> cancel_stopped(Run& run, Cancel mode, const std::string& reason) {
  if (run.state != RunState::needs_attention) return wrong_state(run, "it was moved meanwhile; ask again");
  if (mode == Cancel::graceful)
    return wrong_state(run, "nothing of it is under way: retry, compensate or abandon it");
  RunAct act{.act = "cancel", .actor = {}, .reason = {}, .before = std::string(to_string(run.state))};
  act.after = cancel_modes[static_cast<std::size_t>(mode)];
  if (mode == Cancel::abandon) {
    abandon(run, reason);
    return act;
  }
  if (run.undoing)
    return wrong_state(run,
                       "it is being undone already: retry it, skip what is not to be undone, or abandon it");
  run.state = RunState::running;
  for (auto& place : run.root.children) cancel(place);
  run.cancelled = true;
  begin_undo(run, reason);
  return act;
}

}  // namespace

Result<void> Runner::State::ask(const RunName& name, const Change& change) {
  const auto record_key = run_record_key(name.pipeline, name.key);
  for (int tries = 0; tries < pipeline_detail::most_tries; ++tries) {
    const RecordRef ref{name.partition, record_key};
    const auto read = storage.read(std::span(&ref, 1));
    if (!read) return fail(read.error());
    const auto& record = read->records[0];
    if (!record) return fail(ErrorCode::not_found, fmt::format("there is no run \"{}\"", record_key));
    auto run = pipeline_detail::decode_run(*record);
    if (!run) return fail(run.error());
    anchor(*run, *record);
    const auto changed = change(*run, read->now);
    if (!changed) return fail(changed.error());
    if (!*changed) return {};
    // A run in a worker's hands stays there: the worker meets the request at its next write. Else it is
    // woken, unless it needs attention.
    Timing timing;
    if (run->state == RunState::running)
      timing.due_in = in_hands(*run) && record->due
                          ? std::max(Duration::zero(), Duration(*record->due - read->now))
                          : Duration::zero();
    run->due_in = timing.due_in ? timing.due_in->count() : -1;
    auto value = encode(*run);
    // There is always room for a cancellation.
    const bool cancels = std::any_of(run->requests.begin(), run->requests.end(),
                                     [](const Request& request) { return request.name.empty(); });
    if (value.size() > (cancels ? limits::value_bytes : pipeline_detail::room_of(*run)))
      return fail(ErrorCode::limit_exceeded, "the run's record would be larger than a record may be");
    const auto written = commit_one(
        storage,
        {name.partition, {Operation::replace(record_key, record->revision, std::move(value), timing)}});
    if (!written) return fail(written.error());
    if (written->applied()) {
      wake_workers();
      return {};
    }
  }
  return fail(ErrorCode::conflict, "others write the run all the time; nothing was done");
}

Result<void> Runner::signal(const RunName& run, std::string_view name, const Value& payload,
                            std::string_view id) {
  const bool stored = pipeline_detail::is_storable(Value(name)) && pipeline_detail::is_storable(Value(id)) &&
                      pipeline_detail::is_storable(payload);
  if (name.empty() || name.size() > 64 || id.size() > 128 || !stored)
    return fail(ErrorCode::invalid_argument,
                "a signal needs a name of 1 to 64 bytes and an id of at most 128, both UTF-8, and a payload "
                "that can be stored");
  Request request;
  request.name = name;
  request.id = id;
  request.payload = payload;
  return state_->ask(run, [&](Run& stored_run, Timestamp) { return add_signal(stored_run, request); });
}

Result<void> Runner::cancel(const RunName& run, Cancel mode, const Operator& by) {
  if (auto fine = pipeline_detail::check_operator(by); !fine) return fine;
  const auto shown = cancel_modes[static_cast<std::size_t>(mode)];
  const auto why = readable(by.reason, most_text);
  bool stopped = false;
  auto asked = state_->ask(run, [&](Run& stored, Timestamp now) -> Result<bool> {
    stopped = stored.state == RunState::needs_attention;
    if (stopped) return false;
    Request request;
    request.id = "cancel!";
    request.payload = Map{{"mode", shown},
                          {"actor", by.actor},
                          {"reason", why},
                          {"at", std::int64_t{now.time_since_epoch().count()}}};
    return add_cancel(stored, request);
  });
  if (asked && stopped)
    return operate(run, by, [&](Run& stored, const Record&) {
      return cancel_stopped(stored, mode, fmt::format("cancelled: {}", why));
    });
  if (asked && state_->options.journal != nullptr) {
    const auto key = run_record_key(run.pipeline, run.key);
    state_->options.journal->write({.room = "pipeline",
                                    .partition = run.partition,
                                    .subject = key,
                                    .trigger = "cancel",
                                    .from = "running",
                                    .to = shown,
                                    .actor = by.actor,
                                    .reason = why});
  }
  return asked;
}

}  // namespace onceward
