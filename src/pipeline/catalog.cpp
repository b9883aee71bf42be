#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>

namespace onceward {

struct PlanCatalog::State {
  mutable std::mutex mutex;
  std::map<std::pair<std::string, std::string>, Plan, std::less<>> plans;  ///< by (id, version)
};

PlanCatalog::PlanCatalog() : state_(std::make_unique<State>()) {}
PlanCatalog::~PlanCatalog() = default;

Result<void> PlanCatalog::add(Plan plan) {
  const auto& definition = plan.definition();
  const std::lock_guard lock(state_->mutex);
  const auto [known, fresh] = state_->plans.try_emplace({definition.id, definition.version}, plan);
  if (!fresh && known->second.sha256() != plan.sha256()) {
    return fail(
        ErrorCode::conflict,
        fmt::format(
            "the pipeline \"{}\" version \"{}\" is known with another content; a version never changes: "
            "give the changed one another version",
            definition.id, definition.version));
  }
  known->second = std::move(plan);
  return {};
}

std::optional<Plan> PlanCatalog::find(std::string_view id, std::string_view version,
                                      std::string_view sha256) const {
  const std::lock_guard lock(state_->mutex);
  const auto known = state_->plans.find(std::pair(std::string(id), std::string(version)));
  if (known == state_->plans.end() || sha256.empty() || !known->second.sha256().starts_with(sha256))
    return std::nullopt;
  return known->second;
}

std::optional<Plan> PlanCatalog::find(std::string_view id, std::string_view version) const {
  const std::lock_guard lock(state_->mutex);
  const auto known = state_->plans.find(std::pair(std::string(id), std::string(version)));
  return known == state_->plans.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace onceward
