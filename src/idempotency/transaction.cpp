#include <onceward/core/ids.hpp>
#include <onceward/idempotency/transaction.hpp>

#include "idempotency/claim.hpp"
#include "idempotency/counters.hpp"
#include "idempotency/key_record.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <random>

namespace onceward::guard_detail {
namespace {

constexpr auto first_pause = std::chrono::milliseconds(5);
constexpr auto longest_pause = std::chrono::milliseconds(200);

class Nowhere final : public Storage {
 public:
  Result<CommitAnswer> commit(std::span<const Batch>) override { return refuse(); }
  Result<ReadAnswer> read(std::span<const RecordRef>) override { return refuse(); }
  Result<ScanPage> scan(std::string_view, std::string_view, std::string_view, std::size_t) override {
    return refuse();
  }
  Result<DuePage> due(std::span<const Shard>, std::size_t) override { return refuse(); }
  [[nodiscard]] Shard shard_count() const noexcept override { return limits::default_shards; }

 private:
  static Unexpected refuse() {
    return fail(ErrorCode::wrong_state, "a transactional guard writes in its transactions alone");
  }
};

Unexpected refuse(std::string_view field) {
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("Policy::{} makes no sense where the key's record is part of a transaction", field));
}

/// check_transactional() refuses such a policy; a live change of one may still bring it.
Policy without_what_makes_no_sense(Policy policy) {
  policy.auto_renew = false;
  policy.acknowledge = Acknowledge::await;
  policy.on_storage_down = OnStorageDown::fail_closed;
  policy.storage = nullptr;
  if (policy.on_stale == OnStale::reconcile) policy.on_stale = OnStale::in_doubt;
  return policy;
}

}  // namespace

std::shared_ptr<Storage> nowhere() { return std::make_shared<Nowhere>(); }

Result<void> check_transactional(const Policy& policy) {
  if (policy.auto_renew) return refuse("auto_renew");
  if (policy.acknowledge != Acknowledge::await) return refuse("acknowledge = post");
  if (policy.on_stale == OnStale::reconcile) return refuse("on_stale = reconcile");
  if (policy.on_storage_down != OnStorageDown::fail_closed) return refuse("on_storage_down");
  if (policy.storage != nullptr) return refuse("storage");
  return {};
}

std::shared_ptr<const TransactionPolicies::Made> TransactionPolicies::made_of(
    const std::shared_ptr<const Policy>& policy) {
  const std::lock_guard lock(mutex_);
  if (made_ != nullptr && made_->of == policy) return made_;
  auto made = std::make_shared<Made>();
  made->of = policy;
  auto fitting = without_what_makes_no_sense(*policy);
  if (fast_ != nullptr) made->fast = fast_policy(fitting, fast_->options());
  fitting.on_busy = OnBusy::reject;    // who waits would keep locks that the owner needs
  fitting.record_limit = Duration(1);  // the round is repeated as a whole
  made->inside = std::make_shared<const Policy>(std::move(fitting));
  return made_ = std::move(made);
}

CountedCall::~CountedCall() {
  if (counters_ != nullptr) counters_->count(end_);
}
void CountedCall::ends_as(Verdict verdict) noexcept { end_ = end_of(verdict); }
void CountedCall::ends_as(CallEnd end, const Completion& completion) noexcept {
  end_ = end_of(completion, end);
}

std::string_view owner_of(const Guard& guard) noexcept {
  const auto& claim = GuardAccess::claim_of(guard);
  return claim == nullptr ? std::string_view() : std::string_view(claim->owner);
}

Result<Left> left_by(Storage& storage, std::string_view operation, std::string_view key,
                     std::string_view owner) {
  auto record = read_one(storage, guard_partition(operation, key), key);
  if (!record) return fail(std::move(record).error());
  if (!*record) return Left::nothing;
  const auto known = decode_key_record(**record);
  if (!known || known->owner != owner) return Left::nothing;
  return known->state == KeyState::claimed ? Left::claim : Left::end;
}

Result<void> give_back(Guard& guard) {
  GuardAccess::claim_of(guard)->fingerprint.clear();
  return guard.release();
}

Result<void> write_nothing(Storage& storage, std::string_view operation) {
  // No guard's partition begins so.
  const auto partition = fmt::format("guard-settled/{}", operation);
  auto key = new_owner_id();
  auto written = commit_one(storage, {partition, {Operation::insert(key, {})}});
  if (!written) return fail(std::move(written).error());
  auto removed = commit_one(storage, {partition, {Operation::remove(std::move(key), written->revision)}});
  if (!removed) return fail(std::move(removed).error());
  return {};
}

std::exception_ptr ended_transaction(std::string_view operation) {
  return std::make_exception_ptr(std::logic_error(fmt::format(
      "the handler of \"{}\" ended the transaction it was given, or went on after the database had undone "
      "it; leave COMMIT and ROLLBACK to the call, and let errors of the database through",
      operation)));
}

Rounds::Rounds(const Policy& policy, std::stop_token stop) noexcept
    : policy_(policy), stop_(std::move(stop)), pause_(first_pause) {}

void Rounds::must_record() noexcept {
  must_record_ = true;
  stop_ = {};
  if (!until_) until_ = Steady::now() + policy_.record_limit;
}

bool Rounds::again(const Error& error, Step step) {
  const auto code = error.code;
  const bool broken = code == ErrorCode::unavailable || code == ErrorCode::in_doubt ||
                      code == ErrorCode::wrong_state || code == ErrorCode::conflict;
  const auto now = Steady::now();
  if (step >= Step::running && !until_) until_ = now + policy_.record_limit;
  // What the database itself undid did not happen; of all else that is not known.
  if (step == Step::committing && code != ErrorCode::timeout && code != ErrorCode::exhausted && !lost_) {
    lost_ = true;
    if (!std::exchange(lost_before_, true)) until_ = now + policy_.record_limit;
  }
  const bool may_pass = lost_ || code == ErrorCode::timeout || (step != Step::beginning && broken) ||
                        (must_record_ && (broken || code == ErrorCode::exhausted));
  if (!may_pass) return false;
  const auto limit = policy_.on_busy == OnBusy::wait ? policy_.wait_limit : policy_.record_limit;
  return pause(until_.value_or(began_ + limit), longest_pause);
}

bool Rounds::wait(Duration lease_left) {
  if (policy_.on_busy != OnBusy::wait) return false;
  return pause(began_ + policy_.wait_limit, std::max(Duration(1), lease_left));
}

bool Rounds::pause(Steady::time_point until, Duration most) {
  if (stop_.stop_requested() || Steady::now() >= until) return false;
  // Of about this length: those who met must not meet again.
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto length = std::min(pause_, most);
  const auto half = length.count() / 2;
  const Duration jittered(half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half + 1)));
  pause_ = std::min<Duration>(pause_ * 2, longest_pause);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop_, jittered, [] { return false; });
  return !stop_.stop_requested();
}

Verdict Rounds::verdict_of(const Error& error) const noexcept {
  if (lost_) return Verdict::in_doubt;
  return error.code == ErrorCode::timeout ? Verdict::in_progress : Verdict::storage_down;
}

}  // namespace onceward::guard_detail
