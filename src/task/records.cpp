#include <onceward/core/digest.hpp>

#include "task/flat_text.hpp"
#include "task/record_parts.hpp"

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::size_t fingerprint_digits = 32;

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

std::string event_key(std::string_view id) {
  std::string key("event/");
  key.append(id);
  return key;
}

std::string passed_on_key(std::string_view user, std::string_view task, std::string_view id) {
  // The user's length stands before it, and a task's id has no colon: no two of them share a key.
  return fmt::format("passed/{}:{}:{}:{}", user.size(), user, task, id);
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
