#pragma once
#include "idempotency/trip.hpp"

/// Trips that are driven step by step, against real storages or answers made up by the test.
namespace trips {

/// A claim with all a trip needs, as the beginning of a call makes it.
inline void prepare(onceward::guard_detail::Claim& claim, std::string_view key,
                    const onceward::Policy& policy, std::string_view owner, std::string_view fingerprint) {
  claim.policy = std::make_shared<const onceward::Policy>(policy);
  claim.partition = onceward::guard_partition(policy.operation, key);
  claim.key = key;
  claim.owner = owner;
  claim.fingerprint = fingerprint;
}

/// One commit or read of a trip.
inline void step(onceward::guard_detail::Trip& trip) {
  if (trip.need() == onceward::guard_detail::Trip::Need::commit) {
    auto answer = trip.storage().commit({&trip.batch(), 1});
    if (!answer) return trip.committed(onceward::fail(answer.error()), {});
    return trip.committed(std::move(answer->batches.front()), answer->now);
  }
  const auto ref = trip.ref();
  auto answer = trip.storage().read({&ref, 1});
  if (!answer) return trip.looked(onceward::fail(answer.error()), {});
  trip.looked(std::move(answer->records.front()), answer->now);
}

struct ByHand {
  using Need = onceward::guard_detail::Trip::Need;

  ByHand(onceward::Storage& storage, std::string_view key, const onceward::Policy& policy,
         std::string_view owner, std::string_view fingerprint = "print")
      : trip((prepare(claim, key, policy, owner, fingerprint), claim), storage) {}

  void run_to_pause() {
    while (trip.need() == Need::commit || trip.need() == Need::read) step(trip);
  }
  void resume() {
    trip.paused(false);
    run_to_pause();
  }

  onceward::guard_detail::Claim claim;
  onceward::guard_detail::ClaimTrip trip;
};

}  // namespace trips
