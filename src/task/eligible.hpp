#pragma once
#include <onceward/task/request.hpp>

#include "task/merchants.hpp"

// Why a user may not take a task: pure, every cause at once.
namespace onceward::task_detail {

/// That it is not in force, has not begun, or is over.
[[nodiscard]] std::vector<Cause> window_causes(const IndexEntry& entry, Timestamp at);
/// That the user took it too often, or the quota's units are gone.
void count_causes(const IndexEntry& entry, const std::optional<Record>& claims,
                  const std::optional<Record>& units, Timestamp at, std::vector<Cause>& causes);
[[nodiscard]] Cause stock_cause(const IndexEntry& entry, Timestamp at);
/// The period of the task's quota an instant lies in.
[[nodiscard]] std::string quota_period(const IndexEntry& entry, Timestamp at);
/// What a refusal for these causes is called.
[[nodiscard]] Reply::Outcome outcome_of(std::span<const Cause> causes) noexcept;

}  // namespace onceward::task_detail
