#pragma once
#include <onceward/pipeline/runner.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace chaos {

/// How a run is meant to go. Which one it is depends on its number alone.
enum class Mode : std::uint8_t {
  succeeds,
  fails,          ///< by a <fail> after everything is done: all is undone
  late,           ///< the last step rejects
  branch,         ///< a branch of the parallel rejects
  item,           ///< the last item of the foreach rejects
  cancelled,      ///< somebody cancels it at some moment; it may have succeeded by then
  forward,        ///< a pipeline that takes nothing back
  forward_fails,  ///< its second step rejects
  serial,         ///< of runs of one group, one at a time
};
[[nodiscard]] Mode mode_of(int number) noexcept;

[[nodiscard]] onceward::RunName name_of(int number);
[[nodiscard]] onceward::Value input_of(int number);
/// What the signal "go" tells the run.
[[nodiscard]] std::int64_t payload_of(int number) noexcept;

/// A step that may have an effect in this run, by the pipelines below, worked out by hand.
struct Expected {
  std::string path;
  int stage = 0;  ///< a lower one is over before a higher one begins
  std::int64_t amount = 0;
  std::string reference{};  ///< the path whose receipt it passes on; empty: none
  bool surely = true;       ///< it takes place in every run of this mode
  /// A branch of a race: enough of them are done in every run of this mode. A loser's late effect has no
  /// place in the order of the stages, and is in the record only where it is undone.
  std::string race{};
};
/// How many branches of a race have to be done.
[[nodiscard]] std::size_t winners_of(const std::string& race) noexcept;
[[nodiscard]] std::vector<Expected> expected_of(int number);
[[nodiscard]] bool may_end_as(int number, onceward::RunState state) noexcept;
[[nodiscard]] bool recovers_backward(int number) noexcept;
/// The runs of a group never overlap; empty: it is of none.
[[nodiscard]] std::string group_of(int number);

/// The pipelines, which use "book@1" alone: {amount, ref, reject} -> {receipt}.
struct Plans {
  onceward::Plan backward;
  onceward::Plan forward;
  onceward::Plan serial;

  [[nodiscard]] const onceward::Plan& of(int number) const {
    return mode_of(number) == Mode::serial ? serial : recovers_backward(number) ? backward : forward;
  }
};
[[nodiscard]] Plans compile_plans(const onceward::StepRegistry& registry, onceward::PlanCatalog& catalog);

}  // namespace chaos
