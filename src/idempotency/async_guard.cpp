#include <onceward/idempotency/async_guard.hpp>

#include "idempotency/finish.hpp"

namespace onceward::guard_detail {

/// Lives in its awaiting coroutine's frame, through AsyncClaim.
class ClaimJob final : public Job {
 public:
  ClaimJob(Keeper& keeper, Result<std::shared_ptr<Claim>> prepared, Storage& storage, std::stop_token stop)
      : keeper_(keeper), prepared_(std::move(prepared)), stop_(std::move(stop)) {
    if (prepared_) trip_.emplace(**prepared_, storage);
  }

  [[nodiscard]] Trip& trip() noexcept override { return *trip_; }
  [[nodiscard]] const Claim& claim() const noexcept override { return **prepared_; }
  [[nodiscard]] bool stopped() const noexcept override { return stop_.stop_requested(); }
  void arrived() noexcept override {
    keeper_.run([waiting = waiting_] { waiting.resume(); });
  }

  bool begin(std::coroutine_handle<> waiting) {
    if (!prepared_) return false;
    waiting_ = waiting;
    began_ = std::chrono::steady_clock::now();
    if (keeper_.submit(*this)) return true;
    refused_ = true;
    return false;
  }

  Result<Guard> answer() {
    if (!prepared_) return fail(std::move(prepared_).error());
    if (refused_) {
      claim().count(CallEnd::refused);
      return fail(ErrorCode::wrong_state, "an asynchronous call needs Guards that are started");
    }
    return guard_detail::arrived(*std::move(prepared_), *trip_, began_);
  }

 private:
  Keeper& keeper_;
  Result<std::shared_ptr<Claim>> prepared_;
  std::stop_token stop_;
  std::optional<ClaimTrip> trip_;
  std::coroutine_handle<> waiting_;
  SteadyTime began_{};
  bool refused_ = false;
};

AsyncClaim::AsyncClaim(Guards& guards, std::string_view key, std::shared_ptr<const Policy> policy,
                       Counters* counters, std::string_view fingerprint, std::stop_token stop) {
  Storage& storage = storage_of(guards, *policy);
  job_ = std::make_unique<ClaimJob>(guards.keeper(),
                                    prepare(guards, key, std::move(policy), counters, fingerprint), storage,
                                    std::move(stop));
}
AsyncClaim::~AsyncClaim() = default;
bool AsyncClaim::await_suspend(std::coroutine_handle<> waiting) { return job_->begin(waiting); }
Result<Guard> AsyncClaim::await_resume() { return job_->answer(); }

AsyncFinish::AsyncFinish(Guard& guard, AsyncEnding ending)
    : claim_(GuardAccess::claim_of(guard)), ending_(std::move(ending)) {}
AsyncFinish::~AsyncFinish() = default;

bool AsyncFinish::await_suspend(std::coroutine_handle<> waiting) {
  // The coroutine may go on, and this object be gone, before the call below returns.
  const auto claim = claim_;
  const auto ending = std::move(ending_);
  auto* const keeper = claim == nullptr ? nullptr : claim->keeper;
  const bool posted = claim != nullptr && claim->policy->acknowledge == Acknowledge::post;
  const bool settles =
      ending.kind == AsyncEnding::Kind::in_doubt || ending.kind == AsyncEnding::Kind::released;
  Then then;
  if (keeper != nullptr && (!posted || settles)) {
    then = [this, keeper, waiting](const Completion& completion) {
      completion_ = completion;
      keeper->run([waiting] { waiting.resume(); });
    };
  }
  const bool suspends = then != nullptr;
  Completion completion;
  switch (ending.kind) {
    case AsyncEnding::Kind::done: completion = finish_json(claim, ending.json, std::move(then)); break;
    case AsyncEnding::Kind::failed:
      completion = finish_with_error(claim, *ending.error, std::move(then));
      break;
    case AsyncEnding::Kind::unstored:
      completion = finish_unstored(claim, *ending.error, std::move(then));
      break;
    case AsyncEnding::Kind::in_doubt:
      completion = finish_in_doubt(claim, *ending.error, std::move(then));
      break;
    case AsyncEnding::Kind::released: (void)release(claim, std::move(then)); break;
  }
  if (!suspends) completion_ = std::move(completion);
  return suspends;
}

Completion AsyncFinish::await_resume() { return std::move(completion_); }

}  // namespace onceward::guard_detail
