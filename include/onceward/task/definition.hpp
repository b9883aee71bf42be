#pragma once
#include <onceward/pipeline/plan.hpp>
#include <onceward/task/period.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace onceward {

/// Who takes a step: the library when it is due, or the user by a request.
enum class Mode : std::uint8_t { automatic, manual };
/// What becomes of a reward when what earned it is taken back. What is earned and not collected is void
/// either way.
enum class OnRefund : std::uint8_t {
  keep,      ///< a stage once rewarded stays rewarded
  clawback,  ///< it is taken back by the stage's `take_back` pipeline; earned again it is the next generation
};
/// How several <on> rules make one progress.
enum class Match : std::uint8_t {
  sum,  ///< they add up, or count the same values
  all,  ///< progress is the number of rules that have what they need
  any,  ///< progress is 1 as soon as one of them has
};
/// Which events count for a task a user has to claim.
enum class CountFrom : std::uint8_t {
  claim,  ///< those after the claim
  cycle,  ///< those of the whole cycle, also before the claim
};
/// What a new version does to instances that began with an older one.
enum class OnUpdate : std::uint8_t {
  pin,      ///< they go on as they began
  migrate,  ///< they go on with the new one from their next event or request on; what is reached stays
            ///< reached. It keeps the measure (and a streak's unit) and has at least the stages of every
            ///< version before it: publishing it is refused otherwise
};
/// When a reward takes its unit of a quota.
enum class QuotaAt : std::uint8_t {
  claim,       ///< one unit for the instance, when it is claimed; claim must be manual
  completion,  ///< when the stage is reached
  collection,  ///< when it is collected
};

/// How events of one type count for a task. At most one of `add`, `distinct` and `streak` is set; all rules
/// of a task are of the same kind. With none of them an event adds 1.
struct EventRule {
  std::string event;       ///< the event type, such as "order.paid"
  std::string when{};      ///< an expression over event.* and user; the event counts only where it is true
  std::string add{};       ///< an expression: the integer to add, negative ones take away
  std::string distinct{};  ///< an expression: progress is the number of different values
  Period streak =
      Period::once;  ///< day, week or month: progress is the longest run of consecutive ones; once: off
  int freeze = 0;    ///< streak: so many missed ones in a run are forgiven, 0..31
  Duration
      grace{};  ///< streak: an event this soon after its day, week or month began forgives the one before
  std::string credit{};    ///< an expression: the user it counts for instead of the event's own (an inviter)
  std::int64_t needs = 1;  ///< match all and any: the sum this rule has to reach, >= 1
  SourcePlace place{};

  friend bool operator==(const EventRule&, const EventRule&) = default;
};

/// A target and its reward: a run of `pipeline` with these arguments (expressions over event.* and user).
struct StageDefinition {
  std::int64_t target = 1;  ///< >= 1; stages stand in growing order of their targets
  std::string pipeline;
  std::vector<std::pair<std::string, std::string>> arguments{};
  /// on-refund clawback: the pipeline that takes the reward back; it gets those of the arguments it has.
  std::string take_back{};
  SourcePlace place{};

  friend bool operator==(const StageDefinition&, const StageDefinition&) = default;
};

/// So many rewards of the task are given in one `per`, whoever comes first; counted by the event's time.
struct QuotaDefinition {
  std::int64_t limit = 1;  ///< >= 1
  Period per = Period::once;
  QuotaAt at = QuotaAt::completion;
  /// At claim: how long the unit is held for a user who does not complete; the instance expires then. Zero:
  /// as long as the instance stands.
  Duration hold{};

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

  Mode claim = Mode::automatic;     ///< automatic: the first event that counts makes the instance
  Mode collect = Mode::automatic;   ///< automatic: a reached stage is rewarded at once
  Mode complete = Mode::automatic;  ///< manual: the host may complete() it without events; sums only
  OnRefund on_refund = OnRefund::keep;
  Match match = Match::sum;
  CountFrom count_from = CountFrom::claim;
  OnUpdate on_update = OnUpdate::pin;

  Duration day_starts{};   ///< the wall clock's time at which days, weeks and months begin; 0 to 24 h
  int month_day = 1;       ///< period month: the day it begins at, or its last where it is shorter; 1..31
  Duration every{};        ///< period fixed (from `starts`) and rolling (from the user's own start)
  bool user_zone = false;  ///< cycles follow the user's zone, as it was when the user began with the task
  std::string timezone{};  ///< of its cycles, quota and streaks; empty: the campaign's
  std::optional<Duration> late{};  ///< an event counts so long after its cycle ended; unset: for ever
  Duration within{};          ///< how long an instance has from its claim to its last stage; zero: its cycle
  Duration collect_within{};  ///< how long a reward waits for collect(); zero: for ever

  std::vector<std::string> after{};  ///< tasks that must be rewarded to the user before this one is taken
  std::string audience{};            ///< an expression over profile.* and user: who may take it
  std::int64_t per_user = 0;         ///< how often a user may take it, over all cycles; 0: no limit
  std::string group{};  ///< an expression over event.*: the group whose members share the progress
  int members = 0;      ///< with group: most members; each of them is rewarded once
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

/// The XML text of a campaign; parse_campaign_xml reads it back to an equal definition.
[[nodiscard]] std::string to_xml(const CampaignDefinition& definition);

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
