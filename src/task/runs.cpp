#include "pipeline/run_state.hpp"
#include "pipeline/storable.hpp"
#include "task/views.hpp"

#include <algorithm>

// The only file of this room that knows how a run is stored.
namespace onceward::task_detail {
namespace {

using pipeline_detail::Place;
using PlaceStatus = pipeline_detail::Status;

constexpr std::string_view called_off = "cancelled: what earned it was taken back";

bool in_doubt(const Place& place) noexcept {
  const bool settled = place.status == PlaceStatus::done || place.status == PlaceStatus::undone ||
                       place.status == PlaceStatus::skipped;
  return (place.in_doubt && !settled) || place.undo_doubt ||
         std::any_of(place.children.begin(), place.children.end(), in_doubt);
}

/// Whether a call took effect and was not undone. Only what was called has a digest of its arguments.
bool took_effect(const Place& place) noexcept {
  return (place.status == PlaceStatus::done && place.digest != 0) ||
         std::any_of(place.children.begin(), place.children.end(), took_effect);
}

}  // namespace

Result<RunView> decode_run_view(const Record& record) {
  auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(std::move(run).error());
  return pipeline_detail::view_of(*run, {}, record.key, record.due);
}

Result<Operation> push_on(const Record& record, const std::string& actor, const std::string& reason,
                          Timestamp now) {
  auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(std::move(run).error());
  anchor(*run, record);
  if (auto takes = takes_act(*run); !takes) return fail(std::move(takes).error());
  RunAct act{"replay", actor, pipeline_detail::readable(reason, pipeline_detail::most_text)};
  act.before = to_string(run->state);
  act.at = now;
  if (auto again = begin_again(*run); !again) return fail(std::move(again).error());
  act.after = to_string(run->state);
  run->acts.push_back(std::move(act));
  // Whoever wrote it last no longer owns it.
  run->owner.clear();
  run->serial = 0;
  run->due_in = 0;
  stamp(*run);
  return Operation::replace(record.key, record.revision, pipeline_detail::encode(*run),
                            {.due_in = Duration::zero()});
}

Result<Given> given_by(const Record& record) {
  const auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(run.error());
  if (run->state == RunState::running) return Given::unknown;
  if (run->state == RunState::succeeded) return Given::something;
  // What stopped on its way back is half undone, and what an operator forgot was called all the same.
  const bool half = run->undoing && run->state == RunState::needs_attention;
  if (half || !run->sent.empty() || in_doubt(run->root)) return Given::unknown;
  const bool told = std::any_of(run->acts.begin(), run->acts.end(),
                                [](const RunAct& act) { return act.act == "set_result"; });
  return told || took_effect(run->root) ? Given::something : Given::nothing;
}

Result<Operation> call_off(const Record& record) {
  auto run = pipeline_detail::decode_run(record);
  if (!run) return fail(std::move(run).error());
  anchor(*run, record);
  RunAct act{"cancel", "task", std::string(called_off)};
  act.before = to_string(run->state);
  act.after = to_string(RunState::cancelled);
  run->acts.push_back(std::move(act));
  run->state = RunState::cancelled;
  run->cancelled = true;
  run->reason = called_off;
  return Operation::replace(record.key, record.revision, pipeline_detail::encode(*run));
}

}  // namespace onceward::task_detail
