// The interpreter on its way back: what is done is undone, last first.
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t most_named = 5;
constexpr std::string_view after = "; it was undone after: ";

std::string list_of(const std::vector<std::string>& paths) {
  std::string all;
  for (std::size_t i = 0; i < std::min(paths.size(), most_named); ++i)
    all += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", paths[i]);
  return paths.size() <= most_named ? all : fmt::format("{} and {} more", all, paths.size() - most_named);
}

/// What it was undone for, also where an undo was given up before.
std::string_view cause_in(std::string_view reason) {
  const auto at = reason.rfind(after);
  return at == std::string_view::npos ? reason : reason.substr(at + after.size());
}

}  // namespace

bool Walk::undo(const Node& node, Place& place) {
  if (place.status == Status::fresh || place.status == Status::skipped) return false;
  for (std::size_t i = place.children.size(); i-- > 0;) {
    bool more = false;
    go_into(node, place, i, [&](const Node& below, Place& inside) { more = undo(below, inside); });
    if (more || attention_) return true;
  }
  return node.kind == StepKind::step && undo_step(node, place);
}

void Walk::find_left(const Node& node, Place& place, std::vector<std::string>& done,
                     std::vector<std::string>& in_doubt) {
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    go_into(node, place, i,
            [&](const Node& below, Place& inside) { find_left(below, inside, done, in_doubt); });
  }
  if (node.kind != StepKind::step || node.entry->spec.effect == Effect::pure) return;
  if (is_in_doubt(place)) {
    in_doubt.push_back(path_ + place.id);
  } else if (place.status == Status::done && !node.definition->undo.skip) {
    done.push_back(path_ + place.id);
  }
}

std::optional<std::string> Walk::left_behind() {
  std::vector<std::string> done, in_doubt;
  find_left(plan_.root, run_.root, done, in_doubt);
  if (done.empty() && in_doubt.empty()) return std::nullopt;
  std::string text;
  if (!done.empty()) text = fmt::format("undo_failed: {} cannot be undone", list_of(done));
  if (!in_doubt.empty())
    text += fmt::format("{}: {} may have taken effect and cannot be undone",
                        text.empty() ? "in_doubt" : "; in doubt", list_of(in_doubt));
  return fmt::format("{}{}{}", text, after, cause_in(run_.reason));
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
    place.ruled.clear();
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
