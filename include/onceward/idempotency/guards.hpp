#pragma once
#include <onceward/idempotency/guard.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onceward {

class Journal;

/// How a guarded call ended. Every call ends in exactly one.
enum class CallEnd : std::uint8_t {
  executed,            ///< it ran and its result is stored
  failed,              ///< it ran and its final error is stored
  released,            ///< it ran (or not) and its key was given back
  left_in_doubt,       ///< it ran and nobody knows whether it took effect
  replayed,            ///< a stored result or error was given again
  in_progress,         ///< another caller holds the key
  key_reused,          ///< the key came with another payload
  in_doubt,            ///< an earlier attempt is in doubt; nothing ran
  lease_lost,          ///< it ran, and another caller had taken the key over
  result_unavailable,  ///< it had run; its result cannot be read or stored
  storage_down,        ///< nothing ran: no answer of the storage
  attempts_exhausted,  ///< nothing ran: tried as often as allowed
  unguarded,           ///< it ran without protection (fail_open)
  unrecorded,          ///< it ran, and its result could not be stored in time
  refused,             ///< nothing ran: the key, the policy or the arguments do not hold together
};
inline constexpr std::size_t call_ends = static_cast<std::size_t>(CallEnd::refused) + 1;
[[nodiscard]] std::string_view to_string(CallEnd end) noexcept;

/// Under which calls are counted whose Policy::operation is no name: it may be anything.
inline constexpr std::string_view no_operation = "(none)";

/// Calls so far, by how they ended.
struct CallFigures {
  std::array<std::uint64_t, call_ends> ended{};
  [[nodiscard]] std::uint64_t of(CallEnd end) const noexcept { return ended[static_cast<std::size_t>(end)]; }
  [[nodiscard]] std::uint64_t total() const noexcept;
};

struct GuardsOptions {
  /// Longest wait of a posted completion for another write to travel with; 100 us..1 s.
  Duration flush_deadline = std::chrono::milliseconds(2);
  std::size_t posted_max =
      65536;  ///< posted completions of one storage under way; more are awaited. 1..1,000,000
  std::size_t background_max = 65536;  ///< completions repeated in the background; more are given up
  /// Storages that override_policy may name, as {"storage": "name"}; they must outlive the Guards. Who moves
  /// an operation so leaves its finished keys behind: SwitchableStorage takes them along.
  std::map<std::string, Storage*> storages{};
  /// Runs handlers of asynchronous calls; unset: a thread of the Guards' own runs them one after the other.
  /// Called from a thread of the Guards, must hand the work over and return, and must not throw.
  std::function<void(std::function<void()>)> executor{};
};

/// What several guards of one storage share: a thread that renews leases, sends posted completions and
/// repeats those that found the storage away (one for each storage that policies name, so that one that hangs
/// holds up no other), and one that tells owners whose lease has passed (Guard::lost), also where the storage
/// hangs; the waking of waiters; figures; live changes of policies.
/// start() it before calls that need the threads (auto_renew, post, asynchronous calls); it stops when it is
/// destroyed. It must outlive its guards, and the storages must outlive it. Safe from any thread.
class Guards {
 public:
  /// Throws std::invalid_argument for options out of their range.
  explicit Guards(Storage& storage, GuardsOptions options = {});
  ~Guards();
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

  /// Starts the threads; nothing where they run already.
  void start();
  /// Sends what is posted, gives up what the storage does not take (see CallFigures, lease), ends the
  /// threads. Calls that need them are refused from here on. Leases that are held are renewed no more; their
  /// owners are still told when they have passed.
  void stop();

  [[nodiscard]] Storage& storage() const noexcept;

  struct Request {
    std::string_view key;
    std::string_view fingerprint{};
  };
  /// Claims many keys of one operation in one round trip (and a second one for keys that are taken over).
  /// One answer per request, as Guard::claim's; a key named twice is in_progress for the second. With
  /// OnBusy::wait it answers when the last key is settled: without auto_renew the leases of the others run.
  std::vector<Result<Guard>> claim_many(std::span<const Request> requests, const Policy& policy = {},
                                        std::stop_token stop = {});
  struct Finished {
    Guard* guard;
    const Value* result;
  };
  /// Completes many guards in one round trip. Errors and meaning as Guard::complete, one answer per guard.
  static std::vector<Completion> complete_many(std::span<const Finished> finished);

  /// Changes fields of the policies of an operation for all calls that begin from now on; a null value takes
  /// the change back. See with_overrides. Errors: invalid_argument: the last good change stays in force.
  Result<void> override_policy(std::string_view operation, const Value& fields);

  /// Of one operation; zeros where nothing of it was called.
  [[nodiscard]] CallFigures figures(std::string_view operation) const;
  /// Of all operations that were called, and of no_operation.
  [[nodiscard]] std::map<std::string, CallFigures> figures() const;

  [[nodiscard]] guard_detail::Keeper& keeper() const noexcept { return *keeper_; }

 private:
  std::unique_ptr<guard_detail::Keeper> keeper_;
};

}  // namespace onceward
