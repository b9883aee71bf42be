#pragma once
#include <onceward/pipeline/plan.hpp>
#include <onceward/pipeline/run.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace onceward {

/// Stands for a step in a simulation. Called on the thread of simulate(), as Step::run and Step::undo are.
using StepStub = std::function<StepOutcome(StepContext&)>;

/// A signal that comes so long after the start of a simulated run.
struct SimulatedSignal {
  std::string name;
  Value payload{};
  Duration at{};
};

struct SimulationOptions {
  /// The tokens shown are those of this run, in a runner of this namespace.
  std::string name_space = "onceward";
  std::string partition = "simulated";
  std::string key = "simulated";
  /// By a step's path ("each[ann]/points"), or by its name in the registry ("grant-points@1"); the path wins.
  /// A step without one is Done, with results as its spec names them: 0, false, 0.0, the field's name, empty
  /// lists and maps.
  std::map<std::string, StepStub, std::less<>> steps{};
  std::map<std::string, StepStub, std::less<>> undos{};  ///< the same; without one an undo is Done
  std::vector<SimulatedSignal> signals{};
  Timestamp start{std::chrono::days(19'000)};
  Duration call_takes{};                                 ///< how long each call is taken to last
  double jitter = 1.0;                                   ///< of retry delays, in [0, 1]; 1: the longest
  Duration longest = std::chrono::hours(24 * 366 * 10);  ///< of the run's own time
  std::size_t most_calls = 100'000;
  Duration patience = std::chrono::seconds(10);  ///< of the caller's time
};

/// A call that a runner would make.
struct SimulatedCall {
  Duration at{};  ///< since the start
  std::string path;
  std::string uses;  ///< the step's name in the registry
  bool undo = false;
  int attempt = 0;
  std::string token;
  Value arguments{};
  std::string outcome;  ///< "done", "retry", "reject", "unknown" or "park", and what it said
  Value result{};
};

/// Why a simulation ended.
enum class SimulationEnd : std::uint8_t {
  ended,      ///< the run did: see `run`
  waits,      ///< for a signal that is not among the options: `run.awaits`
  too_long,   ///< SimulationOptions::longest
  too_many,   ///< SimulationOptions::most_calls
  impatient,  ///< SimulationOptions::patience
};

struct Simulation {
  SimulationEnd end = SimulationEnd::ended;
  RunView run;  ///< as Runner::find would show it
  Duration took{};
  std::vector<SimulatedCall> calls;
  /// The way through the plan: each construct that was come to, by its path, with how it stands: "which:
  /// done, branch 1", "points: done", "mail: skipped".
  std::vector<std::string> path;
};

/// Runs a plan without a storage, a clock or an effect: the interpreter is the runner's own, the steps are
/// stubs, time is virtual and passes at once. Nothing of the plan's registry is called but its functions. A
/// stub that throws is Unknown, as a step is. Errors: invalid_argument (an input that does not fit the plan;
/// a stub whose name is neither a path nor a step of the plan is not noticed).
Result<Simulation> simulate(const Plan& plan, Value input, const SimulationOptions& options = {});

/// A table for people: a line for each call, then the end.
[[nodiscard]] std::string to_text(const Simulation& simulation);

}  // namespace onceward
