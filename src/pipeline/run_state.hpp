#pragma once
#include <onceward/pipeline/runner.hpp>

#include "pipeline/compiled_plan.hpp"

#include <array>

// A run as data, and every decision about it as a pure function: nothing here reads a clock or writes a
// record.
namespace onceward::pipeline_detail {

/// A moment of the storage's clock, or one counted from the write that stores it: what is new when a record
/// is written cannot know the storage's time of that write. `anchor` turns the second into the first.
struct Instant {
  std::int64_t us = 0;
  bool relative = false;

  [[nodiscard]] static Instant after(Duration wait) noexcept { return {wait.count(), true}; }
  [[nodiscard]] bool set() const noexcept { return us != 0 || relative; }
  [[nodiscard]] bool reached(Timestamp now) const noexcept {
    return relative ? us == 0 : us <= now.time_since_epoch().count();
  }
  friend bool operator==(const Instant&, const Instant&) = default;
};

enum class Status : std::uint8_t {
  fresh,     ///< not begun
  active,    ///< its call is under way: recorded before the call
  waiting,   ///< for its next attempt, or a timer, until `due`
  awaiting,  ///< a signal, at most until `due`
  open,      ///< a construct that contains something unfinished
  done,
  skipped,
  failed,
  cancelled,
  undoing,       ///< its undo is under way
  undo_waiting,  ///< for the next attempt of its undo
  undone,
};

/// What a place stands for, and so what it adds to the path of what is within it.
enum class Role : std::uint8_t {
  step,     ///< a construct with an id
  item,     ///< the body for one item of a foreach; `id` is its key
  branch,   ///< a branch of a choose or an attempt; `id` is its number
  closing,  ///< the finally of an attempt; `id` is its number
  callee,   ///< the body of a called pipeline
};

/// Where one construct of a run stands. A sequence has places of those that have begun, in order.
struct Place {
  std::string id{};
  Role role = Role::step;
  Status status = Status::fresh;
  Value value{};  ///< its result; of a failed one {code, message, step}; of an item, the item; of a callee,
                  ///< its input
  int attempt = 0;
  std::vector<int> ruled{};  ///< of these, the answers that each retry rule of the step took, in its order
  int deaths = 0;            ///< workers that died at it
  bool in_doubt = false;     ///< nobody knows whether it took effect
  bool undo_doubt = false;   ///< the same of its undo
  std::int64_t digest = 0;   ///< of the arguments its token was used with; 0: of none yet
  Instant started{};         ///< the first call with its token, since which the downstream remembers it
  Instant since{};           ///< the first of these attempts, where their total time is bounded
  Instant due{};
  Instant over{};  ///< when it ended, for people
  Instant back{};  ///< when it was undone, for people
  std::vector<Place> children{};

