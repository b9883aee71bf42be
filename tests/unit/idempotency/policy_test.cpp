// Every field of Policy: checked when it is built, named where it is wrong, changed by name.
#include <onceward/core/limits.hpp>
#include <onceward/expr/value.hpp>
#include <onceward/idempotency/guard.hpp>
#include <onceward/idempotency/policy.hpp>
#include <onceward/storage/memory.hpp>

#include "support/catch.hpp"

#include <limits>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

void refused(const Policy& policy, std::string_view field) {
  const auto checked = policy.check();
  INFO(field);
  REQUIRE_FALSE(checked.has_value());
  CHECK(checked.error().code == ErrorCode::invalid_argument);
  CHECK(checked.error().message.find("Policy::" + std::string(field) + " ") == 0);
}

/// The policy with one field laid over the defaults.
Result<Policy> with(const std::string& name, Value value) {
  Map fields;
  fields.set(name, std::move(value));
  return with_overrides(Policy(), fields);
}

void takes(const std::string& name, Value value) {
  INFO(name << " " << value.to_json());
  CHECK(with(name, std::move(value)).has_value());
}

void takes_not(const std::string& name, Value value) {
  INFO(name << " " << value.to_json());
  const auto changed = with(name, std::move(value));
  REQUIRE_FALSE(changed.has_value());
  CHECK(changed.error().code == ErrorCode::invalid_argument);
  // Policy::check names the field without the unit that the map's name carries.
  auto field = name;
  if (field.ends_with("_ms")) field.resize(field.size() - 3);
  CHECK(changed.error().message.find("Policy::" + field) == 0);
}

}  // namespace

TEST_CASE("the defaults of a policy hold together") {
  CHECK(Policy().check().has_value());
  CHECK(with_overrides(Policy(), Map()).has_value());
}

TEST_CASE(
    "a policy refuses values that are none of a choice's, paths without names, and itself as a fallback") {
  for (const int none : {-1, 9}) {
    Policy policy;
    policy.on_stale = static_cast<OnStale>(none);
    refused(policy, "on_stale");
    policy = {};
    policy.on_busy = static_cast<OnBusy>(none);
    refused(policy, "on_busy");
    policy = {};
    policy.on_duplicate = static_cast<OnDuplicate>(none);
    refused(policy, "on_duplicate");
    policy = {};
    policy.on_storage_down = static_cast<OnStorageDown>(none);
    refused(policy, "on_storage_down");
    policy = {};
    policy.acknowledge = static_cast<Acknowledge>(none);
    refused(policy, "acknowledge");
  }
  for (const auto* path : {"", ".", "..", "a.", ".a", "a..b"}) {
    INFO(path);
    refused({.fingerprint_without = {"fine", path}}, "fingerprint_without");
  }
  const auto storage = open_memory().value();
  Policy policy{
      .on_storage_down = OnStorageDown::fallback, .fallback = storage.get(), .storage = storage.get()};
  refused(policy, "fallback");
  policy.storage = nullptr;
  CHECK(policy.check().has_value());
  CHECK(Guard::claim(*storage, "k", policy).error().message.find("Policy::fallback") == 0);
}

