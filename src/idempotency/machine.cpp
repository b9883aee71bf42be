#include "idempotency/machine.hpp"

namespace onceward::guard_detail {
namespace {

using Kind = Decision::Kind;

/// Of a key that nobody holds and whose work did not end well.
Decision take(const KeyRecord& found, const Policy& policy, bool reconcile) {
  if (found.attempt >= policy.attempts_max) return {Kind::answer, Verdict::attempts_exhausted};
  return {Kind::take, Verdict::executed, {}, reconcile};
}

/// Of a key whose last attempt may have taken effect.
Decision stale(const KeyRecord& found, const Policy& policy) {
  switch (policy.on_stale) {
    case OnStale::takeover: return take(found, policy, false);
    case OnStale::in_doubt: return {Kind::answer, Verdict::in_doubt};
    case OnStale::reconcile: break;
  }
  // What is known to have run must not be given up while somebody could still find out how it ended.
  return {Kind::take, Verdict::executed, {}, true};
}

}  // namespace

Decision decide(const KeyRecord& found, Duration lease_left, const Policy& policy, std::string_view owner,
                std::string_view fingerprint) {
  // Before anything else: what another payload left behind is not this caller's to see.
  const bool compared = !found.fingerprint.empty() && !fingerprint.empty();
  if (compared && found.fingerprint != fingerprint) return {Kind::answer, Verdict::key_reused};
  switch (found.state) {
    case KeyState::done:
      return {Kind::answer, found.unstored ? Verdict::result_unavailable : Verdict::replayed};
    case KeyState::failed: return {Kind::answer, Verdict::replayed};
    case KeyState::released:
      // What an operator gave back runs, attempts used up or not.
      return found.resolved_by.empty() ? take(found, policy, false) : Decision{Kind::take};
    case KeyState::in_doubt: return stale(found, policy);
    case KeyState::claimed: break;
  }
  if (lease_left <= Duration::zero()) return stale(found, policy);
  if (found.owner == owner) return {Kind::resume};
  if (policy.on_busy == OnBusy::wait) return {Kind::wait, Verdict::in_progress, lease_left};
  return {Kind::answer, Verdict::in_progress, lease_left};
}

}  // namespace onceward::guard_detail
