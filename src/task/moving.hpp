#pragma once
#include <onceward/pipeline/runner.hpp>

#include "task/merchants.hpp"
#include "task/progress.hpp"

// How an instance moves, whoever asks for it: an event, a request or a timer.
namespace onceward::task_detail {

[[nodiscard]] MoveFacts facts_of(const Instance& instance, const CompiledTask& task) noexcept;
/// Moves the status by the table; false where no move is defined, and nothing changes.
bool move(Instance& instance, Trigger trigger, const MoveFacts& facts) noexcept;

/// The run's input: the stage's arguments, and the user where the pipeline asks for it.
Result<Value> input_of(const Map& event, std::string_view event_id, std::string_view user,
                       const CompiledStage& stage, std::string_view task);
/// Those of a reward's arguments that its take_back pipeline has.
[[nodiscard]] Value take_back_input(const Plan& plan, const Value& input);

/// Names a unit of a quota: by its grant, so that it is taken at most once for it.
[[nodiscard]] std::string unit_name(const GrantKey& grant);
/// The todo that gives a fallen grant's unit back.
[[nodiscard]] Todo return_of(const GrantKey& grant, const Grant& fallen, std::string_view version);

/// "user/<user>" or "group/<group>", and the partition of it.
[[nodiscard]] std::string user_owner(std::string_view user);
[[nodiscard]] std::string owner_partition(std::string_view merchant, std::string_view owner);

/// Where a user's own cycles begin, and in which zone: fixed when the user began with the task.
struct Anchor {
  std::string zone;
  Timestamp from{};
};
[[nodiscard]] std::string anchor_key(std::string_view task);
[[nodiscard]] std::string encode(const Anchor& anchor);
Result<Anchor> decode_anchor(const Record& record);
/// The calendar of a task for a user. Errors: not_found (the zone is not in this machine's database).
Result<Calendar> calendar_of(const CompiledCampaign& campaign, const CompiledTask& task,
                             const Anchor& anchor);
[[nodiscard]] std::string counter_key(std::string_view task);

/// Sets the times of an instance that begins with what happened at `at`, reported `now`.
void set_deadlines(Instance& instance, const CompiledTask& task, Timestamp at, Timestamp cycle_end,
                   Timestamp now);
/// When a record that is due at a time of the clock has to be looked at, told as the storage wants it.
[[nodiscard]] Timing timing_of(const Instance& instance, Timestamp now);

}  // namespace onceward::task_detail
