#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/expr/value.hpp>
#include <onceward/pipeline/runner.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

/// Something that happened to a user. (merchant, user, id) names it: the same id again is the same event.
/// Its text is UTF-8.
struct Event {
  std::string merchant;
  std::string
      id;  ///< 1..200 bytes; "complete:<key>" is what complete() did under that key: for `reverses` only
  std::string user;  ///< 1..128 bytes
  std::string type;  ///< 1..64 bytes, such as "order.paid"
  Timestamp at{};    ///< when it happened: it chooses the cycle, whenever it is reported
  /// What expressions read as event.<name>. An event that is written down for later (report_async, `credit`,
  /// `group`, `reverses`) is refused where they are no UTF-8, no finite numbers or more than 48 levels deep.
  Map attributes{};
  /// The id of an event of the same user that this one takes back: exactly what it contributed, also where it
  /// comes first. Such an event contributes nothing itself. Empty: it takes nothing back.
  std::string reverses{};
  /// With `reverses`: takes back only so much of what an `add` made of the event's attributes; what merely
  /// counted (an event, a distinct value, a day of a streak) stays until all is taken back. Unset: all.
  std::optional<std::int64_t> amount{};
};

/// What names a reward: issued once for each.
struct GrantKey {
  std::string merchant;
  std::string user;
  std::string task;
  std::string cycle;
  std::int64_t stage = 1;       ///< from 1
  std::int64_t generation = 1;  ///< counts up where a reward was taken back and is earned again

  friend bool operator==(const GrantKey&, const GrantKey&) = default;
};
/// The key of the grant's run: the six parts joined by '/'. Only the user may hold a '/' itself, so that two
/// grants never share a key.
[[nodiscard]] std::string to_run_key(const GrantKey& grant);
/// The grant a run key names, as a step finds it in StepContext::run_key(); empty where it names none.
[[nodiscard]] std::optional<GrantKey> parse_run_key(std::string_view run_key);

/// What an event added to one instance, or took from it.
struct Contribution {
  std::string task;
  std::string cycle;
  Value amount{};  ///< the integer added, or the distinct value, or the number of the streak's day, week or
                   ///< month

  friend bool operator==(const Contribution&, const Contribution&) = default;
};

/// A task an event concerned and did not count for.
struct Skipped {
  std::string task;
  std::string cycle;
  /// Stable: "not_claimed", "late", "ended", "not_eligible", "limit", "full", "self_invite", "group_full",
  /// "not_published" (of a version that is not known here: it is applied where it is).
  std::string reason;

  friend bool operator==(const Skipped&, const Skipped&) = default;
};

/// A stage an event has reached, or has taken back.
struct GrantReceipt {
  std::string task;
  std::string cycle;
  std::int64_t stage = 1;
  bool out_of_stock = false;  ///< reached without a reward: the quota's last unit was gone
  /// Of the reward's run; meaningless where it is out of stock or collectable. It is a view: a later look may
  /// find it further on.
  RunState state = RunState::running;
  std::int64_t generation = 1;
  bool collectable = false;  ///< reached; the reward waits for collect()
  /// Void before it was issued (`state` is cancelled), or revoked: `state` is of what takes it back,
  /// cancelled where the reward had given nothing.
  bool taken_back = false;

  friend bool operator==(const GrantReceipt&, const GrantReceipt&) = default;
};

/// The answer to an event; asking again with its id gives it again.
struct Receipt {
  std::string event;
  bool duplicate = false;  ///< the event had been applied before; nothing was applied now
  std::vector<Contribution> contributions{};
  std::vector<GrantReceipt> grants{};
  std::vector<Skipped> skipped{};
};

}  // namespace onceward
