#include "pipeline/names.hpp"

#include <algorithm>

namespace onceward::pipeline_detail {

const Value Names::null_{};

Names::Names(const Level& level, std::span<const Place* const> within, bool reads_steps) {
  const auto& input = *level.input->map();
  bindings_.reserve(input.size() + 1);
  for (const auto& [name, value] : input) bindings_.push_back({name, nullptr, {}, &value});
  if (!reads_steps) return;
  gather(*level.node, level.place, within);
  if (level.error != nullptr) bind("error", *level.error);
  bindings_.push_back({"steps", &steps_});
}

void Names::bind(std::string_view name, const Value& value) {
  const auto known =
      std::find_if(bindings_.begin(), bindings_.end(), [&](const Binding& b) { return b.name == name; });
  if (known != bindings_.end()) {
    known->value = &value;
    known->map = nullptr;
  } else {
    bindings_.push_back({name, nullptr, {}, &value});
  }
}

void Names::gather(const Node& node, const Place* place, std::span<const Place* const> within) {
  const auto child_place = [&](std::size_t i) -> const Place* {
    return place != nullptr && i < place->children.size() ? &place->children[i] : nullptr;
  };
  if (node.definition != nullptr) {
    const bool has_result =
        place != nullptr && place->status == Status::done && node.kind != StepKind::attempt;
    const auto& value = has_result ? place->value : null_;
    if (node.kind == StepKind::set) {
      bind(node.id(), value);
    } else {
      steps_.set(std::string(node.id()), value);
    }
  }
  switch (node.kind) {
    case StepKind::sequence:
    case StepKind::parallel:
      for (std::size_t i = 0; i < node.children.size(); ++i) gather(node.children[i], child_place(i), within);
      break;
    case StepKind::choose:
    case StepKind::attempt:
      for (std::size_t i = 0; i < node.children.size(); ++i) {
        const Place* taken = nullptr;
        for (std::size_t k = 0; place != nullptr && k < place->children.size(); ++k) {
          if (place->children[k].id == std::to_string(i)) taken = &place->children[k];
        }
        gather(node.children[i], taken, within);
      }
      break;
    case StepKind::foreach:
      if (place == nullptr || place->status != Status::open || within.empty()) break;
      // Only the item that the construct is within is seen from it.
      for (const auto& item : place->children) {
        if (&item != within.front()) continue;
        bind(node.definition->variable, item.value);
        gather(node.children[0], &item, within.subspan(1));
      }
      break;
    default: break;  // what a called pipeline does is seen by its own alone
  }
}

}  // namespace onceward::pipeline_detail
