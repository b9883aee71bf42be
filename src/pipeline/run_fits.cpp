// Whether a run that was read is one of its plan: what the interpreter relies on.
#include "pipeline/run_state.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

/// Whether a construct may stand like this: what the interpreter does with it relies on that.
bool may_stand(const Place& place, const Node& node) noexcept {
  const bool leaf = node.kind == StepKind::step || node.kind == StepKind::wait ||
                    node.kind == StepKind::await || node.kind == StepKind::set ||
                    node.kind == StepKind::result || node.kind == StepKind::fail;
  switch (place.status) {
    case Status::active:
    case Status::undoing:
    case Status::undo_waiting: return node.kind == StepKind::step;
    case Status::waiting: return node.kind == StepKind::step || node.kind == StepKind::wait;
    case Status::awaiting: return node.kind == StepKind::await;
    case Status::open:
      if (leaf) return false;
      return !place.children.empty() || node.kind == StepKind::sequence || node.kind == StepKind::foreach;
    default: return true;
  }
}

bool is_branch_number(const std::string& id, std::size_t count) noexcept {
  return !id.empty() && id.size() < 5 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoul(id) < count;
}

bool fits(const Place& place, const Node& node) noexcept {
  if (!may_stand(place, node)) return false;
  if (place.children.empty()) return true;
  if (node.kind == StepKind::parallel
          ? place.children.size() != node.children.size()
          : node.kind == StepKind::sequence && place.children.size() > node.children.size())
    return false;
  if (node.kind == StepKind::call && (place.children.size() != 1 || place.children[0].value.map() == nullptr))
    return false;
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    const auto& child = place.children[i];
    bool right = false;
    switch (node.kind) {
      case StepKind::sequence:
      case StepKind::parallel: right = child.role == Role::step && child.id == node.children[i].id(); break;
      case StepKind::foreach: right = child.role == Role::item; break;
      case StepKind::call: right = child.role == Role::callee; break;
      case StepKind::choose:
      case StepKind::attempt:
        right = (child.role == Role::branch || child.role == Role::closing) &&
                is_branch_number(child.id, node.children.size());
        break;
      default: break;
    }
    if (!right || !fits(child, node.children[node_of(child, i)])) return false;
  }
  return true;
}

}  // namespace

bool fits(const Run& run, const CompiledPlan& plan) noexcept {
  return fits(run.root, plan.root) &&
         std::all_of(run.forgotten.begin(), run.forgotten.end(), [&](const Forgotten& forgotten) {
           return step_at(plan.root, forgotten.place.id) != nullptr;
         });
}

}  // namespace onceward::pipeline_detail
