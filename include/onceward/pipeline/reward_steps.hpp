#pragma once
#include <onceward/idempotency/guards.hpp>
#include <onceward/pipeline/step.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace onceward {

/// One reward to be granted.
struct RewardOrder {
  enum class Kind : std::uint8_t { points, growth, coupon };
  Kind kind = Kind::points;
  std::string token;  ///< names this reward: the same on every attempt
  std::string user;
  std::int64_t amount = 0;  ///< points and growth, in minor units: 1 or more
  std::string code{};       ///< coupon: which one
  std::string run{};        ///< for the service's own records
  std::string path{};       ///< of the step in its run
  int attempt = 1;          ///< for logs alone
};
[[nodiscard]] std::string_view to_string(RewardOrder::Kind kind) noexcept;

/// What a service answers to an order, now and whenever the token comes again.
struct RewardReceipt {
  std::string id;
  std::int64_t balance = 0;  ///< after it; of a coupon 0

  friend bool operator==(const RewardReceipt&, const RewardReceipt&) = default;
};

/// The system that keeps points, growth and coupons: implement it over yours. It must know tokens: a second
/// order with one has no second effect and gets the first receipt. One that does not is put behind
/// GuardedRewards. Called from any thread.
///
/// Errors are judged by retry_advice(): retry (nothing happened: unavailable, ...), read_back (in_doubt:
/// nobody knows; also for exceptions), give_up (it never will: the step rejects with the error's code).
class RewardService {
 public:
  virtual ~RewardService() = default;
  virtual Result<RewardReceipt> grant(const RewardOrder& order) = 0;
  /// Takes a reward back, under a token of its own. Where the order never took place it must not any more,
  /// and that is a success. The default refuses.
  virtual Result<void> take_back(const RewardOrder& order, std::string_view undo_token);
  /// Whether the order took place, without causing it; empty: it did not, and will not unless it is granted
  /// again. The default is in_doubt: it does not know.
  virtual Result<std::optional<RewardReceipt>> find(const RewardOrder& order);

 protected:
  RewardService() = default;
  RewardService(const RewardService&) = default;
  RewardService& operator=(const RewardService&) = default;
};

/// Offers the standard steps over a service, which must outlive the registry:
///   grant-points@1, grant-growth@1   {user: string, amount: int} -> {id: string, balance: int}
///   grant-coupon@1                   {user: string, code: string} -> {id: string}
/// All can be undone, and verified where the service can find(). Errors: as StepRegistry::add.
Result<void> add_reward_steps(StepRegistry& registry, RewardService& service);

/// A service that knows tokens, made of one that does not: each token is a guarded call on a storage, its
/// receipt is kept there. What it holds: of one token, one grant() of the service runs at a time; one that
/// answered is never made again; one whose caller died or whose answer was lost is asked for by find() before
/// anything else, and where the service cannot tell it stays in doubt for an operator, never made twice.
/// The storage (or the Guards) and the service must outlive it. Safe from any thread.
class GuardedRewards final : public RewardService {
 public:
  /// `policy` says the lease and the retention, which must be longer than runs live; its operation is part of
  /// the keys, and on_stale is always reconcile. It is not checked here: one that cannot be is every call's
  /// error.
  GuardedRewards(GuardedBy where, RewardService& service,
                 Policy policy = {.operation = "rewards", .retention = std::chrono::hours(24 * 90)});

  Result<RewardReceipt> grant(const RewardOrder& order) override;
  Result<void> take_back(const RewardOrder& order, std::string_view undo_token) override;
  Result<std::optional<RewardReceipt>> find(const RewardOrder& order) override;

 private:
  [[nodiscard]] Result<Guard> claim(std::string_view token, const RewardOrder& order) const;
  /// What became of an order; empty where it has no effect. `close`: and will not have one any more.
  Result<std::optional<RewardReceipt>> look(const RewardOrder& order, bool close);

  GuardedBy where_;
  RewardService& service_;
  Policy policy_;
};

}  // namespace onceward
