// How a run that stopped goes on.
#include "pipeline/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

void reopen(Run& run, Place& place);

/// Of an attempt the last branch decides what comes next. Its finally comes again, after what is mended.
void reopen_last(Run& run, Place& place) {
  auto& children = place.children;
  const auto& last = children.back();
  const bool mended = ended(last.status) && last.status != Status::failed && last.status != Status::cancelled;
  // What the deadline stopped goes on; it has not come to its finally.
  const bool stopped = children.size() > 1 && children[children.size() - 2].status == Status::cancelled;
  if (last.role == Role::closing && (mended || stopped)) {
    remember_tokens(run);
    children.pop_back();
  }
  place.value = children.size() > 1 ? children.front().value : Value();
  reopen(run, children.back());
}

/// Its attempts begin anew, under its token.
void try_anew(Place& place) {
  place.status = Status::waiting;
  place.attempt = 1;
  place.ruled.clear();
  place.deaths = 0;
  place.since = {};
  place.due = Instant::after({});
  place.value = {};
}

/// What a construct that is done left in doubt.
void reopen_doubt(Place& place) {
  if (place.in_doubt && (place.status == Status::waiting || place.status == Status::cancelled))
    try_anew(place);
  for (auto& child : place.children) reopen_doubt(child);
}

void reopen(Run& run, Place& place) {
  if (place.status == Status::done) return reopen_doubt(place);
  if (place.status == Status::skipped || place.status == Status::undone) return;
  const bool stopped = place.status == Status::failed || place.status == Status::cancelled;
  if (place.digest != 0 && (stopped || place.status == Status::waiting)) {
    try_anew(place);
  } else if (stopped && place.children.empty()) {
    place = Place{place.id, place.role, Status::fresh, place.role == Role::item ? place.value : Value()};
  } else if (stopped) {
    place.status = Status::open;
    if (place.role != Role::item && place.role != Role::callee) place.value = {};
  }
  const bool branches = !place.children.empty() && place.children.front().role == Role::branch;
  if (branches) return reopen_last(run, place);
  for (auto& child : place.children) reopen(run, child);
}

}  // namespace

Unexpected wrong_state(const Run& run, std::string_view what) {
  return fail(ErrorCode::wrong_state, fmt::format("the run is {}; {}", to_string(run.state), what));
}

bool any_undone(const Place& place) noexcept {
  return place.status == Status::undone ||
         std::any_of(place.children.begin(), place.children.end(), any_undone);
}

void go_on(Run& run) {
  run.state = RunState::running;
  run.reason.clear();
  run.cancelled = false;
  run.late = false;
  run.root.status = Status::open;
  run.root.value = {};
  run.deadline = {};  // whoever pushes it on has the say now
  for (auto& place : run.root.children) reopen(run, place);
}

void remember_tokens(Run& run) {
  std::vector<Sent> used;
  each_place(run, [&](const std::string& at, const Place& place) {
    if (place.digest != 0) used.push_back({at, place.digest, place.started});
  });
  for (auto& sent : used) {
    std::erase_if(run.sent, [&](const Sent& known) { return known.path == sent.path; });
    run.sent.push_back(std::move(sent));
  }
}

Result<void> begin_again(Run& run) {
  if (run.state == RunState::succeeded || run.state == RunState::running)
    return wrong_state(run, "there is nothing to retry");
  if (!run.undoing && !any_undone(run.root)) {
    go_on(run);
    return {};
  }
  // It was on its way back, and goes on there: what is undone would need other tokens to be done again.
  if (run.state != RunState::needs_attention) return wrong_state(run, "it was undone; start another run");
  resume_undo(run);
  return {};
}

}  // namespace onceward::pipeline_detail
