#pragma once
#include <onceward/pipeline/runner.hpp>

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace onceward {

/// Which runs a redrive pushes on. What is left empty holds for every run.
struct RedriveFilter {
  std::string pipeline{};
  std::string partition{};   ///< one partition; empty: all, which needs a storage that lists them
  std::string key_prefix{};  ///< of run keys; needs `pipeline`
  /// Ends to be pushed on; running and succeeded cannot be.
  std::vector<RunState> states{RunState::failed, RunState::needs_attention};
  /// What the reason begins with, as a whole word: "closed" finds "closed: no account" and no "closed_early".
  std::string code{};
  std::optional<Timestamp> ended_from{};   ///< by the storage's time of the last write
  std::optional<Timestamp> ended_until{};  ///< not included
};

/// What became of one run that a filter found.
struct RedriveLine {
  enum class What : std::uint8_t {
    pushed,   ///< it goes on; in a dry run: it would
    already,  ///< this redrive, or somebody else, did it before
    refused,  ///< it cannot go on: `why`
  };
  RunName run;
  RunState state = RunState::failed;  ///< as it was found
  std::string reason;                 ///< the run's, as it was found
  What what = What::pushed;
  std::string why{};
};

struct RedriveReport {
  std::size_t looked_at = 0;
  std::size_t matched = 0;
  std::size_t pushed = 0;  ///< in a dry run: would be
  std::size_t already = 0;
  std::size_t refused = 0;
  std::size_t corrupt = 0;  ///< records that are not what this version writes; nothing was done to them
  /// Where another redrive of this id goes on; empty where everything was looked at.
  std::string cursor{};
};

struct RedriveOptions {
  /// Names this redrive: a run is pushed once by it, however often it is repeated, killed and begun again,
  /// and by however many processes at once. 1 to 64 bytes of UTF-8. A run that fails again is for another
  /// redrive.
  std::string id;
  Operator by;                         ///< recorded in each run and told to the journal; neither may be empty
  double per_second = 20;              ///< runs pushed, > 0; a dry run does not wait
  std::optional<std::size_t> limit{};  ///< runs pushed at most
  bool dry_run = false;                ///< says what it would do, and writes nothing
  std::string cursor{};                ///< of a report or of `progress`; empty: from the start
  std::size_t page = 256;              ///< records read at once, 1..limits::page_records
  std::stop_token stop{};              ///< ends it early, between two runs
  std::function<void(const RedriveLine&)> each{};  ///< called for every run that matches
  /// Called after each page, with the cursor to go on from if this process dies: keep it.
  std::function<void(const RedriveReport&)> progress{};
};

/// Pushes on runs that ended badly: what took effect stays, what did not end well has fresh attempts under
/// its old tokens. It only makes them due; Runner::work() or the workers of any process drive them. Runs that
/// were undone are refused: start another run. Safe from any thread; the runner and the storage must outlive
/// it. Callbacks come on the caller's thread.
class ReplayScheduler {
 public:
  ReplayScheduler(Storage& storage, Runner& runner) noexcept : storage_(storage), runner_(runner) {}

  /// Returns when every run was looked at, the limit is reached, or it was told to stop; its cursor says
  /// where to go on. Errors: invalid_argument (an option; a cursor that is none), wrong_state (the storage
  /// has no list of partitions), those of the storage, after repeating what is harmless to repeat.
  Result<RedriveReport> redrive(const RedriveFilter& filter, const RedriveOptions& options);

 private:
  Storage& storage_;
  Runner& runner_;
};

}  // namespace onceward
