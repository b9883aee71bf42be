#include <onceward/core/ids.hpp>
#include <onceward/idempotency/guard.hpp>
#include <onceward/idempotency/operator.hpp>
#include <onceward/journal/journal.hpp>

#include "core/utf8.hpp"
#include "idempotency/key_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace {

using guard_detail::KeyState;
using guard_detail::KeyWalk;
using guard_detail::view_of;

constexpr std::size_t actor_bytes = 128;
constexpr std::size_t reason_bytes = 1024;
constexpr std::size_t most_purged = 1'000'000;
constexpr std::size_t purged_at_once = 256;
constexpr int round_trips_of_list = 32;
constexpr int most_lost = 3;

Unexpected refuse(std::string message) { return fail(ErrorCode::invalid_argument, std::move(message)); }

Result<void> check_text(std::string_view what, std::string_view text, std::size_t most) {
  if (text.empty() || text.size() > most)
    return refuse(fmt::format("By::{} has {} bytes; it needs 1 to {}", what, text.size(), most));
  if (core_detail::first_not_utf8(text) != std::string_view::npos)
    return refuse(fmt::format("By::{} is no UTF-8", what));
  return {};
}

Result<void> check(const By& by) {
  if (auto fine = check_text("actor", by.actor, actor_bytes); !fine) return fine;
  return check_text("reason", by.reason, reason_bytes);
}

Result<void> check(std::string_view operation, std::string_view key) {
  if (auto fine = guard_detail::check_operation(operation); !fine) return fine;
  if (key.empty() || key.size() > limits::key_bytes) {
    return refuse(fmt::format("the key of operation \"{}\" has {} bytes; it needs 1 to {}", operation,
                              key.size(), limits::key_bytes));
  }
  return {};
}

Result<void> check(const Resolution& resolution) {
  if (!guard_detail::reads_back(resolution.result().to_json()))
    return refuse("the result of a resolution is no UTF-8, or nested too deeply");
  if (core_detail::first_not_utf8(resolution.error().message) != std::string_view::npos)
    return refuse("the error's message of a resolution is no UTF-8");
  return {};
}

/// Whether an operator may move a key that stands so.
std::optional<Error> why_not_move(const KeyView& key, bool force) {
  switch (key.standing) {
    case KeyStanding::stale:
    case KeyStanding::in_doubt: return std::nullopt;
    case KeyStanding::claimed:
      if (force) return std::nullopt;
      return Error{ErrorCode::wrong_state,
                   fmt::format("the key \"{}\" is claimed for another {} ms; wait, or force it", key.key,
                               std::chrono::ceil<std::chrono::milliseconds>(key.lease_left).count())};
    case KeyStanding::done:
    case KeyStanding::failed:
      return Error{ErrorCode::wrong_state, fmt::format("the key \"{}\" has ended, and what it ended with "
                                                       "never changes",
                                                       key.key)};
    case KeyStanding::released:
      return Error{ErrorCode::wrong_state,
                   key.resolved_by.empty()
                       ? fmt::format("the key \"{}\" was given back: the next call runs, unless its attempts "
                                     "are used up; it can only be given back once more, then it runs",
                                     key.key)
                       : fmt::format("the key \"{}\" was given back by \"{}\": the next call runs", key.key,
                                     key.resolved_by)};
    case KeyStanding::unreadable: break;
  }
  return Error{ErrorCode::wrong_state,
               fmt::format("the record of key \"{}\" cannot be read; it can only be forgotten", key.key)};
}

std::optional<Error> why_not_forget(const KeyView& key, bool force) {
  if (key.standing != KeyStanding::claimed) return std::nullopt;
  return why_not_move(key, force);
}

std::optional<Error> why_not_resolve(const KeyView& key, const Resolution& resolution, bool force) {
  // What its owner gave back may have used up its attempts: an operator lets it run.
  const bool owners = key.standing == KeyStanding::released && key.resolved_by.empty();
  if (owners && resolution.kind() == Resolution::Kind::give_back) return std::nullopt;
  return why_not_move(key, force);
}

/// What one conditional write came to.
struct Written {
  bool applied = false;
  std::optional<Record> found{};  ///< where it was not applied
  Revision revision = absent;
  Timestamp now{};
};

bool is_lost(const Error& error) noexcept {
  return error.code == ErrorCode::in_doubt || error.code == ErrorCode::timeout;
}