TEST_CASE("a policy's bounds are refused one step outside and taken on the line [guard-36]") {
  const Duration longest(limits::duration_us);
  for (auto [field, name] : std::vector<std::pair<Duration Policy::*, std::string>>{
           {&Policy::lease, "lease"},
           {&Policy::retention, "retention"},
           {&Policy::wait_limit, "wait_limit"},
           {&Policy::record_limit, "record_limit"},
           {&Policy::replay_cache_for, "replay_cache_for"}}) {
    Policy policy{.lease = 1us, .retention = longest};
    for (const auto wrong : {Duration(0), Duration(-1), longest + 1us, Duration::max(), Duration::min()}) {
      policy.*field = wrong;
      refused(policy, name);
    }
    policy.*field = longest;
    CHECK(policy.check().has_value());
    policy.retention = longest;
    policy.*field = 1us;
    CHECK(policy.check().has_value());
  }
  refused({.lease = 2us, .retention = 1us}, "retention");
  CHECK(Policy{.lease = 1us, .retention = 1us}.check().has_value());
  refused({.attempts_max = 0}, "attempts_max");
  refused({.attempts_max = 1'000'001}, "attempts_max");
  refused({.attempts_max = std::numeric_limits<int>::min()}, "attempts_max");
  CHECK(Policy{.attempts_max = 1'000'000}.check().has_value());
  refused({.result_bytes_max = 0}, "result_bytes_max");
  refused({.result_bytes_max = limits::value_bytes - 4095}, "result_bytes_max");
  CHECK(Policy{.result_bytes_max = limits::value_bytes - 4096}.check().has_value());
  refused({.replay_cache = 1'000'001}, "replay_cache");
  CHECK(Policy{.replay_cache = 1'000'000}.check().has_value());
}

TEST_CASE("an operation's name is short, and of few characters") {
  const std::vector<std::string> wrong = {
      "", "Grant", "a b", "a/b", "\xc3\xa4", std::string(65, 'a'), std::string("a\0b", 3)};
  for (const auto& name : wrong) refused({.operation = name}, "operation");
  const std::vector<std::string> fine = {"a", "points.grant_v2-x", std::string(64, '9')};
  for (const auto& name : fine) CHECK(Policy{.operation = name}.check().has_value());
}

TEST_CASE("a fallback is needed where it is asked for, and only there") {
  const auto storage = open_memory().value();
  refused({.on_storage_down = OnStorageDown::fallback}, "fallback");
  CHECK(Policy{.on_storage_down = OnStorageDown::fallback, .fallback = storage.get()}.check().has_value());
  CHECK(Policy{.on_storage_down = OnStorageDown::fail_open, .fallback = storage.get()}.check().has_value());
}

