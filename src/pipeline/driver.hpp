#pragma once
#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"

#include <atomic>
#include <random>

namespace onceward::pipeline_detail {

inline constexpr std::string_view run_prefix = "run/";

/// A run in the hands of this process.
struct Held {
  Plan plan;
  Run run;
  std::string partition;
  std::string key;  ///< the run's
  std::string record_key;
  Revision revision = absent;
  Move next{Move::Kind::call};
  std::optional<Timestamp> due{};
  /// Set where the record turned out to be somebody else's: the view is what they wrote.
  std::optional<RunView> lost{};

  [[nodiscard]] RunState state() const noexcept { return lost ? lost->state : run.state; }
  [[nodiscard]] RunView view() const { return lost ? *lost : view_of(run, partition, key, due); }
};

/// Calls steps and records what came of them, for many runs side by side: one commit a round.
class Driver {
 public:
  Driver(Storage& storage, const RunnerOptions& options, std::string owner)
      : storage_(storage), options_(options), owner_(std::move(owner)) {}

  /// Drives each run to its end, its first durable wait, or the loss of its lease.
  /// Errors: of the storage, after repeating for as long as a lease lasts; the runs are found again by due.
  Result<void> drive(std::span<Held*> runs, const std::stop_token& stop = {});

  /// What writes a run as it stands.
  [[nodiscard]] Operation write_of(const Held& held) const;
  [[nodiscard]] Timing timing_of(const Move& move) const;
  /// Names one holding of one run: two threads of one process that take the same run are told apart.
  [[nodiscard]] std::string new_owner() { return owner_ + "." + std::to_string(++owners_); }
  /// Commits, repeating where repeating is harmless, and settles an answer that was lost by reading back.
  Result<void> record(std::span<Held*> runs);

 private:
  struct Call {
    Held* held;
    const CompiledStep* step;
    std::string token;
    Value arguments;
  };

  std::vector<Call> calls_of(std::span<Held*> runs);
  void call(std::span<Call> calls, const std::stop_token& stop);
  Result<void> read_back(std::span<Held*> runs, std::vector<Held*>& again);
  Operation fitting_write_of(Held& held) const;
  /// Adopts the record where it is this holding's own write whose answer was lost; else the run is another's.
  void settle(Held& held, const std::optional<Record>& found);
  double chance();

  Storage& storage_;
  const RunnerOptions& options_;
  std::string owner_;
  std::atomic<std::uint64_t> owners_{0};
};

}  // namespace onceward::pipeline_detail
