#include <onceward/task/task_type.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace onceward {
namespace {

/// Why a value is none of the field's; empty where it is one.
std::string why_not(const TaskField& field, const Value& value) {
  if (value.kind() != field.kind)
    return fmt::format("is {}, it must be {}", to_string(value.kind()), to_string(field.kind));
  std::int64_t size = 0;
  if (const auto* number = value.integer()) {
    size = *number;
  } else if (const auto* text = value.string()) {
    size = static_cast<std::int64_t>(text->size());
  } else {
    return {};
  }
  if (size >= field.least && size <= field.most) return {};
  return fmt::format("is {}, it must lie between {} and {}", size, field.least, field.most);
}

}  // namespace

Result<void> TaskTypes::add(std::unique_ptr<TaskType> type) {
  auto spec = type->spec();
  if (spec.name.empty()) return fail(ErrorCode::invalid_argument, "a task type has no name");
  const auto& fields = spec.fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto same = [&](const TaskField& other) { return other.name == fields[i].name; };
    const bool twice = std::count_if(fields.begin(), fields.end(), same) > 1;
    const auto why = fields[i].usual.is_null() ? std::string() : why_not(fields[i], fields[i].usual);
    if (!twice && why.empty() && (fields[i].open || !fields[i].usual.is_null())) continue;
    return fail(ErrorCode::invalid_argument,
                fmt::format("task type \"{}\": the field \"{}\" {}", spec.name, fields[i].name,
                            twice          ? "is there twice"
                            : !why.empty() ? why
                                           : "is closed and has no value"));
  }
  const bool known = std::any_of(entries_.begin(), entries_.end(),
                                 [&](const Entry& entry) { return entry.spec.name == spec.name; });
  if (known)
    return fail(ErrorCode::conflict, fmt::format("the task type \"{}\" is there already", spec.name));
  entries_.push_back({std::move(spec), std::move(type)});
  return {};
}

std::vector<std::string> TaskTypes::names() const {
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry.spec.name);
  return names;
}

Result<TaskDefinition> TaskTypes::make(std::string_view type, const Map& given) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.spec.name == type; });
  if (found == entries_.end()) {
    return fail(ErrorCode::not_found, fmt::format("there is no task type \"{}\"", type));
  }
  std::string wrong;
  const auto refuse = [&](std::string_view name, std::string_view why) {
    wrong += fmt::format("{}{}: the field {}", wrong.empty() ? "" : "\n", name, why);
  };
  Map fields;
  for (const auto& field : found->spec.fields) {
    const auto* value = given.find(field.name);
    if (value == nullptr) {
      if (field.usual.is_null()) refuse(field.name, "is missing");
      fields.set(field.name, field.usual);
    } else if (!field.open) {
      refuse(field.name, "is set by the platform");
    } else if (const auto why = why_not(field, *value); !why.empty()) {
      refuse(field.name, why);
    } else {
      fields.set(field.name, *value);
    }
  }
  for (const auto& [name, value] : given) {
    if (fields.find(name) == nullptr) refuse(name, "is none of the type's");
  }
  if (!wrong.empty()) return fail(ErrorCode::invalid_argument, std::move(wrong));
  return found->type->make(fields);
}

}  // namespace onceward
