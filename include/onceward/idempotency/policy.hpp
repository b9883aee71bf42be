#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

class Storage;
class Value;

/// What a duplicate of a finished call gets.
enum class OnDuplicate : std::uint8_t {
  replay,  ///< the stored result
  code,    ///< Verdict::replayed alone, without the result
  raise,   ///< a DuplicateCall exception (the wrappers only)
};
/// What a caller gets while another one holds the key.
enum class OnBusy : std::uint8_t {
  reject,  ///< Verdict::in_progress at once
  wait,    ///< the other's result, or in_progress after Policy::wait_limit
};
/// What is done with a claim whose lease has passed, or whose owner said that it does not know whether its
/// work took effect.
enum class OnStale : std::uint8_t {
  takeover,   ///< run again, under a larger fence
  in_doubt,   ///< Verdict::in_doubt: an operator, or another policy, decides
  reconcile,  ///< one caller takes it over and asks the application first whether it took effect
};
/// What is done while the storage cannot be reached.
enum class OnStorageDown : std::uint8_t {
  fail_closed,  ///< Verdict::storage_down, nothing runs
  fail_open,    ///< run unguarded: a duplicate may run as well
  /// Claim in Policy::fallback instead; what only the first storage knows is not known there. While the first
  /// one is up a first call looks into the fallback too, and where that stays away for record_limit it is
  /// storage_down: the key may have ended there.
  fallback,
};
/// When a completion returns.
enum class Acknowledge : std::uint8_t {
  await,  ///< when the storage has answered
  post,   ///< at once: it travels with the next write, GuardsOptions::flush_deadline later at the latest
};
/// What a handler's error says about its effect.
enum class ErrorClass : std::uint8_t {
  retryable,  ///< nothing took effect: the key is given back, the next call runs
  final,      ///< it will never take effect: stored, every later call gets the same error
  in_doubt,   ///< nobody knows: the key is kept, Policy::on_stale says what the next call does
};
/// By what the code's retry_advice is: retry, give_up, read_back.
[[nodiscard]] ErrorClass classify_error(const Error& error) noexcept;

namespace guard_detail {
/// [a-z0-9._-]{1,64}
[[nodiscard]] bool is_operation_name(std::string_view name) noexcept;
}  // namespace guard_detail

/// How calls of one operation are guarded. Every field can be changed while calls run:
/// Guards::override_policy.
struct Policy {
  std::string operation = "call";  ///< [a-z0-9._-]{1,64}; equal keys of two operations are two keys
  Duration lease = std::chrono::seconds(30);        ///< how long a claim keeps others away; > 0
  Duration retention = std::chrono::hours(24 * 7);  ///< how long a result is remembered; >= lease
  /// The lease is renewed while the work runs, every third of it, by the one thread of the Guards: needs
  /// Guards. Without it the lease must be longer than the work takes.
  bool auto_renew = false;
  OnDuplicate on_duplicate = OnDuplicate::replay;
  OnBusy on_busy = OnBusy::reject;
  Duration wait_limit = std::chrono::seconds(10);  ///< of OnBusy::wait; > 0
  OnStale on_stale = OnStale::takeover;
  OnStorageDown on_storage_down = OnStorageDown::fail_closed;
  Storage* fallback = nullptr;  ///< of OnStorageDown::fallback; must outlive every call
  Storage* storage = nullptr;   ///< where this operation's keys are kept; null: where the caller says
  /// What an error of the handler means; unset: classify_error, and after Attempt::effects_started() in_doubt
  /// for retryable. Called on the handler's thread. Where it throws, the key is left in doubt.
  std::function<ErrorClass(const Error&)> classify{};
  int attempts_max = 100;                               ///< runs of one key, takeovers included; 1..1,000,000
  std::size_t result_bytes_max = std::size_t{1} << 18;  ///< of a stored result; 1..limits::value_bytes - 4096
  Duration record_limit =
      std::chrono::seconds(5);  ///< how long a completion is repeated on its caller's time while the storage
                                ///< is away; with Guards it is then repeated in the background
  Acknowledge acknowledge = Acknowledge::await;  ///< post needs Guards
  /// Fields of the request that are no part of its fingerprint (a trace id, a time of sending): such as
  /// "trace_id" or "meta.sent_at". With several arguments by their names, or p0, p1.
  std::vector<std::string> fingerprint_without{};
  bool fingerprint = true;  ///< false: payloads are not told apart
  /// Results the wrapper keeps in this process, 0..1,000,000: a replay of one makes no round trip. Claims are
  /// never kept.
  std::size_t replay_cache = 0;
  /// How long a result is kept there, never past its retention; > 0. A key that an operator forgets is
  /// replayed elsewhere for so long.
  Duration replay_cache_for = std::chrono::minutes(1);

  /// Errors: invalid_argument naming the field.
  [[nodiscard]] Result<void> check() const;
};

/// `base` with the fields of a map over it: {"lease_ms": 5000, "on_busy": "wait"}; durations as `<field>_ms`.
/// operation, storage, fallback and classify cannot be changed so.
/// Errors: invalid_argument naming the field (unknown, of another kind, or as Policy::check).
[[nodiscard]] Result<Policy> with_overrides(Policy base, const Value& fields);

}  // namespace onceward
