#pragma once
#include <onceward/pipeline/runner.hpp>

#include "pipeline/keeper.hpp"
#include "pipeline/run_state.hpp"

#include <atomic>
#include <map>
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
  std::vector<Call> calls{};        ///< what to call next; recorded as under way
  std::vector<std::string> made{};  ///< paths of the calls made last
  Timestamp now{};                  ///< the storage's, of the last write
  std::optional<Timestamp> due{};
  /// Set where the record turned out to be somebody else's: the view is what they wrote.
  std::optional<RunView> lost{};
  /// Somebody asked something of the run while it was being recorded: it is looked at again.
  bool asked = false;

  [[nodiscard]] RunState state() const noexcept { return lost ? lost->state : run.state; }
  [[nodiscard]] RunView view() const { return lost ? *lost : view_of(run, partition, key, due); }
  void advance_to_calls();
};

/// At most so many at once, of threads that take what they get.
class Gate {
 public:
  explicit Gate(std::size_t most) : most_(most) {}
  /// Waits for at least one, and takes up to `wanted`.
  std::size_t take(std::size_t wanted);
  void give_back(std::size_t count);

 private:
  std::size_t most_;
  std::mutex mutex_{};
  std::condition_variable free_{};
};

/// Calls steps and records what came of them, for many runs side by side: one commit a round.
class Driver {
 public:
  Driver(Storage& storage, const RunnerOptions& options, std::string owner);

  /// Drives each run to its end, its first durable wait, or the loss of its lease. Where `stop` is requested,
  /// what was called is recorded, and the rest released at once.
  /// Errors: of the storage, after repeating for as long as a lease lasts; the runs are found again by due.
  Result<void> drive(std::span<Held*> runs, const std::stop_token& stop = {});

  [[nodiscard]] Timing timing_of(const Move& move) const;
  /// Names one holding of one run: two threads of one process that take the same run are told apart.
  [[nodiscard]] std::string new_owner() { return owner_ + "." + std::to_string(++owners_); }
  /// Commits, repeating where repeating is harmless, and settles an answer that was lost by reading back.
  Result<void> record(std::span<Held*> runs);
  /// Lets the calls go that are marked as under way and were not made: others may take the runs at once.
  void release_all(std::span<Held* const> runs) const;
  /// The runs' writes as they are now, for a caller that commits them itself.
  [[nodiscard]] Operation write_of(Held& held) const;

  /// What the answer to the run's own write says of it.
  void applied(Held& held, const BatchAnswer& answer, Timestamp now) const;

 private:
  struct Ready {
    Held* held;
    const Call* call;
    std::string token;
    std::string done_token;
  };

  std::vector<Ready> ready_of(std::span<Held*> runs) const;
  void call(std::span<Ready> calls, const std::stop_token& stop);
  void call_some(std::span<Ready> calls, const std::stop_token& stop);
  void call_steps(std::span<Ready> calls, std::span<StepContext> contexts, std::span<StepOutcome> outcomes);
  void renew(std::span<Held*> runs);
  Result<void> read_back(std::span<Held*> runs, std::vector<Held*>& again);
  Batch batch_of(Held& held);
  /// What a refused or lost write of this holding means. True where it is to be written again.
  bool settle(Held& held, const std::optional<Record>& found);
  bool lost_turn(Held& held, const BatchAnswer& answer) const;
  double chance();

  Storage& storage_;
  const RunnerOptions& options_;
  std::string owner_;
  std::atomic<std::uint64_t> owners_{0};
  std::map<std::string, Gate, std::less<>> gates_{};
  Keeper keeper_;
};

}  // namespace onceward::pipeline_detail
