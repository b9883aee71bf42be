#include "idempotency/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace onceward::guard_detail {
namespace {

constexpr std::array<std::string_view, 4> state_names = {"claimed", "done", "failed", "released"};
constexpr int known_codes = static_cast<int>(ErrorCode::limit_exceeded) + 1;

}  // namespace

std::string encode(const KeyRecord& record) {
  std::string text;
  text.reserve(160);
  fmt::format_to(std::back_inserter(text),
                 R"({{"state":"{}","owner":"{}","attempt":{},"fence":{},"fingerprint":"{}")",
                 state_names[static_cast<std::size_t>(record.state)], record.owner, record.attempt,
                 record.fence, record.fingerprint);
  if (record.state == KeyRecord::State::done) {
    text += ",\"result\":";
    record.result.append_json(text);
  }
  if (record.state == KeyRecord::State::failed) {
    text += ",\"error\":";
    Value(Map{{"code", static_cast<int>(record.error.code)},
              {"message", record.error.message},
              {"native_code", record.error.native_code}})
        .append_json(text);
  }
  text += '}';
  return text;
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
  if (read.state == KeyRecord::State::done) {
    const auto* result = value->find("result");
    if (result == nullptr) return corrupt();
    read.result = *result;
  }
  if (read.state == KeyRecord::State::failed) {
    const auto* error = value->find("error");
    const auto* code = error == nullptr ? nullptr : error->find("code");
    const auto* message = error == nullptr ? nullptr : error->find("message");
    const auto* native = error == nullptr ? nullptr : error->find("native_code");
    if (!code || !code->integer() || *code->integer() < 0 || *code->integer() >= known_codes || !message ||
        !message->string() || !native || !native->integer()) {
      return corrupt();
    }
    read.error = {static_cast<ErrorCode>(*code->integer()), *message->string(), *native->integer()};
  }
  return read;
}

Decision decide(const KeyRecord& found, Duration lease_left, const Policy& policy, std::string_view owner,
                std::string_view fingerprint) {
  using Kind = Decision::Kind;
  // Before anything else: what another payload left behind is not this caller's to see.
  if (found.fingerprint != fingerprint) return {Kind::answer, Verdict::key_reused};
  const auto take = [&]() -> Decision {
    if (found.attempt >= policy.attempts_max) return {Kind::answer, Verdict::attempts_exhausted};
    return {Kind::take};
  };
  switch (found.state) {
    case KeyRecord::State::done:
    case KeyRecord::State::failed: return {Kind::answer, Verdict::replayed};
    case KeyRecord::State::released: return take();
    case KeyRecord::State::claimed: break;
  }
  if (found.owner == owner) return {Kind::resume};
  if (lease_left > Duration::zero()) {
    if (policy.on_busy == OnBusy::wait) return {Kind::wait, Verdict::in_progress, lease_left};
    return {Kind::answer, Verdict::in_progress, lease_left};
  }
  if (policy.on_stale == OnStale::in_doubt) return {Kind::answer, Verdict::in_doubt};
  return take();
}

}  // namespace onceward::guard_detail
