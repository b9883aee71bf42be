#include <onceward/idempotency/guards.hpp>

#include "idempotency/begin.hpp"
#include "idempotency/finish.hpp"

#include <deque>
#include <unordered_set>

namespace onceward {

using guard_detail::ClaimTrip;
using guard_detail::GuardAccess;
using guard_detail::Keeper;

Guards::Guards(Storage& storage, GuardsOptions options)
    : keeper_(std::make_unique<Keeper>(storage, std::move(options))) {}
Guards::~Guards() = default;
void Guards::start() { keeper_->start(); }
void Guards::stop() { keeper_->stop(); }
Storage& Guards::storage() const noexcept { return keeper_->storage(); }

Result<void> Guards::override_policy(std::string_view operation, const Value& fields) {
  return keeper_->policies().override_policy(operation, fields);
}

CallFigures Guards::figures(std::string_view operation) const {
  return keeper_->counters().figures(operation);
}
std::map<std::string, CallFigures> Guards::figures() const { return keeper_->counters().figures(); }

namespace {

/// Waits for some keys of many, and renews meanwhile what is held of the others.
class SpanPauser final : public guard_detail::Pauser {
 public:
  SpanPauser(std::deque<ClaimTrip>& trips, std::stop_token stop)
      : trips_(trips), waits_(trips.front().claim(), std::move(stop)) {}
  bool pause(Duration length) override {
    for (auto& trip : trips_) {
      if (trip.need() == ClaimTrip::Need::ended) guard_detail::renew_held(trip.claim(), trip.written_at());
    }
    return waits_.pause(length);
  }

 private:
  std::deque<ClaimTrip>& trips_;
  guard_detail::CallerPauser waits_;
};

using Claims = std::vector<Result<std::shared_ptr<guard_detail::Claim>>>;

/// Where an exception ends the call, what is held already is given back and renewed no more.
class Unanswered {
 public:
  explicit Unanswered(Claims& claims) noexcept : claims_(claims) {}
  ~Unanswered() {
    for (auto& claim : claims_) {
      if (claim && *claim != nullptr) (void)GuardAccess::make(*std::move(claim));
    }
  }
  Unanswered(const Unanswered&) = delete;
  Unanswered& operator=(const Unanswered&) = delete;

 private:
  Claims& claims_;
};

}  // namespace

std::vector<Result<Guard>> Guards::claim_many(std::span<const Request> requests, const Policy& policy,
                                              std::stop_token stop) {
  std::vector<Result<Guard>> answers;
  answers.reserve(requests.size());
  auto& counters = keeper_->counters().of(policy.operation);
  if (auto checked = policy.check(); !checked) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      counters.count(CallEnd::refused);
      answers.push_back(fail(checked.error()));
    }
    return answers;
  }
  const auto shared = keeper_->policies().effective(std::make_shared<const Policy>(policy));
  const auto began = std::chrono::steady_clock::now();
  Claims claims;
  claims.reserve(requests.size());
  const Unanswered unanswered(claims);
  std::deque<ClaimTrip> trips;  // they stay where they are
  std::vector<guard_detail::Trip*> under_way;
  // A key that is named twice must not wait for itself.
  const bool waits = shared->on_busy == OnBusy::wait;
  auto impatient = shared;
  if (waits) {
    Policy rejects = *shared;
    rejects.on_busy = OnBusy::reject;
    impatient = std::make_shared<const Policy>(std::move(rejects));
  }
  std::unordered_set<std::string_view> named;
  for (const auto& request : requests) {
    const auto& held = !waits || named.insert(request.key).second ? shared : impatient;
    claims.push_back(guard_detail::prepare(*this, request.key, held, &counters, request.fingerprint));
    if (claims.back())
      under_way.push_back(&trips.emplace_back(**claims.back(), guard_detail::storage_of(*this, *shared)));
  }
  if (!under_way.empty()) {
    const auto posted = keeper_->take_posted(trips.front().storage());
    std::vector<guard_detail::Trip*> together;
    for (const auto& one : posted) together.push_back(&one->trip);
    together.insert(together.end(), under_way.begin(), under_way.end());
    guard_detail::drive_round(together);
    keeper_->travelled(posted);
    SpanPauser pauser(trips, std::move(stop));
    guard_detail::drive(under_way, pauser);
  }
  auto trip = trips.begin();
  for (auto& claim : claims) {
    answers.push_back(claim ? guard_detail::arrived(*std::move(claim), *trip++, began)
                            : Result<Guard>(fail(std::move(claim).error())));
  }
  return answers;
}

std::vector<Completion> Guards::complete_many(std::span<const Finished> finished) {
  std::vector<guard_detail::Ended> ended;
  ended.reserve(finished.size());
  for (const auto& one : finished)
    ended.push_back({GuardAccess::claim_of(*one.guard), one.result->to_json()});
  return guard_detail::finish_many(ended);
}

}  // namespace onceward
