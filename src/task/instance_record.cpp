#include "task/flat_text.hpp"
#include "task/record_parts.hpp"

#include <algorithm>
#include <array>

namespace onceward::task_detail {

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

constexpr std::array<std::string_view, 6> grant_states = {"earned",       "waiting", "granted",
                                                          "out_of_stock", "voided",  "revoked"};
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

}  // namespace onceward::task_detail
