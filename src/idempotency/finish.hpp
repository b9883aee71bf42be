#pragma once
#include "idempotency/begin.hpp"

// The ends of a claim, from what the work gave to what is stored. Each lets the claim go: whatever happens
// then, its guard does not give the key back.
namespace onceward::guard_detail {

using SharedClaim = std::shared_ptr<Claim>;
/// Told once the storage has answered; see Posted::then.
using Then = std::function<void(const Completion&)>;

/// With a `then` no thread waits for the answer: it is given there, and what is returned is only provisional.
Completion finish_json(const SharedClaim& claim, std::string_view json, Then then = {});
/// One of many that end together.
struct Ended {
  SharedClaim claim;
  std::string json;
};
/// As finish_json of each, in one round trip. One answer each.
std::vector<Completion> finish_many(std::span<const Ended> ended);
Completion finish_with_error(const SharedClaim& claim, const Error& error, Then then = {});
Completion finish_unstored(const SharedClaim& claim, const Error& why, Then then = {});
Completion finish_in_doubt(const SharedClaim& claim, const Error& why, Then then = {});
Result<void> release(const SharedClaim& claim, Then then = {});
/// Of a guard that is destroyed: one storage call gives the key back, or leaves it in doubt where an earlier
/// attempt was to be asked about. Nothing is held: nothing is done.
void give_up(const SharedClaim& claim);
Result<void> renew(const SharedClaim& claim);

}  // namespace onceward::guard_detail