  friend bool operator==(const Place&, const Place&) = default;
};
[[nodiscard]] bool ended(Status status) noexcept;

/// What somebody asked of a run: a signal, or its cancellation. Appended by whoever asks, taken by the
/// worker.
struct Request {
  std::int64_t number = 0;
  std::string name{};  ///< of the signal; of a cancellation empty
  std::string id{};    ///< asked twice, it counts once
  Value payload{};     ///< of a cancellation {mode, actor, reason, at}
  friend bool operator==(const Request&, const Request&) = default;
};

/// A token that was used, of a place that an operator took back.
struct Sent {
  std::string path;
  std::int64_t digest = 0;
  Instant started{};
  friend bool operator==(const Sent&, const Sent&) = default;
};

/// An effect of a place that an operator took back: it is undone with the others, unless its step comes to it
/// again.
struct Forgotten {
  Place place{};  ///< its id is the whole path
  Value arguments{};
  friend bool operator==(const Forgotten&, const Forgotten&) = default;
};

/// What the record of a run holds.
struct Run {
  std::string pipeline{};
  std::string version{};
  std::string plan{};  ///< the first digits of the plan's sha256
  RunState state = RunState::running;
  std::string reason{};
  Value input{};
  Place root{};            ///< the sequence of the pipeline's constructs
  bool undoing = false;    ///< it goes backward
  std::string cause{};     ///< why it does; `reason` may say what keeps it from it
  bool cancelled = false;  ///< what is undone, or ended, was cancelled
  bool late = false;       ///< its deadline passed on the way forward: a finally is all that goes on
  Value result{};
  Instant begun{};
  Instant deadline{};
  std::int64_t due_in = -1;  ///< microseconds from the write to the record's due time; -1: none
  std::string owner{};       ///< names one holding of the run
  std::int64_t serial = 0;   ///< counts the owner's writes
  std::string turn{};        ///< the serial-by value whose turn it needs; empty: none
  /// Of the record that holds its turn; 0: it has none.
  std::int64_t turn_revision = 0;
  std::int64_t next_request = 1;
  std::vector<Request> requests{};
  std::vector<std::string> taken{};  ///< ids of signals that were consumed
  std::vector<Sent> sent{};
  std::vector<Forgotten> forgotten{};  ///< oldest first
  std::vector<RunAct> acts{};
};

/// The turn is taken by the write that says so, and has its revision.
inline constexpr std::int64_t turn_of_this_write = -1;
inline constexpr std::size_t plan_digits = 16;
inline constexpr std::size_t most_reason_bytes = 1024;
/// What the record of a run may take that goes on; the rest of a record is for how it ends, and why.
inline constexpr std::size_t running_bytes = limits::value_bytes - 16 * 1024;
[[nodiscard]] inline std::size_t room_of(const Run& run) noexcept {
  return run.state == RunState::running ? running_bytes : limits::value_bytes;
}
inline constexpr std::string_view record_full =
    "record_full: what begins next makes the run larger than a record may be";
/// Of a part of a reason behind which another one stands.
inline constexpr std::size_t most_cause_bytes = most_reason_bytes / 2;
/// After so many workers died at one step the run is left to an operator: it may be what kills them.
inline constexpr int most_deaths = 5;

[[nodiscard]] std::string encode(const Run& run);
/// Notes of what has ended, or goes on again, that it did so with the write that follows.
void stamp(Run& run) noexcept;
/// Errors: corrupt.
Result<Run> decode_run(const Record& record);
/// Turns what counts from the write into times.
void anchor(Run& run, Timestamp written) noexcept;
/// The same of a record that was read.
void anchor(Run& run, const Record& record) noexcept;
[[nodiscard]] RunView view_of(const Run& run, std::string partition, std::string key,
                              std::optional<Timestamp> due);
/// Calls `visit(path, place)` for every place with an id of its own, in order.
void each_place(const Run& run,
                const std::function<void(const std::string& path, const Place& place)>& visit);
/// Which child of its node a place belongs to that is the `at`th of its parent. Of a run that fits its plan.
[[nodiscard]] std::size_t node_of(const Place& place, std::size_t at);
/// An item's key as it stands in a path.
[[nodiscard]] std::string item_part(std::string_view foreach_id, std::string_view key);

/// Checks an input against a plan and completes it: optional inputs that are not there become null.
/// Errors: invalid_argument naming the input.
Result<Value> complete_input(const PipelineDefinition& definition, Value input);

/// A call that a run wants to be made. The place stays where it is until its outcome is applied.
struct Call {
  enum class Kind : std::uint8_t { act, undo, verify };
  Kind kind = Kind::act;
  const Node* node = nullptr;
  Place* place = nullptr;
  std::string path{};
  Value arguments{};
};

/// What a run does next.
struct Move {
  enum class Kind : std::uint8_t { call, wait, await, ended };
  Kind kind = Kind::ended;
  Duration wait{};
  bool blind = false;  ///< it waits for a time, and does not know what time it is
};

/// A new run; `advance` takes it to its first call.
[[nodiscard]] Run begin_run(const CompiledPlan& plan, std::string_view sha256, Value input);
/// Goes as far as it can without a call: `calls` are then up to `room` (>= 1) calls to make, already marked
/// as under way. `now` is the storage's; the epoch where it is not known yet.
Move advance(Run& run, const CompiledPlan& plan, Timestamp now, std::size_t room, std::vector<Call>& calls);
/// Applies what came of a call. `chance` in [0, 1) draws the jitter; `now` as for advance. advance follows.
void apply(Run& run, const Call& call, StepOutcome outcome, double chance, Timestamp now);
void apply(Run& run, const Call& call, Verification found);
/// The same where the runner stops before the call was made, or was told to stop in it: at once, and no
/// attempt is counted.
void release(const Call& call, bool called, std::string reason, Run& run);
/// Ends a run that cannot go on without an operator.
Move give_up(Run& run, std::string reason);
/// As they are stored, in the order of Cancel: the later goes further.
inline constexpr std::array<std::string_view, 3> cancel_modes = {"graceful", "compensate", "abandon"};
/// Where its mode stands among them.
[[nodiscard]] int reach_of(const Request& asked);
/// The cancellation that goes furthest of those asked for, if any: all are taken, and the others told in the
/// run's acts.
std::optional<Request> take_cancels(Run& run);
void tell_cancel(Run& run, const Request& asked, std::string after);
/// What was asked of a run that has ended is told. One that needs attention is given up where that was asked.
void end_cancels(Run& run);
/// Ends it as it stands, whatever is in doubt.
void abandon(Run& run, std::string reason);
/// From here on it goes backward.
void begin_undo(Run& run, std::string cause);
/// A run on its way back goes on there.
void resume_undo(Run& run);
/// Nothing within the place is to be undone any more; false where nothing was.
bool leave_undone(Place& place);
/// The effects that `before` has and `run` forgot, for an undo. Errors: not_found (the plan is needed and is
/// not there), those of an argument.
Result<void> keep_effects(const Run& before, Run& run, const CompiledPlan* plan);
/// The step that a path names; null where there is none.
[[nodiscard]] const Node* step_at(const Node& root, std::string_view path) noexcept;
/// The record would be too large: what begins with it is forgotten, and where that is not enough the results
/// of the calls made last (`paths`) are left out. The run is given up.
Move drop_results(Run& run, const CompiledPlan& plan, std::span<const std::string> paths);
/// Null where the run has not come there. One that it forgot is found where it was not come to again. Valid
/// until the run moves on.
[[nodiscard]] Place* find_place(Run& run, std::string_view path);
/// Takes over what others asked of the run since it was written; true where there is anything.
bool adopt_requests(Run& run, const Run& found);
/// Whether a stored run is one that this plan may go on with.
[[nodiscard]] bool fits(const Run& run, const CompiledPlan& plan) noexcept;
/// A worker takes over a run whose due time came: what was under way is in doubt and is tried again, unless
/// its workers keep dying. advance follows, where it is still running.
void take_over(Run& run, const CompiledPlan& plan);
/// Pushes on a run that stopped: what took effect stays, what did not end well has fresh attempts under its
/// old tokens. Errors: wrong_state (it goes on, succeeded, or was undone).
Result<void> begin_again(Run& run);
/// The same without a look at how it stands, for acts that settle a place first.
void go_on(Run& run);
/// Before places are forgotten: how their tokens were used is kept.
void remember_tokens(Run& run);
[[nodiscard]] bool any_undone(const Place& place) noexcept;
[[nodiscard]] Unexpected wrong_state(const Run& run, std::string_view what);
/// Whether a worker is at a call of it.
[[nodiscard]] bool in_hands(const Run& run) noexcept;
inline constexpr std::size_t most_text = 256;  ///< of an operator's reason, and of what an act changed
/// What is not text would leave a record that nobody can read. Errors: invalid_argument.
Result<void> check_operator(const Operator& by);
/// Errors: exhausted, where it keeps no more acts.
Result<void> takes_act(const Run& run);
[[nodiscard]] int deaths_of(const Run& run) noexcept;
/// Evenly from [0, 1), for the jitter.
[[nodiscard]] double random_chance();
/// The delay before the attempt after `attempt`.
[[nodiscard]] Duration backoff(const RetryPolicy& policy, int attempt, double chance);
/// How long a call may take, of the attempt's timeout, the step's total and the run's deadline the least.
[[nodiscard]] std::optional<Duration> time_left(const Run& run, const Call& call, Timestamp now) noexcept;

}  // namespace onceward::pipeline_detail
