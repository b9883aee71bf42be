#pragma once
#include <onceward/task/event.hpp>
#include <onceward/task/status.hpp>

#include <string>
#include <string_view>

// What the task room stores, as readable JSON. Partitions: "<merchant>/user/<user>" for all that is one
// user's,
// "<merchant>/quota/<task>" for the units of a quota, "<merchant>/definitions" for published versions: what
// each stands for ("task/..."), and XML it can be compiled from again ("source/...").
namespace onceward::task_detail {

[[nodiscard]] std::string user_partition(std::string_view merchant, std::string_view user);
[[nodiscard]] std::string quota_partition(std::string_view merchant, std::string_view task);
[[nodiscard]] std::string definitions_partition(std::string_view merchant);

/// A reward of a tracked task, from the moment its stage was reached.
struct Grant {
  enum class State : std::uint8_t {
    earned,        ///< waits for collect()
    waiting,       ///< for a unit of the quota
    granted,       ///< its run exists
    out_of_stock,  ///< there was no unit left
    voided,        ///< never issued: what earned it was taken back, or its time passed
    revoked,       ///< issued, and taken back
  };
  std::int64_t stage = 1;
  std::int64_t generation = 1;
  State state = State::earned;
  bool collected = false;  ///< what follows a unit: the run, or waiting for collect()
  bool unit = false;       ///< holds one, or may: it has to be given back
  std::string period{};    ///< of the quota its unit counts in
  Value input{};           ///< of its run, kept for as long as a run may still need it

  friend bool operator==(const Grant&, const Grant&) = default;
};

/// "instance/<task>/<cycle>", or a line of "board": a user's progress.
struct Instance {
  std::string version;  ///< of the task, pinned when the instance began
  std::int64_t progress = 0;
  std::int64_t reached = 0;  ///< stages reached, from the first
  Status status = Status::in_progress;
  Map counted{};  ///< distinct values, a streak's periods, or rules -> how often, or their sum
  std::string reason{};
  std::optional<Timestamp> claimed_at{};
  std::optional<Timestamp> deadline{};  ///< to reach the last stage: events after it do not count
  /// Where its first event came late: when it expires by the storage's clock. Unset: at the deadline.
  std::optional<Timestamp> expires{};
  std::optional<Timestamp> collect_until{};  ///< of the rewards that wait
  std::vector<Grant> grants{};               ///< of a tracked task: the latest generation of each stage
  std::string unit{};                        ///< the name of the unit taken at the claim
  std::vector<std::string> members{};        ///< of a group's: who shares it
  /// How many of a member's contributions stand; -1: he came before they were counted.
  std::vector<std::int64_t> shares{};

  friend bool operator==(const Instance&, const Instance&) = default;

  /// Null where the stage has not been reached, or the task is not tracked.
  [[nodiscard]] Grant* grant_of(std::int64_t stage) noexcept;
  [[nodiscard]] const Grant* grant_of(std::int64_t stage) const noexcept {
    return const_cast<Instance*>(this)->grant_of(stage);
  }
  /// Stages that were rewarded as they were reached, by a version that keeps no record of it.
  [[nodiscard]] std::vector<std::int64_t> untracked() const;
  /// When it has to be looked at: the earlier of its deadlines that still count.
  [[nodiscard]] std::optional<Timestamp> due() const noexcept;
};
inline constexpr std::string_view instance_prefix = "instance/";
[[nodiscard]] std::string instance_key(std::string_view task, std::string_view cycle);
[[nodiscard]] std::string encode(const Instance& instance);
Result<Instance> decode_instance(const Record& record);
/// Whether it is a version, a progress and a status, and nothing else: it may stand on the user's board.
[[nodiscard]] bool is_plain(const Instance& instance) noexcept;
/// The task and cycle an instance's key names.
[[nodiscard]] std::pair<std::string_view, std::string_view> parse_instance_key(std::string_view key) noexcept;

/// How a contribution may be taken back.
struct Taking {
  std::int64_t rule = 0;   ///< match all and any: the rule, from 1
  bool divisible = false;  ///< in parts
  bool early = false;      ///< streak: within the grace

  friend bool operator==(const Taking&, const Taking&) = default;
};

/// "event/<id>": that an event was applied, and its receipt. One without fingerprint: a reversal came before
/// its event, or the event is stored and waits.
struct EventRecord {
  struct Grant {
    std::string task;
    std::string cycle;
    std::int64_t stage = 1;
    std::string pipeline;
    std::int64_t generation = 1;
    bool tracked = false;  ///< whether the instance says how it went
    bool taken_back = false;
  };
  std::string fingerprint{};
  std::vector<Contribution> contributions{};
  std::vector<Taking> takings{};  ///< one for each contribution
  std::vector<Grant> grants{};
  std::vector<Skipped> skipped{};
  std::string reverses{};
  std::vector<std::pair<std::string, std::string>> passed_on{};  ///< owner and task: who else it counts for
  bool gone = false;                                             ///< taken back wholly
  std::int64_t taken = 0;                                        ///< taken back in parts
  std::string cycle{};                                           ///< of a request: the one it was for
  std::string waiting{};  ///< the fingerprint of a stored event, until work() has applied or refused it
};
[[nodiscard]] std::string event_key(std::string_view id);
/// "passed/<user>:<task>:<id>": the same for an event of another user that counts here.
[[nodiscard]] std::string passed_on_key(std::string_view user, std::string_view task, std::string_view id);
[[nodiscard]] std::string encode(const EventRecord& event);
Result<EventRecord> decode_event(const Record& record);

/// "todo/<kind>/...": work that a batch leaves for after it, due where the process that owes it dies.
struct Todo {
  enum class Kind : std::uint8_t {
    take_unit,    ///< of a quota, for the grant
    return_unit,  ///< `unit` of `period`
    take_back,    ///< run the stage's take_back pipeline once the reward's own run has ended
    pass_on,      ///< apply `event` for `owner`
    apply,        ///< `event`, stored by report_async
    claim,        ///< a claim that waits for its unit: given up where its process died
    member,       ///< the runs of a group's members
  };
  Kind kind = Kind::take_unit;
  GrantKey grant{};       ///< merchant, user, task, cycle; stage and generation where a grant is meant
  std::string unit{};     ///< its name
  std::string period{};   ///< of the quota
  std::string version{};  ///< of the task
  std::string owner{};    ///< pass_on: whose event it is there
  /// member: whom `event` rewards; empty: the grant's user alone, with `input`.
  std::vector<std::string> members{};
  Value input{};  ///< of the run
  Value event{};
  std::int64_t reduced = 0;  ///< pass_on: taken back before it came
  std::string error{};       ///< apply: why it was refused; it is due no more then
  std::int64_t tries = 0;    ///< how often it was looked at and could not be done
};
inline constexpr std::string_view todo_prefix = "todo/";
[[nodiscard]] std::string todo_key(const Todo& todo);
[[nodiscard]] std::string encode(const Todo& todo);
Result<Todo> decode_todo(const Record& record);

[[nodiscard]] Value to_value(const Event& event);
Result<Event> event_of(const Value& value);

/// 32 hexadecimal digits of SHA-256 over what the event says: the same id with another one is a conflict.
[[nodiscard]] std::string fingerprint_of(const Event& event);

}  // namespace onceward::task_detail
