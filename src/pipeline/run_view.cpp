#include "pipeline/run_state.hpp"

#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

std::string_view to_string(RunState state) noexcept {
  switch (state) {
    case RunState::running: return "running";
    case RunState::succeeded: return "succeeded";
    case RunState::failed: return "failed";
    case RunState::needs_attention: return "needs_attention";
    case RunState::cancelled: return "cancelled";
  }
  return "unknown";
}

namespace pipeline_detail {
namespace {

void walk(const Place& place, const std::string& prefix, std::string_view parent,
          const std::function<void(const std::string&, const Place&)>& visit) {
  auto below = prefix;
  if (place.role == Role::step && !place.id.empty()) visit(prefix + place.id, place);
  if (place.role == Role::item) below += item_part(parent, place.id);
  if (place.role == Role::callee) below.append(parent).append("/");
  // The parts of a branch belong to the construct it is of.
  const bool inner = place.role == Role::branch || place.role == Role::closing;
  const auto name = inner ? parent : std::string_view(place.id);
  for (const auto& child : place.children) walk(child, below, name, visit);
}

bool shows(const Place& place) noexcept {
  return place.role == Role::step && (place.status == Status::done || place.status == Status::skipped) &&
         (place.children.empty() || !place.value.is_null());
}

}  // namespace

void each_place(const Run& run,
                const std::function<void(const std::string& path, const Place& place)>& visit) {
  for (const auto& place : run.root.children) walk(place, {}, {}, visit);
}

std::size_t node_of(const Place& place, std::size_t at) {
  switch (place.role) {
    case Role::step: return at;
    case Role::branch:
    case Role::closing: return std::stoul(place.id);
    default: return 0;
  }
}

std::string item_part(std::string_view foreach_id, std::string_view key) {
  std::string part(foreach_id);
  part += '[';
  for (const char c : key) {
    // Escaped, so that no two lists of keys make one path.
    if (c == '%' || c == '[' || c == ']' || c == '/') {
      part += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      part += c;
    }
  }
  return part += "]/";
}

RunView view_of(const Run& run, std::string partition, std::string key, std::optional<Timestamp> due) {
  RunView view{std::move(partition), std::move(key), run.state, run.reason};
  each_place(run, [&](const std::string& path, const Place& place) {
    if (shows(place)) view.steps.push_back({path, place.status == Status::skipped, place.value});
    if (place.status == Status::undone) view.undone.push_back(path);
    if (place.status == Status::awaiting && place.value.string() != nullptr)
      view.awaits.push_back(*place.value.string());
    if (view.attempt == 0 && !ended(place.status) && place.attempt > 0) view.attempt = place.attempt;
  });
  for (const auto& forgotten : run.forgotten) {
    if (forgotten.place.status == Status::undone) view.undone.push_back(forgotten.place.id);
  }
  view.due = due;
  view.result = run.result;
  view.acts = run.acts;
  view.version = run.version;
  return view;
}

Result<Value> complete_input(const PipelineDefinition& definition, Value input) {
  const auto refuse = [&](std::string_view name, std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("pipeline \"{}\": the input \"{}\" {}", definition.id, name, why));
  };
  if (input.map() == nullptr) {
    return fail(ErrorCode::invalid_argument, fmt::format("pipeline \"{}\": the input must be a map, it is {}",
                                                         definition.id, to_string(input.kind())));
  }
  Map complete = std::move(*input.map());
  for (const auto& wanted : definition.inputs) {
    const auto* given = complete.find(wanted.name);
    if (given == nullptr || given->is_null()) {
      if (wanted.required) return refuse(wanted.name, "is missing");
      complete.set(wanted.name, {});
    } else if (given->kind() != wanted.kind) {
      return refuse(wanted.name,
                    fmt::format("is {}, it must be {}", to_string(given->kind()), to_string(wanted.kind)));
    } else if (!is_storable(*given)) {
      return refuse(
          wanted.name,
          "cannot be stored: its text must be UTF-8, its doubles finite, and it must not nest deep");
    }
  }
  if (complete.size() == definition.inputs.size()) return Value(std::move(complete));
  for (const auto& [name, value] : complete) {
    const bool known =
        std::any_of(definition.inputs.begin(), definition.inputs.end(),
                    [&, &wanted = name](const PipelineInput& candidate) { return candidate.name == wanted; });
    if (!known) return refuse(name, "is not one the pipeline has");
  }
  return Value(std::move(complete));
}

}  // namespace pipeline_detail
}  // namespace onceward
