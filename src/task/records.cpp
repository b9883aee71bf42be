#include "task/records.hpp"

#include "task/flat_text.hpp"

#include <onceward/core/digest.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward::task_detail {
namespace {

constexpr std::size_t fingerprint_digits = 32;
constexpr std::array<std::string_view, 6> grant_states = {"earned",       "waiting", "granted",
                                                          "out_of_stock", "voided",  "revoked"};
constexpr std::array<std::string_view, 7> todo_kinds = {"take_unit", "return_unit", "take_back", "pass_on",
                                                        "apply",     "claim",       "member"};

Unexpected corrupt(const Record& record) {
  return fail(ErrorCode::corrupt,
              fmt::format("the record \"{}\" is not what this version writes; look at it before going on",
                          record.key));
}

/// A member of the right kind, or null: every reader below refuses a record that lacks one.
const std::string* text_of(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->string();
}
const std::string* text_at(const List& list, std::size_t place) {
  return place < list.size() ? list[place].string() : nullptr;
}
const std::int64_t* integer_at(const List& list, std::size_t place) {
  return place < list.size() ? list[place].integer() : nullptr;
}

}  // namespace

std::string user_partition(std::string_view merchant, std::string_view user) {
  std::string partition;
  partition.reserve(merchant.size() + user.size() + 6);
  partition.append(merchant).append("/user/").append(user);
  return partition;
}
std::string quota_partition(std::string_view merchant, std::string_view task) {
  return fmt::format("{}/quota/{}", merchant, task);
}
std::string definitions_partition(std::string_view merchant) {
  return fmt::format("{}/definitions", merchant);
}

std::string instance_key(std::string_view task, std::string_view cycle) {
  std::string key;
  key.reserve(10 + task.size() + cycle.size());
  key.append("instance/").append(task).append("/").append(cycle);
  return key;
}