TEST_CASE("each field is changed by its name, to what was said") {
  Map fields{{"lease_ms", 1500},        {"retention_ms", 90'000},
             {"auto_renew", true},      {"on_duplicate", "raise"},
             {"on_busy", "wait"},       {"wait_limit_ms", 7},
             {"on_stale", "reconcile"}, {"on_storage_down", "fail_open"},
             {"attempts_max", 3},       {"result_bytes_max", 4000},
             {"record_limit_ms", 11},   {"acknowledge", "post"},
             {"fingerprint", false},    {"fingerprint_without", List{"trace_id", "meta.sent_at"}},
             {"replay_cache", 12},      {"replay_cache_for_ms", 13}};
  const auto changed = with_overrides({.operation = "kept"}, fields).value();
  CHECK(changed.operation == "kept");
  CHECK(changed.lease == 1500ms);
  CHECK(changed.retention == 90s);
  CHECK(changed.auto_renew);
  CHECK(changed.on_duplicate == OnDuplicate::raise);
  CHECK(changed.on_busy == OnBusy::wait);
  CHECK(changed.wait_limit == 7ms);
  CHECK(changed.on_stale == OnStale::reconcile);
  CHECK(changed.on_storage_down == OnStorageDown::fail_open);
  CHECK(changed.attempts_max == 3);
  CHECK(changed.result_bytes_max == 4000);
  CHECK(changed.record_limit == 11ms);
  CHECK(changed.acknowledge == Acknowledge::post);
  CHECK_FALSE(changed.fingerprint);
  CHECK(changed.fingerprint_without == std::vector<std::string>{"trace_id", "meta.sent_at"});
  CHECK(changed.replay_cache == 12);
  CHECK(changed.replay_cache_for == 13ms);
}

TEST_CASE("each choice of a field is taken by its name, and no other word") {
  for (const auto* word : {"replay", "code", "raise"}) takes("on_duplicate", word);
  for (const auto* word : {"reject", "wait"}) takes("on_busy", word);
  for (const auto* word : {"takeover", "in_doubt", "reconcile"}) takes("on_stale", word);
  for (const auto* word : {"fail_closed", "fail_open"}) takes("on_storage_down", word);
  for (const auto* word : {"await", "post"}) takes("acknowledge", word);
  for (const auto* field : {"on_duplicate", "on_busy", "on_stale", "on_storage_down", "acknowledge"}) {
    for (const auto* word : {"", "no such word", "Replay", "replay "}) takes_not(field, word);
  }
  // Without a second storage in the policy it cannot be asked for.
  const auto fallback = with("on_storage_down", "fallback");
  CHECK(fallback.error().message.find("Policy::fallback") == 0);
}

TEST_CASE("a field of every other kind is refused by its name") {
  const std::vector<Value> all = {
      Value(), Value(true), Value(5), Value(1.5), Value("a word"), Value(List{"x"}), Value(Map{{"x", 1}})};
  const std::vector<std::pair<std::string, Value::Kind>> fields = {
      {"lease_ms", Value::Kind::integer},        {"retention_ms", Value::Kind::integer},
      {"auto_renew", Value::Kind::boolean},      {"on_duplicate", Value::Kind::string},
      {"on_busy", Value::Kind::string},          {"wait_limit_ms", Value::Kind::integer},
      {"on_stale", Value::Kind::string},         {"on_storage_down", Value::Kind::string},
      {"attempts_max", Value::Kind::integer},    {"result_bytes_max", Value::Kind::integer},
      {"record_limit_ms", Value::Kind::integer}, {"acknowledge", Value::Kind::string},
      {"fingerprint", Value::Kind::boolean},     {"fingerprint_without", Value::Kind::list},
      {"replay_cache", Value::Kind::integer},    {"replay_cache_for_ms", Value::Kind::integer}};
  for (const auto& [field, kind] : fields) {
    for (const auto& value : all) {
      if (value.kind() != kind) takes_not(field, value);
    }
  }
  takes_not("fingerprint_without", List{"fine", 5});
  takes_not("fingerprint_without", List{Value()});
}

TEST_CASE("numbers that do not fit their field are refused, however large") {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  for (const auto* field : {"lease_ms", "retention_ms", "wait_limit_ms", "record_limit_ms",
                            "replay_cache_for_ms", "attempts_max", "result_bytes_max", "replay_cache"}) {
    takes_not(field, most);
    takes_not(field, -1);
    takes_not(field, std::numeric_limits<std::int64_t>::min());
  }
  for (const auto* field : {"lease_ms", "retention_ms", "wait_limit_ms", "record_limit_ms",
                            "replay_cache_for_ms", "attempts_max", "result_bytes_max"})
    takes_not(field, 0);
  takes("replay_cache", 0);
  takes_not("attempts_max", std::int64_t{1} << 32);
}

TEST_CASE("what cannot be changed so, or is no field, is refused by name") {
  for (const auto* field :
       {"operation", "storage", "fallback", "classify", "lease", "lease_s", "", "Lease_ms"})
    takes_not(field, "x");
  CHECK(with_overrides({}, Value(5)).error().code == ErrorCode::invalid_argument);
  CHECK(with_overrides({}, Value(List{})).error().code == ErrorCode::invalid_argument);
  CHECK(with_overrides({}, Value()).error().code == ErrorCode::invalid_argument);
  // Two fields that only hold together hold together.
  CHECK(with_overrides({}, Map{{"lease_ms", 700'000'000}}).error().message.find("Policy::retention") == 0);
  CHECK(with_overrides({}, Map{{"lease_ms", 700'000'000}, {"retention_ms", 700'000'000}}).has_value());
}

TEST_CASE("an error's class follows from what its code advises") {
  for (std::size_t i = 0; i < error_codes; ++i) {
    const Error error{static_cast<ErrorCode>(i), "x"};
    const auto advice = retry_advice(error.code);
    const auto expected = advice == RetryAdvice::retry       ? ErrorClass::retryable
                          : advice == RetryAdvice::read_back ? ErrorClass::in_doubt
                                                             : ErrorClass::final;
    CHECK(classify_error(error) == expected);
  }
}
