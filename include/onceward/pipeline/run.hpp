#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/expr/value.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// Where a run stands. Only running asks for work; the others are ends.
enum class RunState : std::uint8_t {
  running,          ///< a step is in progress, it waits for a time or a signal, or its worker died
  succeeded,        ///< every construct is done or skipped, and no call is in doubt
  failed,           ///< a step rejected, or a deadline passed; `reason` begins with the code
  needs_attention,  ///< attempts used up, an effect in doubt, or a definition error: an operator must look
  cancelled,        ///< somebody asked for it
};
[[nodiscard]] std::string_view to_string(RunState state) noexcept;

/// One finished construct of a run.
struct StepRecord {
  std::string id;  ///< its path: "points", "each[ann]/points"
  bool skipped = false;
  Value result{};
};

/// What an operator did to a run, as its record keeps it.
struct RunAct {
  std::string act;  ///< "retry", "skip", "set_result", "rerun_from", "cancel", "redrive", "replay" of a task
  std::string actor;
  std::string reason;
  std::string path{};  ///< of the construct; of a redrive its id
  std::string before{};
  std::string after{};  ///< of a cancellation its mode; "none: " and why where it changed nothing
  Timestamp at{};

  friend bool operator==(const RunAct&, const RunAct&) = default;
};

/// A run as it stood when it was read or left.
struct RunView {
  std::string partition;
  std::string key;  ///< the run's key, as given to start
  RunState state = RunState::running;
  std::string reason{};               ///< why it failed or needs attention, or what the last attempt said
  std::vector<StepRecord> steps{};    ///< finished steps, in order
  int attempt = 0;                    ///< of the step in progress
  std::optional<Timestamp> due{};     ///< when it will be looked at again, where it is running
  Value result{};                     ///< what its <result> gave
  std::vector<std::string> awaits{};  ///< signals it waits for
  std::vector<std::string> undone{};  ///< paths of steps that were taken back
  std::vector<RunAct> acts{};         ///< what operators did, oldest first
  std::string version{};              ///< of the pipeline it runs
};

}  // namespace onceward