/// Writes one operation; where its answer is lost, looks whether it happened, and repeats it where not.
Result<Written> write(Storage& storage, const Batch& batch) {
  const auto& operation = batch.operations.front();
  for (int lost = 0;; ++lost) {
    auto answer = storage.commit({&batch, 1});
    if (answer) {
      auto& one = answer->batches.front();
      return Written{one.applied(), std::move(one.found), one.revision, answer->now};
    }
    if (!is_lost(answer.error()) || lost == most_lost) return fail(std::move(answer).error());
    const RecordRef ref{batch.partition, operation.key};
    auto look = storage.read({&ref, 1});
    if (!look) return fail(std::move(answer).error());
    auto& found = look->records.front();
    const bool unchanged = found && found->revision == operation.expected;
    if (unchanged) continue;
    const bool own =
        operation.kind == Operation::Kind::remove ? !found : found && found->value == operation.value;
    if (own) return Written{true, std::nullopt, found ? found->revision : absent, look->now};
    return Written{false, std::move(found), absent, look->now};
  }
}

void tell(Journal* journal, std::string_view partition, const KeyView& from, std::string_view trigger,
          std::string_view to, const By& by) {
  if (journal == nullptr) return;
  journal->write({"guard", partition, from.key, trigger, to_string(from.standing), to, by.actor, by.reason});
}

/// A key as it was read, with what a write over it needs.
struct Seen {
  std::string partition;
  Record record;
  KeyView view;
};

Result<std::optional<Seen>> look(Storage& storage, std::string_view operation, std::string_view key) {
  Seen seen{guard_partition(operation, key), {}, {}};
  const RecordRef ref{seen.partition, key};
  auto answer = storage.read({&ref, 1});
  if (!answer) return fail(std::move(answer).error());
  if (!answer->records.front()) return std::optional<Seen>();
  seen.record = *std::move(answer->records.front());
  seen.view = view_of(operation, seen.record, answer->now);
  return std::optional<Seen>(std::move(seen));
}

Ruling not_found(std::string_view key) {
  return {Error{ErrorCode::not_found, fmt::format("there is no key \"{}\" (any more)", key)}, std::nullopt};
}

Ruling overtaken(std::string_view operation, const KeyView& before, const Written& written) {
  Ruling ruling{
      Error{ErrorCode::conflict, fmt::format("somebody moved the key \"{}\" meanwhile", before.key)},
      std::nullopt};
  if (written.found) ruling.key = view_of(operation, *written.found, written.now);
  return ruling;
}

Operation resolving(const Seen& seen, const Resolution& resolution, const By& by) {
  guard_detail::KeyRecordView record;
  // An owner of its own tells this write from every other one, should its answer be lost.
  const auto owner = new_owner_id();
  const auto result = resolution.result().to_json();
  record.owner = owner;
  record.attempt = seen.view.attempt;
  record.fence = seen.view.fence;
  record.fingerprint = seen.view.fingerprint;
  record.resolved_by = by.actor;
  record.reason = by.reason;
  switch (resolution.kind()) {
    case Resolution::Kind::done:
      record.state = KeyState::done;
      record.result = result;
      break;
    case Resolution::Kind::failed:
      record.state = KeyState::failed;
      record.error = &resolution.error();
      break;
    case Resolution::Kind::give_back: record.state = KeyState::released; break;
  }
  Timing timing;
  if (seen.view.left) timing.expires_in = std::max(Duration(1), *seen.view.left);
  return Operation::replace(seen.record.key, seen.record.revision, guard_detail::encode(record), timing);
}

}  // namespace

std::string_view to_string(KeyStanding standing) noexcept {
  constexpr std::array<std::string_view, 7> names = {"claimed", "stale",    "in_doubt",  "done",
                                                     "failed",  "released", "unreadable"};
  return names[static_cast<std::size_t>(standing)];
}

Result<std::optional<KeyView>> GuardOperator::inspect(std::string_view operation, std::string_view key) {
  if (auto fine = check(operation, key); !fine) return fail(std::move(fine).error());
  auto seen = look(storage_, operation, key);
  if (!seen) return fail(std::move(seen).error());
  return *seen ? std::optional<KeyView>(std::move((*seen)->view)) : std::nullopt;
}

Result<KeyPage> GuardOperator::list(std::string_view operation, KeyStandings which, std::string_view cursor,
                                    std::size_t limit) {
  if (limit < 1 || limit > limits::page_records)
    return refuse(fmt::format("a page of {} keys; it may have 1 to {}", limit, limits::page_records));
  auto walk = KeyWalk::from(operation, cursor);
  if (!walk) return fail(std::move(walk).error());
  KeyPage page;
  for (int trips = 0; trips < round_trips_of_list && !walk->ended(); ++trips) {
    auto records = walk->next(storage_, guard_detail::keys_at_once);
    if (!records) return fail(std::move(records).error());
    for (const auto& record : *records) {
      auto view = view_of(operation, record, walk->now());
      if (!which.has(view.standing)) continue;
      page.keys.push_back(std::move(view));
      if (page.keys.size() < limit) continue;
      // Others of this trip may follow: the next page begins behind the last one that is given.
      page.cursor = walk->cursor_behind(record.key);
      return page;
    }
  }
  page.cursor = walk->cursor();
  return page;
}

