#pragma once
#include <onceward/idempotency/guard.hpp>

#include <memory>

// What the wrappers need of a guard and a caller does not. For the library's own templates.
namespace onceward::guard_detail {

class Counters;

class GuardAccess {
 public:
  /// The policy with the live changes of its operation, and where its calls are counted (null: nowhere).
  static std::shared_ptr<const Policy> effective(GuardedBy where, const std::shared_ptr<const Policy>& base);
  /// Null where no operation's policy is changed.
  static std::shared_ptr<const Policy> changed(GuardedBy where, const std::shared_ptr<const Policy>& base);
  static Counters* counters(GuardedBy where, std::string_view operation);
  /// `paths`: what its fingerprint_without may name.
  static void know(GuardedBy where, const std::shared_ptr<const Policy>& base,
                   std::vector<std::string> paths);
  static void count_refused(Counters* counters) noexcept;
  /// A stored result was counted as replayed that cannot be read.
  static void count_unreadable(Counters* counters) noexcept;
  /// What the caller is told where the claim ends as executed (replayed) or released (attempts_exhausted).
  static void tell_as(Guard& guard, Verdict verdict) noexcept;
  static void count_replayed(Counters* counters) noexcept;

  /// As Guard::claim, with a policy that was checked and shared.
  static Result<Guard> claim(GuardedBy where, std::string_view key, std::shared_ptr<const Policy> policy,
                             Counters* counters, std::string_view fingerprint, std::stop_token stop);
  /// As Guard::complete, of a result that is JSON text already.
  static Completion complete_json(Guard& guard, std::string_view json);
  /// An error as its key's record holds it: so its own caller gets it too.
  static Error as_stored(const Error& error);
  /// What is left of the retention of the result that is replayed.
  static std::optional<Duration> replay_left(const Guard& guard) noexcept;

  /// Runs it where handlers of asynchronous calls run.
  static void run(Guards& guards, std::function<void()> work);

  static Guard make(std::shared_ptr<Claim> claim) noexcept { return Guard(std::move(claim)); }
  static const std::shared_ptr<Claim>& claim_of(const Guard& guard) noexcept { return guard.claim_; }
};

}  // namespace onceward::guard_detail
