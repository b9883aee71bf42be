#include <onceward/core/digest.hpp>
#include <onceward/idempotency/attempt.hpp>
#include <onceward/idempotency/guard.hpp>

#include "idempotency/finish.hpp"

#include <utility>

namespace onceward {

using guard_detail::Claim;
using guard_detail::GuardAccess;

std::string child_key(std::string_view operation, std::string_view key, std::string_view name) {
  constexpr std::size_t digits = 32;
  Sha256 hash;
  for (const auto part : {std::string_view("child"), operation, key, name}) hash.update_part(part);
  return to_hex(hash.finish(), digits);
}

std::string Attempt::child_key(std::string_view name) const {
  return onceward::child_key(operation_, key_, name);
}

Result<Guard> Guard::claim(GuardedBy where, std::string_view key, const Policy& policy,
                           std::string_view fingerprint, std::stop_token stop) {
  auto* const counters = GuardAccess::counters(where, policy.operation);
  if (auto checked = policy.check(); !checked) {
    GuardAccess::count_refused(counters);
    return fail(std::move(checked).error());
  }
  auto held = GuardAccess::effective(where, std::make_shared<const Policy>(policy));
  return GuardAccess::claim(where, key, std::move(held), counters, fingerprint, std::move(stop));
}

Guard::Guard(std::shared_ptr<Claim> claim) noexcept : claim_(std::move(claim)) {}
Guard::Guard(Guard&& other) noexcept = default;

Guard& Guard::operator=(Guard&& other) noexcept {
  if (this == &other) return *this;
  drop();
  claim_ = std::move(other.claim_);
  return *this;
}

Guard::~Guard() { drop(); }

void Guard::drop() noexcept {
  if (claim_ == nullptr) return;
  if (claim_->acquired) {
    try {
      guard_detail::give_up(claim_);
    } catch (const std::exception&) {
      if (claim_->keeper != nullptr) claim_->keeper->unwatch(*claim_);
      return claim_.reset();  // out of memory while the stack unwinds: again the lease ends the claim
    }
  }
  guard_detail::reuse(std::move(claim_));
}

bool Guard::acquired() const noexcept { return claim_ != nullptr && claim_->acquired; }
bool Guard::must_reconcile() const noexcept { return acquired() && claim_->reconcile; }
Verdict Guard::verdict() const noexcept { return claim_ == nullptr ? Verdict::executed : claim_->verdict; }
bool Guard::unguarded() const noexcept { return acquired() && claim_->storage == nullptr; }
int Guard::attempt() const noexcept { return claim_ == nullptr ? 0 : claim_->attempt; }
Revision Guard::fence() const noexcept { return claim_ == nullptr ? absent : claim_->fence; }
Duration Guard::retry_after() const noexcept { return claim_ == nullptr ? Duration{} : claim_->retry_after; }

const Value& Guard::result() const noexcept {
  static const Value none;
  return claim_ == nullptr ? none : claim_->result;
}
const std::optional<Error>& Guard::error() const noexcept {
  static const std::optional<Error> none;
  return claim_ == nullptr ? none : claim_->error;
}

std::string Guard::child_key(std::string_view name) const {
  return claim_ == nullptr ? std::string()
                           : onceward::child_key(claim_->policy->operation, claim_->key, name);
}

std::stop_token Guard::lost() const {
  return claim_ != nullptr && claim_->lost ? claim_->lost->get_token() : std::stop_token();
}

Completion Guard::complete(const Value& result) {
  return GuardAccess::complete_json(*this, result.to_json());
}

Completion Guard::complete_unstored(const Error& why) { return guard_detail::finish_unstored(claim_, why); }
Completion Guard::complete_with_error(const Error& error) {
  return guard_detail::finish_with_error(claim_, error);
}
Completion Guard::leave_in_doubt(const Error& why) { return guard_detail::finish_in_doubt(claim_, why); }
Result<void> Guard::release() { return guard_detail::release(claim_); }
Result<void> Guard::renew() { return guard_detail::renew(claim_); }

}  // namespace onceward
