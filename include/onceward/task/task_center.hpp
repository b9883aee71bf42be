#pragma once
#include <onceward/pipeline/runner.hpp>
#include <onceward/task/definition.hpp>
#include <onceward/task/event.hpp>
#include <onceward/task/replay.hpp>
#include <onceward/task/request.hpp>

#include <functional>
#include <memory>
#include <span>

namespace onceward {

class Journal;

/// What the host knows of a user: asked for where a task's audience, or the user's own zone, needs it.
struct UserProfile {
  Map attributes{};        ///< what audiences read as profile.<name>
  std::string timezone{};  ///< such as "Asia/Shanghai"; empty: the campaign's
};

struct TaskCenterOptions {
  /// How long a caller that died in the middle of an event keeps others from finishing its reward.
  Duration lease = std::chrono::seconds(30);
  std::size_t conflict_retries = 64;  ///< how often an event is applied anew when another caller was faster
  /// Told every move, with its trigger and reason, after it is durable; it must outlive the task centre. A
  /// line is told by who made the move, at most once: a process that dies in between loses it. What a
  /// reward's end means for its instance is told by the runner that drove it, whatever called it: of the task
  /// centres of one runner give one a journal. Null: none.
  Journal* journal = nullptr;
  /// For a task centre on an enlisted storage, whose writes stand or fall with the caller's transaction:
  /// events and requests only write what is to be done, and call no step. After the COMMIT work() of any task
  /// centre on the storage itself does it at once; after a ROLLBACK nothing has happened. Receipts say
  /// running. With a journal the lines of such a call are written down in the transaction, and told by work()
  /// of a task centre that has a journal, since they may never happen.
  bool store_only = false;
  /// Asked on the caller's thread; its errors refuse the event or request. Null: no user has a profile.
  std::function<Result<UserProfile>(std::string_view merchant, std::string_view user)> profile{};
  /// How long a stored event that was refused is kept with the reason, for receipt() to tell.
  Duration refused_retention = std::chrono::hours(24 * 30);
};

/// What an import did.
struct ImportReport {
  struct Bad {
    std::size_t line = 0;  ///< from 1
    Error error;
  };
  std::size_t applied = 0;
  std::size_t duplicates = 0;  ///< lines that had been imported before, or stand twice
  std::vector<Bad> bad{};      ///< lines that were refused; the others are applied
};

/// Takes events and requests, moves the instances of the tasks they count for, and has the rewards of reached
/// stages issued.
///
/// One event is one batch: its record (which dedupes it and holds its receipt), the instances it moved and
/// the runs of the rewards it earned are there together or not at all. The rewards' steps are called
/// afterwards, under their tokens; where the process dies before or in between, work() of any process issues
/// them. What concerns another partition (a quota's unit, another user's progress) is written down in the
/// same batch as a todo and done afterwards, once, by this process or by work().
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
  /// what was published under a task's or pipeline's version stays its content for ever. A task the campaign
  /// lacks takes no events and no claims any more; what was earned of it can be collected.
  ///
  /// Every version ever published is stored with its pipelines and read again here, so that instances go on
  /// with theirs in every later process. One that cannot be compiled any more (a step of it is gone) is told
  /// to the journal and is not known. The registry the campaign was compiled against must outlive this.
  /// Errors: conflict (a known version with another content; the message names it), invalid_argument (a task
  /// with OnUpdate::migrate counts in another way than a version before it, or has fewer stages),
  /// limit_exceeded (a task
  /// with its pipelines takes more than 1 MiB of XML), those of the storage.
  Result<void> publish(const Campaign& campaign);
  /// What publish() would refuse, told without writing anything. Errors: as publish.
  Result<void> check(const Campaign& campaign);

  /// Applies one event. Where its user began a task with a version that is not known here, his other tasks
  /// count, the receipt says `not_published`, and that task's part is applied by a process that knows it.
  /// Errors: not_found (the merchant has no campaign; it reverses what went to an unknown version),
  /// invalid_argument (a limit of Event, an expression that cannot be computed on it: nothing was applied,
  /// mend the event or the task and send it again), conflict (the id with another content), wrong_state (it
  /// reverses what is itself a reversal), out_of_range (progress beyond 64 bits), limit_exceeded (more tasks
  /// or text than one batch takes), those of the storage: in_doubt means it may be applied, so send it again.
  Result<Receipt> report(const Event& event);

  /// Applies many events of any users with shared round trips, in order for each user. One answer per event,
  /// at its place; an event that is refused does not keep the others from being applied.
  std::vector<Result<Receipt>> report_many(std::span<const Event> events);

