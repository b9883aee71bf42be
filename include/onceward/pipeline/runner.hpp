#pragma once
#include <onceward/pipeline/plan.hpp>
#include <onceward/storage/storage.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// Where a run stands. Only running asks for work; the others are ends.
enum class RunState : std::uint8_t {
  running,          ///< a step is in progress, waits for its retry, or its worker died
  succeeded,        ///< every step is done or skipped
  failed,           ///< a step rejected; `reason` is its code
  needs_attention,  ///< attempts used up, or a definition error: an operator must look
};
[[nodiscard]] std::string_view to_string(RunState state) noexcept;

/// One finished step of a run.
struct StepRecord {
  std::string id;
  bool skipped = false;
  Value result{};
};

/// A run as it stood when it was read or left.
struct RunView {
  std::string partition;
  std::string key;  ///< the run's key, as given to start
  RunState state = RunState::running;
  std::string reason{};             ///< why it failed or needs attention, or what the last attempt said
  std::vector<StepRecord> steps{};  ///< finished steps, in order
  int attempt = 0;                  ///< of the step in progress
  std::optional<Timestamp> due{};   ///< when it will be looked at again, where it is running
};

/// The plans a runner may run, by (id, version, sha256). Add at start-up or at a reload, from any thread.
class PlanCatalog {
 public:
  PlanCatalog();
  ~PlanCatalog();
  /// Adding an equal plan again changes nothing.
  /// Errors: conflict, where (id, version) is there with another content: versions are immutable.
  Result<void> add(Plan plan);
  /// Empty where it is not there.
  [[nodiscard]] std::optional<Plan> find(std::string_view id, std::string_view version,
                                         std::string_view sha256) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct RunnerOptions {
  std::string name_space = "onceward";  ///< part of every token: two systems on one downstream never meet
  Duration lease = std::chrono::seconds(30);  ///< must be longer than the slowest step call
  std::size_t span = 256;                     ///< runs driven side by side with shared commits, 1..1024
  unsigned workers = 2;                       ///< threads of start(), 1..256
  Duration idle_poll = std::chrono::milliseconds(500);  ///< longest sleep of an idle worker
  Duration retention = std::chrono::hours(24 * 365);    ///< how long an ended run is kept
};

namespace pipeline_detail {
struct Held;  // a run in the hands of this process
}  // namespace pipeline_detail

/// A run that its creator owns and has not driven yet: its record goes into a batch of the creator's.
class PreparedRun {
 public:
  Operation insert;  ///< writes the run's record, already leased to this runner

  /// How the run stands: as prepared, or as drive() left it.
  [[nodiscard]] RunState state() const noexcept;
  [[nodiscard]] RunView view() const;
  [[nodiscard]] const std::string& partition() const noexcept;

 private:
  friend class Runner;
  PreparedRun(Operation write, std::shared_ptr<pipeline_detail::Held> held) noexcept;
  std::shared_ptr<pipeline_detail::Held> held_;
};

/// What work() did.
struct WorkReport {
  std::size_t taken = 0;              ///< runs whose due time had come and that this runner took over
  std::size_t ended = 0;              ///< of those, how many ended
  std::size_t unknown_plans = 0;      ///< runs left alone since their plan is not in the catalog
  std::size_t corrupt = 0;            ///< runs left alone since their record is not what this version writes
  std::optional<Duration> next_in{};  ///< until the next known due time; unset where nothing waits
};

/// Runs plans. A run is one record, under "run/<pipeline>/<key>" of its partition; a step is recorded as done
/// together with the start of the next, so that N steps cost N+1 commits, and commits are shared by runs
/// driven side by side. The record's due time is the lease's end while a step runs and the retry time while
/// it waits: after a crash work() of any process finds it. Every write expects the revision read: who lost
/// the lease can change nothing. The step's token makes the repeated call harmless downstream. Safe from any
/// thread. The storage, the catalog and the plans' registry must outlive it.
class Runner {
 public:
  Runner(Storage& storage, const PlanCatalog& catalog, RunnerOptions options = {});
  ~Runner();  ///< stops the workers
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// Runs a plan inline, to its end or to its first durable wait. The key makes it idempotent: a second start
  /// with the same key and input returns the run as it stands and causes nothing.
  /// A run belongs to the version it was started with: started again with a later one, it is returned as it
  /// stands. Errors: invalid_argument (an input that does not fit the plan), conflict (the key with another
  /// input), corrupt (its record is not what this version writes), those of the storage; in_doubt means that
  /// the run may be stored: start again with the same key.
  Result<RunView> start(const Plan& plan, std::string_view partition, std::string_view key,
                        const Value& input);

  /// Makes the record of a new run for a batch of the caller's, owned by this runner for one lease.
  /// Errors: invalid_argument as start.
  Result<PreparedRun> prepare(const Plan& plan, std::string partition, std::string key, Value input) const;
  /// Drives prepared runs whose batch was applied (`revisions[i]` is that batch's revision) side by side,
  /// each to its end or its first durable wait; their state() tells which. Errors: those of the storage; what
  /// was not finished is found again by work() after the lease.
  Result<void> drive(std::span<PreparedRun> runs, std::span<const Revision> revisions);

  /// The run as stored; empty where there is none.
  Result<std::optional<RunView>> find(std::string_view pipeline, std::string_view partition,
                                      std::string_view key);

  /// Takes up to `limit` runs whose due time has come and drives them. Call it in a loop, or use start().
  Result<WorkReport> work(std::size_t limit = 256);

  /// Starts the worker threads; stop() lets the steps in progress finish and returns when all have.
  void start_workers();
  void stop_workers();
  /// Called on a worker's thread for every run that needs attention, and for errors of the storage.
  void on_attention(std::function<void(const RunView&)> callback);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The key of a run's record in its partition.
[[nodiscard]] std::string run_record_key(std::string_view pipeline, std::string_view key);
/// The token of a step: 32 hexadecimal digits of SHA-256 over the parts (namespace, pipeline, partition, run
/// key, step id, "do"). The partition belongs to a run's identity: equal keys of two merchants never share a
/// token.
[[nodiscard]] std::string step_token(std::string_view name_space, std::string_view pipeline,
                                     std::string_view partition, std::string_view run_key,
                                     std::string_view step_id);

}  // namespace onceward
