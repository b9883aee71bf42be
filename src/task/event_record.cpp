#include "task/flat_text.hpp"
#include "task/record_parts.hpp"

namespace onceward::task_detail {
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

}  // namespace onceward::task_detail
