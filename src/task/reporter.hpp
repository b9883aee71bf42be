#pragma once
#include "task/work.hpp"

namespace onceward::task_detail {

/// Carries the events of one call from reading to driven runs.
class Reporter {
 public:
  Reporter(Storage& storage, Runner& runner, const TaskCenterOptions& options, bool drives = true)
      : storage_(storage), runner_(runner), options_(options), drives_(drives) {}

  /// Applies looked-at events; answers of those that failed before are left alone.
  void report(std::vector<PendingEvent> events, std::span<Result<Receipt>> answers);

  /// Does todos of any kind, units in their order, and gives the runs they make. Those that cannot be done
  /// now (a reward still runs, a task is not published here) stay. Errors: the last one met; no todo's error
  /// keeps another from being done.
  Result<void> do_todos(std::vector<WaitingTodo>& todos, std::vector<WaitingRun>& runs,
                        std::span<Result<Receipt>> answers);

  /// The receipt of an event that was applied, as it stands now.
  Result<Receipt> receipt_of(KnownEvent known);

  /// Drives runs and notes their states in the receipts.
  Result<void> drive(std::vector<WaitingRun>& runs, std::span<Result<Receipt>> answers);

 private:
  void apply_round(std::vector<PendingEvent*>& waiting, std::span<Result<Receipt>> answers, Started& started);
  Result<void> look_ahead(std::span<PendingEvent*> events);
  void carry_on(Started& started, std::span<Result<Receipt>> answers);
  Result<void> check_prerequisites(std::span<PendingEvent*> events);
  Result<void> do_kind(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs,
                       std::span<Result<Receipt>> answers);
  Result<void> apply_stored(std::span<WaitingTodo> todos);
  Result<void> recall(std::span<KnownEvent> known, std::span<Result<Receipt>> answers,
                      std::vector<WaitingTodo>& todos);
  Result<void> recall_runs(std::span<KnownEvent> known, std::span<Result<Receipt>> answers);

  Storage& storage_;
  Runner& runner_;
  const TaskCenterOptions& options_;
  bool drives_;
};

}  // namespace onceward::task_detail
