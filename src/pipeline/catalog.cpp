#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>

namespace onceward {
namespace {

constexpr std::size_t most_given = 1000;

bool is(const Plan& plan, std::string_view id, std::string_view version, std::string_view sha256) {
  const auto& definition = plan.definition();
  return definition.id == id && definition.version == version && plan.sha256().starts_with(sha256);
}

}  // namespace

struct PlanCatalog::State {
  mutable std::mutex mutex;
  using Names = std::tuple<std::string, std::string, std::string>;
  std::map<Names, Plan, std::less<>> owned;  ///< by (owner, id, version)
  std::map<Names, Plan, std::less<>> plans;  ///< by (id, version, sha256)
  std::vector<std::weak_ptr<PlanSource>> sources;
  std::deque<Plan> given;  ///< by sources, the last one first
};

PlanCatalog::PlanCatalog() : state_(std::make_unique<State>()) {}
PlanCatalog::~PlanCatalog() = default;

Result<void> PlanCatalog::add(Plan plan, std::string_view owner) {
  const auto& definition = plan.definition();
  const std::lock_guard lock(state_->mutex);
  const auto [known, fresh] =
      state_->owned.try_emplace({std::string(owner), definition.id, definition.version}, plan);
  if (!fresh && known->second.sha256() != plan.sha256()) {
    return fail(
        ErrorCode::conflict,
        fmt::format(
            "the pipeline \"{}\" version \"{}\" is known with another content; a version never changes: "
            "give the changed one another version",
            definition.id, definition.version));
  }
  known->second = plan;
  State::Names names(definition.id, definition.version, plan.sha256());
  state_->plans.insert_or_assign(std::move(names), std::move(plan));
  return {};
}

void PlanCatalog::ask(std::weak_ptr<PlanSource> source) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->sources, [](const auto& known) { return known.expired(); });
  state_->sources.push_back(std::move(source));
}

std::optional<Plan> PlanCatalog::find(std::string_view id, std::string_view version,
                                      std::string_view sha256) const {
  if (sha256.empty()) return std::nullopt;
  std::vector<std::weak_ptr<PlanSource>> sources;
  {
    const std::lock_guard lock(state_->mutex);
    const auto known = state_->plans.lower_bound(std::tuple(id, version, sha256));
    if (known != state_->plans.end() && is(known->second, id, version, sha256)) return known->second;
    for (const auto& plan : state_->given) {
      if (is(plan, id, version, sha256)) return plan;
    }
    sources = state_->sources;
  }
  // A source may read a storage: nobody waits for it here.
  for (const auto& known : sources) {
    const auto source = known.lock();
    auto plan = source == nullptr ? std::nullopt : source->plan_of(id, version, sha256);
    if (!plan || !is(*plan, id, version, sha256)) continue;
    const std::lock_guard lock(state_->mutex);
    state_->given.push_front(*plan);
    if (state_->given.size() > most_given) state_->given.pop_back();
    return plan;
  }
  return std::nullopt;
}

std::optional<Plan> PlanCatalog::find(std::string_view id, std::string_view version) const {
  return find_of({}, id, version);
}

std::optional<Plan> PlanCatalog::find_of(std::string_view owner, std::string_view id,
                                         std::string_view version) const {
  const std::lock_guard lock(state_->mutex);
  const auto known = state_->owned.find(std::tuple(owner, id, version));
  return known == state_->owned.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace onceward
