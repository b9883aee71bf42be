#include "idempotency/key_walk.hpp"

#include <onceward/idempotency/policy.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace onceward::guard_detail {
namespace {

constexpr unsigned partitions_of_operation = 256;

KeyStanding standing_of(KeyState state, Duration lease_left) noexcept {
  switch (state) {
    case KeyState::claimed: return lease_left > Duration::zero() ? KeyStanding::claimed : KeyStanding::stale;
    case KeyState::done: return KeyStanding::done;
    case KeyState::failed: return KeyStanding::failed;
    case KeyState::released: return KeyStanding::released;
    case KeyState::in_doubt: break;
  }
  return KeyStanding::in_doubt;
}

}  // namespace

Result<void> check_operation(std::string_view operation) {
  Policy policy;
  policy.operation = operation;
  return policy.check();
}

KeyView view_of(std::string_view operation, const Record& record, Timestamp now) {
  KeyView view{std::string(operation), record.key};
  view.revision = record.revision;
  // A revision is at least the storage's time of its write, in microseconds.
  view.age = std::max(Duration::zero(), now.time_since_epoch() - Duration(record.revision));
  if (record.expires) view.left = Duration(*record.expires - now);
  auto known = decode_key_record(record);
  if (!known) {
    view.standing = KeyStanding::unreadable;
    view.error = std::move(known).error();
    return view;
  }
  const Duration lease_left = record.due ? Duration(*record.due - now) : Duration::zero();
  view.standing = standing_of(known->state, lease_left);
  if (known->state == KeyState::claimed) view.lease_left = lease_left;
  view.attempt = known->attempt;
  view.fence = known->fence == absent ? record.revision : known->fence;
  view.fingerprint = std::move(known->fingerprint);
  view.result = std::move(known->result);
  if (known->has_error()) view.error = std::move(known->error);
  view.resolved_by = std::move(known->resolved_by);
  view.reason = std::move(known->reason);
  return view;
}

Result<KeyWalk> KeyWalk::from(std::string_view operation, std::string_view cursor) {
  if (auto fine = check_operation(operation); !fine) return fail(std::move(fine).error());
  KeyWalk walk(operation);
  if (cursor.empty()) return walk;
  const auto colon = cursor.find(':');
  const auto* const end = cursor.data() + std::min(colon, cursor.size());
  const auto parsed = std::from_chars(cursor.data(), end, walk.place_);
  if (colon == std::string_view::npos || parsed.ec != std::errc() || parsed.ptr != end ||
      walk.place_ >= partitions_of_operation || cursor.size() - colon - 1 > limits::key_bytes) {
    return fail(ErrorCode::invalid_argument, "this cursor is not of a list of keys");
  }
  walk.behind_ = cursor.substr(colon + 1);
  return walk;
}

bool KeyWalk::ended() const noexcept { return place_ >= partitions_of_operation; }

std::string KeyWalk::partition() const { return fmt::format("guard/{}/{}", operation_, place_); }

Result<std::vector<Record>> KeyWalk::next(Storage& storage, std::size_t most) {
  auto page = storage.scan(partition(), {}, behind_, most);
  if (!page) return fail(std::move(page).error());
  now_ = page->now;
  last_place_ = place_;
  behind_ = std::move(page->cursor);
  if (behind_.empty()) ++place_;
  return std::move(page->records);
}

std::string KeyWalk::cursor() const {
  return ended() ? std::string() : fmt::format("{}:{}", place_, behind_);
}

std::string KeyWalk::cursor_behind(std::string_view key) const {
  return fmt::format("{}:{}", last_place_, key);
}

}  // namespace onceward::guard_detail
