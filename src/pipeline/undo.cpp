// The interpreter on its way back: what is done is undone, last first.
#include "pipeline/walk.hpp"

#include <fmt/format.h>

namespace onceward::pipeline_detail {

bool Walk::undo(const Node& node, Place& place) {
  if (place.status == Status::fresh || place.status == Status::skipped) return false;
  for (std::size_t i = place.children.size(); i-- > 0;) {
    bool more = false;
    go_into(node, place, i, [&](const Node& below, Place& inside) { more = undo(below, inside); });
    if (more || attention_) return true;
  }
  return node.kind == StepKind::step && undo_step(node, place);
}

bool Walk::undo_step(const Node& node, Place& place) {
  const auto& spec = node.entry->spec;
  if (spec.effect == Effect::pure || !spec.undo || node.definition->undo.skip) return false;
  if (place.status == Status::undone) return false;
  const bool begun = place.status == Status::undoing || place.status == Status::undo_waiting;
  if (!begun && place.status != Status::done && !place.in_doubt) return false;
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
                    path_ + place.id, run_.reason));
    return true;
  }
  auto arguments = arguments_of(node);
  if (!arguments) {
    stuck(describe(arguments.error()));
    return true;
  }
  if (!begun) {
    place.in_doubt = place.status != Status::done;
    place.attempt = 1;
    place.deaths = 0;
    place.started = Instant::after({});  // from here on, of the undo's own token
    if (place.in_doubt) place.value = {};
  }
  place.status = Status::undoing;
  place.due = {};
  calls_.push_back({Call::Kind::undo, &node, &place, path_ + place.id, *std::move(arguments)});
  return true;
}

}  // namespace onceward::pipeline_detail
