#pragma once
#include <onceward/journal/journal.hpp>
#include <onceward/task/task_center.hpp>

#include "task/board.hpp"
#include "task/merchants.hpp"
#include "task/moving.hpp"
#include "task/progress.hpp"

#include <memory_resource>

// One call of report_many, from events to batches. Everything here is pure but for what is read and written
// by the functions of reporter.cpp; a batch that is refused is thrown away and made anew from what is stored
// then.
namespace onceward::task_detail {

/// A todo that was written, for the process that wrote it to do at once.
struct WaitingTodo {
  std::size_t place = 0;         ///< of the event in the call: units are taken in the order of the events
  std::size_t grant = no_grant;  ///< in the event's receipt
  std::string partition;
  std::string key;
  Revision revision = absent;
  Todo todo;
  std::shared_ptr<const MerchantIndex> merchant;

  static constexpr std::size_t no_grant = static_cast<std::size_t>(-1);
};

/// A contribution an event would make, if its instance is of this version (or begins with it).
struct Candidate {
  const IndexEntry* entry;
  std::string cycle;  ///< empty where it depends on what is stored of the user
  Contributed contributed;
  std::string_view refused{};  ///< why it begins no new instance; empty: it may
  bool cycle_given = false;    ///< by the request
  /// Why a version that is not in force cannot compute it, told to those who work on it; null: it can.
  std::shared_ptr<const Error> failed{};
  std::size_t slot = 0;  ///< of its instance in the batch it was taken into
};

/// What a request, an operator or a timer does to an instance: applied as events are, on the same records.
struct Act {
  Trigger trigger = Trigger::claim;
  std::int64_t stage = 0;  ///< collect; 0: all
  std::string actor{};
  std::string reason{};
  bool forced = false;
  std::optional<WaitingTodo> unit{};  ///< claim, replay: the unit taken for it; its todo is the fence
};

/// A contribution that counts for somebody else, or that waits for its version to be known: applied there
/// after this event's batch.
struct PassedOn {
  std::string owner;
  std::string task;
};

/// What a candidate of own cycles or prerequisites, or a reversal, needs to know before its records can be
/// named.
struct Ahead {
  std::optional<EventRecord> original{};                                 ///< of a reversal
  std::vector<std::pair<std::string, std::optional<Record>>> anchors{};  ///< task -> its anchor
};

/// An event of the call, looked at once.
struct PendingEvent {
  std::size_t place = 0;  ///< in the call
  const Event* event = nullptr;
  std::shared_ptr<const MerchantIndex> merchant;
  std::string owner;  ///< "user/<user>", "group/<group>"
  std::string partition;
  std::string key;
  std::string fingerprint;
  std::vector<Candidate> candidates;
  std::vector<PassedOn> passed_on{};
  std::vector<Skipped> skipped{};
  std::string reverses_key{};  ///< of the record of the event it takes back
  std::int64_t reduced = 0;    ///< passed on: what was taken back before it came
  std::string zone{};          ///< of the user's profile
  std::optional<Act> act{};    ///< a request instead of an event; its key may be empty: it is not deduped
  Ahead ahead{};
  bool handed_over = false;  ///< the own part of an event that another batch passed on

