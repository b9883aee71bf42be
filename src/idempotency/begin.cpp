#include "idempotency/begin.hpp"

#include <onceward/core/digest.hpp>
#include <onceward/core/ids.hpp>

#include "core/utf8.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <condition_variable>

namespace onceward {

GuardedBy::GuardedBy(Guards& guards) noexcept : storage_(&guards.storage()), keeper_(&guards.keeper()) {}

namespace guard_detail {
namespace {

constexpr std::uint64_t partitions_of_operation = 256;
constexpr std::size_t fingerprint_bytes = 64;

/// Appends "guard/<operation>/<0..255>".
void append_partition(std::string& out, std::string_view operation, std::string_view key) {
  out.append("guard/").append(operation).append("/");
  out.append(std::to_string(stable_hash(key) % partitions_of_operation));
}

}  // namespace

Storage& storage_of(GuardedBy where, const Policy& policy) noexcept {
  return policy.storage != nullptr ? *policy.storage : where.storage();
}

Result<std::shared_ptr<Claim>> prepare(GuardedBy where, std::string_view key,
                                       std::shared_ptr<const Policy> policy, Counters* counters,
                                       std::string_view fingerprint) {
  const auto refuse = [&](ErrorCode code, std::string message) {
    if (counters != nullptr) counters->count(CallEnd::refused);
    return fail(code, std::move(message));
  };
  if (key.empty() || key.size() > limits::key_bytes) {
    return refuse(ErrorCode::invalid_argument,
                  fmt::format("the key of operation \"{}\" has {} bytes; it needs 1 to {}", policy->operation,
                              key.size(), limits::key_bytes));
  }
  if (fingerprint.size() > fingerprint_bytes) {
    return refuse(
        ErrorCode::invalid_argument,
        fmt::format("the fingerprint of operation \"{}\" has {} bytes, at most {} are stored: give a "
                    "digest of the payload",
                    policy->operation, fingerprint.size(), fingerprint_bytes));
  }
  if (policy->fallback != nullptr && policy->fallback == &storage_of(where, *policy)) {
    return refuse(ErrorCode::invalid_argument,
                  "Policy::fallback is the first storage: it would be away together with it");
  }
  if (!policy->fingerprint) fingerprint = {};
  if (policy->auto_renew || policy->acknowledge == Acknowledge::post) {
    const auto* const field = policy->auto_renew ? "auto_renew" : "acknowledge = post";
    if (where.keeper() == nullptr)
      return refuse(ErrorCode::invalid_argument,
                    fmt::format("Policy::{} needs Guards over the storage, not the storage alone", field));
    if (!where.keeper()->running())
      return refuse(ErrorCode::wrong_state, fmt::format("Policy::{} needs Guards that are started", field));
  }
  auto claim = new_claim();
  claim->keeper = where.keeper();
  claim->counters = counters;
  claim->partition.clear();
  append_partition(claim->partition, policy->operation, key);
  claim->policy = std::move(policy);
  claim->key = key;
  new_owner_id(claim->owner);
  claim->fingerprint = fingerprint;
  // It is stored as text: a digest may come as its bytes.
  if (core_detail::first_not_utf8(fingerprint) != std::string_view::npos)
    claim->fingerprint = fmt::format(
        "{:02x}", fmt::join(std::vector<std::uint8_t>(fingerprint.begin(), fingerprint.end()), ""));
  return claim;
}

void renew_held(Claim& claim, SteadyTime claimed_at) {
  const bool held = claim.acquired && claim.storage != nullptr;
  if (held && claim.policy->auto_renew && !claim.lost) claim.keeper->watch(claim, claimed_at);
}

Result<Guard> arrived(std::shared_ptr<Claim> claim, ClaimTrip& trip, SteadyTime began) {
  if (trip.error()) {
    claim->count(trip.error()->code == ErrorCode::invalid_argument ? CallEnd::refused
                                                                   : CallEnd::storage_down);
    return fail(*std::move(trip.error()));
  }
  if (!claim->acquired) claim->count(end_of(claim->verdict));
  if (claim->policy->on_duplicate == OnDuplicate::code) claim->result = Value();
  renew_held(*claim, std::max(began, trip.written_at()));
  return GuardAccess::make(std::move(claim));
}

bool CallerPauser::pause(Duration length) {
  if (claim_.keeper != nullptr) {
    if (!waiter_) waiter_.emplace(claim_.keeper->waiters(), claim_.partition, claim_.key);
    return waiter_->wait(length, stop_);
  }
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop_, length, [] { return false; });
  return stop_.stop_requested();
}

namespace {

/// A claim's first round takes along what was posted.
void travel_together(Keeper& keeper, Trip& trip) {
  const auto posted = keeper.take_posted(trip.storage());
  if (posted.empty()) return;
  std::vector<Trip*> trips;
  trips.reserve(posted.size() + 1);
  for (const auto& one : posted) trips.push_back(&one->trip);
  trips.push_back(&trip);
  drive_round(trips);
  keeper.travelled(posted);
}

}  // namespace

Result<Guard> GuardAccess::claim(GuardedBy where, std::string_view key, std::shared_ptr<const Policy> policy,
                                 Counters* counters, std::string_view fingerprint, std::stop_token stop) {
  auto prepared = prepare(where, key, std::move(policy), counters, fingerprint);
  if (!prepared) return fail(std::move(prepared).error());
  auto& claim = **prepared;
  const auto began = claim.policy->auto_renew ? std::chrono::steady_clock::now() : SteadyTime{};
  ClaimTrip trip(claim, storage_of(where, *claim.policy));
  if (where.keeper() != nullptr) travel_together(*where.keeper(), trip);
  CallerPauser pauser(claim, std::move(stop));
  drive(trip, pauser);
  return arrived(*std::move(prepared), trip, began);
}

std::shared_ptr<const Policy> GuardAccess::effective(GuardedBy where,
                                                     const std::shared_ptr<const Policy>& base) {
  return where.keeper() == nullptr ? base : where.keeper()->policies().effective(base);
}
Counters* GuardAccess::counters(GuardedBy where, std::string_view operation) {
  return where.keeper() == nullptr ? nullptr : &where.keeper()->counters().of(operation);
}
void GuardAccess::know(GuardedBy where, const std::shared_ptr<const Policy>& base,
                       std::vector<std::string> paths) {
  if (where.keeper() != nullptr) where.keeper()->policies().know(base, std::move(paths));
}
void GuardAccess::count_refused(Counters* counters) noexcept {
  if (counters != nullptr) counters->count(CallEnd::refused);
}
std::shared_ptr<const Policy> GuardAccess::changed(GuardedBy where,
                                                   const std::shared_ptr<const Policy>& base) {
  const bool none = where.keeper() == nullptr || !where.keeper()->policies().any();
  return none ? nullptr : where.keeper()->policies().effective(base);
}
void GuardAccess::count_unreadable(Counters* counters) noexcept {
  if (counters != nullptr) counters->recount(CallEnd::replayed, CallEnd::result_unavailable);
}
void GuardAccess::tell_as(Guard& guard, Verdict verdict) noexcept {
  if (guard.claim_ != nullptr) guard.claim_->told_as = end_of(verdict);
}
void GuardAccess::count_replayed(Counters* counters) noexcept {
  if (counters != nullptr) counters->count(CallEnd::replayed);
}
void GuardAccess::run(Guards& guards, std::function<void()> work) { guards.keeper().run(std::move(work)); }
std::optional<Duration> GuardAccess::replay_left(const Guard& guard) noexcept {
  return guard.claim_ == nullptr ? std::nullopt : guard.claim_->replay_left;
}

}  // namespace guard_detail

std::string guard_partition(std::string_view operation, std::string_view key) {
  std::string partition;
  partition.reserve(operation.size() + 10);
  guard_detail::append_partition(partition, operation, key);
  return partition;
}

}  // namespace onceward
