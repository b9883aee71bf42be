#include "idempotency/key_record.hpp"

#include <onceward/expr/json_text.hpp>

#include "core/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward::guard_detail {
namespace {

constexpr std::array<std::string_view, 5> state_names = {"claimed", "done", "failed", "released", "in_doubt"};
constexpr std::size_t message_bytes = 4096;

/// The first bytes of a text, whole UTF-8 characters only.
std::string_view cut(std::string_view text) noexcept {
  if (text.size() <= message_bytes) return text;
  std::size_t end = message_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

Value to_value(const Error& error) {
  Map map{{"code", static_cast<int>(error.code)},
          {"message", cut(error.message)},
          {"native_code", error.native_code}};
  if (error.offset != Error::no_offset) map.set("offset", static_cast<std::int64_t>(error.offset));
  return map;
}

std::optional<Error> to_error(const Value& value) {
  const auto* code = value.find("code");
  const auto* message = value.find("message");
  const auto* native = value.find("native_code");
  if (!code || !code->integer() || *code->integer() < 0 ||
      *code->integer() >= static_cast<std::int64_t>(error_codes) || !message || !message->string() ||
      !native || !native->integer()) {
    return std::nullopt;
  }
  Error error{static_cast<ErrorCode>(*code->integer()), *message->string(), *native->integer()};
  const auto* offset = value.find("offset");
  if (offset && offset->integer()) error.offset = static_cast<std::size_t>(*offset->integer());
  return error;
}

/// How deep a well-formed JSON text is nested.
std::size_t depth_of(std::string_view json) noexcept {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

std::string_view to_string(KeyState state) noexcept { return state_names[static_cast<std::size_t>(state)]; }

Error as_stored(const Error& error) {
  auto plain = error;
  if (core_detail::first_not_utf8(plain.message) != std::string_view::npos)
    std::replace_if(
        plain.message.begin(), plain.message.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  plain.message.resize(cut(plain.message).size());
  return plain;
}

void encode_into(std::string& text, const KeyRecordView& record) {
  constexpr std::size_t without_result = 192;
  text.clear();
  text.reserve(without_result + record.result.size());
  text.append("{\"state\":\"").append(to_string(record.state));
  text.append("\",\"owner\":\"").append(record.owner).append("\",\"attempt\":");
  json_detail::append_number(text, std::int64_t{record.attempt});
  text.append(",\"fence\":");
  json_detail::append_number(text, std::int64_t{record.fence});
  text.append(",\"fingerprint\":");
  json_detail::append_text(text, record.fingerprint);
  if (!record.resolved_by.empty()) {
    text += ",\"resolved_by\":";
    json_detail::append_text(text, record.resolved_by);
    text += ",\"reason\":";
    json_detail::append_text(text, record.reason);
  }
  if (record.error != nullptr) {
    text += record.state == KeyState::done ? ",\"unstored\":" : ",\"error\":";
    to_value(*record.error).append_json(text);
  } else if (record.state == KeyState::done) {
    text.append(",\"result\":").append(record.result);
  }
  text += '}';
}

std::string encode(const KeyRecordView& record) {
  std::string text;
  encode_into(text, record);
  return text;
}

bool reads_back(std::string_view json) noexcept {
  // Most results are ASCII and flat: one look, in a loop without a way out that compilers make wide.
  unsigned char all = 0;
  unsigned nests = 0;
  for (const char c : json) {
    all = static_cast<unsigned char>(all | static_cast<unsigned char>(c));
    nests += static_cast<unsigned>(c == '[') + static_cast<unsigned>(c == '{');
  }
  const bool ascii = (all & 0x80U) == 0;
  if (!ascii && core_detail::first_not_utf8(json) != std::string_view::npos) return false;
  return nests < limits::json_depth || depth_of(json) < limits::json_depth;
}

Result<KeyRecord> decode_key_record(const Record& record) {
  const auto corrupt = [&] {
    return fail(ErrorCode::corrupt,
                fmt::format("the guard's record of key \"{}\" is not what this version writes", record.key));
  };
  const auto value = Value::from_json(record.value);
  if (!value || value->map() == nullptr) return corrupt();
  const auto text = [&](std::string_view name) -> const std::string* {
    const auto* member = value->find(name);
    return member == nullptr ? nullptr : member->string();
  };
  const auto number = [&](std::string_view name) -> const std::int64_t* {
    const auto* member = value->find(name);
    return member == nullptr ? nullptr : member->integer();
  };
  const auto* state = text("state");
  const auto* owner = text("owner");
  const auto* fingerprint = text("fingerprint");
  const auto* attempt = number("attempt");
  const auto* fence = number("fence");
  if (!state || !owner || !fingerprint || !attempt || !fence) return corrupt();
  const auto place = std::find(state_names.begin(), state_names.end(), *state);
  if (place == state_names.end()) return corrupt();
  KeyRecord read{static_cast<KeyState>(place - state_names.begin()), *owner, static_cast<int>(*attempt),
                 *fence, *fingerprint};
  if (const auto* actor = text("resolved_by")) read.resolved_by = *actor;
  if (const auto* reason = text("reason")) read.reason = *reason;
  const auto* unstored = value->find("unstored");
  read.unstored = read.state == KeyState::done && unstored != nullptr;
  if (read.has_error()) {
    const auto* stored = read.unstored ? unstored : value->find("error");
    auto error = stored == nullptr ? std::nullopt : to_error(*stored);
    if (!error) return corrupt();
    read.error = *std::move(error);
  } else if (read.state == KeyState::done) {
    const auto* result = value->find("result");
    if (result == nullptr) return corrupt();
    read.result = *result;
  }
  return read;
}

}  // namespace onceward::guard_detail
