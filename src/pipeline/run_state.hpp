#pragma once
#include <onceward/pipeline/runner.hpp>

#include "pipeline/compiled_plan.hpp"

// A run as data, and every decision about it as a pure function: nothing here reads a clock or writes a
// record.
namespace onceward::pipeline_detail {

/// What the record of a run holds.
struct Run {
  std::string pipeline;
  std::string version;
  std::string plan;  ///< the first digits of the plan's sha256
  RunState state = RunState::running;
  std::string reason{};
  Value input{};
  std::vector<StepRecord> steps{};  ///< finished ones; the next of the plan is in progress
  int attempt = 1;                  ///< of the step in progress
  bool waiting = false;             ///< for its next attempt; false while running: a worker holds the lease
  int deaths = 0;                   ///< workers that died at this step
  std::string owner{};              ///< the runner that wrote last
};

inline constexpr std::size_t plan_digits = 16;
/// After so many workers died at one step the run is left to an operator: it may be what kills them.
inline constexpr int most_deaths = 5;

[[nodiscard]] std::string encode(const Run& run);
/// Errors: corrupt.
Result<Run> decode_run(const Record& record);
[[nodiscard]] RunView view_of(const Run& run, std::string partition, std::string key,
                              std::optional<Timestamp> due);

/// Checks an input against a plan and completes it: optional inputs that are not there become null.
/// Errors: invalid_argument naming the input.
Result<Value> complete_input(const CompiledPlan& plan, Value input);

/// A new run, standing at its first step that is not skipped, or ended where there is none.
[[nodiscard]] Run begin_run(const CompiledPlan& plan, std::string_view sha256, Value input);

/// The arguments of the step in progress. Errors: those of the expressions, wrong_kind where one does not fit
/// the step's spec; the run cannot go on then.
Result<Value> arguments_of(const Run& run, const CompiledPlan& plan);

/// What a run does next.
struct Move {
  enum class Kind : std::uint8_t { call, wait, ended };
  Kind kind = Kind::ended;
  Duration wait{};
};

/// Applies a step's outcome. `chance` in [0, 1) draws the jitter.
Move after_outcome(Run& run, const CompiledPlan& plan, StepOutcome outcome, double chance);
/// Ends a run that cannot go on for a reason of its definition.
Move give_up(Run& run, std::string reason);
/// The record would be too large with the result of the step that ended last: the result is left out, the run
/// given up.
Move drop_result(Run& run, const CompiledPlan& plan);
/// Whether a stored run is one that this plan may go on with.
[[nodiscard]] bool fits(const Run& run, const CompiledPlan& plan) noexcept;
/// A worker takes over a run whose due time came: the step in progress is tried again, unless its workers
/// keep dying.
Move take_over(Run& run, const CompiledPlan& plan);
/// The delay before the attempt after `attempt`.
[[nodiscard]] Duration backoff(const RetryPolicy& policy, int attempt, double chance);

}  // namespace onceward::pipeline_detail
