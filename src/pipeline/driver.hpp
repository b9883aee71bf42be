#pragma once
#include <onceward/pipeline/runner.hpp>

#include "pipeline/gate.hpp"
#include "pipeline/keeper.hpp"
#include "pipeline/run_state.hpp"

#include <atomic>
#include <map>

namespace onceward::pipeline_detail {

inline constexpr std::string_view run_prefix = "run/";

/// How long a run that has ended is kept; empty: for ever.
[[nodiscard]] std::optional<Duration> kept_for(RunState state, const RunnerOptions& options) noexcept;

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
  Timestamp now{};                  ///< the storage's, when it was heard last
  std::chrono::steady_clock::time_point heard{};
  std::optional<Timestamp> due{};
  /// Set where the record turned out to be somebody else's: the view is what they wrote.
  std::optional<RunView> lost{};
  /// Somebody asked something of the run while it was being recorded: it is looked at again.
  bool asked = false;
  bool end_recorded = false;
  bool calling = false;  ///< its step is being called: the run stays in these hands until that returns
  /// As it was read: what begins with a takeover and does not fit into the record is forgotten by it.
  Record stored{};

  [[nodiscard]] RunState state() const noexcept { return lost ? lost->state : run.state; }
  [[nodiscard]] RunView view() const { return lost ? *lost : view_of(run, partition, key, due); }
  void hear(Timestamp time,
            std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now()) noexcept;
  /// The storage's time by then: long calls are counted. The epoch where it was never heard.
  [[nodiscard]] Timestamp time(
      std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now()) const noexcept;
  void advance_to_calls(std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now()) {
    next = advance(run, plan.compiled(), time(at), 1, calls);
  }
};

/// Calls steps and records what came of them, for many runs side by side: one commit a round.
class Driver {
 public:
  Driver(Storage& storage, const RunnerOptions& options, std::string owner);
  /// Called on a thread of the driver's own when it lets runs go that others may take. Set before drive().
  void on_let_go(std::function<void()> callback) { on_let_go_ = std::move(callback); }

  /// Drives each run to its end, its first durable wait, or the loss of its lease. Where `stop` is requested,
  /// what was called is recorded, and the rest released at once.
  /// Errors: of the storage, after repeating for as long as a lease lasts; the runs are found again by due.
  Result<void> drive(std::span<Held*> runs, const std::stop_token& stop = {});

  /// Names one holding of one run: two threads of one process that take the same run are told apart.
  [[nodiscard]] std::string new_owner() { return owner_ + "." + std::to_string(++owners_); }
  /// Commits, repeating where repeating is harmless, and settles an answer that was lost by reading back.
  Result<void> record(std::span<Held*> runs);
  /// Lets the calls go that are marked as under way and were not made: others may take the runs at once.
  void release_all(std::span<Held* const> runs) const;
  /// The run's write as it is now, for a caller that commits it itself.
  [[nodiscard]] Operation write_of(Held& held) const;
  /// What the answer to the run's own write says of it.
  void applied(Held& held, const BatchAnswer& answer, Timestamp now,
               Keeper::Clock::time_point heard = Keeper::Clock::now()) const;
  /// What a refused or lost write of this holding means. True where it is to be written again.
  bool settle(Held& held, const std::optional<Record>& found) const;

 private:
  /// A call to make, and what came of it.
  struct Ready {
    Held* held;
    const Call* call;
    std::string token;
    std::string done_token;
    std::optional<Duration> left{};
    bool made = false;
    StepOutcome outcome{Unknown{}};
    std::optional<Verification> found{};
  };
  /// While it stands, the leases of runs are renewed on the keeper's thread, which then writes to them; and
  /// where a worker's call takes long, or it is to stop, the runs that are not called are let go there.
  class Leased {
   public:
    Leased(Driver& driver, std::span<Held*> runs, Keeper::Clock::time_point from, const std::stop_token& stop,
           const Held* except = nullptr);
    ~Leased();
    Leased(const Leased&) = delete;
    Leased& operator=(const Leased&) = delete;
    /// Runs `work` while the keeper's thread writes to none of the runs.
    template <class Work>
    auto locked(const Work& work) {
      const std::lock_guard lock(group_.mutex);
      return work();
    }

   private:
    struct Hurry {
      Keeper& keeper;
      Keeper::Group& group;
      void operator()() const { keeper.hurry(group); }
    };
    Driver& driver_;
    std::vector<Held*> runs_{};
    Keeper::Group group_{};
    bool entered_ = false;
    std::optional<std::stop_callback<Hurry>> at_stop_{};
  };

  // driver.cpp: rounds of calls
  Result<void> drive_round(std::span<Held*> runs, std::span<Held*> leased, std::vector<Held*>& rest,
                           const std::stop_token& stop);
  std::vector<Ready> ready_of(std::span<Held*> runs, Keeper::Clock::time_point now) const;
  void take_in(Ready& item, Keeper::Clock::time_point now, const std::stop_token& stop);
  void move_on(Held& held, Keeper::Clock::time_point now, const std::stop_token& stop) const;
  void renew(std::span<Held*> runs);
  void let_go(std::span<Held*> runs);

  // calls.cpp: the calls themselves
  /// The time they began; answers when the last one had ended.
  Keeper::Clock::time_point call(Leased& kept, std::span<Ready> calls, Keeper::Clock::time_point begun,
                                 const std::stop_token& stop);
  /// How many calls at the front are to be made together; those of runs that were let go are dropped.
  std::size_t front_of(std::span<Ready>& calls);
  void call_some(std::span<Ready> calls, const std::stop_token& stop, const StepConnection& connection = {});

  // transaction_call.cpp: a call whose rows and record are one transaction
  Result<void> call_in_transaction(Held& held, std::span<Held*> leased, const std::stop_token& stop);
  Result<void> commit_call(Held& held, StepTransaction& transaction);
  void take_back(Held& held, Run before, Revision revision, Call call, std::string reason);

  // recording.cpp
  [[nodiscard]] Timing timing_of(const Move& move) const;
  Result<void> look_again(std::span<Held*> runs);
  Result<void> record_alone(std::span<Held*> runs);
  Result<void> read_back(std::span<Held*> runs, std::vector<Held*>& again);
  Batch batch_of(Held& held) const;
  void forget_too_large(Held& held) const;
  bool turn_refused(Held& held, const BatchAnswer& answer) const;

  Storage& storage_;
  const RunnerOptions& options_;
  std::string owner_;
  std::atomic<std::uint64_t> owners_{0};
  std::map<std::string, Gate, std::less<>> gates_{};
  Pace pace_{};
  std::function<void()> on_let_go_{};
  Keeper keeper_;
  /// Ends the time of calls: it does no I/O that could hang.
  Keeper timer_;
};

}  // namespace onceward::pipeline_detail
