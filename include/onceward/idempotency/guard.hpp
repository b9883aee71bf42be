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

class Guards;
namespace guard_detail {
class Keeper;
struct Claim;
class GuardAccess;
}  // namespace guard_detail

/// Where keys are kept: a storage, or the Guards over one, which add what needs a thread or a memory of its
/// own (renewal, posted completions, waking of waiters, figures). Both must outlive the calls.
class GuardedBy {
 public:
  GuardedBy(Storage& storage) noexcept : storage_(&storage) {}
  GuardedBy(Guards& guards) noexcept;
  [[nodiscard]] Storage& storage() const noexcept { return *storage_; }
  /// Null for a storage alone.
  [[nodiscard]] guard_detail::Keeper* keeper() const noexcept { return keeper_; }

 private:
  Storage* storage_;
  guard_detail::Keeper* keeper_ = nullptr;
};

/// The right to run one guarded call, or the reason why there is none. Claim it, run the work, complete it; a
/// guard that is destroyed uncompleted gives its key back, or leaves it in doubt where it must_reconcile().
///
/// States of a key: absent -> claimed(owner, fence, lease) -> done | failed | released | in doubt. Only the
/// owner of a claim moves it: completion, release and renewal expect the very record this guard wrote last.
/// done and failed never change until retention ends. One thread at a time; movable, and a moved-from guard
/// is inert.
class Guard {
 public:
  /// Claims `key` (1..512 bytes). `fingerprint` (at most 64 bytes of any kind, as of a digest) stands for the
  /// payload: a record of the key with another one gives key_reused; empty: not compared. One round trip for
  /// a new key or a replay. Errors: invalid_argument (the policy, the key; a policy that needs Guards and got
  /// a storage), wrong_state (the Guards are not started), conflict (the key kept changing while it was
  /// claimed), and where the policy is fail_closed, or its fallback is down too or cannot tell within
  /// Policy::record_limit what it knows of the key, storage errors.
  static Result<Guard> claim(GuardedBy where, std::string_view key, const Policy& policy = {},
                             std::string_view fingerprint = {}, std::stop_token stop = {});

  Guard(Guard&& other) noexcept;
  Guard& operator=(Guard&& other) noexcept;
  /// Gives the key back where it is still held, or leaves it in doubt where it must_reconcile(): one storage
  /// call, whose failure leaves the lease to lapse. Never throws.
  ~Guard();

  /// True where the caller must run the work now.
  [[nodiscard]] bool acquired() const noexcept;
  /// True where an earlier attempt may have taken effect and the policy says reconcile: find out first. Then
  /// complete() with its result, or run the work and complete(), or leave_in_doubt(). release() says that you
  /// have looked and that nothing took effect: the next call runs without asking. An unguarded() one may have
  /// to reconcile as well.
  [[nodiscard]] bool must_reconcile() const noexcept;
  /// executed where acquired; else why not.
  [[nodiscard]] Verdict verdict() const noexcept;
  /// The stored result of a replay; null otherwise.
  [[nodiscard]] const Value& result() const noexcept;
  /// The stored final error of a replay, or what an attempt in doubt said.
  [[nodiscard]] const std::optional<Error>& error() const noexcept;
  [[nodiscard]] int attempt() const noexcept;
  [[nodiscard]] Revision fence() const noexcept;
  [[nodiscard]] Duration retry_after() const noexcept;
  /// True where the storage was down and the policy said fail_open: the work runs without protection.
  [[nodiscard]] bool unguarded() const noexcept;
  /// A key for what this call asks of others: see Attempt::child_key. Empty for a moved-from guard.
  [[nodiscard]] std::string child_key(std::string_view name) const;
  /// See Attempt::lost.
  [[nodiscard]] std::stop_token lost() const;

  /// Stores the result and ends the claim. Where nothing is held (not acquired, ended or released before,
  /// moved from) nothing is stored: the completion has the guard's verdict, or lease_lost, and the error
  /// wrong_state; so with the three below. A record that vanished before its retention ended is made again;
  /// one that another owner took over, or that may have expired, is left alone (lease_lost). A failure never
  /// gives the key back. Where Policy::acknowledge is post it returns at once, and
  /// Completion::acknowledgement tells the rest.
  Completion complete(const Value& result);
  /// Stores a final error: every later call gets it. Of its message the first 4096 bytes, in UTF-8 (where it
  /// is none, other bytes become '?'); so of every error that is stored.
  Completion complete_with_error(const Error& error);
  /// Ends the claim of work that took effect and whose result cannot be stored: every later call gets
  /// result_unavailable with this error, and none runs.
  Completion complete_unstored(const Error& why);
  /// Ends this attempt and keeps the key: nobody knows whether the work took effect. The next call does what
  /// Policy::on_stale says, without waiting for the lease. Never posted.
  Completion leave_in_doubt(const Error& why);
  /// Gives the key back: the next call runs, as a further attempt, also where this one was to reconcile.
  /// Nothing where nothing is held. Errors: those of the storage; conflict where the claim is no longer this
  /// guard's.
  Result<void> release();
  /// Lengthens the lease to its full length from now. Errors: as release; wrong_state where nothing is held.
  Result<void> renew();

 private:
  friend class guard_detail::GuardAccess;
  explicit Guard(std::shared_ptr<guard_detail::Claim> claim) noexcept;
  void drop() noexcept;

  std::shared_ptr<guard_detail::Claim> claim_;  ///< null: moved from
};

/// The partition a key's record lies in: "guard/<operation>/<0..255>".
[[nodiscard]] std::string guard_partition(std::string_view operation, std::string_view key);

}  // namespace onceward
