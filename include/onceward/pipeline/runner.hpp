#pragma once
#include <onceward/journal/journal.hpp>
#include <onceward/pipeline/plan.hpp>
#include <onceward/pipeline/run.hpp>
#include <onceward/storage/storage.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

struct RunnerOptions {
  std::string name_space = "onceward";  ///< part of every token: two systems on one downstream never meet
  Duration lease = std::chrono::seconds(30);  ///< renewed while a call lasts, by a thread of the runner's own
  bool renew = true;                          ///< false: it must be longer than the slowest step call
  Duration longest_call = std::chrono::hours(1);  ///< after so long a lease is renewed no more
  std::size_t span = 256;                         ///< runs driven side by side with shared commits, 1..1024
  unsigned workers = 2;                           ///< threads of start(), 1..256
  Duration idle_poll = std::chrono::milliseconds(500);  ///< longest sleep of an idle worker
  Duration retention = std::chrono::hours(24 * 365);    ///< how long a run that succeeded is kept
  /// How long a failed or cancelled run is kept; unset: until somebody pushes it on and it succeeds. Views of
  /// tasks take a run that is gone for one that succeeded. What needs attention stays.
  std::optional<Duration> failed_retention{};
  /// At most so many at once in this runner: calls of a step by its name ("grant-points@1"), due runs of a
  /// pipeline by its id.
  std::map<std::string, std::size_t, std::less<>> limits{};
  /// Opens the transactions of tx steps, on the database that the storage lies in: `step_transactions(...)`.
  /// A runner without refuses to start plans with tx steps, and leaves their runs to others. A tx step must
  /// be shorter than the lease.
  StepTransactions transactions{};
  Journal* journal = nullptr;  ///< told what operators do and how runs end; it must outlive the runner
};

/// Who asks for something, and why: part of the run's record and of the journal. Neither may be empty.
struct Operator {
  std::string actor;   ///< UTF-8, at most 128 bytes
  std::string reason;  ///< its first 256 bytes are kept, what is no UTF-8 in it as '?'
};

/// Names a run.
struct RunName {
  std::string pipeline;
  std::string partition;
  std::string key;
};

enum class Cancel : std::uint8_t {
  graceful,    ///< what is under way ends, nothing else begins; what is in doubt then needs attention
  compensate,  ///< as graceful; then what is done is undone, last first; what has no undo needs attention
  abandon,     ///< it ends as it is, whatever is in doubt or not undone yet
};

namespace pipeline_detail {
struct Held;  // a run in the hands of this process
struct Run;
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
  std::size_t unknown_plans = 0;      ///< runs left alone since their plan is not in the catalog, or has tx
                                      ///< steps and the runner no transactions
  std::size_t corrupt = 0;            ///< runs left alone since their record is not what this version writes
  std::optional<Duration> next_in{};  ///< until the next known due time; unset where nothing waits
};

