// How a run that stopped goes on.
#include "pipeline/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

void reopen(Place& place) {
  if (place.status == Status::failed || place.status == Status::cancelled ||
      place.status == Status::waiting) {
    place.deaths = 0;
    if (place.digest != 0) {
      place.status = Status::waiting;
      place.attempt = 1;
      place.due = Instant::after({});
      place.value = {};
    } else if (place.children.empty()) {
      place = Place{place.id, place.role, Status::fresh, place.role == Role::item ? place.value : Value()};
    } else {
      place.status = Status::open;
    }
  }
  for (auto& child : place.children) reopen(child);
}

void undo_again(Place& place) {
  if (place.status == Status::undo_waiting) {
    place.attempt = 1;
    place.deaths = 0;
  }
  for (auto& child : place.children) undo_again(child);
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
  run.root.status = Status::open;
  run.root.value = {};
  for (auto& place : run.root.children) reopen(place);
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
  run.state = RunState::running;
  undo_again(run.root);
  return {};
}

}  // namespace onceward::pipeline_detail
