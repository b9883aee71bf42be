// The interpreter on its way back: what is done is undone, last first.
#include "pipeline/storable.hpp"
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t most_named = 5;

std::string list_of(const std::vector<std::string>& paths) {
  std::string all;
  for (std::size_t i = 0; i < std::min(paths.size(), most_named); ++i)
    all += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", paths[i]);
  return paths.size() <= most_named ? all : fmt::format("{} and {} more", all, paths.size() - most_named);
}

}  // namespace

bool Walk::backward(const Node& node, Place& place, const EachStep& work) {
  if (place.status == Status::fresh || place.status == Status::skipped) return false;
  for (std::size_t i = place.children.size(); i-- > 0;) {
    bool more = false;
    go_into(node, place, i, [&](const Node& below, Place& inside) { more = backward(below, inside, work); });
    if (more || attention_) return true;
  }
  return node.kind == StepKind::step && work(node, place, path_ + place.id);
}

bool Walk::undo() {
  left_done_.clear();
  left_in_doubt_.clear();
  // What an operator took back came last.
  for (std::size_t i = run_.forgotten.size(); i-- > 0;) {
    auto& [place, arguments] = run_.forgotten[i];
    const auto* node = step_at(plan_.root, place.id);  // a run that fits its plan has one
    if (undo_step(*node, place, place.id, &arguments)) return true;
  }
  return backward([&](const Node& node, Place& place, const std::string& path) {
    return undo_step(node, place, path, nullptr);
  });
}

std::optional<std::string> Walk::left_behind() {
  if (left_done_.empty() && left_in_doubt_.empty()) return std::nullopt;
  std::string text;
  if (!left_done_.empty()) text = fmt::format("undo_failed: {} cannot be undone", list_of(left_done_));
  if (!left_in_doubt_.empty())
    text += fmt::format("{}: {} may have taken effect and cannot be undone",
                        text.empty() ? "in_doubt" : "; in doubt", list_of(left_in_doubt_));
  return fmt::format("{}; it was undone after: {}", readable(std::move(text), most_cause_bytes), run_.cause);
}

bool Walk::undo_step(const Node& node, Place& place, std::string path, const Value* arguments) {
  const auto& spec = node.entry->spec;
  if (spec.effect == Effect::pure || node.definition->undo.skip) return false;
  if (place.status == Status::undone || place.status == Status::skipped) return false;
  const bool begun = place.status == Status::undoing || place.status == Status::undo_waiting;
  if (!begun && place.status != Status::done && !place.in_doubt) return false;
  if (!spec.undo) {
    (place.status == Status::done ? left_done_ : left_in_doubt_).push_back(std::move(path));
    return false;
  }
  if (place.status == Status::undoing) return true;
  if (place.status == Status::undo_waiting && !place.due.reached(now_)) {
    note(place.due);
    return true;
  }
  if (begun && place.undo_doubt && place.started.set() && !place.started.relative &&
      now_.time_since_epoch().count() - place.started.us > spec.dedup_window.count()) {
    stuck(
        fmt::format("in_doubt: the undo of step \"{}\" was called longer ago than its downstream remembers; "
                    "it was undone after: {}",
                    path, run_.cause));
    return true;
  }
  auto evaluated = arguments != nullptr ? Result<Value>(*arguments) : arguments_of(node);
  if (!evaluated) {
    stuck(describe(evaluated.error()));
    return true;
  }
  if (!begun) {
    place.in_doubt = place.status != Status::done;
    place.attempt = 1;
    place.ruled.clear();
    place.deaths = 0;
    place.started = Instant::after({});  // from here on, of the undo's own token
    if (place.in_doubt) place.value = {};
  }
  place.status = Status::undoing;
  place.due = {};
  calls_.push_back({Call::Kind::undo, &node, &place, std::move(path), *std::move(evaluated)});
  return true;
}

void begin_undo(Run& run, std::string cause) {
  run.undoing = true;
  run.reason = cause;
  run.cause = std::move(cause);
  // Where the step was come to again, it is undone at its place: it took effect before, whatever came of it
  // now.
  for (auto& forgotten : std::exchange(run.forgotten, {})) {
    auto* place = find_place(run, forgotten.place.id);
    if (place == nullptr || place->status == Status::fresh) {
      run.forgotten.push_back(std::move(forgotten));
      continue;
    }
    if (place->status != Status::done && forgotten.place.status == Status::done) {
      place->status = Status::done;
      place->value = std::move(forgotten.place.value);
      place->in_doubt = false;
    } else if (place->status != Status::done) {
      place->in_doubt = true;
    }
  }
}

void resume_undo(Run& run) {
  const auto again = [](const auto& self, Place& place) -> void {
    if (place.status == Status::undo_waiting) {
      place.attempt = 1;
      place.ruled.clear();
      place.deaths = 0;
    }
    for (auto& child : place.children) self(self, child);
  };
  again(again, run.root);
  for (auto& forgotten : run.forgotten) again(again, forgotten.place);
  run.state = RunState::running;
  run.reason = run.cause;
}

bool leave_undone(Place& place) {
  bool any = false;
  for (auto& child : place.children) any = leave_undone(child) || any;
  const bool effect =
      place.digest != 0 && place.status != Status::undone && place.status != Status::skipped &&
      (place.status == Status::done || place.in_doubt || place.status == Status::undo_waiting);
  if (!effect) return any;
  place.status = Status::skipped;
  place.in_doubt = place.undo_doubt = false;
  place.value = {};
  return true;
}

}  // namespace onceward::pipeline_detail
