#pragma once
#include "task/work.hpp"

namespace onceward::task_detail {

/// Carries the events of one call from reading to driven runs.
class Reporter {
 public:
  Reporter(Storage& storage, Runner& runner, const TaskCenterOptions& options)
      : storage_(storage), runner_(runner), options_(options) {}

  /// Applies looked-at events; answers of those that failed before are left alone.
  void report(std::vector<PendingEvent> events, std::span<Result<Receipt>> answers);

  /// Has waiting units taken, in order, and the runs of the granted ones made; gives the runs to drive.
  Result<void> take_units(std::span<WaitingUnit> units, std::vector<WaitingRun>& runs,
                          std::span<Result<Receipt>> answers);

  /// Drives runs and notes their states in the receipts.
  Result<void> drive(std::vector<WaitingRun>& runs, std::span<Result<Receipt>> answers);

 private:
  void apply_round(std::vector<PendingEvent*>& waiting, std::span<Result<Receipt>> answers, Started& started);
  /// Of no more units than one commit has batches.
  Result<void> take_some(std::span<WaitingUnit> units, std::vector<WaitingRun>& runs,
                         std::span<Result<Receipt>> answers);
  Result<void> recall(std::span<KnownEvent> known, std::span<Result<Receipt>> answers,
                      std::vector<WaitingUnit>& units);
  Result<void> recall_runs(std::span<KnownEvent> known, std::span<Result<Receipt>> answers);
  Result<std::optional<PreparedRun>> run_of(const WaitingUnit& unit) const;

  Storage& storage_;
  Runner& runner_;
  const TaskCenterOptions& options_;
};

}  // namespace onceward::task_detail
