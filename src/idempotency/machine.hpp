#pragma once
#include <onceward/idempotency/outcome.hpp>
#include <onceward/idempotency/policy.hpp>

#include "idempotency/key_record.hpp"

// What a caller does about a key it found taken, as a pure function.
namespace onceward::guard_detail {

struct Decision {
  enum class Kind : std::uint8_t {
    answer,  ///< give the verdict
    resume,  ///< the claim is this caller's own: its answer had been lost
    take,    ///< write a new claim over the record
    wait,    ///< look again later
  };
  Kind kind = Kind::answer;
  Verdict verdict = Verdict::executed;
  Duration retry_after{};
  bool reconcile = false;  ///< take, and find out first whether the earlier attempt took effect
};

/// `lease_left` is what remains of the record's lease, negative or zero where it has passed.
[[nodiscard]] Decision decide(const KeyRecord& found, Duration lease_left, const Policy& policy,
                              std::string_view owner, std::string_view fingerprint);

}  // namespace onceward::guard_detail
