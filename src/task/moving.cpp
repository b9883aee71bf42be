#include "task/moving.hpp"

#include "task/record_parts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {

MoveFacts facts_of(const Instance& instance, const CompiledTask& task) noexcept {
  const bool waits = std::any_of(instance.grants.begin(), instance.grants.end(), [](const Grant& grant) {
    return grant.state == Grant::State::earned || (grant.state == Grant::State::waiting && !grant.collected);
  });
  return {instance.reached == static_cast<std::int64_t>(task.stages.size()), waits};
}

bool move(Instance& instance, Trigger trigger, const MoveFacts& facts) noexcept {
  const auto* found = find_move(instance.status, trigger, facts);
  if (found == nullptr) return false;
  // The window is of a completed instance: one that goes on has all its time, until it is completed again.
  const bool goes_on = found->to == Status::in_progress || found->to == Status::rewarding;
  if (instance.status == Status::completed && goes_on) instance.collect_until.reset();
  instance.status = found->to;
  return true;
}

Result<Value> input_of(const Map& event, std::string_view event_id, std::string_view user,
                       const CompiledStage& stage, std::string_view task) {
  const Binding names[] = {{"event", &event}, {"user", nullptr, user}};
  Map input;
  input.reserve(stage.arguments.size() + 1);
  for (const auto& wanted : stage.plan.definition().inputs) {
    if (wanted.name == "user") input.set("user", user);
  }
  for (const auto& [name, expression] : stage.arguments) {
    auto value = expression.evaluate(names);
    if (!value) {
      auto error = std::move(value).error();
      error.message = fmt::format("event \"{}\": argument \"{}\" of task \"{}\": {}", event_id, name, task,
                                  error.message);
      return fail(std::move(error));
    }
    input.set(name, *std::move(value));
  }
  return Value(std::move(input));
}

Value take_back_input(const Plan& plan, const Value& input) {
  Map taken;
  for (const auto& wanted : plan.definition().inputs) {
    if (const auto* value = input.find(wanted.name)) taken.set(wanted.name, *value);
  }
  return taken;
}

std::string unit_name(const GrantKey& grant) { return to_run_key(grant); }

Todo return_of(const GrantKey& grant, const Grant& fallen, std::string_view version) {
  Todo todo{Todo::Kind::return_unit, grant};
  todo.unit = unit_name(grant);
  todo.period = fallen.period;
  todo.version = version;
  return todo;
}

std::string user_owner(std::string_view user) {
  std::string owner("user/");
  owner.append(user);
  return owner;
}

std::string owner_partition(std::string_view merchant, std::string_view owner) {
  std::string partition;
  partition.reserve(merchant.size() + owner.size() + 1);
  partition.append(merchant).append("/").append(owner);
  return partition;
}

std::string anchor_key(std::string_view task) { return fmt::format("anchor/{}", task); }
std::string counter_key(std::string_view task) { return fmt::format("claims/{}", task); }

std::string encode(const Anchor& anchor) {
  return Value(Map{{"zone", anchor.zone}, {"from", std::int64_t{anchor.from.time_since_epoch().count()}}})
      .to_json();
}

Result<Anchor> decode_anchor(const Record& record) {
  const auto value = Value::from_json(record.value);
  const auto* zone = value ? value->find("zone") : nullptr;
  const auto* from = value ? value->find("from") : nullptr;
  if (zone == nullptr || zone->string() == nullptr || from == nullptr || from->integer() == nullptr) {
    return corrupt(record);
  }
  return Anchor{*zone->string(), Timestamp(Duration(*from->integer()))};
}

Result<Calendar> calendar_of(const CompiledCampaign& campaign, const CompiledTask& task,
                             const Anchor& anchor) {
  auto rule = task.calendar.rule();
  if (rule.period == Period::rolling) rule.from = anchor.from;
  if (!task.definition->user_zone || anchor.zone.empty()) return Calendar(rule, task.calendar.zone());
  auto zone = campaign.zones.find(anchor.zone);
  if (!zone) return fail(std::move(zone).error());
  return Calendar(rule, zone->with_day_at(task.definition->day_starts));
}

void set_deadlines(Instance& instance, const CompiledTask& task, Timestamp at, Timestamp cycle_end,
                   Timestamp now) {
  const auto& definition = *task.definition;
  instance.claimed_at = at;
  // A time that runs from the event is as long by the storage's clock: events that happened in it, and come
  // as late as the first, find the instance.
  const auto begun = std::max(at, now);
  std::optional<Timestamp> deadline;
  std::optional<Timestamp> expires;
  const auto at_latest = [&](Timestamp event_time, Timestamp storage_time) {
    deadline = std::min(deadline.value_or(event_time), event_time);
    expires = std::min(expires.value_or(storage_time), storage_time);
  };
  if (definition.within != Duration::zero()) at_latest(at + definition.within, begun + definition.within);
  const auto grace_ends = [&](Timestamp end) { at_latest(end + *definition.late, end + *definition.late); };
  if (definition.late && cycle_end != Timestamp::max()) grace_ends(cycle_end);
  if (definition.late && definition.ends) grace_ends(*definition.ends);
  if (definition.quota && definition.quota->at == QuotaAt::claim &&
      definition.quota->hold != Duration::zero())
    at_latest(at + definition.quota->hold, begun + definition.quota->hold);
  instance.deadline = deadline;
  instance.expires = expires == deadline ? std::nullopt : expires;
}

Timing timing_of(const Instance& instance, Timestamp now) {
  const auto due = instance.due();
  if (!due) return {};
  return {.due_in = std::clamp(Duration(*due - now), Duration::zero(), Duration(limits::duration_us))};
}

}  // namespace onceward::task_detail
