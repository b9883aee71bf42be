#include "asks.hpp"

#include <array>

namespace torture {
namespace {

using namespace std::chrono_literals;

// The hot keys are others three times a second, and the tail every five: there are always some that nobody
// has finished.
constexpr std::int64_t hot_ns = 333'000'000;
constexpr std::int64_t tail_ns = 5'000'000'000;
constexpr int hot_keys = 2;
constexpr int tail_keys = 150;
constexpr int fleeting_keys = 3;
constexpr std::array<const char*, 3> operations = {"torture.fenced", "torture.plain", "torture.enlisted"};

int roll(std::mt19937& dice, int sides) { return std::uniform_int_distribution<int>(0, sides - 1)(dice); }
bool chance(std::mt19937& dice, int percent) { return roll(dice, 100) < percent; }

bool is_fleeting(const std::string& key) { return key.starts_with("fleeting"); }

std::string random_key(std::mt19937& dice, Kind kind, std::int64_t now_ns) {
  const auto place = roll(dice, 100);
  if (place < 60)
    return "hot-" + std::to_string(now_ns / hot_ns) + "-" + std::to_string(roll(dice, hot_keys));
  if (place < 75 && kind != Kind::enlisted) return "fleeting-" + std::to_string(roll(dice, fleeting_keys));
  return "tail-" + std::to_string(now_ns / tail_ns) + "-" + std::to_string(roll(dice, tail_keys));
}

/// Mostly short; sometimes a good part of the lease, sometimes longer than it.
std::chrono::milliseconds random_work(std::mt19937& dice, std::chrono::milliseconds lease) {
  const auto length = roll(dice, 100);
  if (length < 75) return std::chrono::milliseconds(roll(dice, 15));
  if (length < 85) return std::chrono::milliseconds(roll(dice, static_cast<int>(lease.count()) / 2));
  return lease + std::chrono::milliseconds(roll(dice, 200));
}

Ending random_ending(std::mt19937& dice) {
  const auto ending = roll(dice, 100);
  if (ending < 80) return Ending::complete;
  if (ending < 84) return Ending::fail;
  return ending < 92 ? Ending::release : Ending::abandon;
}

}  // namespace

Ask plain_ask(Kind kind, const std::string& key, int payload) {
  Ask ask{.kind = kind, .key = key, .payload = payload};
  ask.policy.operation = operations[static_cast<std::size_t>(kind)];
  ask.policy.lease = longest_lease;
  ask.policy.retention = is_fleeting(key) ? onceward::Duration(fleeting_retention) : onceward::Duration(1h);
  ask.policy.record_limit = 2s;
  ask.policy.attempts_max = 1'000'000;
  return ask;
}

Ask random_ask(std::mt19937& dice, std::int64_t now_ns) {
  const auto kind = static_cast<Kind>(roll(dice, 3));
  auto ask = plain_ask(kind, random_key(dice, kind, now_ns), chance(dice, 3) ? 1 : 0);
  const auto lease =
      300ms + std::chrono::milliseconds(roll(dice, static_cast<int>((longest_lease - 300ms).count())));
  ask.policy.lease = lease;
  ask.policy.on_busy = chance(dice, 50) ? onceward::OnBusy::wait : onceward::OnBusy::reject;
  ask.policy.wait_limit = 500ms + std::chrono::milliseconds(roll(dice, 1500));
  ask.policy.on_stale = chance(dice, 75) ? onceward::OnStale::takeover : onceward::OnStale::in_doubt;
  ask.ending = random_ending(dice);
  if (kind == Kind::enlisted) {  // others wait for the transaction's locks meanwhile
    ask.work = std::chrono::milliseconds(roll(dice, 3));
    if (ask.ending == Ending::fail) ask.ending = Ending::complete;
  } else if (!is_fleeting(ask.key)) {  // whose owners must not be late by a retention
    ask.work = random_work(dice, lease);
    ask.after_work = random_work(dice, lease);
  }
  if (kind == Kind::fenced && ask.work > lease) ask.renewals = roll(dice, 5);
  if (chance(dice, 20)) ask.padding = static_cast<std::size_t>(roll(dice, 4000));
  return ask;
}

}  // namespace torture
