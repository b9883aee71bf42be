#pragma once
#include <onceward/pipeline/runner.hpp>
#include <onceward/task/event.hpp>
#include <onceward/task/status.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onceward {

/// One reward of an instance, as it stands.
struct GrantView {
  std::int64_t stage = 1;
  std::int64_t generation = 1;
  /// "earned", "waiting", "granted", "out_of_stock", "voided" or "revoked".
  std::string_view state;
  RunState run = RunState::running;  ///< of the reward; of what takes it back where it is revoked
  std::string reason{};              ///< the run's
  bool owed = false;                 ///< revoked, and what takes it back was refused: the user owes it

  friend bool operator==(const GrantView&, const GrantView&) = default;
};

/// A user's copy of a task in one cycle, as it stands.
struct InstanceView {
  std::string task;
  std::string version;
  std::string cycle;
  std::int64_t progress = 0;
  std::int64_t reached = 0;  ///< stages reached, from the first
  Status status = Status::not_taken;
  std::string reason{};  ///< of failed and terminated, and of expired
  /// Of a streak: the run that ends at the latest period, told in order: a freeze that was used is used.
  /// `progress` is the longest run there is, wherever it begins.
  std::int64_t run = 0;
  std::optional<Timestamp> deadline{};       ///< to reach the last stage
  std::optional<Timestamp> collect_until{};  ///< of the rewards that wait
  std::vector<GrantView> grants{};
  std::vector<std::string> members{};  ///< of a group's

  friend bool operator==(const InstanceView&, const InstanceView&) = default;
};

/// What a user, or the host for a user, asks of one task.
struct Request {
  std::string merchant;
  std::string user;
  std::string task;
  std::string key;  ///< 1..200 bytes; the same key with another content is a conflict
  /// Empty: the one of `at`. A task is begun (claim; complete, where claiming is automatic) in that one only:
  /// "not_started" and "ended" are the causes of another one, and a name the task never gives is
  /// invalid_argument.
  std::string cycle{};
  std::int64_t stage = 0;         ///< collect: the stage; 0: all
  std::optional<Timestamp> at{};  ///< when it was asked, 1900 to 2099; unset: the storage's time
  std::string actor{};            ///< who asks on the user's behalf
  std::string reason{};
};

/// Why a user may not take a task, or a request was refused.
struct Cause {
  /// Stable: "not_online", "not_started", "ended", "audience", "prerequisite", "limit", "out_of_stock",
  /// "wrong_state", "late".
  std::string code;
  std::string message;                    ///< for a person; names what is missing
  std::optional<Timestamp> changes_at{};  ///< when it will no longer hold by itself

  friend bool operator==(const Cause&, const Cause&) = default;
};

/// The answer to a request.
struct Reply {
  enum class Outcome : std::uint8_t {
    done,
    wrong_state,   ///< the move is not defined from where the instance stands: see `view`
    not_eligible,  ///< see `causes`
    out_of_stock,  ///< the quota's last unit is gone
    late,          ///< its time has passed
  };
  Outcome outcome = Outcome::done;
  bool replayed = false;  ///< stored before, given again
  std::string task{};
  std::string cycle{};
  std::optional<InstanceView> view{};  ///< as it stands after the request; empty where there is no instance
  std::vector<GrantReceipt> grants{};  ///< collect and complete: the rewards it moved
  std::vector<Cause> causes{};
};
[[nodiscard]] std::string_view to_string(Reply::Outcome outcome) noexcept;

/// Names an event that was stored or reported.
struct Ticket {
  std::string merchant;
  std::string user;
  std::string event;
};

struct ListRequest {
  std::string merchant;
  std::string user;
  std::optional<Timestamp> at{};  ///< 1900 to 2099; unset: the system's clock; it chooses the cycles alone
  std::size_t limit = 50;         ///< 1..1000
  std::string cursor{};           ///< of the page before; empty: from the start
};
struct TaskPage {
  struct Entry {
    std::string task;
    std::string title;
    std::string version;
    std::string cycle;                   ///< the current one; empty where the user's own start decides
    std::optional<InstanceView> view{};  ///< empty where the user has not begun
  };
  std::vector<Entry> entries;
  std::string cursor;  ///< continues after the page; empty at the end
};

/// Every cause at once; empty: the user may take the task.
struct Explanation {
  std::string task;
  std::string cycle;
  std::vector<Cause> causes{};
  std::optional<InstanceView> view{};
};

/// Which rewards to push on. Everything given has to fit.
struct ReplayRequest {
  std::string merchant;
  std::string user;     ///< mandatory: replay goes user by user
  std::string task{};   ///< empty: all
  std::string cycle{};  ///< empty: all
  /// Also what may not be pushed on by itself (abandoned, withdrawn, expired).
  bool force = false;
  std::string actor{};   ///< mandatory with force
  std::string reason{};  ///< mandatory with force
  bool dry_run = false;  ///< tells what it would do
};
struct ReplayReport {
  std::vector<std::string> pushed{};  ///< "<task>/<cycle>"
  /// Failed or terminated ones that need force, whose quota at the claim has no unit left for them, or that
  /// have nothing left to go on with.
  std::vector<std::string> refused{};
};

}  // namespace onceward
