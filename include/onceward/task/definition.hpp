#pragma once
#include <onceward/pipeline/plan.hpp>
#include <onceward/task/period.hpp>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace onceward {

/// How events of one type count for a task. At most one of `add`, `distinct` and `streak` is set; all rules
/// of a task are of the same kind. With none of them an event adds 1.
struct EventRule {
  std::string event;       ///< the event type, such as "order.paid"
  std::string when{};      ///< an expression over event.*; the event counts only where it is true
  std::string add{};       ///< an expression: the integer to add, negative ones take away
  std::string distinct{};  ///< an expression: progress is the number of different values
  Period streak =
      Period::once;  ///< day, week or month: progress is the longest run of consecutive ones; once: off
  SourcePlace place{};

  friend bool operator==(const EventRule&, const EventRule&) = default;
};

/// A target and its reward: a run of `pipeline` with these arguments (expressions over event.* and user).
struct StageDefinition {
  std::int64_t target = 1;  ///< >= 1; stages stand in growing order of their targets
  std::string pipeline;
  std::vector<std::pair<std::string, std::string>> arguments{};
  SourcePlace place{};

  friend bool operator==(const StageDefinition&, const StageDefinition&) = default;
};

/// So many rewards of the task are given in one `per`, whoever comes first; counted by the event's time.
struct QuotaDefinition {
  std::int64_t limit = 1;  ///< >= 1
  Period per = Period::once;

  friend bool operator==(const QuotaDefinition&, const QuotaDefinition&) = default;
};

/// A task as a merchant writes it. An immutable version: changed content needs another version.
struct TaskDefinition {
  std::string id;  ///< [a-z0-9_-]{1,64}, unique for the merchant
  std::string version = "1";
  std::string title{};
  Period period = Period::once;
  std::optional<Timestamp> starts{};  ///< events before are no contribution
  std::optional<Timestamp> ends{};    ///< events at or after are no contribution
  std::vector<EventRule> rules{};
  std::vector<StageDefinition> stages{};
  std::optional<QuotaDefinition> quota{};
  SourcePlace place{};

  friend bool operator==(const TaskDefinition&, const TaskDefinition&) = default;
};

/// A merchant's tasks and the pipelines they reward with.
struct CampaignDefinition {
  std::string merchant;  ///< [a-z0-9_-]{1,64}
  std::string timezone = "UTC";
  std::vector<TaskDefinition> tasks{};
  std::vector<PipelineDefinition> pipelines{};
  SourcePlace place{};

  friend bool operator==(const CampaignDefinition&, const CampaignDefinition&) = default;
};

/// Reads a <campaign> document. Every mistake of the text is reported, with line and column.
/// Errors: invalid_argument, its message holding the diagnostics; `file` is only named in them.
Result<CampaignDefinition> parse_campaign_xml(std::string_view text, std::string_view file,
                                              std::vector<Diagnostic>* diagnostics = nullptr);

namespace task_detail {
struct CompiledCampaign;
}

/// A campaign checked and compiled against the steps of an application. Immutable, cheap to copy, for any
/// thread.
class Campaign {
 public:
  /// Reports every mistake at once in `diagnostics`; `file` is only named in them. `event_attributes`, where
  /// it is not empty, is the whole set of attributes events carry: expressions that read another one are
  /// mistakes. Errors: invalid_argument, its message holding the diagnostics.
  static Result<Campaign> compile(const CampaignDefinition& definition, const StepRegistry& registry,
                                  std::string_view file = {},
                                  std::span<const std::string> event_attributes = {},
                                  std::vector<Diagnostic>* diagnostics = nullptr);

  [[nodiscard]] const CampaignDefinition& definition() const noexcept;
  /// For the library's own use.
  [[nodiscard]] std::shared_ptr<const task_detail::CompiledCampaign> shared() const noexcept {
    return compiled_;
  }

 private:
  explicit Campaign(std::shared_ptr<const task_detail::CompiledCampaign> compiled) noexcept
      : compiled_(std::move(compiled)) {}
  std::shared_ptr<const task_detail::CompiledCampaign> compiled_;
};

/// Reads a <campaign> document and compiles it: the mistakes of the text and those of what it says, in one
/// list by place. Parameters and errors as parse_campaign_xml() and Campaign::compile().
Result<Campaign> compile_campaign_xml(std::string_view text, std::string_view file,
                                      const StepRegistry& registry,
                                      std::span<const std::string> event_attributes = {},
                                      std::vector<Diagnostic>* diagnostics = nullptr);

}  // namespace onceward
