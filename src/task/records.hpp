#pragma once
#include <onceward/task/event.hpp>

#include <string>
#include <string_view>

// What the task room stores, as readable JSON. Partitions: "<merchant>/user/<user>" for all that is one
// user's,
// "<merchant>/quota/<task>" for the units of a quota, "<merchant>/definitions" for published versions.
namespace onceward::task_detail {

[[nodiscard]] std::string user_partition(std::string_view merchant, std::string_view user);
[[nodiscard]] std::string quota_partition(std::string_view merchant, std::string_view task);
[[nodiscard]] std::string definitions_partition(std::string_view merchant);

/// "instance/<task>/<cycle>": a user's progress.
struct Instance {
  std::string version;  ///< of the task, pinned when the instance began
  std::int64_t progress = 0;
  std::int64_t reached = 0;  ///< stages reached, from the first
  Map counted{};             ///< distinct values, or numbers of a streak's periods -> how many events
};
[[nodiscard]] std::string instance_key(std::string_view task, std::string_view cycle);
[[nodiscard]] std::string encode(const Instance& instance);
Result<Instance> decode_instance(const Record& record);

/// "event/<id>": that an event was applied, and its receipt.
struct EventRecord {
  std::string fingerprint;
  std::vector<Contribution> contributions;
  struct Grant {
    std::string task;
    std::string cycle;
    std::int64_t stage = 1;
    std::string pipeline;
    bool quota = false;  ///< whether there is a unit record that says how it went
  };
  std::vector<Grant> grants;
};
[[nodiscard]] std::string event_key(std::string_view id);
[[nodiscard]] std::string encode(const EventRecord& event);
Result<EventRecord> decode_event(const Record& record);

/// "unit/<task>/<cycle>/<stage>": a reward under a quota, from the moment its stage was reached. While it
/// waits for its unit the record is due, so that work() finds what a dead process left.
struct UnitRecord {
  enum class State : std::uint8_t { waiting, granted, out_of_stock };
  State state = State::waiting;
  GrantKey grant;
  std::string version;  ///< of the task
  std::string period;   ///< of the quota the unit counts in
  Value input{};        ///< of the run
};
inline constexpr std::string_view unit_prefix = "unit/";
[[nodiscard]] std::string unit_key(std::string_view task, std::string_view cycle, std::int64_t stage);
[[nodiscard]] std::string encode(const UnitRecord& unit);
Result<UnitRecord> decode_unit(const Record& record);

/// 32 hexadecimal digits of SHA-256 over what the event says: the same id with another one is a conflict.
[[nodiscard]] std::string fingerprint_of(const Event& event);

}  // namespace onceward::task_detail
