#pragma once
#include <onceward/pipeline/plan.hpp>
#include <onceward/pipeline/runner.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onceward {

/// One thing that happened in the life of a run.
struct TimelineEntry {
  std::optional<Timestamp> at{};  ///< the storage's time of the write that recorded it; empty: not known
  std::string
      what;  ///< "started", "begun" (its first call), "done", "skipped", "failed", "cancelled", "undone",
             ///< an operator's act ("retry", ...), "now" (what has not ended), or the run's end
  std::string path;    ///< of the construct; empty: the whole run
  std::string who;     ///< the actor of an act; else "worker"
  std::string detail;  ///< a result, an error, a reason; bounded
};

/// The life of a run, oldest first, by its record.
struct Timeline {
  RunName run;
  std::string version;  ///< of the pipeline
  RunState state = RunState::running;
  std::vector<TimelineEntry> entries;
};

/// Reads a run and tells its life. Errors: not_found, corrupt, those of the storage.
Result<Timeline> timeline(Storage& storage, const RunName& run);
/// A table for people, an entry a line, without a byte that a terminal would act on.
[[nodiscard]] std::string to_text(const Timeline& timeline);

/// A plan as a graph in the DOT language of Graphviz: constructs as boxes around what they contain, steps
/// with their ids and names. All texts are escaped.
[[nodiscard]] std::string to_dot(const Plan& plan);
/// The same with how a run stands, as colour and as label; where a foreach has several items, how many stand
/// so. Errors: not_found (the run, or the plan it runs is not in the catalog), corrupt, those of the storage.
Result<std::string> run_to_dot(Storage& storage, const PlanCatalog& catalog, const RunName& run);

}  // namespace onceward
