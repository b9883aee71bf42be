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
  Taking taking{};

  /// Whether it is more than an amount of nothing.
  [[nodiscard]] bool stands() const { return add != 0 || !counted.is_null(); }
  /// As receipts and records name it.
  [[nodiscard]] Value amount() const { return counted.is_null() ? Value(add) : counted; }
};
/// The contribution a record holds.
[[nodiscard]] Contributed contributed_of(const Value& amount, const Taking& taking, Measure measure);

/// The contribution of `event` under a rule; nothing where its `when` is false. Pure.
/// Errors: those of the expressions, with the rule's place in the message; wrong_kind for an amount that is
/// no integer or a distinct value that has no text form.
Result<std::optional<Contributed>> contribution_of(const CompiledTask& task, std::size_t rule,
                                                   const Zone& zone, std::span<const Binding> names,
                                                   Timestamp at);

/// The contribution of an event at a time under a streak's rule, in days, weeks or months of this zone. Pure.
[[nodiscard]] Contributed streak_of(const CompiledTask& task, std::size_t rule, const Zone& zone,
                                    Timestamp at);

/// What is left of an amount after `taken` of it was taken back in parts: it comes nearer to 0, never past
/// it.
[[nodiscard]] std::int64_t left_of(std::int64_t amount, std::int64_t taken) noexcept;

/// Adds a contribution to an instance's progress, whatever that makes it reach. Pure. Gives false where the
/// instance remembers no more values: it is no contribution then.
/// Errors: out_of_range where the sum leaves 64 bits; the instance is unchanged then.
Result<bool> add(Instance& instance, const CompiledTask& task, const Contributed& contributed);
/// Takes one back that was added. Pure. Errors: as add.
Result<void> subtract(Instance& instance, const CompiledTask& task, const Contributed& contributed);

/// How long the current streak is: the run that ends at the latest period counted. 0 for other measures.
[[nodiscard]] std::int64_t current_run(const Instance& instance, const CompiledTask& task);

/// What progress made of an instance's stages.
struct Reached {
  std::vector<std::int64_t> stages{};  ///< reached now, in order
  std::vector<Grant> fallen{};         ///< no longer reached: void or revoked, as they stand now
};
/// Lets the stages fall that the progress is no longer worth, from the last, down to one that stays
/// (on-refund keep). Where it is no less than `before`, only those that are void: what a new version asks
/// more for stays reached. Pure. Gives their grants as they stand now; those that were void before are not
/// among them.
std::vector<Grant> lose_stages(Instance& instance, const CompiledTask& task, std::int64_t before);
/// The same, and then reaches the stages the progress is worth, from the first. Pure. A tracked task's new
/// grants are the caller's to add.
Reached settle(Instance& instance, const CompiledTask& task, std::int64_t before);

}  // namespace onceward::task_detail
