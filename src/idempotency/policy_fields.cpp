#include <onceward/expr/value.hpp>
#include <onceward/idempotency/policy.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <span>

namespace onceward {
namespace {

template <class E>
struct Choice {
  std::string_view name;
  E value;
};

constexpr std::array<Choice<OnDuplicate>, 3> on_duplicates = {
    {{"replay", OnDuplicate::replay}, {"code", OnDuplicate::code}, {"raise", OnDuplicate::raise}}};
constexpr std::array<Choice<OnBusy>, 2> on_busies = {{{"reject", OnBusy::reject}, {"wait", OnBusy::wait}}};
constexpr std::array<Choice<OnStale>, 3> on_stales = {
    {{"takeover", OnStale::takeover}, {"in_doubt", OnStale::in_doubt}, {"reconcile", OnStale::reconcile}}};
constexpr std::array<Choice<OnStorageDown>, 3> on_downs = {{{"fail_closed", OnStorageDown::fail_closed},
                                                            {"fail_open", OnStorageDown::fail_open},
                                                            {"fallback", OnStorageDown::fallback}}};
constexpr std::array<Choice<Acknowledge>, 2> acknowledges = {
    {{"await", Acknowledge::await}, {"post", Acknowledge::post}}};

Unexpected refuse(std::string_view field, const std::string& why) {
  return fail(ErrorCode::invalid_argument, fmt::format("Policy::{} {}", field, why));
}

/// Lays one field over a policy: what kind of field it is, is chosen by its type.
class Field {
 public:
  Field(std::string_view name, const Value& value) : name_(name), value_(value) {}

  Result<void> to(bool& field) const {
    if (value_.boolean() == nullptr) return wrong("true or false");
    field = *value_.boolean();
    return {};
  }
  Result<void> to(Duration& field) const {
    if (value_.integer() == nullptr) return wrong("an integer of milliseconds");
    constexpr std::int64_t most = std::int64_t{100} * 365 * 86400 * 1000;
    if (*value_.integer() < 0 || *value_.integer() > most)
      return refuse(name_, fmt::format("is {} ms; it must lie between 0 and {}", *value_.integer(), most));
    field = std::chrono::milliseconds(*value_.integer());
    return {};
  }
  template <std::integral Number>
  requires(!std::same_as<Number, bool>) Result<void> to(Number& field)
  const {
    if (value_.integer() == nullptr) return wrong("an integer");
    if (!std::in_range<Number>(*value_.integer()))
      return refuse(name_, fmt::format("is {}; that is out of its range", *value_.integer()));
    field = static_cast<Number>(*value_.integer());
    return {};
  }
  Result<void> to(std::vector<std::string>& field) const {
    if (value_.list() == nullptr) return wrong("a list of names");
    field.clear();
    for (const auto& name : *value_.list()) {
      if (name.string() == nullptr) return wrong("a list of names");
      field.push_back(*name.string());
    }
    return {};
  }
  template <class E, std::size_t n>
  Result<void> to(E& field, const std::array<Choice<E>, n>& choices) const {
    const auto* const text = value_.string();
    const auto found = std::find_if(choices.begin(), choices.end(),
                                    [&](const auto& choice) { return text && choice.name == *text; });
    if (found != choices.end()) {
      field = found->value;
      return {};
    }
    std::string known;
    for (const auto& choice : choices) known += (known.empty() ? "" : ", ") + std::string(choice.name);
    return wrong("one of " + known);
  }

 private:
  Result<void> wrong(const std::string& needed) const {
    return refuse(name_, fmt::format("is {}; it must be {}", with_article(value_.kind()), needed));
  }
  std::string_view name_;
  const Value& value_;
};

Result<void> lay_over(Policy& policy, std::string_view name, const Value& value) {
  const Field field(name, value);
  if (name == "lease_ms") return field.to(policy.lease);
  if (name == "retention_ms") return field.to(policy.retention);
  if (name == "auto_renew") return field.to(policy.auto_renew);
  if (name == "on_duplicate") return field.to(policy.on_duplicate, on_duplicates);
  if (name == "on_busy") return field.to(policy.on_busy, on_busies);
  if (name == "wait_limit_ms") return field.to(policy.wait_limit);
  if (name == "on_stale") return field.to(policy.on_stale, on_stales);
  if (name == "on_storage_down") return field.to(policy.on_storage_down, on_downs);
  if (name == "attempts_max") return field.to(policy.attempts_max);
  if (name == "result_bytes_max") return field.to(policy.result_bytes_max);
  if (name == "record_limit_ms") return field.to(policy.record_limit);
  if (name == "acknowledge") return field.to(policy.acknowledge, acknowledges);
  if (name == "fingerprint") return field.to(policy.fingerprint);
  if (name == "fingerprint_without") return field.to(policy.fingerprint_without);
  if (name == "replay_cache") return field.to(policy.replay_cache);
  if (name == "replay_cache_for_ms") return field.to(policy.replay_cache_for);
  return refuse(
      name,
      "is no field that can be changed; known are lease_ms, retention_ms, auto_renew, on_duplicate, "
      "on_busy, wait_limit_ms, on_stale, on_storage_down, attempts_max, result_bytes_max, "
      "record_limit_ms, acknowledge, fingerprint, fingerprint_without, replay_cache, "
      "replay_cache_for_ms and, with Guards, storage");
}

}  // namespace

Result<Policy> with_overrides(Policy base, const Value& fields) {
  if (fields.map() == nullptr)
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("changes of a Policy are a map of its fields, not {}", with_article(fields.kind())));
  for (const auto& [name, value] : *fields.map()) {
    if (auto laid = lay_over(base, name, value); !laid) return fail(std::move(laid).error());
  }
  if (auto fine = base.check(); !fine) return fail(std::move(fine).error());
  return base;
}

}  // namespace onceward