  [[nodiscard]] bool looks_ahead() const noexcept;
};

/// Who a profile is asked of; null where the host has none.
using Profiles = std::function<Result<UserProfile>(std::string_view merchant, std::string_view user)>;

/// Times of events and requests lie from 1900 to 2099, where cycles are known.
inline constexpr auto earliest = Timestamp(std::chrono::days(-25567));
inline constexpr auto latest = Timestamp(std::chrono::days(47482));
/// What ids of events must not begin with: completions are kept among them, to be taken back as events are.
inline constexpr std::string_view completion_prefix = "complete:";

/// Checks an event and computes what it would contribute. Errors: as TaskCenter::report.
Result<PendingEvent> look_at(const Event& event, std::size_t place,
                             std::shared_ptr<const MerchantIndex> merchant, const Profiles& profiles);
/// The same for an event another user's event passed on: only `task` counts, for `owner`.
Result<PendingEvent> look_at_passed_on(const Event& event, std::size_t place,
                                       std::shared_ptr<const MerchantIndex> merchant,
                                       const Profiles& profiles, std::string_view owner,
                                       std::string_view task, std::int64_t reduced);
/// Errors: invalid_argument naming the limit.
Result<void> check(const Event& event);
/// Whether an event's attributes read back as they were, of one that is written down for later.
/// Errors: invalid_argument naming the attribute.
Result<void> check_stored(const Event& event);

/// A run that waits to be driven.
struct WaitingRun {
  std::size_t place = 0;
  std::size_t grant = 0;
  PreparedRun run;
  Revision revision = absent;
};

/// A duplicate whose receipt's grants have to be looked up.
struct KnownEvent {
  std::size_t place = 0;
  std::string id;
  GrantKey owner;  ///< merchant and user
  std::string partition;
  EventRecord record;
  std::shared_ptr<const MerchantIndex> merchant;
};

/// A line for the journal, told once its batch is durable.
struct Line {
  std::string partition;
  std::string subject;
  Trigger trigger = Trigger::event;
  Status from = Status::not_taken;
  Status to = Status::not_taken;
  std::string reason{};
  std::string actor{};
};
void tell(Journal* journal, std::span<const Line> lines);
/// That work() could not do what a record asks for.
void tell_trouble(Journal* journal, std::string_view partition, std::string_view subject, const Error& error);
/// Has work() tell these lines once the caller's transaction is there.
[[nodiscard]] Operation tell_later(std::string_view partition, std::span<const Line> lines);
/// The lines such a todo keeps. Errors: corrupt.
Result<std::vector<Line>> kept_lines(const WaitingTodo& todo);

/// What applied batches have started and the call has to carry on.
struct Started {
  std::vector<WaitingTodo> todos;
  std::vector<WaitingRun> runs;
  std::vector<KnownEvent> known;
  std::vector<std::pair<std::size_t, std::size_t>>
      repeats;  ///< an event given twice in one call: place, first place
  std::vector<Line> lines;
};

/// What one user's events of a call do together: one batch.
class UserWork {
 public:
  /// Memory that all users of a round share, one after another.
  class Scratch;

  /// What is given must outlive it; `partition` is the events' own, and `memory` that of the round.
  UserWork(std::string_view partition, const Runner& runner, const TaskCenterOptions& options,
           Scratch& scratch);

  /// Takes one more event; false where the batch would grow too large.
  bool take(PendingEvent* event);
  [[nodiscard]] std::span<PendingEvent* const> events() const noexcept { return events_; }
  /// The records it needs, and how many; `stored` gives them back in this order.
  void name_records(std::vector<RecordRef>& refs) const;
  [[nodiscard]] std::size_t record_count() const noexcept {
    return event_slots_.size() + (slots_.empty() ? 0 : 1) + slots_.size() + counters_.size();
  }

  /// Applies the events in order to what is stored and makes the batch. Answers of events that need no write
  /// (a duplicate, a refusal) go to `answers`. Gives false where a record turned out to be named wrongly,
  /// since what was read ahead has changed: look ahead and apply anew.
  bool apply(std::span<std::optional<Record>> stored, Timestamp now, std::span<Result<Receipt>> answers);
  /// Events that did not fit into the batch any more; they come next.
  [[nodiscard]] std::span<PendingEvent* const> postponed() const noexcept { return postponed_; }

  [[nodiscard]] const Batch& batch() const noexcept { return batch_; }
  [[nodiscard]] Batch take_batch() noexcept { return std::move(batch_); }
  /// After the batch was applied: hands over what it started.
  void finish(Revision revision, Started& started);

 private:
  /// An instance some of the events may move.
  struct Slot {
    std::string task;
    std::string key;
    std::string cycle;
    std::optional<Instance> instance{};
    Revision revision = absent;  ///< of its own record
    bool moved = false;
    std::size_t on_board = nowhere;  ///< its place there

