#include "task/check_task.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr auto none = Duration::zero();
constexpr auto most_duration = Duration(limits::duration_us);
constexpr int most_freezes = 31;
constexpr int most_members = 1000;
constexpr std::size_t most_id_bytes = 64;

bool cyclic(Period period) noexcept { return period == Period::fixed || period == Period::rolling; }

bool reads_event(const StageDefinition& stage) {
  return std::any_of(stage.arguments.begin(), stage.arguments.end(), [](const auto& argument) {
    const auto parsed = Expression::parse(argument.second);
    if (!parsed) return false;
    const auto paths = parsed->paths();
    return std::any_of(paths.begin(), paths.end(),
                       [](const std::string& path) { return path.starts_with("event"); });
  });
}

void check_times(const TaskDefinition& task, const ReportMistake& report) {
  if (task.starts && task.ends && *task.starts >= *task.ends)
    report(task.place, "bad-window", fmt::format("task \"{}\" ends before it starts", task.id), "");
  const bool lasting = task.every > none && task.every <= most_duration;
  if (cyclic(task.period) != (task.every != none) || (task.every != none && !lasting)) {
    report(task.place, "bad-period", fmt::format("the cycles of task \"{}\" have no right length", task.id),
           "give period fixed and rolling an `every`, such as \"7d\", and no other period");
  }
  if (task.period == Period::fixed && !task.starts)
    report(task.place, "bad-period", fmt::format("task \"{}\" is fixed and does not start", task.id),
           "its cycles are counted from `starts`");
  if (task.month_day < 1 || task.month_day > 31 || (task.month_day != 1 && task.period != Period::month))
    report(task.place, "bad-period",
           fmt::format("the month of task \"{}\" begins on day {}", task.id, task.month_day),
           "period month begins on one of the days 1 to 31");
  if (task.day_starts < none || task.day_starts >= std::chrono::hours(24))
    report(task.place, "bad-period", fmt::format("the day of task \"{}\" begins outside the day", task.id),
           "write a time below 24h");
  for (const auto& [name, duration] : {std::pair{"late", task.late.value_or(none)},
                                       {"within", task.within},
                                       {"collect-within", task.collect_within}}) {
    if (duration < none || duration > most_duration)
      report(task.place, "bad-value", fmt::format("{} of task \"{}\" is out of bounds", name, task.id), "");
  }
}

void check_rules(const TaskDefinition& task, const ReportMistake& report) {
  for (const auto& rule : task.rules) {
    if (cyclic(rule.streak))
      report(rule.place, "bad-streak", fmt::format("task \"{}\" counts no such streak", task.id),
             "day, week or month");
    const bool bounded = rule.freeze >= 0 && rule.freeze <= most_freezes && rule.grace >= none;
    if (!bounded || (rule.streak == Period::once && (rule.freeze != 0 || rule.grace != none)))
      report(rule.place, "bad-streak", fmt::format("freeze and grace of task \"{}\" do not fit", task.id),
             "they belong to a streak: freeze 0 to 31, grace at least 0");
    if (rule.needs < 1 || (rule.needs != 1 && task.match == Match::sum))
      report(rule.place, "bad-needs", fmt::format("a rule of task \"{}\" needs {}", task.id, rule.needs),
             "at least 1, and only with match all or any");
    if (!rule.credit.empty() && !task.group.empty())
      report(rule.place, "bad-group",
             fmt::format("a rule of task \"{}\" credits somebody of a group", task.id),
             "a group's progress is its own");
  }
}

void check_group(const TaskDefinition& task, const ReportMistake& report) {
  if (task.group.empty()) {
    if (task.members != 0)
      report(task.place, "bad-group", fmt::format("task \"{}\" has members and no group", task.id), "");
    return;
  }
  if (task.members < 1 || task.members > most_members)
    report(task.place, "bad-group",
           fmt::format("the group of task \"{}\" has {} members", task.id, task.members),
           "at most 1 to 1000");
  const bool plain = task.claim == Mode::automatic && task.collect == Mode::automatic && !task.quota &&
                     task.on_refund == OnRefund::keep && task.complete == Mode::automatic &&
                     task.per_user == 0 && task.audience.empty() && task.after.empty() && !task.user_zone &&
                     task.period != Period::rolling;
  if (!plain)
    report(task.place, "bad-group",
           fmt::format("the group of task \"{}\" has more than it can have", task.id),
           "a group has no claims, collecting, quota, clawback, audience, order or times of a user's own");
}

void check_quota(const TaskDefinition& task, const ReportMistake& report) {
  if (!task.quota) return;
  const auto& quota = *task.quota;
  if (quota.limit < 1)
    report(task.place, "bad-quota", fmt::format("the quota of task \"{}\" is {}", task.id, quota.limit),
           "a quota is at least 1");
  if (cyclic(quota.per))
    report(task.place, "bad-quota", fmt::format("the quota of task \"{}\" has no such period", task.id),
           "once, day, week or month");
  if (quota.at == QuotaAt::claim && task.claim != Mode::manual)
    report(task.place, "bad-quota", fmt::format("task \"{}\" takes a unit at a claim it has not", task.id),
           "write claim=\"manual\"");
  if (quota.hold < none || (quota.hold != none && quota.at != QuotaAt::claim))
    report(task.place, "bad-quota", fmt::format("the quota of task \"{}\" holds nothing", task.id),
           "`hold` belongs to at=\"claim\"");
}

}  // namespace

bool is_id(std::string_view text) noexcept {
  return !text.empty() && text.size() <= most_id_bytes && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

void check_task(const TaskDefinition& task, const ReportMistake& report) {
  check_times(task, report);
  check_rules(task, report);
  check_group(task, report);
  check_quota(task, report);
  if (task.per_user < 0)
    report(task.place, "bad-value", fmt::format("per-user of task \"{}\" is {}", task.id, task.per_user), "");
  if (task.collect_within != none && task.collect != Mode::manual)
    report(task.place, "bad-value", fmt::format("nobody collects of task \"{}\"", task.id),
           "collect-within belongs to collect=\"manual\"");
  const bool sums = std::all_of(task.rules.begin(), task.rules.end(), [](const EventRule& rule) {
    return rule.distinct.empty() && rule.streak == Period::once;
  });
  if (task.complete == Mode::manual && (!sums || task.match != Match::sum))
    report(task.place, "mixed-measure", fmt::format("task \"{}\" is completed by hand and no sum", task.id),
           "complete=\"manual\" adds what is missing to a sum");
  const bool without_event =
      task.complete == Mode::manual || (task.claim == Mode::manual && task.count_from == CountFrom::cycle);
  for (const auto& stage : task.stages) {
    if (without_event && reads_event(stage))
      report(stage.place, "bad-argument", fmt::format("a stage of task \"{}\" reads an event", task.id),
             "it may be reached by a claim or complete(), which have none");
    if ((task.on_refund == OnRefund::clawback) == stage.take_back.empty())
      report(stage.place, "bad-take-back",
             fmt::format("a stage of task \"{}\" does not fit on-refund", task.id),
             "on-refund=\"clawback\" needs a take-back pipeline in every stage, keep has none");
    if (!stage.take_back.empty() && stage.take_back == stage.pipeline)
      report(stage.place, "bad-take-back",
             fmt::format("a stage of task \"{}\" takes back with what it grants with", task.id), "");
  }
}

}  // namespace onceward::task_detail
