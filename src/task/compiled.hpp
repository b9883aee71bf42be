#pragma once
#include <onceward/task/definition.hpp>

#include <functional>
#include <unordered_map>

namespace onceward::task_detail {

/// How the contributions of a task make its progress.
enum class Measure : std::uint8_t { sum, distinct, streak };

struct CompiledRule {
  std::optional<Expression> when;
  std::optional<Expression> value;  ///< what to add, or the distinct value; none: 1, or the streak's number
  Period streak = Period::once;
};

struct CompiledStage {
  std::int64_t target = 1;
  Plan plan;
  std::vector<std::pair<std::string, Expression>> arguments;
};

struct CompiledTask {
  const TaskDefinition* definition;
  Measure measure = Measure::sum;
  std::vector<CompiledRule> rules;
  std::vector<CompiledStage> stages;
};

/// Which rule of which task an event type concerns.
struct Match {
  std::size_t task = 0;
  std::size_t rule = 0;
};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};
template <class T>
using ByName = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

struct CompiledCampaign {
  CompiledCampaign(CampaignDefinition written, Zone in_zone)
      : definition(std::move(written)), zone(std::move(in_zone)) {}
  CompiledCampaign(const CompiledCampaign&) = delete;
  CompiledCampaign& operator=(const CompiledCampaign&) = delete;

  CampaignDefinition definition;
  Zone zone;
  std::vector<CompiledTask> tasks;
  std::vector<Plan> plans;
  ByName<std::vector<Match>> by_event;  ///< in the order of the campaign: an event never scans the tasks
};

/// The content a version stands for, as one text: two definitions with the same text are the same version.
[[nodiscard]] std::string canonical(const TaskDefinition& task, std::string_view timezone);

}  // namespace onceward::task_detail