    /// Whether it has moved to a new place of the board.
    [[nodiscard]] bool on_the_board() const { return moved && revision == absent && is_plain(*instance); }
  };
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
  /// The record of an event of the batch, or of one that is reversed.
  struct EventSlot {
    std::string_view key;  ///< the event's own
    std::optional<EventRecord> record{};
    Revision revision = absent;
    bool changed = false;
    std::size_t place = 0;  ///< of the event of this batch that made it
    bool fresh = false;     ///< made by this batch
    std::string encoded{};  ///< what is written of it; empty: to be made
  };
  /// How often the user has taken a task with a limit.
  struct Counter {
    std::string task;
    std::string key;
    std::int64_t count = 0;
    Revision revision = absent;
    bool changed = false;
  };
  /// Where the user begins with a task, if one of the events begins it.
  struct Anchored {
    std::string task;
    Anchor anchor;
  };
  /// What one event did, kept aside until the whole of it is known to be right.
  using Moved = std::vector<std::pair<std::size_t, Instance>>;
  struct Effects {
    Moved moved;                     ///< slot -> instance after the event
    std::vector<std::size_t> taken;  ///< counters that go up by one
    std::size_t anchors = 0;         ///< cycles of the user's own that may begin
    EventRecord record;
    std::string encoded;  ///< the record
    std::optional<EventRecord> original{};
    std::vector<WaitingTodo> todos;
    std::vector<WaitingRun> runs;
    std::vector<Line> lines;
    bool known = false;  ///< a request for what was done before: nothing is written

    [[nodiscard]] std::size_t operations() const noexcept;
  };

  std::size_t slot_of(const std::string& task, const std::string& cycle);
  [[nodiscard]] std::size_t find_slot(const std::string& task, const std::string& cycle) const noexcept;
  std::size_t event_slot_of(std::string_view key);
  std::size_t counter_of(const std::string& task);
  static bool begins(const PendingEvent& event, const CompiledTask& task) noexcept;
  [[nodiscard]] const Anchored* fresh_anchor(const CompiledTask& task) const;
  Result<Anchor> anchor_of(const PendingEvent& event, const CompiledTask& task);
  Result<Calendar> calendar_of(const PendingEvent& event, const Candidate& candidate);

  bool load(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers);
  bool apply_one(const PendingEvent& event, std::span<Result<Receipt>> answers);
  bool answer_known(const PendingEvent& event, std::span<Result<Receipt>> answers);
  void recall(const PendingEvent& event, EventRecord record);
  void keep(const PendingEvent& event, Effects effects, std::span<Result<Receipt>> answers);
  void write();
  void put(std::string key, Revision revision, std::string value, Timing timing = {});
  void write_instances();
  void write_board();

