#include <onceward/task/status.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace {

constexpr std::array<std::string_view, statuses> status_names = {
    "not_taken", "claimed", "in_progress", "completed", "rewarding",
    "rewarded",  "failed",  "terminated",  "expired",   "revoked"};
constexpr std::array<std::string_view, triggers> trigger_names = {
    "claim",   "event",       "take_back",     "complete",
    "collect", "reward_done", "reward_failed", "reward_exhausted",
    "replay",  "abandon",     "withdraw",      "deadline"};
constexpr std::array<std::string_view, 7> guard_names = {
    "always", "unfinished", "uncollected", "finished", "replayable", "forced", "forced_waiting"};

using S = Status;
using T = Trigger;
using G = MoveGuard;

constexpr std::string_view starts_rewards = "the runs of reached stages start";
constexpr std::string_view gives_back = "rewards nobody collected are void, their units return";
constexpr std::string_view takes_back = "rewards are taken back, their units return";

constexpr StatusMove table[] = {
    // Taken, and moved by what counts.
    {S::not_taken, T::claim, G::unfinished, S::claimed, "history counted so far is kept"},
    {S::not_taken, T::claim, G::uncollected, S::completed, "history reached every stage"},
    {S::not_taken, T::claim, G::finished, S::rewarding, starts_rewards},
    {S::not_taken, T::event, G::unfinished, S::not_taken, "history is counted"},
    {S::not_taken, T::event, G::uncollected, S::not_taken, "history is counted"},
    {S::not_taken, T::event, G::finished, S::not_taken, "history is counted"},
    {S::not_taken, T::take_back, G::always, S::not_taken, "history is taken back"},
    {S::claimed, T::event, G::unfinished, S::in_progress, ""},
    {S::claimed, T::event, G::uncollected, S::completed, "the collect window begins"},
    {S::claimed, T::event, G::finished, S::rewarding, starts_rewards},
    {S::in_progress, T::event, G::unfinished, S::in_progress, ""},
    {S::in_progress, T::event, G::uncollected, S::completed, "the collect window begins"},
    {S::in_progress, T::event, G::finished, S::rewarding, starts_rewards},
    {S::claimed, T::complete, G::uncollected, S::completed, "the collect window begins"},
    {S::claimed, T::complete, G::finished, S::rewarding, starts_rewards},
    {S::in_progress, T::complete, G::uncollected, S::completed, "the collect window begins"},
    {S::in_progress, T::complete, G::finished, S::rewarding, starts_rewards},
    // What counts later changes progress alone.
    {S::completed, T::event, G::uncollected, S::completed, ""},
    {S::completed, T::event, G::finished, S::rewarding, starts_rewards},
    {S::completed, T::event, G::unfinished, S::in_progress, gives_back},
    {S::rewarding, T::event, G::finished, S::rewarding, ""},
    {S::rewarding, T::event, G::unfinished, S::revoked, takes_back},
    {S::rewarded, T::event, G::finished, S::rewarded, ""},
    {S::rewarded, T::event, G::unfinished, S::revoked, takes_back},
    {S::failed, T::event, G::finished, S::failed, ""},
    {S::failed, T::event, G::unfinished, S::revoked, takes_back},
    {S::revoked, T::event, G::unfinished, S::in_progress, "earned again under the next generation"},
    {S::revoked, T::event, G::uncollected, S::completed, "earned again under the next generation"},
    {S::revoked, T::event, G::finished, S::rewarding, "earned again under the next generation"},
    // Collected.
    {S::claimed, T::collect, G::unfinished, S::in_progress, "the run of a stage that history reached starts"},
    {S::in_progress, T::collect, G::unfinished, S::in_progress, "the stage's run starts"},
    {S::completed, T::collect, G::uncollected, S::completed, "the stage's run starts"},
    {S::completed, T::collect, G::finished, S::rewarding, "the stage's run starts"},
    // Taken back.
    {S::claimed, T::take_back, G::unfinished, S::claimed, ""},
    {S::in_progress, T::take_back, G::unfinished, S::in_progress, ""},
    {S::completed, T::take_back, G::unfinished, S::in_progress, gives_back},
    {S::completed, T::take_back, G::uncollected, S::completed, ""},
    {S::rewarding, T::take_back, G::unfinished, S::revoked, takes_back},
    {S::rewarding, T::take_back, G::finished, S::rewarding, "on-refund keep: logged"},
    {S::rewarded, T::take_back, G::unfinished, S::revoked, takes_back},
    {S::rewarded, T::take_back, G::finished, S::rewarded, "on-refund keep: logged"},
    {S::failed, T::take_back, G::unfinished, S::revoked, takes_back},
    {S::failed, T::take_back, G::finished, S::failed, "on-refund keep: logged"},
    {S::terminated, T::take_back, G::always, S::terminated, ""},
    {S::expired, T::take_back, G::always, S::expired, ""},
    {S::revoked, T::take_back, G::unfinished, S::revoked, ""},
    // The rewards' runs end.
    {S::rewarding, T::reward_done, G::finished, S::rewarded, ""},
    {S::rewarding, T::reward_failed, G::finished, S::failed, ""},
    {S::rewarding, T::reward_exhausted, G::finished, S::terminated, "reason retry_exhausted"},
    // Pushed on.
    {S::failed, T::replay, G::replayable, S::rewarding, "the run goes on where it stopped"},
    {S::terminated, T::replay, G::replayable, S::rewarding, "the run goes on where it stopped"},
    {S::terminated, T::replay, G::forced, S::in_progress, ""},
    {S::terminated, T::replay, G::forced_waiting, S::completed, ""},
    {S::expired, T::replay, G::forced, S::in_progress, ""},
    {S::expired, T::replay, G::forced_waiting, S::completed, ""},
    // Ended.
    {S::claimed, T::abandon, G::always, S::terminated, "reason abandoned; a unit taken at the claim returns"},
    {S::in_progress, T::abandon, G::always, S::terminated, gives_back},
    {S::completed, T::abandon, G::always, S::terminated, gives_back},
    {S::revoked, T::abandon, G::always, S::terminated, gives_back},
    {S::claimed, T::withdraw, G::always, S::terminated, gives_back},
    {S::in_progress, T::withdraw, G::always, S::terminated, gives_back},
    {S::completed, T::withdraw, G::always, S::terminated, gives_back},
    {S::revoked, T::withdraw, G::always, S::terminated, gives_back},
    {S::claimed, T::deadline, G::always, S::expired, gives_back},
    {S::in_progress, T::deadline, G::always, S::expired, gives_back},
    {S::completed, T::deadline, G::always, S::expired, gives_back},
    {S::revoked, T::deadline, G::always, S::expired, gives_back},
};