Result<Ruling> GuardOperator::resolve(std::string_view operation, std::string_view key,
                                      const Resolution& resolution, const By& by) {
  if (auto fine = check(operation, key); !fine) return fail(std::move(fine).error());
  if (auto fine = check(by); !fine) return fail(std::move(fine).error());
  if (auto fine = check(resolution); !fine) return fail(std::move(fine).error());
  auto seen = look(storage_, operation, key);
  if (!seen) return fail(std::move(seen).error());
  if (!*seen) return not_found(key);
  const auto& before = **seen;
  if (auto why = why_not_resolve(before.view, resolution, by.force))
    return Ruling{std::move(why), before.view};

  const Batch batch{before.partition, {resolving(before, resolution, by)}};
  auto written = write(storage_, batch);
  if (!written) return fail(std::move(written).error());
  if (!written->applied) return overtaken(operation, before.view, *written);
  Record now{std::string(key), batch.operations.front().value, written->revision, {}, before.record.expires};
  auto view = view_of(operation, now, written->now);
  tell(journal_, before.partition, before.view, "resolve", to_string(view.standing), by);
  return Ruling{std::nullopt, std::move(view)};
}

Result<Ruling> GuardOperator::forget(std::string_view operation, std::string_view key, const By& by) {
  if (auto fine = check(operation, key); !fine) return fail(std::move(fine).error());
  if (auto fine = check(by); !fine) return fail(std::move(fine).error());
  auto seen = look(storage_, operation, key);
  if (!seen) return fail(std::move(seen).error());
  if (!*seen) return not_found(key);
  const auto& before = **seen;
  if (auto why = why_not_forget(before.view, by.force)) return Ruling{std::move(why), before.view};

  auto written =
      write(storage_, {before.partition, {Operation::remove(std::string(key), before.record.revision)}});
  if (!written) return fail(std::move(written).error());
  if (!written->applied) return overtaken(operation, before.view, *written);
  tell(journal_, before.partition, before.view, "forget", {}, by);
  return Ruling{};
}

namespace {

/// Removes each of these, where it is as it was read. One answer each: whether it is gone by this.
Result<std::vector<bool>> remove(Storage& storage, std::string_view partition,
                                 const std::vector<KeyView>& keys) {
  std::vector<Batch> batches;
  batches.reserve(keys.size());
  for (const auto& key : keys)
    batches.push_back({std::string(partition), {Operation::remove(key.key, key.revision)}});
  for (int lost = 0;; ++lost) {
    auto answer = storage.commit(batches);
    if (!answer) {
      // What happened of it is refused when it is repeated: nothing is removed twice.
      if (is_lost(answer.error()) && lost < most_lost) continue;
      return fail(std::move(answer).error());
    }
    std::vector<bool> gone;
    for (const auto& one : answer->batches) gone.push_back(one.applied() || (lost > 0 && !one.found));
    return gone;
  }
}

}  // namespace

Result<Purged> GuardOperator::purge(std::string_view operation, Duration older_than, const By& by,
                                    const PurgeOptions& options,
                                    const std::function<bool(const Purged&)>& progress) {
  if (auto fine = check(by); !fine) return fail(std::move(fine).error());
  if (older_than <= Duration::zero())
    return refuse("a purge needs an age greater than zero: younger keys still tell duplicates");
  if (options.limit < 1 || options.limit > most_purged)
    return refuse(fmt::format("a purge of {} keys; it may remove 1 to {}", options.limit, most_purged));
  auto walk = KeyWalk::from(operation, options.cursor);
  if (!walk) return fail(std::move(walk).error());
  Purged purged;
  while (!walk->ended() && purged.removed < options.limit) {
    const std::string partition = walk->partition();
    auto records = walk->next(storage_, std::min(purged_at_once, options.limit - purged.removed));
    if (!records) return fail(std::move(records).error());
    if (records->empty()) continue;
    std::vector<KeyView> old;
    for (const auto& record : *records) {
      auto view = view_of(operation, record, walk->now());
      const bool kept = !options.within_retention && record.expires > walk->now();
      if (!kept && KeyStandings::ended().has(view.standing) && view.age > older_than)
        old.push_back(std::move(view));
    }
    purged.looked_at += records->size();
    if (!old.empty()) {
      auto gone = remove(storage_, partition, old);
      if (!gone) return fail(std::move(gone).error());
      for (std::size_t i = 0; i < old.size(); ++i) {
        if (!(*gone)[i]) continue;
        ++purged.removed;
        tell(journal_, partition, old[i], "purge", {}, by);
      }
    }
    purged.cursor = walk->cursor();
    if (progress && !progress(purged)) return purged;
  }
  purged.cursor = walk->cursor();
  return purged;
}

}  // namespace onceward