std::pair<std::string_view, std::string_view> parse_instance_key(std::string_view key) noexcept {
  key.remove_prefix(std::min(key.size(), instance_prefix.size()));
  const auto slash = key.find('/');
  if (slash == std::string_view::npos) return {};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

Grant* Instance::grant_of(std::int64_t stage) noexcept {
  const auto found =
      std::find_if(grants.begin(), grants.end(), [&](const Grant& grant) { return grant.stage == stage; });
  return found == grants.end() ? nullptr : &*found;
}

std::vector<std::int64_t> Instance::untracked() const {
  std::vector<std::int64_t> stages;
  for (std::int64_t number = 1; number <= reached; ++number) {
    if (grant_of(number) == nullptr) stages.push_back(number);
  }
  return stages;
}

std::optional<Timestamp> Instance::due() const noexcept {
  switch (status) {
    case Status::claimed:
    case Status::in_progress:
    case Status::completed:
    case Status::revoked: break;
    default: return std::nullopt;
  }
  const auto finishing = status == Status::completed ? std::nullopt : (expires ? expires : deadline);
  if (finishing && collect_until) return std::min(*finishing, *collect_until);
  return finishing ? finishing : collect_until;
}

namespace {

Value list_of(const Grant& grant) {
  return List{grant.stage,     grant.generation, grant_states[static_cast<std::size_t>(grant.state)],
              grant.collected, grant.unit,       grant.period,
              grant.input};
}

bool read_grant(const Value& value, Grant& grant) {
  constexpr std::size_t members = 7;
  if (value.list() == nullptr || value.list()->size() != members) return false;
  const auto& list = *value.list();
  const auto* stage = integer_at(list, 0);
  const auto* generation = integer_at(list, 1);
  const auto* state = text_at(list, 2);
  const auto* collected = list[3].boolean();
  const auto* unit = list[4].boolean();
  const auto* period = text_at(list, 5);
  if (!stage || !generation || !state || !collected || !unit || !period) return false;
  const auto place = std::find(grant_states.begin(), grant_states.end(), *state);
  if (place == grant_states.end()) return false;
  grant = {*stage,  *generation, static_cast<Grant::State>(place - grant_states.begin()), *collected, *unit,
           *period, list[6]};
  return true;
}

void set_time(Map& map, const char* name, const std::optional<Timestamp>& time) {
  if (time) map.set(name, std::int64_t{time->time_since_epoch().count()});
}
std::optional<Timestamp> time_of(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  if (member == nullptr || member->integer() == nullptr) return std::nullopt;
  return Timestamp(Duration(*member->integer()));
}

constexpr std::string_view rest_member = ",\"rest\":";

/// What most instances lack.
Map rest_of(const Instance& instance) {
  Map rest;
  if (!instance.reason.empty()) rest.set("reason", instance.reason);
  set_time(rest, "claimed_at", instance.claimed_at);
  set_time(rest, "deadline", instance.deadline);
  set_time(rest, "expires", instance.expires);
  set_time(rest, "collect_until", instance.collect_until);
  if (!instance.unit.empty()) rest.set("unit", instance.unit);
  if (!instance.grants.empty()) {
    List grants;
    for (const auto& grant : instance.grants) grants.push_back(list_of(grant));
    rest.set("grants", std::move(grants));
  }
  if (!instance.members.empty()) {
    List members;
    for (const auto& member : instance.members) members.push_back(member);
    rest.set("members", std::move(members));
    rest.set("shares", List(instance.shares.begin(), instance.shares.end()));
  }
  return rest;
}

bool read_rest(const Value& rest, Instance& instance) {
  if (const auto* reason = text_of(rest, "reason")) instance.reason = *reason;
  if (const auto* unit = text_of(rest, "unit")) instance.unit = *unit;
  instance.claimed_at = time_of(rest, "claimed_at");
  instance.deadline = time_of(rest, "deadline");
  instance.expires = time_of(rest, "expires");
  instance.collect_until = time_of(rest, "collect_until");
  if (const auto* grants = rest.find("grants")) {
    if (grants->list() == nullptr) return false;
    for (const auto& item : *grants->list()) {
      if (!read_grant(item, instance.grants.emplace_back())) return false;
    }
  }
  if (const auto* members = rest.find("members")) {
    if (members->list() == nullptr) return false;
    for (const auto& item : *members->list()) {
      if (item.string() == nullptr) return false;
      instance.members.push_back(*item.string());
    }
    const auto* shares = rest.find("shares");
    for (std::size_t i = 0; i < instance.members.size(); ++i) {
      const auto* share =
          shares == nullptr || shares->list() == nullptr ? nullptr : integer_at(*shares->list(), i);
      instance.shares.push_back(share == nullptr ? -1 : *share);
    }
  }
  return true;
}

bool is_rare(const Instance& instance) noexcept {
  return !instance.reason.empty() || instance.claimed_at || instance.deadline || instance.collect_until ||
         !instance.unit.empty() || !instance.grants.empty() || !instance.members.empty();
}

}  // namespace

bool is_plain(const Instance& instance) noexcept {
  switch (instance.status) {
    case Status::claimed:
    case Status::in_progress:
    case Status::completed:
    case Status::rewarding: return instance.counted.empty() && !is_rare(instance);
    default: return false;
  }
}

std::string encode(const Instance& instance) {
  constexpr std::size_t counted_bytes = 24;
  std::string text;
  text.reserve(96 + instance.version.size() + counted_bytes * instance.counted.size());
  text.append("{\"version\":\"").append(instance.version).append("\",\"progress\":");
  append_number(text, instance.progress);
  text.append(",\"reached\":");
  append_number(text, instance.reached);
  text.append(",\"status\":\"").append(to_string(instance.status)).append("\"");
  if (is_rare(instance)) {
    text += ",\"rest\":";
    rest_of(instance).append_json(text);
  }
  if (!instance.counted.empty()) {
    text += ",\"counted\":";
    instance.counted.append_json(text);
  }
  text += '}';
  return text;
}

Result<Instance> decode_instance(const Record& record) {
  Instance instance;
  std::string status;
  Cursor cursor(record.value);
  const bool head = cursor.skip("{\"version\":\"") && cursor.id(instance.version) &&
                    cursor.skip("\",\"progress\":") && cursor.integer(instance.progress) &&
                    cursor.skip(",\"reached\":") && cursor.integer(instance.reached) &&
                    cursor.skip(",\"status\":\"") && cursor.id(status) && cursor.skip("\"");
  const auto known = parse_status(status);
  if (!head || !known) return corrupt(record);
  instance.status = *known;
  if (cursor.rest() == "}") return instance;
  if (cursor.rest().starts_with(rest_member)) {
    // Rare, and not on the hot path: the whole of what is left is read as one object.
    std::string more(cursor.rest());
    more[0] = '{';
    auto value = Value::from_json(more);
    const auto* rest = value ? value->find("rest") : nullptr;
    const auto* counted = value ? value->find("counted") : nullptr;
    if (rest == nullptr || !read_rest(*rest, instance)) return corrupt(record);
    if (counted == nullptr) return instance;
    if (counted->map() == nullptr) return corrupt(record);
    instance.counted = *counted->map();
    return instance;
  }
  if (!cursor.skip(",\"counted\":") || !cursor.rest().ends_with('}')) return corrupt(record);
  auto counted = Value::from_json(cursor.rest().substr(0, cursor.rest().size() - 1));
  if (!counted || counted->map() == nullptr) return corrupt(record);
  instance.counted = std::move(*counted->map());
  return instance;
}

std::string event_key(std::string_view id) {
  std::string key("event/");
  key.append(id);
  return key;
}

std::string passed_on_key(std::string_view user, std::string_view task, std::string_view id) {
  // The user's length stands before it, and a task's id has no colon: no two of them share a key.
  return fmt::format("passed/{}:{}:{}:{}", user.size(), user, task, id);
}

namespace {

/// One small number for how a contribution may be taken back.
std::int64_t code_of(const Taking& taking) noexcept {
  return taking.rule * 4 + (taking.early ? 2 : 0) + (taking.divisible ? 1 : 0);
}
Taking taking_of(std::int64_t code) noexcept { return {code / 4, code % 2 != 0, code / 2 % 2 != 0}; }

void append_rare(const EventRecord& event, std::string& text) {
  if (!event.skipped.empty()) {
    List skipped;
    for (const auto& item : event.skipped) skipped.push_back(List{item.task, item.cycle, item.reason});
    text += ",\"skipped\":";
    Value(std::move(skipped)).append_json(text);
  }
  if (!event.reverses.empty()) {
    text += ",\"reverses\":";
    Value(event.reverses).append_json(text);
  }
  if (!event.passed_on.empty()) {
    List passed;
    for (const auto& [owner, task] : event.passed_on) passed.push_back(List{owner, task});
    text += ",\"passed_on\":";
    Value(std::move(passed)).append_json(text);
  }
  if (!event.cycle.empty()) text.append(",\"cycle\":\"").append(event.cycle).append("\"");
  if (!event.waiting.empty()) text.append(",\"waiting\":\"").append(event.waiting).append("\"");
  if (event.gone) text += ",\"gone\":true";
  if (event.taken != 0) {
    text += ",\"taken\":";
    append_number(text, event.taken);
  }
}

bool read_rare(const Value& value, EventRecord& event) {
  if (const auto* skipped = value.find("skipped")) {
    if (skipped->list() == nullptr) return false;
    for (const auto& item : *skipped->list()) {
      if (item.list() == nullptr) return false;
      const auto* task = text_at(*item.list(), 0);
      const auto* cycle = text_at(*item.list(), 1);
      const auto* reason = text_at(*item.list(), 2);
      if (!task || !cycle || !reason) return false;
      event.skipped.push_back({*task, *cycle, *reason});
    }
  }
  if (const auto* reverses = text_of(value, "reverses")) event.reverses = *reverses;
  if (const auto* cycle = text_of(value, "cycle")) event.cycle = *cycle;
  if (const auto* waiting = text_of(value, "waiting")) event.waiting = *waiting;
  if (const auto* passed = value.find("passed_on")) {
    if (passed->list() == nullptr) return false;
    for (const auto& item : *passed->list()) {
      if (item.list() == nullptr) return false;
      const auto* owner = text_at(*item.list(), 0);
      const auto* task = text_at(*item.list(), 1);
      if (!owner || !task) return false;
      event.passed_on.emplace_back(*owner, *task);
    }
  }
  if (const auto* gone = value.find("gone")) event.gone = gone->boolean() != nullptr && *gone->boolean();
  if (const auto* taken = value.find("taken"))
    event.taken = taken->integer() == nullptr ? 0 : *taken->integer();
  return true;
}

}  // namespace

std::string encode(const EventRecord& event) {
  std::string text;
  text.reserve(64 + 48 * (event.contributions.size() + event.grants.size()));
  text.append("{\"fingerprint\":\"").append(event.fingerprint).append("\",\"contributions\":[");
  for (std::size_t i = 0; i < event.contributions.size(); ++i) {
    const auto& contribution = event.contributions[i];
    if (text.back() != '[') text += ',';
    text.append("[\"").append(contribution.task).append("\",\"").append(contribution.cycle).append("\",");
    contribution.amount.append_json(text);
    text += ',';
    append_number(text, code_of(event.takings[i]));
    text += ']';
  }
  text += "],\"grants\":[";
  for (const auto& grant : event.grants) {
    if (text.back() != '[') text += ',';
    text.append("[\"").append(grant.task).append("\",\"").append(grant.cycle).append("\",");
    append_number(text, grant.stage);
    text.append(",\"").append(grant.pipeline).append("\",");
    append_number(text, grant.generation);
    text.append(grant.tracked ? ",true" : ",false").append(grant.taken_back ? ",true]" : ",false]");
  }
  text += ']';
  append_rare(event, text);
  text += '}';
  return text;
}

Result<EventRecord> decode_event(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* fingerprint = text_of(*value, "fingerprint");
  const auto* contributions = value->find("contributions");
  const auto* grants = value->find("grants");
  if (fingerprint == nullptr || contributions == nullptr || contributions->list() == nullptr ||
      grants == nullptr || grants->list() == nullptr) {
    return corrupt(record);
  }
  EventRecord event{*fingerprint};
  for (const auto& item : *contributions->list()) {
    if (item.list() == nullptr || item.list()->size() != 4) return corrupt(record);
    const auto* task = text_at(*item.list(), 0);
    const auto* cycle = text_at(*item.list(), 1);
    const auto* code = integer_at(*item.list(), 3);
    if (task == nullptr || cycle == nullptr || code == nullptr) return corrupt(record);
    event.contributions.push_back({*task, *cycle, (*item.list())[2]});
    event.takings.push_back(taking_of(*code));
  }
  for (const auto& item : *grants->list()) {
    constexpr std::size_t members = 7;
    if (item.list() == nullptr || item.list()->size() != members) return corrupt(record);
    const auto& list = *item.list();
    const auto* task = text_at(list, 0);
    const auto* cycle = text_at(list, 1);
    const auto* stage = integer_at(list, 2);
    const auto* pipeline = text_at(list, 3);
    const auto* generation = integer_at(list, 4);
    const auto* tracked = list[5].boolean();
    const auto* taken_back = list[6].boolean();
    if (!task || !cycle || !stage || !pipeline || !generation || !tracked || !taken_back)
      return corrupt(record);
    event.grants.push_back({*task, *cycle, *stage, *pipeline, *generation, *tracked, *taken_back});
  }
  if (!read_rare(*value, event)) return corrupt(record);
  return event;
}

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

Value to_value(const Event& event) {
  Map map{{"merchant", event.merchant},
          {"id", event.id},
          {"user", event.user},
          {"type", event.type},
          {"at", std::int64_t{event.at.time_since_epoch().count()}},
          {"attributes", event.attributes}};
  if (!event.reverses.empty()) map.set("reverses", event.reverses);
  if (event.amount) map.set("amount", *event.amount);
  return map;
}

Result<Event> event_of(const Value& value) {
  const auto* merchant = text_of(value, "merchant");
  const auto* id = text_of(value, "id");
  const auto* user = text_of(value, "user");
  const auto* type = text_of(value, "type");
  const auto at = time_of(value, "at");
  const auto* attributes = value.find("attributes");
  if (!merchant || !id || !user || !type || !at || attributes == nullptr || attributes->map() == nullptr) {
    return fail(ErrorCode::corrupt, "a stored event lacks a member");
  }
  Event event{*merchant, *id, *user, *type, *at, *attributes->map()};
  if (const auto* reverses = text_of(value, "reverses")) event.reverses = *reverses;
  if (const auto* amount = value.find("amount"); amount != nullptr && amount->integer() != nullptr)
    event.amount = *amount->integer();
  return event;
}

std::string fingerprint_of(const Event& event) {
  // Every part ends in a zero byte, which JSON escapes, after a name that says its length.
  thread_local std::string text;  // kept for its memory
  text.clear();
  text.append(event.type).push_back('\0');
  append_number(text, event.at.time_since_epoch().count());
  for (const auto& [name, value] : event.attributes) {
    text.push_back('\0');
    append_number(text, static_cast<std::int64_t>(name.size()));
    text.append(":").append(name);
    value.append_json(text);
  }
  if (!event.reverses.empty()) {
    // It begins with a letter, where an attribute begins with the length of its name.
    text.push_back('\0');
    text.append("reverses:").append(event.reverses);
    if (event.amount) append_number(text.append(":"), *event.amount);
  }
  Sha256 hash;
  hash.update(text);
  return to_hex(hash.finish(), fingerprint_digits);
}

}  // namespace onceward::task_detail
