#include <onceward/idempotency/fast_path.hpp>

#include "idempotency/claim.hpp"
#include "idempotency/key_record.hpp"

#include <onceward/idempotency/guard_access.hpp>

#include <algorithm>
#include <stdexcept>

namespace onceward {

FastPath::FastPath(std::function<Result<std::unique_ptr<Storage>>()> open, FastPathOptions options)
    : open_(std::move(open)), options_(options) {
  if (!open_) throw std::invalid_argument("a FastPath needs a function that opens its storage");
  if (options_.lease <= Duration::zero() || options_.lease > std::chrono::hours(1))
    throw std::invalid_argument("FastPathOptions::lease must be more than 0 and at most an hour");
  if (options_.retention < options_.lease || options_.retention.count() > limits::duration_us)
    throw std::invalid_argument(
        "FastPathOptions::retention must be the lease at least, and at most 100 years");
  if (options_.rest <= Duration::zero() || options_.rest > std::chrono::hours(1))
    throw std::invalid_argument("FastPathOptions::rest must be more than 0 and at most an hour");
}

std::shared_ptr<Storage> FastPath::storage() {
  {
    const std::lock_guard lock(mutex_);
    if (Steady::now() < rests_until_) return nullptr;
    if (storage_ != nullptr) return storage_;
    if (opening_) return nullptr;  // one caller waits for it, the others do without
    opening_ = true;
  }
  auto opened = open_();
  const std::lock_guard lock(mutex_);
  opening_ = false;
  if (opened) {
    storage_ = *std::move(opened);
  } else {
    last_error_ = std::move(opened).error();
    rests_until_ = Steady::now() + options_.rest;
  }
  return storage_;
}

std::optional<Error> FastPath::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

void FastPath::failed(const std::shared_ptr<Storage>& storage, const Error& error) {
  const std::lock_guard lock(mutex_);
  last_error_ = error;
  if (storage != storage_) return;  // it has been opened anew since
  // Data that vanished are found out by opening it anew, at once; what does not answer is left alone.
  if (error.code == ErrorCode::corrupt) {
    storage_.reset();
  } else {
    rests_until_ = Steady::now() + options_.rest;
  }
}

namespace guard_detail {

std::shared_ptr<const Policy> fast_policy(const Policy& policy, const FastPathOptions& options) {
  auto fast = policy;
  fast.lease = options.lease;
  fast.retention = std::max(options.lease, std::min(policy.retention, options.retention));
  fast.on_stale = OnStale::takeover;  // the database decides about it
  fast.attempts_max = 1'000'000;
  fast.record_limit = Duration(1);
  return std::make_shared<const Policy>(std::move(fast));
}

struct FastClaim::Ended {
  KeyRecordView record;
  Duration left;
};

FastClaim::FastClaim(FastPath& path, std::string_view key, std::shared_ptr<const Policy> policy,
                     std::string_view fingerprint, std::stop_token stop)
    : path_(&path), began_(std::chrono::steady_clock::now()), storage_(path.storage()) {
  if (storage_ == nullptr) return;
  auto guard = GuardAccess::claim(*storage_, key, std::move(policy), nullptr, fingerprint, std::move(stop));
  if (guard) {
    guard_.emplace(*std::move(guard));
  } else {
    path_->failed(storage_, guard.error());
  }
}

FastClaim::~FastClaim() {
  if (!guard_ || !guard_->acquired()) return;
  try {
    // conflict says that another caller took it over: nothing is wrong with the storage.
    if (auto released = guard_->release(); !released && released.error().code != ErrorCode::conflict)
      path_->failed(storage_, released.error());
  } catch (const std::exception&) {
    return;  // no memory: its lease ends the claim
  }
}

const Guard* FastClaim::answer() const noexcept {
  if (!guard_ || guard_->acquired()) return nullptr;
  // Of what else it may hold only the database knows whether it is still so.
  const bool knows = guard_->verdict() == Verdict::replayed || guard_->verdict() == Verdict::in_progress;
  return knows ? &*guard_ : nullptr;
}

void FastClaim::tell_result(int attempt, Revision fence, std::string_view json, Duration left) noexcept {
  try {
    tell({{.state = KeyState::done, .attempt = attempt, .fence = fence, .result = json}, left});
  } catch (const std::exception&) {
    return;  // no memory: the next call asks the database
  }
}

void FastClaim::tell_error(int attempt, Revision fence, const Error& error, Duration left) noexcept {
  try {
    tell({{.state = KeyState::failed, .attempt = attempt, .fence = fence, .error = &error}, left});
  } catch (const std::exception&) {
    return;  // as above
  }
}

/// Writes over this call's own claim alone: where that is gone, somebody else will tell.
void FastClaim::tell(const Ended& ended) {
  if (!guard_ || !guard_->acquired()) return;
  const Duration since = std::chrono::ceil<Duration>(std::chrono::steady_clock::now() - began_);
  const Duration left = std::min(ended.left - since, path_->options().retention);
  if (left <= Duration::zero() || !reads_back(ended.record.result)) return;
  auto& claim = *GuardAccess::claim_of(*guard_);
  auto record = ended.record;
  record.owner = claim.owner;
  record.fingerprint = claim.fingerprint;
  const Batch batch{claim.partition,
                    {Operation::replace(claim.key, claim.revision.load(), encode(record), {{}, left})}};
  claim.acquired = false;
  claim.storage = nullptr;
  if (auto told = storage_->commit({&batch, 1}); !told) path_->failed(storage_, told.error());
}

}  // namespace guard_detail
}  // namespace onceward