  Result<Effects> effects_of(const PendingEvent& event, const EventRecord* early);
  Result<void> contribute(const PendingEvent& event, const Candidate& candidate, std::int64_t reduced,
                          Effects& effects);
  std::optional<Instance> begin(const Candidate& candidate, Timestamp cycle_end, Timestamp at,
                                Effects& effects, std::string_view& refused);
  enum class Pinned : std::uint8_t { here, elsewhere, unknown };
  static bool migrate(const MerchantIndex& merchant, const IndexEntry& entry, Instance& instance);
  static Pinned pinned(const PendingEvent& event, const Candidate& candidate, Instance& instance);
  Result<void> wait_for_version(const PendingEvent& event, const Candidate& candidate,
                                const Instance& instance, std::int64_t reduced, Effects& effects);
  static bool join(const PendingEvent& event, const Candidate& candidate, Instance& instance, bool& joined);
  static void share(Instance& instance, const std::string& user, std::int64_t by);
  Result<Effects> act_of(const PendingEvent& event);
  Result<void> claim(const PendingEvent& event, const IndexEntry& entry, std::size_t place, Effects& effects);
  Result<void> collect(const PendingEvent& event, const IndexEntry& entry, std::size_t place,
                       Effects& effects);
  Result<bool> collect_one(const PendingEvent& event, const IndexEntry& entry, const Slot& slot, Grant& grant,
                           Effects& effects);
  void return_claim_unit(const PendingEvent& event, const Slot& slot, Instance& instance, Effects& effects);
  void end(const PendingEvent& event, const IndexEntry& entry, std::size_t place, Effects& effects);
  void push_on(const PendingEvent& event, const IndexEntry& entry, std::size_t place, Effects& effects);
  void earn_again(const PendingEvent& event, const IndexEntry& entry, const Slot& slot, Grant& grant,
                  Effects& effects);
  static void refuse(const Slot& slot, std::string_view reason, Effects& effects);
  Result<Effects> reversal_of(const PendingEvent& event);
  Result<void> take_back(const PendingEvent& event, std::size_t contribution, const EventRecord& before,
                         const EventRecord& after, Effects& effects);
  /// Stages are reached, and fall where the progress was more `before`.
  Result<void> reach(const PendingEvent& event, const IndexEntry& entry, const Slot& slot, Instance& instance,
                     std::int64_t before, Trigger trigger, Effects& effects);
  Result<void> earn(const PendingEvent& event, const IndexEntry& entry, const Slot& slot, std::int64_t number,
                    Instance& instance, Effects& effects);
  void fall(const PendingEvent& event, const CompiledTask& task, const Slot& slot, const Grant& fallen,
            Effects& effects);
  Result<void> grant_members(const PendingEvent& event, const CompiledTask& task, const std::string& cycle,
                             std::span<const std::string> members, std::int64_t first, std::int64_t last,
                             Effects& effects);
  void pass_on(const PendingEvent& event, std::int64_t reduced, Effects& effects) const;
  void pass_on(const PendingEvent& event, const PassedOn& passed, std::int64_t reduced,
               Effects& effects) const;
  void add_todo(const PendingEvent& event, Todo todo, std::size_t grant, Effects& effects) const;
  void add_line(const Slot& slot, Trigger trigger, Status from, Status to, std::string reason,
                Effects& effects, const std::string& actor = {}) const;
  Result<void> check_size(const PendingEvent& event, const Effects& effects) const;
  /// How many operations the events of a batch may take: one may be for the lines to be told later.
  [[nodiscard]] std::size_t room() const noexcept;

  const Instance* current(const Effects& effects, std::size_t slot) const;
  static void put(Effects& effects, std::size_t slot, Instance&& instance);
  static GrantReceipt receipt_of(const EventRecord::Grant& grant, const PendingEvent& event);
  static std::string_view user_of(const PendingEvent& event) noexcept;

  std::string_view partition_;
  const Runner& runner_;
  const TaskCenterOptions& options_;
  Scratch& scratch_;
  std::pmr::vector<PendingEvent*> events_;
  std::pmr::vector<EventSlot> event_slots_;
  std::pmr::vector<Slot> slots_;
  std::pmr::vector<BoardEntry> board_;  ///< views into what was read
  Revision board_revision_ = absent;
  std::pmr::vector<Counter> counters_;
  std::pmr::vector<Anchored> anchors_;
  Batch batch_;
  Started started_;
  std::vector<PendingEvent*> postponed_;
  Timestamp now_{};             ///< the storage's
  std::size_t operations_ = 0;  ///< about how many the batch will have
  std::size_t written_ = 0;     ///< how many it has
  std::vector<Operation> fences_;
  bool reverses_ = false;  ///< one of the events takes another back
  bool misnamed_ = false;
};

/// A call for many users makes and drops many small things at once, which a heap is slow at.
class UserWork::Scratch {
 public:
  [[nodiscard]] std::pmr::memory_resource* round() noexcept { return &round_; }

 private:
  friend class UserWork;
  std::pmr::monotonic_buffer_resource round_{first_bytes};  ///< until the round ends
  Moved moved_{};                                           ///< of one event at a time

  static constexpr std::size_t first_bytes = 4096;
};

}  // namespace onceward::task_detail
