#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>

#include <string>

namespace onceward {

/// What a duplicate of a finished call gets.
enum class OnDuplicate : std::uint8_t {
  replay,  ///< the stored result
  code,    ///< Verdict::replayed alone, without the result
  raise,   ///< a DuplicateCall exception (the wrapper only)
};
/// What a caller gets while another one holds the key.
enum class OnBusy : std::uint8_t {
  reject,  ///< Verdict::in_progress at once
  wait,    ///< the other's result, or in_progress after Policy::wait_limit
};
/// What is done with a claim whose lease has passed: its owner died, or still works without one.
enum class OnStale : std::uint8_t {
  takeover,  ///< run again, under a larger fence
  in_doubt,  ///< Verdict::in_doubt: an operator, or another policy, decides
};
/// What is done while the storage cannot be reached.
enum class OnStorageDown : std::uint8_t {
  fail_closed,  ///< Verdict::storage_down, nothing runs
  fail_open,    ///< run unguarded: a duplicate may run as well
};

/// How calls of one operation are guarded.
struct Policy {
  std::string operation = "call";  ///< [a-z0-9._-]{1,64}; equal keys of two operations are two keys
  Duration lease =
      std::chrono::seconds(30);  ///< how long a claim keeps others away; > 0, longer than the handler takes
  Duration retention = std::chrono::hours(24 * 7);  ///< how long a result is remembered; >= lease
  OnDuplicate on_duplicate = OnDuplicate::replay;
  OnBusy on_busy = OnBusy::reject;
  Duration wait_limit = std::chrono::seconds(10);  ///< of OnBusy::wait; > 0
  OnStale on_stale = OnStale::takeover;
  OnStorageDown on_storage_down = OnStorageDown::fail_closed;
  int attempts_max = 100;                               ///< runs of one key, takeovers included; 1..1,000,000
  std::size_t result_bytes_max = std::size_t{1} << 18;  ///< of a stored result; 1..limits::value_bytes - 4096
  Duration record_limit =
      std::chrono::seconds(5);  ///< how long a completion is repeated while the storage is away

  /// Errors: invalid_argument naming the field.
  [[nodiscard]] Result<void> check() const;
};

}  // namespace onceward
