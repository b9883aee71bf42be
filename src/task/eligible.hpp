#pragma once
#include <onceward/task/request.hpp>

#include "task/merchants.hpp"

// Why a user may not take a task: pure, every cause at once.
namespace onceward::task_detail {

/// That it has not begun, or is over.
[[nodiscard]] std::vector<Cause> window_causes(const IndexEntry& entry, Timestamp at);
/// That events of the cycle with this end count no more, since its grace is over.
[[nodiscard]] std::optional<Cause> late_cause(const IndexEntry& entry, Timestamp cycle_end, Timestamp now);
/// When the cycle after the one with this end begins; empty where there is none.
[[nodiscard]] std::optional<Timestamp> next_cycle_at(const TaskDefinition& task,
                                                     Timestamp cycle_end) noexcept;
/// That the user took it too often, or the quota's units are gone.
void count_causes(const IndexEntry& entry, const std::optional<Record>& claims,
                  const std::optional<Record>& units, Timestamp at, std::vector<Cause>& causes);
[[nodiscard]] Cause stock_cause(const IndexEntry& entry, Timestamp at);
/// The period of the task's quota an instant lies in.
[[nodiscard]] std::string quota_period(const IndexEntry& entry, Timestamp at);
/// What a refusal for these causes is called.
[[nodiscard]] Reply::Outcome outcome_of(std::span<const Cause> causes) noexcept;

}  // namespace onceward::task_detail
