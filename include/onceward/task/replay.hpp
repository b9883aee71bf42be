#pragma once
#include <onceward/task/request.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onceward {

/// Which rewards to push on. Everything given has to fit; what is left empty fits all.
struct ReplayRequest {
  std::string merchant;
  std::string user{};   ///< empty: all users; then an actor and a reason are mandatory
  std::string task{};   ///< an id
  std::string cycle{};  ///< its name
  /// Also what may not be pushed on by itself (abandoned, withdrawn, expired).
  bool force = false;
  std::string actor{};   ///< mandatory with force; UTF-8, at most 128 bytes
  std::string reason{};  ///< mandatory with force; its first 256 bytes are kept
  bool dry_run = false;  ///< tells what it would do, and writes nothing
  /// failed, terminated, expired. A reward that stopped in a task that goes on counts as failed where a step
  /// refused it, as terminated where its attempts are used up or its effect is in doubt.
  std::vector<Status> states{};
  /// What the reason begins with, of the instance or of a reward that stopped, as a whole word: "closed"
  /// finds "closed: no account" and no "closed_early".
  std::string code{};
  std::optional<Timestamp> stopped_from{};   ///< when it stopped, by the storage's time
  std::optional<Timestamp> stopped_until{};  ///< not included
  std::optional<std::size_t> limit{};        ///< instances pushed at most, >= 1
  /// How much is looked at in this call, 1..100,000: instances, users' partitions and pages of their list.
  std::size_t page = 1000;
  std::string cursor{};  ///< of the report before; empty: from the start
};
/// An instance a replay has found.
struct Replayed {
  std::string user;
  std::string task;
  std::string cycle;
  Status state = Status::failed;  ///< as it was found: failed, terminated or expired
  std::string reason{};           ///< as it was found
  /// Of a refused one. Stable codes: "needs_force", "out_of_stock" (its quota at the claim has no unit left
  /// for it), "cancelled" (by an operator, who alone takes that back), "undone" (its run went backward:
  /// nothing goes on), "exhausted" (its run keeps no more acts), "moved" (somebody was faster),
  /// "not_published" (its version is not known here), "corrupt".
  std::optional<Cause> why{};

  friend bool operator==(const Replayed&, const Replayed&) = default;
};
struct ReplayReport {
  std::vector<Replayed> pushed{};  ///< in a dry run: would be
  std::vector<Replayed> refused{};
  std::size_t looked_at = 0;  ///< instances, and a member's rewards
  /// Where another replay with the same request goes on; empty where everything was looked at.
  std::string cursor{};
};

}  // namespace onceward
