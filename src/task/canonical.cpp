#include "task/compiled.hpp"

namespace onceward::task_detail {
namespace {

/// Sets what differs from its default, so that a definition without it stays the version it was.
template <class T>
void set_other(Map& map, const char* name, const T& value, const T& usual) {
  if (value == usual) return;
  if constexpr (std::is_enum_v<T>) {
    map.set(name, static_cast<std::int64_t>(value));
  } else if constexpr (std::is_same_v<T, Duration>) {
    map.set(name, std::int64_t{value.count()});
  } else {
    map.set(name, Value(value));
  }
}

Value rule_of(const EventRule& rule) {
  List parts{rule.event, rule.when, rule.add, rule.distinct, to_string(rule.streak)};
  Map more;
  const EventRule usual{};
  set_other(more, "freeze", rule.freeze, usual.freeze);
  set_other(more, "grace", rule.grace, usual.grace);
  set_other(more, "credit", rule.credit, usual.credit);
  set_other(more, "needs", rule.needs, usual.needs);
  if (!more.empty()) parts.push_back(std::move(more));
  return parts;
}

Value stage_of(const StageDefinition& stage) {
  Map arguments;
  for (const auto& [name, text] : stage.arguments) arguments.set(name, text);
  List parts{stage.target, stage.pipeline, std::move(arguments)};
  if (!stage.take_back.empty()) parts.push_back(stage.take_back);
  return parts;
}

Value quota_of(const QuotaDefinition& quota) {
  List parts{quota.limit, to_string(quota.per)};
  if (quota.at != QuotaAt::completion || quota.hold != Duration::zero()) {
    parts.push_back(static_cast<std::int64_t>(quota.at));
    parts.push_back(std::int64_t{quota.hold.count()});
  }
  return parts;
}

void set_modes(Map& content, const TaskDefinition& task) {
  const TaskDefinition usual{};
  set_other(content, "claim", task.claim, usual.claim);
  set_other(content, "collect", task.collect, usual.collect);
  set_other(content, "complete", task.complete, usual.complete);
  set_other(content, "on_refund", task.on_refund, usual.on_refund);
  set_other(content, "match", task.match, usual.match);
  set_other(content, "count_from", task.count_from, usual.count_from);
  set_other(content, "on_update", task.on_update, usual.on_update);
  set_other(content, "day_starts", task.day_starts, usual.day_starts);
  set_other(content, "month_day", task.month_day, usual.month_day);
  set_other(content, "every", task.every, usual.every);
  set_other(content, "user_zone", task.user_zone, usual.user_zone);
  if (task.late) content.set("late", std::int64_t{task.late->count()});
  set_other(content, "within", task.within, usual.within);
  set_other(content, "collect_within", task.collect_within, usual.collect_within);
  set_other(content, "audience", task.audience, usual.audience);
  set_other(content, "per_user", task.per_user, usual.per_user);
  set_other(content, "group", task.group, usual.group);
  set_other(content, "members", task.members, usual.members);
  if (task.after.empty()) return;
  List after;
  for (const auto& before : task.after) after.push_back(before);
  content.set("after", std::move(after));
}

}  // namespace

std::string canonical(const TaskDefinition& task, std::string_view timezone) {
  List rules;
  for (const auto& rule : task.rules) rules.push_back(rule_of(rule));
  List stages;
  for (const auto& stage : task.stages) stages.push_back(stage_of(stage));
  Map content{{"period", to_string(task.period)},
              {"rules", std::move(rules)},
              {"stages", std::move(stages)},
              {"timezone", task.timezone.empty() ? timezone : std::string_view(task.timezone)}};
  if (task.starts) content.set("starts", std::int64_t{task.starts->time_since_epoch().count()});
  if (task.ends) content.set("ends", std::int64_t{task.ends->time_since_epoch().count()});
  if (task.quota) content.set("quota", quota_of(*task.quota));
  set_modes(content, task);
  return Value(std::move(content)).to_json();
}

}  // namespace onceward::task_detail
