#pragma once
#include <onceward/pipeline/runner.hpp>
#include <onceward/task/definition.hpp>
#include <onceward/task/event.hpp>

#include <memory>
#include <span>

namespace onceward {

struct TaskCenterOptions {
  /// How long a caller that died in the middle of an event keeps others from finishing its reward.
  Duration lease = std::chrono::seconds(30);
  std::size_t conflict_retries = 64;  ///< how often an event is applied anew when another caller was faster
};

/// A user's copy of a task in one cycle, as it stands.
struct InstanceView {
  std::string task;
  std::string version;
  std::string cycle;
  std::int64_t progress = 0;
  std::int64_t reached = 0;  ///< stages reached, from the first
};

/// Takes events, moves the instances of the tasks they count for, and has the rewards of reached stages
/// issued.
///
/// One event is one batch: its record (which dedupes it and holds its receipt), the instances it moved and
/// the runs of the rewards it earned are there together or not at all. The rewards' steps are called
/// afterwards, under their tokens; where the process dies before or in between, work() of any process issues
/// them. A stage under a quota is reached first and takes its unit then, so that no unit is lost: the unit is
/// named by its grant and taken at most once, and who finds the grant waiting, by the event again or by
/// work(), finishes it.
///
/// Safe from any thread. Events of one user are applied in the order one caller gives them; a caller that
/// wants a user's events in order sends them through one thread. Storage, runner and catalog must outlive it.
class TaskCenter {
 public:
  TaskCenter(Storage& storage, PlanCatalog& catalog, Runner& runner, TaskCenterOptions options = {});
  ~TaskCenter();
  TaskCenter(const TaskCenter&) = delete;
  TaskCenter& operator=(const TaskCenter&) = delete;

  /// Puts a merchant's campaign in force, in place of an earlier one of the merchant. Versions are immutable:
  /// what was published under a task's or pipeline's version stays its content for ever.
  /// Errors: conflict (a known version with another content; the message names it), those of the storage.
  Result<void> publish(const Campaign& campaign);

  /// Applies one event. Errors: not_found (the merchant has no campaign), invalid_argument (a limit of Event,
  /// an expression that cannot be computed on it: nothing was applied, mend the event or the task and send it
  /// again), conflict (the id with another content), out_of_range (progress beyond 64 bits), limit_exceeded
  /// (more tasks or text than one batch takes), those of the storage: in_doubt means it may be applied, so
  /// send it again.
  Result<Receipt> report(const Event& event);

  /// Applies many events of any users with shared round trips, in order for each user. One answer per event,
  /// at its place; an event that is refused does not keep the others from being applied.
  std::vector<Result<Receipt>> report_many(std::span<const Event> events);

  /// The user's instance; empty where no event has counted yet.
  Result<std::optional<InstanceView>> instance(std::string_view merchant, std::string_view user,
                                               std::string_view task, std::string_view cycle);

  /// Finishes what died in the middle: rewards waiting for their unit, and runs whose due time has come.
  /// Call it in a loop (or let the runner's workers drive the runs and call it now and then).
  Result<WorkReport> work(std::size_t limit = 256);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onceward
