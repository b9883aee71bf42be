#pragma once
#include <onceward/task/definition.hpp>

#include <functional>
#include <mutex>
#include <unordered_map>

namespace onceward::task_detail {

/// How the contributions of a task make its progress.
enum class Measure : std::uint8_t { sum, distinct, streak, match };

struct CompiledRule {
  std::optional<Expression> when;
  std::optional<Expression> value;  ///< what to add, or the distinct value; none: 1, or the streak's number
  Period streak = Period::once;
  bool divisible = false;            ///< `value` reads the event: a reversal may take a part of it
  std::optional<Expression> credit;  ///< the user it counts for
};

struct CompiledStage {
  std::int64_t target = 1;
  Plan plan;
  std::vector<std::pair<std::string, Expression>> arguments;
  std::optional<Plan> take_back;
};

struct CompiledTask {
  const TaskDefinition* definition;
  Calendar
      calendar;  ///< for a rolling period or the user's own zone its start and zone are still to be put in
  Measure measure = Measure::sum;
  std::optional<Zone> own_zone{};  ///< where it is not the campaign's
  std::vector<CompiledRule> rules;
  std::vector<CompiledStage> stages;
  std::optional<Expression> audience;
  std::optional<Expression> group;
  /// Its instances keep a record of every reward: one may wait for its unit or its user, or be taken back.
  bool tracked = false;
  bool timed = false;  ///< it has a grace or deadlines
  /// Its cycles are those of its period in the campaign's zone: many tasks share them.
  bool plain_cycles = true;
  /// Its cycle depends on the user: the zone or the start.
  bool own_cycles = false;

  [[nodiscard]] const CompiledStage& stage(std::int64_t number) const {
    return stages[static_cast<std::size_t>(number - 1)];
  }
};

/// Which rule of which task an event type concerns.
struct RuleOf {
  std::size_t task = 0;
  std::size_t rule = 0;
};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};
template <class T>
using ByName = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

/// Zones of users, each read from the database once. Safe from any thread.
class Zones {
 public:
  /// Errors: as Zone::find.
  Result<Zone> find(std::string_view name) {
    const std::lock_guard lock(mutex_);
    if (const auto known = zones_.find(name); known != zones_.end()) return known->second;
    auto zone = Zone::find(name);
    if (zone) zones_.emplace(name, *zone);
    return zone;
  }

 private:
  std::mutex mutex_;
  ByName<Zone> zones_;
};

struct CompiledCampaign {
  CompiledCampaign(CampaignDefinition written, Zone in_zone)
      : definition(std::move(written)), zone(std::move(in_zone)) {}
  CompiledCampaign(const CompiledCampaign&) = delete;
  CompiledCampaign& operator=(const CompiledCampaign&) = delete;

  CampaignDefinition definition;
  Zone zone;
  std::vector<CompiledTask> tasks;
  std::vector<Plan> plans;
  const StepRegistry* registry = nullptr;  ///< compiled against it; older versions are, too
  mutable Zones zones{};
  ByName<std::vector<RuleOf>> by_event;  ///< in the order of the campaign: an event never scans the tasks
};

/// The content a version stands for, as one text: two definitions with the same text are the same version.
[[nodiscard]] std::string canonical(const TaskDefinition& task, std::string_view timezone);

}  // namespace onceward::task_detail
