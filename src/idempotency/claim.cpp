#include "idempotency/claim.hpp"

namespace onceward::guard_detail {
namespace {

/// One for each thread: the usual guard ends where it began, and the next one needs no heap.
constinit thread_local bool thread_ends = false;
struct Spare {
  std::shared_ptr<Claim> claim;
  ~Spare() { thread_ends = true; }  // what ends after it may still make calls
};
thread_local Spare spare;

}  // namespace

std::shared_ptr<Claim> new_claim() {
  return !thread_ends && spare.claim ? std::move(spare.claim) : std::make_shared<Claim>();
}

void reuse(std::shared_ptr<Claim> claim) noexcept {
  // The keeper may still hold it: then it is not touched.
  if (thread_ends || spare.claim || claim->posted || claim.use_count() != 1 ||
      claim->renewals.load(std::memory_order_acquire) != 0)
    return;
  claim->storage = nullptr;
  claim->keeper = nullptr;
  claim->counters = nullptr;
  claim->policy.reset();
  claim->fingerprint.clear();
  claim->acquired = claim->reconcile = false;
  claim->verdict = Verdict::executed;
  claim->result = Value();
  claim->error.reset();
  claim->attempt = 0;
  claim->fence = absent;
  claim->revision.store(absent, std::memory_order_relaxed);
  claim->retry_after = {};
  claim->replay_left.reset();
  claim->told_as.reset();
  claim->next = claim->previous = nullptr;
  claim->watched = claim->renewing = false;
  claim->lost.reset();
  constexpr std::size_t most_kept = 16384;  // a large result's room is given back
  if (!claim->batch.operations.empty() && claim->batch.operations.front().value.capacity() > most_kept)
    claim->batch.operations.clear();
  spare.claim = std::move(claim);
}

}  // namespace onceward::guard_detail
