#pragma once
#include <onceward/expr/value.hpp>
#include <onceward/idempotency/outcome.hpp>
#include <onceward/idempotency/policy.hpp>
#include <onceward/storage/storage.hpp>

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace onceward {

/// How a completion ended.
struct Completion {
  Verdict verdict =
      Verdict::executed;         ///< executed, or lease_lost, or result_unavailable (too large to store)
  bool recorded = true;          ///< false where the storage stayed away for Policy::record_limit
  std::optional<Error> error{};  ///< what kept it from being recorded
};

/// The right to run one guarded call, or the reason why there is none. Claim it, run the work, complete it; a
/// guard that is destroyed uncompleted gives its key back.
///
/// States of a key: absent -> claimed(owner, fence, lease) -> done | failed | released. Only the owner of a
/// claim moves it: completion, release and renewal expect the very record this guard wrote last. done and
/// failed never change until retention ends. One thread at a time; movable, and a moved-from guard is inert.
class Guard {
 public:
  /// Claims `key` (1..512 bytes). `fingerprint` stands for the payload: a record of the key with another one
  /// gives key_reused; empty: not compared. One round trip for a new key or a replay. Errors:
  /// invalid_argument (the policy, the key), storage errors where the policy is fail_closed.
  static Result<Guard> claim(Storage& storage, std::string_view key, const Policy& policy = {},
                             std::string_view fingerprint = {}, std::stop_token stop = {});

  Guard(Guard&& other) noexcept;
  Guard& operator=(Guard&& other) noexcept;
  /// Gives the key back where it is still held: one storage call, whose failure leaves the lease to lapse.
  /// Never throws.
  ~Guard();

  /// True where the caller must run the work now.
  [[nodiscard]] bool acquired() const noexcept { return acquired_; }
  /// executed where acquired; else why not.
  [[nodiscard]] Verdict verdict() const noexcept { return verdict_; }
  /// The stored result of a replay; null otherwise.
  [[nodiscard]] const Value& result() const noexcept { return result_; }
  /// The stored final error of a replay.
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] int attempt() const noexcept { return attempt_; }
  [[nodiscard]] Revision fence() const noexcept { return fence_; }
  [[nodiscard]] Duration retry_after() const noexcept { return retry_after_; }
  /// True where the storage was down and the policy said fail_open: the work runs without protection.
  [[nodiscard]] bool unguarded() const noexcept { return acquired_ && storage_ == nullptr; }

  /// Stores the result and ends the claim. A record that vanished is made again; one that another owner took
  /// over is left alone (lease_lost). A failure never gives the key back.
  Completion complete(const Value& result);
  /// Stores a final error: every later call gets it.
  Completion complete_with_error(const Error& error);
  /// Ends the claim of work that took effect and whose result cannot be stored: every later call gets
  /// result_unavailable with this error, and none runs.
  Completion complete_unstored(const Error& why);
  /// Gives the key back: the next call runs, as a further attempt. Errors: those of the storage; conflict
  /// where the claim is no longer this guard's.
  Result<void> release();
  /// Lengthens the lease to its full length from now. Errors: as release.
  Result<void> renew();

 private:
  Guard() = default;
  friend class Claimant;
  enum class Ended : std::uint8_t { done, failed, unstored };
  void drop() noexcept;
  Storage* let_go() noexcept;
  [[nodiscard]] std::string ended(Ended how, const Value* result, const Error* error) const;
  Completion end_unstored(Storage* storage, const Error& why);
  Completion record(Storage* held, std::string value);
  Result<void> rewrite(Storage& storage, const std::string& value, Timing timing);
  std::optional<Completion> settle(const std::optional<Record>& found, const std::string& value);

  Storage* storage_ = nullptr;  ///< null where nothing is held
  Policy policy_{};
  std::string partition_, key_, owner_, fingerprint_;
  bool acquired_ = false;
  Verdict verdict_ = Verdict::executed;
  Value result_{};
  std::optional<Error> error_{};
  int attempt_ = 0;
  Revision fence_ = absent;
  Revision revision_ = absent;  ///< of the record this guard wrote last
  Duration retry_after_{};
};

/// The partition a key's record lies in: "guard/<operation>/<0..255>".
[[nodiscard]] std::string guard_partition(std::string_view operation, std::string_view key);

}  // namespace onceward