  /// Stores an event and returns: it is durable then, its id is taken, and work() applies it. The ticket
  /// fetches its receipt. What work() refuses is kept with the reason for
  /// TaskCenterOptions::refused_retention, and its id is free again: mend the event or the task and send it
  /// again. Errors: not_found (the merchant has no campaign), invalid_argument
  /// (a limit of Event), conflict (the id with another content), the storage's.
  Result<Ticket> report_async(const Event& event);
  /// The receipt of an event, whoever reported it; empty while it waits or where it is not known. Errors:
  /// invalid_argument (it was stored and refused; the message says why), the storage's.
  Result<std::optional<Receipt>> receipt(const Ticket& ticket);

  /// Takes a task for a user. Asking again with the same key gives the same reply, replayed.
  /// Errors of every request: not_found (no such task of this merchant), invalid_argument (a limit of
  /// Request), conflict (the key with another content), timeout (other callers were faster all the time), the
  /// storage's. A refusal is a reply: its outcome says why, and nothing was written.
  Result<Reply> claim(const Request& request);
  /// Declares a task done that allows it (complete="manual"): it gets what its last target lacks.
  Result<Reply> complete(const Request& request);
  /// Has rewards issued that wait for it: of `request.stage`, or all where it is 0. Of a stage that was
  /// collected before the first reply is given again, whatever the key.
  Result<Reply> collect(const Request& request);
  /// Ends an instance on the user's behalf; what was earned and not collected is void.
  Result<Reply> abandon(const Request& request);
  /// Ends an instance on the merchant's behalf (`actor` and `reason` are mandatory): replay needs force then.
  Result<Reply> withdraw(const Request& request);

  /// The user's instance; empty where there is none.
  Result<std::optional<InstanceView>> instance(std::string_view merchant, std::string_view user,
                                               std::string_view task, std::string_view cycle);
  /// The same of a group's: of each stage, as the member's reward stands that is furthest from its end. Reads
  /// a record for each member and reached stage.
  Result<std::optional<InstanceView>> group_instance(std::string_view merchant, std::string_view group,
                                                     std::string_view task, std::string_view cycle);
  /// A page of the merchant's tasks in force, in the campaign's order, with the user's instances of their
  /// cycles at a time; one round trip where no reward was taken back and no version is an older one's, and
  /// one more before it where a cycle depends on the user (his zone, his own start).
  Result<TaskPage> list(const ListRequest& request);
  /// Everything that keeps a user from taking a task now, and when it changes where that is known.
  Result<Explanation> explain(const Request& request);

  /// Pushes failed and terminated rewards on, those of a group's member by his name: what took effect stays,
  /// what stopped has fresh attempts under its old tokens, and work() drives it. One page a call: a user's
  /// instances, or those of all users, until `cursor` is empty. Whoever is pushed on is told to the journal
  /// with actor and reason, which his run keeps as well; pushed on twice at once, it goes on once. A process
  /// that dies has pushed on what it had come to: call it again with the cursor before.
  /// Errors: invalid_argument (forced, or for all users, without an actor and a reason; a limit of
  /// ReplayRequest; a cursor that is none), not_found (the merchant has no campaign), wrong_state (for all
  /// users: the storage cannot list its partitions), the storage's.
  Result<ReplayReport> replay(const ReplayRequest& request);

  /// What events would do, applied in order at a time of the clock; nothing is written and no step is called.
  /// Errors: as report, at the event's place.
  std::vector<Result<Receipt>> simulate(std::span<const Event> events, Timestamp now);

  /// Applies events given as lines of JSON: {"id", "user", "type", "at", "attributes", "reverses", "amount"}
  /// of one merchant; the last three may be absent, `at` is RFC 3339. A bad line keeps no other from being
  /// applied. Importing a text again applies nothing twice. Errors: the storage's, where a batch of lines
  /// could not be applied: import the text again.
  Result<ImportReport> import(std::string_view merchant, std::string_view lines);

  /// Does what is due: todos of dead processes, stored events, deadlines, and runs whose due time has come.
  /// What cannot be done now (its merchant is not published here, its reward still runs, it is refused or
  /// cannot be read) is due again after a lease, then later and later up to 16 of them: it keeps nothing else
  /// from being done, and `taken` counts only what was done. The journal is told what was refused. Errors:
  /// those of the storage that may be tried again; what was not done stays due.
  /// Call it in a loop (or let the runner's workers drive the runs and call it now and then).
  Result<WorkReport> work(std::size_t limit = 256);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onceward