bool holds(MoveGuard guard, const MoveFacts& facts) noexcept {
  switch (guard) {
    case MoveGuard::always: return true;
    case MoveGuard::unfinished: return !facts.all_reached;
    case MoveGuard::uncollected: return facts.all_reached && facts.waits;
    case MoveGuard::finished: return facts.all_reached && !facts.waits;
    case MoveGuard::replayable:
      return facts.all_reached && !facts.waits && (facts.replayable || facts.forced);
    case MoveGuard::forced: return facts.forced && !facts.all_reached;
    case MoveGuard::forced_waiting: return facts.forced && facts.all_reached && facts.waits;
  }
  return false;
}

}  // namespace

std::string_view to_string(Status status) noexcept { return status_names[static_cast<std::size_t>(status)]; }
std::string_view to_string(Trigger trigger) noexcept {
  return trigger_names[static_cast<std::size_t>(trigger)];
}
std::string_view to_string(MoveGuard guard) noexcept { return guard_names[static_cast<std::size_t>(guard)]; }

std::optional<Status> parse_status(std::string_view name) noexcept {
  const auto found = std::find(status_names.begin(), status_names.end(), name);
  if (found == status_names.end()) return std::nullopt;
  return static_cast<Status>(found - status_names.begin());
}

std::span<const StatusMove> moves() noexcept { return table; }

const StatusMove* find_move(Status from, Trigger trigger, const MoveFacts& facts) noexcept {
  const auto* found = std::find_if(std::begin(table), std::end(table), [&](const StatusMove& move) {
    return move.from == from && move.trigger == trigger && holds(move.guard, facts);
  });
  return found == std::end(table) ? nullptr : found;
}

std::string moves_to_dot() {
  std::string dot = "digraph task {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n";
  for (const auto& move : table) {
    dot += fmt::format("  {} -> {} [label=\"{}", to_string(move.from), to_string(move.to),
                       to_string(move.trigger));
    if (move.guard != MoveGuard::always) dot += fmt::format(" [{}]", to_string(move.guard));
    dot += "\"];\n";
  }
  return dot + "}\n";
}

}  // namespace onceward
