#pragma once
#include "task/compiled.hpp"
#include "task/records.hpp"

namespace onceward::task_detail {

/// Distinct values and streak periods an instance remembers; targets above are refused when compiled, so what
/// is not remembered could not have changed a reward.
inline constexpr std::int64_t most_counted = 2000;

/// What one rule makes of one event: an amount to add, or a value to count.
struct Contributed {
  std::int64_t add = 0;
  Value counted{};  ///< a string, integer or boolean for distinct; the period's number for a streak
};

/// The contribution of `event` under a rule; nothing where its `when` is false. Pure.
/// Errors: those of the expressions, with the rule's place in the message; wrong_kind for an amount that is
/// no integer or a distinct value that has no text form.
Result<std::optional<Contributed>> contribution_of(const CompiledTask& task, std::size_t rule,
                                                   const Zone& zone, std::span<const Binding> names,
                                                   Timestamp at);

/// Applies a contribution and gives the numbers (from 1) of the stages it made the instance reach. Pure.
/// Errors: out_of_range where the sum leaves 64 bits; the instance is unchanged then.
Result<std::vector<std::int64_t>> advance(Instance& instance, const CompiledTask& task,
                                          const Contributed& contributed);

}  // namespace onceward::task_detail
