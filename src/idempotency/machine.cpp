#include "idempotency/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace onceward::guard_detail {
namespace {

constexpr std::array<std::string_view, 4> state_names = {"claimed", "done", "failed", "released"};
constexpr int known_codes = static_cast<int>(ErrorCode::limit_exceeded) + 1;
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
  if (!code || !code->integer() || *code->integer() < 0 || *code->integer() >= known_codes || !message ||
      !message->string() || !native || !native->integer()) {
    return std::nullopt;
  }
  Error error{static_cast<ErrorCode>(*code->integer()), *message->string(), *native->integer()};
  const auto* offset = value.find("offset");
  if (offset && offset->integer()) error.offset = static_cast<std::size_t>(*offset->integer());
  return error;
}

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

}  // namespace

std::string encode(const KeyRecordView& record) {
  constexpr std::size_t without_result = 192;
  const auto* const result = record.result == nullptr ? nullptr : record.result->string();
  std::string text;
  text.reserve(without_result + (result == nullptr ? 0 : result->size()));
  text.append("{\"state\":\"").append(state_names[static_cast<std::size_t>(record.state)]);
  text.append("\",\"owner\":\"").append(record.owner).append("\",\"attempt\":");
  append_number(text, record.attempt);
  text.append(",\"fence\":");
  append_number(text, record.fence);
  text.append(",\"fingerprint\":\"").append(record.fingerprint).append("\"");
  if (record.error != nullptr) {
    text += record.state == KeyState::done ? ",\"unstored\":" : ",\"error\":";
    to_value(*record.error).append_json(text);
  } else if (record.state == KeyState::done) {
    text += ",\"result\":";
    record.result->append_json(text);
  }
  text += '}';
  return text;
}

bool reads_back(std::string_view encoded, const Value& result) {
  // Only text beyond ASCII can be no UTF-8, and only lists and maps can be nested too deeply: most need no
  // parser. There is no way out of the loop, so that compilers turn it into a few wide instructions.
  unsigned char all = 0;
  for (const char c : encoded) all = static_cast<unsigned char>(all | static_cast<unsigned char>(c));
  const bool ascii = (all & 0x80U) == 0;
  if (ascii && result.list() == nullptr && result.map() == nullptr) return true;
  return Value::from_json(encoded).has_value();
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
  KeyRecord read{static_cast<KeyRecord::State>(place - state_names.begin()), *owner,
                 static_cast<int>(*attempt), *fence, *fingerprint};
  const auto* unstored = value->find("unstored");
  read.unstored = read.state == KeyRecord::State::done && unstored != nullptr;
  if (read.has_error()) {
    const auto* stored = read.unstored ? unstored : value->find("error");
    auto error = stored == nullptr ? std::nullopt : to_error(*stored);
    if (!error) return corrupt();
    read.error = *std::move(error);
  } else if (read.state == KeyRecord::State::done) {
    const auto* result = value->find("result");
    if (result == nullptr) return corrupt();
    read.result = *result;
  }
  return read;
}

Decision decide(const KeyRecord& found, Duration lease_left, const Policy& policy, std::string_view owner,
                std::string_view fingerprint) {
  using Kind = Decision::Kind;
  // Before anything else: what another payload left behind is not this caller's to see.
  const bool compared = !found.fingerprint.empty() && !fingerprint.empty();
  if (compared && found.fingerprint != fingerprint) return {Kind::answer, Verdict::key_reused};
  const auto take = [&]() -> Decision {
    if (found.attempt >= policy.attempts_max) return {Kind::answer, Verdict::attempts_exhausted};
    return {Kind::take};
  };
  switch (found.state) {
    case KeyRecord::State::done:
      return {Kind::answer, found.unstored ? Verdict::result_unavailable : Verdict::replayed};
    case KeyRecord::State::failed: return {Kind::answer, Verdict::replayed};
    case KeyRecord::State::released: return take();
    case KeyRecord::State::claimed: break;
  }
  if (lease_left > Duration::zero()) {
    if (found.owner == owner) return {Kind::resume};
    if (policy.on_busy == OnBusy::wait) return {Kind::wait, Verdict::in_progress, lease_left};
    return {Kind::answer, Verdict::in_progress, lease_left};
  }
  if (policy.on_stale == OnStale::in_doubt) return {Kind::answer, Verdict::in_doubt};
  return take();
}

}  // namespace onceward::guard_detail