/// A run's move from one state to another, by who drove it or by an operator.
struct RunMove {
  RunName run;
  RunState from = RunState::running;
  RunState to = RunState::running;
  std::string actor{};   ///< the operator; empty where it was driven
  std::string reason{};  ///< the operator's, or the run's
};
/// Who is told of moves.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  /// Called on the thread that made them, after the records say so, once for each: a process that is killed
  /// in between tells nobody. It may read the storage.
  virtual void moved(std::span<const RunMove> moves) noexcept = 0;

 protected:
  RunObserver() = default;
  RunObserver(const RunObserver&) = default;
  RunObserver& operator=(const RunObserver&) = default;
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
  /// stands. Errors: invalid_argument (an input that does not fit the plan, a plan that the catalog has not),
  /// conflict (the key with another input), corrupt (its record is not what this version writes), those of
  /// the storage; in_doubt means that the run may be stored: start again with the same key.
  Result<RunView> start(const Plan& plan, std::string_view partition, std::string_view key,
                        const Value& input);

  /// Makes the record of a new run for a batch of the caller's, owned by this runner for one lease.
  /// Errors: invalid_argument as start.
  Result<PreparedRun> prepare(const Plan& plan, std::string partition, std::string key, Value input) const;
  /// Leaves a prepared run to work(), of any runner: in the batch it is nobody's, and due at once.
  void leave(PreparedRun& run) const;
  /// Drives prepared runs whose batch was applied (`revisions[i]` is that batch's revision) side by side,
  /// each to its end or its first durable wait; their state() tells which. Errors: those of the storage; what
  /// was not finished is found again by work() after the lease.
  Result<void> drive(std::span<PreparedRun> runs, std::span<const Revision> revisions);

  /// The same with the key of the pipeline's key template. Errors: also those of Plan::key_of.
  Result<RunView> start(const Plan& plan, std::string_view partition, const Value& input);

  /// Stores a run for the workers, and does nothing else of it: on an enlisted storage the run is there if
  /// and only if the caller's transaction is (an outbox). Errors: as start.
  Result<void> enqueue(Storage& enlisted, const Plan& plan, std::string partition, std::string key,
                       Value input);

  /// Sends a signal to a run, whether it awaits it already or not. The same `id` counts once for a name, also
  /// after it was consumed; empty: one signal of this name in the life of the run. The run goes on by work();
  /// one that needs attention keeps it for its retry.
  /// Errors: not_found (no such run), wrong_state (it has ended), exhausted (more than 64 signals wait),
  /// invalid_argument (a name of more than 64 bytes or an id of more than 128, one that is no UTF-8, a
  /// payload that cannot be stored).
  Result<void> signal(const RunName& run, std::string_view name, const Value& payload = {},
                      std::string_view id = {});

  // What operators do. Each is recorded in the run (RunView::acts, at most 100) with actor and reason, and
  // told to the journal. Tokens never change. Errors: not_found, wrong_state (a worker is at it, or it is not
  // in a state for this), invalid_argument, exhausted. The run goes on by work().
  /// Ends a run that goes on; a worker that is at it sees it when its call returns, and tells in the acts
  /// what came of it: one that comes too late ends nothing. A mode that goes further takes the place of one
  /// that waits; a run that is being undone takes abandon alone. One that needs attention takes compensate
  /// and abandon.
  Result<void> cancel(const RunName& run, Cancel mode, const Operator& by);
  /// Pushes on a run that failed, was cancelled or needs attention: what failed begins with fresh attempts.
  Result<void> retry(const RunName& run, const Operator& by);
  /// Records the construct at this path as skipped; what took effect within it is undone with the rest. In a
  /// run that is being undone: nothing at this path is to be undone (any more).
  Result<void> skip(const RunName& run, std::string_view path, const Operator& by);
  /// Records the step at this path as done, with this result, which must be what its spec says.
  Result<void> set_result(const RunName& run, std::string_view path, const Value& result, const Operator& by);
  /// Forgets the construct at this path and all after it, and runs them again with the same tokens, also of a
  /// run that succeeded: the downstream answers what it answered; other arguments than before are refused
  /// before any call. A tx step that was done keeps its result and is not called. What is not come to again
  /// is still undone where the run is.
  Result<void> rerun_from(const RunName& run, std::string_view path, const Operator& by);

  /// The run as stored; empty where there is none.
  Result<std::optional<RunView>> find(std::string_view pipeline, std::string_view partition,
                                      std::string_view key);

  /// Takes up to `limit` runs whose due time has come and drives them; of the 1,000 records that have been
  /// due for longest, those of a higher priority first. Where so many are due, runs among them that it cannot
  /// take are put off, so that they hide no others: by a minute where it does not know their plans or cannot
  /// read them, by a second where their pipeline is at its limit. Call it in a loop, or use start_workers().
  Result<WorkReport> work(std::size_t limit = 256);

  /// Starts the worker threads. Where a step takes longer than a tenth of a second, the other runs of its
  /// worker are let go for the others. stop_workers() requests the steps' stop(), records those that finish,
  /// releases all other runs at once and returns: other workers need not wait for a lease to end. While
  /// another thread stops them it waits as long; a step or a callback must not call it.
  void start_workers();
  void stop_workers();
  /// Called for every run that this runner leaves as needs_attention, on the thread that drove it, after its
  /// record says so: a process that is killed in between tells nobody, so an alarm also looks at health().
  /// What the callback throws is told to the journal and stops nothing.
  void on_attention(std::function<void(const RunView&)> callback);
  /// Called on a worker's thread for every look for work that failed; it goes on after `idle_poll`. As
  /// on_attention.
  void on_error(std::function<void(const Error&)> callback);
  /// Tells it, for as long as it lives, of every run that this runner ends and of every operator's act
  /// through this runner that moves one.
  void observe(std::weak_ptr<RunObserver> observer);

 private:
  friend class ReplayScheduler;
  /// Pushes a run on that stands as it was `seen`, once for the redrive `id`. False where somebody moved it
  /// before. Errors: as retry.
  Result<bool> push_on(const RunName& run, Revision seen, std::string_view id, const Operator& by);
  /// Changes a stored run by `change`, which gives the act it did.
  Result<void> operate(const RunName& run, const Operator& by,
                       const std::function<Result<RunAct>(pipeline_detail::Run&, const Record&)>& change);
  struct State;
  std::unique_ptr<State> state_;
};

/// The key of a run's record in its partition.
[[nodiscard]] std::string run_record_key(std::string_view pipeline, std::string_view key);
/// The token of a step: 32 hexadecimal digits of SHA-256 over the parts (namespace, pipeline, partition, run
/// key, step path, "do" or "undo"). The partition belongs to a run's identity: equal keys of two merchants
/// never share a token.
[[nodiscard]] std::string step_token(std::string_view name_space, std::string_view pipeline,
                                     std::string_view partition, std::string_view run_key,
                                     std::string_view step_id, std::string_view act = "do");

}  // namespace onceward
