#pragma once
#include "task/work.hpp"

namespace onceward::task_detail {

/// As Storage::read, of any number of records.
Result<ReadAnswer> read_many(Storage& storage, std::span<const RecordRef> refs);
Result<std::vector<std::optional<Record>>> read_all(Storage& storage, std::span<const RecordRef> refs);
/// As Storage::commit, of any number of batches.
Result<std::vector<BatchAnswer>> commit_all(Storage& storage, std::span<const Batch> batches);

/// A grant in a call's receipt; null for a call without receipts (work).
GrantReceipt* grant_at(std::span<Result<Receipt>> answers, std::size_t place, std::size_t grant);
/// Notes in a receipt how a tracked grant stands.
void note(GrantReceipt* receipt, const Grant& grant);

/// The version a todo is about; without a task where it is not known here.
[[nodiscard]] IndexEntry entry_of(const WaitingTodo& todo);
[[nodiscard]] Error too_many(std::string_view key, std::size_t rounds);

/// Does what batches left to be done in other partitions, or later. Each is written down as a todo and each
/// may be done by several processes at once: the one whose batch removes the todo has done it.
class Chores {
 public:
  Chores(Storage& storage, Runner& runner, const TaskCenterOptions& options)
      : storage_(storage), runner_(runner), options_(options) {}

  /// Takes a quota's unit for each, in order, and decides its grant; gives the runs to drive. A unit is named
  /// by its grant: taken at most once, and found taken when it is taken again.
  Result<void> take_units(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs,
                          std::span<Result<Receipt>> answers);
  /// Gives units back. A unit that was not taken is marked, so that a late process cannot take it any more.
  Result<void> return_units(std::span<WaitingTodo> todos);
  /// Makes the runs that take rewards back, of those whose own run has ended and has given something; what is
  /// left of that run is called off in the same batch, so that nothing arrives afterwards. A grant whose run
  /// has given nothing is void instead. The others stay: a run goes on, or nobody knows what it has given.
  Result<void> take_back(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs);
  /// Makes the runs of a group's members.
  Result<void> members(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs);
  /// Gives up claims whose process died before it was answered.
  Result<void> lapse(std::span<WaitingTodo> todos);
  /// Tells the journal what a caller's transaction has kept for it. Whoever's batch removes the todo tells
  /// it: a crash in between loses the lines. Without a journal they stay for who has one.
  Result<void> tell_kept(std::span<const WaitingTodo> todos);
  /// Keeps what can never be done with the reason, due no more: it stands in nobody's way. An event is kept
  /// for a while, what is owed to somebody for good. The id of a stored
  /// event is free again in the same batch: nothing was applied, and it may be sent again, mended or as it
  /// is.
  Result<void> set_aside(std::span<const std::pair<const WaitingTodo*, Error>> wrong);
  /// Removes todos that are done.
  Result<void> remove(std::span<const WaitingTodo> todos);

 private:
  struct Decision {
    WaitingTodo* todo;
    bool granted;
  };
  /// An instance whose grants were decided: one batch.
  struct Decided {
    std::vector<Decision> decisions;
    std::vector<WaitingRun> runs;
    std::vector<Line> lines;
    bool settles = false;  ///< a reward it waited for never comes
  };
  Result<void> decide(std::vector<Decision> decisions, std::vector<WaitingRun>& runs,
                      std::span<Result<Receipt>> answers);
  Result<bool> decide_one(const Decision& decision, Instance& instance, Batch& batch,
                          std::vector<WaitingRun>& runs);
  Result<void> return_some(std::vector<WaitingTodo*>& left);
  Result<std::vector<WaitingRun>> runs_of_members(const WaitingTodo& todo) const;
  struct TakingBack {
    const WaitingTodo* todo;
    std::optional<PreparedRun> run;
    Batch batch;
    std::optional<Status> voided{};  ///< it had given nothing: where its instance stands
  };
  Result<void> take_back_some(std::vector<const WaitingTodo*>& left, std::vector<WaitingRun>& runs);
  Result<std::optional<TakingBack>> taking_back(const WaitingTodo& todo, const Record* reward,
                                                const Record* instance, Timestamp now) const;

  Storage& storage_;
  Runner& runner_;
  const TaskCenterOptions& options_;
};

}  // namespace onceward::task_detail
