#include "task/records.hpp"

#include <onceward/core/digest.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace onceward::task_detail {
namespace {

constexpr std::size_t fingerprint_digits = 32;
constexpr std::array<std::string_view, 3> unit_states = {"waiting", "granted", "out_of_stock"};

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

Unexpected corrupt(const Record& record) {
  return fail(ErrorCode::corrupt,
              fmt::format("the record \"{}\" is not what this version writes; look at it before going on",
                          record.key));
}

/// Reads the flat records of the hot path, written by encode() below, without building a tree.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : rest_(text) {}

  bool skip(std::string_view literal) noexcept {
    if (!rest_.starts_with(literal)) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }
  bool id(std::string& out) {
    const auto end = rest_.find('"');
    if (end == std::string_view::npos) return false;
    out.assign(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return true;
  }
  bool integer(std::int64_t& out) noexcept {
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return true;
  }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

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

std::string encode(const Instance& instance) {
  constexpr std::size_t counted_bytes = 24;
  std::string text;
  text.reserve(64 + instance.version.size() + counted_bytes * instance.counted.size());
  text.append("{\"version\":\"").append(instance.version).append("\",\"progress\":");
  append_number(text, instance.progress);
  text.append(",\"reached\":");
  append_number(text, instance.reached);
  if (!instance.counted.empty()) {
    text += ",\"counted\":";
    instance.counted.append_json(text);
  }
  text += '}';
  return text;
}

Result<Instance> decode_instance(const Record& record) {
  Instance instance;
  Cursor cursor(record.value);
  const bool head = cursor.skip("{\"version\":\"") && cursor.id(instance.version) &&
                    cursor.skip("\",\"progress\":") && cursor.integer(instance.progress) &&
                    cursor.skip(",\"reached\":") && cursor.integer(instance.reached);
  if (!head) return corrupt(record);
  if (cursor.rest() == "}") return instance;
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

std::string encode(const EventRecord& event) {
  std::string text;
  text.reserve(64 + 48 * (event.contributions.size() + event.grants.size()));
  text.append("{\"fingerprint\":\"").append(event.fingerprint).append("\",\"contributions\":[");
  for (const auto& contribution : event.contributions) {
    if (text.back() != '[') text += ',';
    text.append("[\"").append(contribution.task).append("\",\"").append(contribution.cycle).append("\",");
    contribution.amount.append_json(text);
    text += ']';
  }
  text += "],\"grants\":[";
  for (const auto& grant : event.grants) {
    if (text.back() != '[') text += ',';
    text.append("[\"").append(grant.task).append("\",\"").append(grant.cycle).append("\",");
    append_number(text, grant.stage);
    text.append(",\"").append(grant.pipeline).append(grant.quota ? "\",true]" : "\",false]");
  }
  text += "]}";
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
  EventRecord event{*fingerprint, {}, {}};
  for (const auto& item : *contributions->list()) {
    if (item.list() == nullptr || item.list()->size() != 3) return corrupt(record);
    const auto* task = text_at(*item.list(), 0);
    const auto* cycle = text_at(*item.list(), 1);
    if (task == nullptr || cycle == nullptr) return corrupt(record);
    event.contributions.push_back({*task, *cycle, (*item.list())[2]});
  }
  for (const auto& item : *grants->list()) {
    if (item.list() == nullptr || item.list()->size() != 5) return corrupt(record);
    const auto& list = *item.list();
    const auto* task = text_at(list, 0);
    const auto* cycle = text_at(list, 1);
    const auto* stage = integer_at(list, 2);
    const auto* pipeline = text_at(list, 3);
    const auto* quota = list[4].boolean();
    if (!task || !cycle || !stage || !pipeline || !quota) return corrupt(record);
    event.grants.push_back({*task, *cycle, *stage, *pipeline, *quota});
  }
  return event;
}

std::string unit_key(std::string_view task, std::string_view cycle, std::int64_t stage) {
  return fmt::format("{}{}/{}/{}", unit_prefix, task, cycle, stage);
}

std::string encode(const UnitRecord& unit) {
  return Value(Map{{"state", unit_states[static_cast<std::size_t>(unit.state)]},
                   {"grant", to_run_key(unit.grant)},
                   {"version", unit.version},
                   {"period", unit.period},
                   {"input", unit.input}})
      .to_json();
}

Result<UnitRecord> decode_unit(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* state = text_of(*value, "state");
  const auto* run_key = text_of(*value, "grant");
  const auto* version = text_of(*value, "version");
  const auto* period = text_of(*value, "period");
  const auto* input = value->find("input");
  if (!state || !run_key || !version || !period || input == nullptr) return corrupt(record);
  const auto place = std::find(unit_states.begin(), unit_states.end(), *state);
  auto grant = parse_run_key(*run_key);
  if (place == unit_states.end() || !grant) return corrupt(record);
  return UnitRecord{static_cast<UnitRecord::State>(place - unit_states.begin()), *std::move(grant), *version,
                    *period, *input};
}

std::string fingerprint_of(const Event& event) {
  // Every part ends in a zero byte, which JSON escapes, after a name that says its length.
  std::string text;
  text.reserve(256);
  text.append(event.type).push_back('\0');
  append_number(text, event.at.time_since_epoch().count());
  for (const auto& [name, value] : event.attributes) {
    text.push_back('\0');
    append_number(text, static_cast<std::int64_t>(name.size()));
    text.append(":").append(name);
    value.append_json(text);
  }
  Sha256 hash;
  hash.update(text);
  return to_hex(hash.finish(), fingerprint_digits);
}

}  // namespace onceward::task_detail
