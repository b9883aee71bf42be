#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace onceward {

/// Where a user's instance of a task stands.
enum class Status : std::uint8_t {
  not_taken,    ///< not taken by the user; history may be counted for it already
  claimed,      ///< taken, nothing counted yet
  in_progress,  ///< counting
  completed,    ///< the last stage is reached, a reward waits for collect()
  rewarding,    ///< every reward is under way, at least one has not arrived
  rewarded,     ///< every reward has arrived
  failed,       ///< a reward was refused by its step; `reason` is the run's
  terminated,   ///< given up; `reason` says whether replay may push it on
  expired,      ///< its time passed
  revoked,      ///< a reward was taken back
};
inline constexpr std::size_t statuses = 10;
[[nodiscard]] std::string_view to_string(Status status) noexcept;
[[nodiscard]] std::optional<Status> parse_status(std::string_view name) noexcept;

/// What moves an instance.
enum class Trigger : std::uint8_t {
  claim,             ///< the user takes the task
  event,             ///< an event counted
  take_back,         ///< an event was reversed, wholly or in part
  complete,          ///< the host declares it done
  collect,           ///< the user fetches a reward
  reward_done,       ///< the last outstanding reward arrived
  reward_failed,     ///< a step refused
  reward_exhausted,  ///< a step's attempts are used up
  replay,            ///< failed or terminated work is pushed on
  abandon,           ///< the user gives up
  withdraw,          ///< the merchant or the platform ends it (withdrawn, risk)
  deadline,          ///< its time passed: to finish, or to collect
};
inline constexpr std::size_t triggers = 12;
[[nodiscard]] std::string_view to_string(Trigger trigger) noexcept;

/// What has to hold for a move, where its trigger alone does not decide.
enum class MoveGuard : std::uint8_t {
  always,
  unfinished,   ///< stages are still to be reached
  uncollected,  ///< the last stage is reached, a reward waits for collect()
  finished,     ///< the last stage is reached, nothing waits
  replayable,   ///< nothing waits, and the reason may be pushed on, or it is forced by an actor with a reason
  forced,       ///< stages are still to be reached, and it is forced
  forced_waiting  ///< a reward waits for collect(), and it is forced
};
[[nodiscard]] std::string_view to_string(MoveGuard guard) noexcept;

/// What guards look at.
struct MoveFacts {
  bool all_reached = false;  ///< the last stage stands reached
  bool waits = false;        ///< a reward waits for collect()
  bool replayable = false;   ///< the reason of a failed or terminated instance may be pushed on
  bool forced = false;       ///< an actor gave a reason
};

/// One line of the table of moves; what it does besides is in `effects`, for people.
struct StatusMove {
  Status from;
  Trigger trigger;
  MoveGuard guard;
  Status to;
  std::string_view effects;
};

/// Every move there is, in one table: what is not in it is refused.
[[nodiscard]] std::span<const StatusMove> moves() noexcept;
/// The move from a status; null where it is not defined. At most one move fits.
[[nodiscard]] const StatusMove* find_move(Status from, Trigger trigger, const MoveFacts& facts) noexcept;
/// The table as a graph in the DOT language, for the docs.
[[nodiscard]] std::string moves_to_dot();

}  // namespace onceward
