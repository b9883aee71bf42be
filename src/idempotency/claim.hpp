#pragma once
#include <onceward/idempotency/guard.hpp>
#include <onceward/idempotency/guards.hpp>
#include <onceward/idempotency/replay_cache.hpp>

#include "idempotency/counters.hpp"

#include <atomic>
#include <chrono>
#include <memory>

namespace onceward::guard_detail {

class Lane;
using SteadyTime = std::chrono::steady_clock::time_point;

/// One claim of a key, from its beginning to its end. Key, fingerprint and owner are computed once and never
/// change. Shared by its guard and, while its lease is renewed, by the keeper.
struct Claim : std::enable_shared_from_this<Claim> {
  Storage* storage = nullptr;  ///< where the claim lies; null where nothing is held
  Keeper* keeper = nullptr;
  Counters* counters = nullptr;
  std::shared_ptr<const Policy> policy;
  std::string partition, key, owner, fingerprint;
  Batch batch;  ///< of the trip in progress; its texts keep their room from one claim to the next

  bool acquired = false;
  bool reconcile = false;
  Verdict verdict = Verdict::executed;
  Value result{};
  std::optional<Error> error{};
  int attempt = 0;
  Revision fence = absent;
  std::atomic<Revision> revision{absent};  ///< of the record this owner wrote last; a renewal moves it
  std::atomic<Duration::rep> written{0};   ///< since_boot() before the last write that kept it; see expired()
  Duration retry_after{};
  std::optional<Duration> replay_left{};  ///< of a replay: what is left of its retention

  /// How the call ends for its caller where what is stored would say otherwise.
  std::optional<CallEnd> told_as{};

  // The renewals' own, under their lane's lock.
  Lane* lane = nullptr;  ///< that renews it; null where none does
  Claim* next = nullptr;
  Claim* previous = nullptr;
  bool watched = false;          ///< by the keeper, until its guard lets it go
  bool renewing = false;         ///< a renewal is under way
  std::atomic<int> renewals{0};  ///< that still read this claim
  SteadyTime renew_at{};
  SteadyTime lease_ends{};
  std::optional<std::stop_source> lost{};
  bool lost_told = false;
  Duration renew_every{};  ///< the line it stands in
  bool posted = false;     ///< its end is the keeper's: another thread lets it go

  /// The record may have ended by its retention: a record that is gone then tells nothing, and others may
  /// have come, ended and gone as well.
  [[nodiscard]] bool expired() const noexcept {
    return since_boot().count() - written.load(std::memory_order_relaxed) >= policy->retention.count();
  }
  void kept_at(Duration since) noexcept { written.store(since.count(), std::memory_order_relaxed); }

  void count(CallEnd end) const noexcept {
    const bool as_stored = end == CallEnd::executed || end == CallEnd::released;
    if (counters != nullptr) counters->count(as_stored && told_as ? *told_as : end);
  }
};

/// A claim to begin with: a used one of this thread where there is one.
[[nodiscard]] std::shared_ptr<Claim> new_claim();
/// Keeps a claim nobody else holds for the thread's next one.
void reuse(std::shared_ptr<Claim> claim) noexcept;

}  // namespace onceward::guard_detail
