#pragma once
#include <onceward/idempotency/guard_access.hpp>

#include "idempotency/keeper.hpp"

// The beginning of a claim: what is checked before its trip, and what follows it.
namespace onceward::guard_detail {

/// A claim ready for its trip: policy, key and owner. `policy` was checked.
/// Errors: invalid_argument and wrong_state as Guard::claim.
[[nodiscard]] Result<std::shared_ptr<Claim>> prepare(GuardedBy where, std::string_view key,
                                                     std::shared_ptr<const Policy> policy, Counters* counters,
                                                     std::string_view fingerprint);
/// Where the claims of this policy begin.
[[nodiscard]] Storage& storage_of(GuardedBy where, const Policy& policy) noexcept;
/// Begins the renewal of what is held, once; where its policy says so.
void renew_held(Claim& claim, SteadyTime claimed_at);
/// After the trip: counts what ran nothing, begins the renewal of what is held. `began` is when the claim was
/// sent.
[[nodiscard]] Result<Guard> arrived(std::shared_ptr<Claim> claim, ClaimTrip& trip, SteadyTime began);

/// Waits on the caller's thread: where nobody can wake it, or where the Guards do.
class CallerPauser final : public Pauser {
 public:
  CallerPauser(const Claim& claim, std::stop_token stop) : claim_(claim), stop_(std::move(stop)) {}
  bool pause(Duration length) override;

 private:
  const Claim& claim_;
  std::stop_token stop_;
  std::optional<Waiters::Waiter> waiter_;
};

}  // namespace onceward::guard_detail
