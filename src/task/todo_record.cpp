#include <onceward/core/digest.hpp>

#include "task/record_parts.hpp"

#include <algorithm>
#include <array>

namespace onceward::task_detail {
namespace {

constexpr std::array<std::string_view, 8> todo_kinds = {"take_unit", "return_unit", "take_back", "pass_on",
                                                        "apply",     "claim",       "member",    "tell"};

}  // namespace

std::string todo_key(const Todo& todo) {
  const auto kind = todo_kinds[static_cast<std::size_t>(todo.kind)];
  switch (todo.kind) {
    case Todo::Kind::take_unit:
    case Todo::Kind::take_back:
    case Todo::Kind::member:
      // A group's todos name several members, whose names may hold any character: the last parts are numbers.
      return fmt::format("{}{}/{}/{}/{}/{}/{}", todo_prefix, kind, todo.grant.user, todo.grant.task,
                         todo.grant.cycle, todo.grant.stage, todo.grant.generation);
    // Names of units and ids of events may be long: their digest names the work as well.
    case Todo::Kind::return_unit:
    case Todo::Kind::claim:
    case Todo::Kind::tell:
      return fmt::format("{}{}/{}", todo_prefix, kind, sha256_hex(todo.period + "/" + todo.unit));
    case Todo::Kind::pass_on:
    case Todo::Kind::apply: break;
  }
  const auto* id = text_of(todo.event, "id");
  return fmt::format("{}{}/{}", todo_prefix, kind,
                     sha256_hex(todo.owner + "/" + todo.grant.task + "/" + (id == nullptr ? "" : *id)));
}

std::string encode(const Todo& todo) {
  Map content{{"kind", todo_kinds[static_cast<std::size_t>(todo.kind)]}, {"grant", to_run_key(todo.grant)}};
  const auto set = [&](const char* name, const std::string& text) {
    if (!text.empty()) content.set(name, text);
  };
  set("unit", todo.unit);
  set("period", todo.period);
  set("version", todo.version);
  set("owner", todo.owner);
  set("error", todo.error);
  if (todo.reduced != 0) content.set("reduced", todo.reduced);
  if (!todo.members.empty()) content.set("members", List(todo.members.begin(), todo.members.end()));
  if (todo.tries != 0) content.set("tries", todo.tries);
  if (!todo.input.is_null()) content.set("input", todo.input);
  if (!todo.event.is_null()) content.set("event", todo.event);
  return Value(std::move(content)).to_json();
}

Result<Todo> decode_todo(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* kind = text_of(*value, "kind");
  const auto* run_key = text_of(*value, "grant");
  if (!kind || !run_key) return corrupt(record);
  const auto place = std::find(todo_kinds.begin(), todo_kinds.end(), *kind);
  auto grant = parse_run_key(*run_key);
  if (place == todo_kinds.end() || !grant) return corrupt(record);
  Todo todo{static_cast<Todo::Kind>(place - todo_kinds.begin()), *std::move(grant)};
  const auto text = [&](std::string_view name) {
    const auto* member = text_of(*value, name);
    return member == nullptr ? std::string() : *member;
  };
  todo.unit = text("unit");
  todo.period = text("period");
  todo.version = text("version");
  todo.owner = text("owner");
  todo.error = text("error");
  if (const auto* reduced = value->find("reduced"); reduced != nullptr && reduced->integer() != nullptr)
    todo.reduced = *reduced->integer();
  if (const auto* members = value->find("members")) {
    if (members->list() == nullptr) return corrupt(record);
    for (const auto& member : *members->list()) {
      if (member.string() == nullptr) return corrupt(record);
      todo.members.push_back(*member.string());
    }
  }
  if (const auto* tries = value->find("tries"); tries != nullptr && tries->integer() != nullptr)
    todo.tries = *tries->integer();
  if (const auto* input = value->find("input")) todo.input = *input;
  if (const auto* event = value->find("event")) todo.event = *event;
  return todo;
}

}  // namespace onceward::task_detail
