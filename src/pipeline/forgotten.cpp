// Effects of places that an operator took back: a rerun, or a construct that is settled by hand, forgets what
// was within. What took effect there is kept aside, so that an undo finds it.
#include "pipeline/walk.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

bool took_effect(const Place& place) noexcept {
  return place.digest != 0 && (place.status == Status::done || place.in_doubt);
}

void keep(Run& run, Forgotten forgotten) {
  const auto known = std::find_if(run.forgotten.begin(), run.forgotten.end(), [&](const Forgotten& other) {
    return other.place.id == forgotten.place.id;
  });
  if (known == run.forgotten.end())
    run.forgotten.push_back(std::move(forgotten));
  else if (forgotten.place.status == Status::done)
    *known = std::move(forgotten);
}

}  // namespace

Result<void> keep_effects(const Run& before, Run& run, const CompiledPlan* plan) {
  std::vector<std::string> lost;
  each_place(before, [&](const std::string& path, const Place& place) {
    if (!took_effect(place)) return;
    const auto* now = find_place(run, path);
    if (now == nullptr || now->status == Status::fresh) lost.push_back(path);
  });
  if (lost.empty()) return {};
  if (plan == nullptr || !fits(before, *plan))
    return fail(
        ErrorCode::not_found,
        "the plan of the run is not in the catalog; without it what was done cannot be kept for an undo");
  auto as_it_was = before;
  std::vector<Call> none;
  std::vector<Forgotten> found;
  std::optional<Error> error;
  Walk walk(as_it_was, *plan, {}, 0, none);
  walk.backward([&](const Node& node, Place& place, const std::string& path) {
    if (node.entry->spec.effect == Effect::pure || std::find(lost.begin(), lost.end(), path) == lost.end())
      return false;
    auto arguments = walk.arguments_of(node);
    if (!arguments) {
      error = std::move(arguments).error();
      return true;
    }
    found.push_back({place, *std::move(arguments)});
    found.back().place.id = path;
    return false;
  });
  if (error) return fail(*std::move(error));
  std::reverse(found.begin(), found.end());
  for (auto& forgotten : found) keep(run, std::move(forgotten));
  return {};
}

const Node* step_at(const Node& root, std::string_view path) noexcept {
  const auto id = root.id();
  if (root.kind == StepKind::step) return id == path ? &root : nullptr;
  if (root.kind == StepKind::foreach || root.kind == StepKind::call) {
    const std::string_view around = root.kind == StepKind::call ? "/" : "[";
    if (!path.starts_with(id) || !path.substr(id.size()).starts_with(around)) return nullptr;
    // Keys of items are escaped: the first "/" ends this part.
    path.remove_prefix(std::min(path.size(), path.find('/', id.size())));
    if (path.empty()) return nullptr;
    path.remove_prefix(1);
  }
  for (const auto& child : root.children) {
    if (const auto* found = step_at(child, path)) return found;
  }
  return nullptr;
}

}  // namespace onceward::pipeline_detail
