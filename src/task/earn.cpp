#include "task/work.hpp"

// What progress makes of an instance: rewards that are earned, and such that fall.
namespace onceward::task_detail {
Result<void> UserWork::reach(const PendingEvent& event, const IndexEntry& entry, const Slot& slot,
                             Instance& instance, std::int64_t before, Trigger trigger, Effects& effects) {
  const auto& task = *entry.task;
  const auto from = instance.status;
  Reached done;
  // History is worth nothing before the claim. What ended reaches nothing more, and loses what is taken back.
  const bool ended = from == Status::terminated || from == Status::expired;
  if (ended) {
    done.fallen = lose_stages(instance, task, before);
  } else if (from != Status::not_taken || trigger == Trigger::claim) {
    done = settle(instance, task, before);
  }
  for (const auto& fallen : done.fallen) fall(event, task, slot, fallen, effects);
  if (ended && !done.fallen.empty()) return_claim_unit(event, slot, instance, effects);
  for (const auto number : done.stages) {
    if (auto earned = earn(event, entry, slot, number, instance, effects); !earned) return earned;
  }
  // Forced on, it may have more than it reached: what reaches the rest moves it as an event does.
  if (!done.stages.empty() && trigger == Trigger::take_back) trigger = Trigger::event;
  move(instance, trigger, facts_of(instance, task));
  if (from != instance.status) {
    if (instance.status == Status::completed && task.definition->collect_within != Duration::zero())
      instance.collect_until = now_ + task.definition->collect_within;
    add_line(slot, trigger, from, instance.status, event.act ? event.act->reason : std::string(), effects,
             event.act ? event.act->actor : std::string());
  } else if (trigger == Trigger::take_back && done.fallen.empty()) {
    add_line(slot, trigger, from, from, "kept", effects);
  }
  return {};
}

void UserWork::fall(const PendingEvent& event, const CompiledTask& task, const Slot& slot,
                    const Grant& fallen, Effects& effects) {
  GrantKey key{event.event->merchant, std::string(user_of(event)), slot.task, slot.cycle, fallen.stage,
               fallen.generation};
  const auto place = effects.record.grants.size();
  const auto& stage = task.stage(fallen.stage);
  const bool issued = fallen.state == Grant::State::revoked && stage.take_back;
  effects.record.grants.push_back({slot.task, slot.cycle, fallen.stage,
                                   issued ? stage.take_back->definition().id : std::string(),
                                   fallen.generation, true, true});
  if (fallen.unit) add_todo(event, return_of(key, fallen, task.definition->version), place, effects);
  if (!issued) return;
  Todo todo{Todo::Kind::take_back, std::move(key)};
  todo.version = task.definition->version;
  todo.input = take_back_input(*stage.take_back, fallen.input);
  add_todo(event, std::move(todo), place, effects);
}

Result<void> UserWork::earn(const PendingEvent& event, const IndexEntry& entry, const Slot& slot,
                            std::int64_t number, Instance& instance, Effects& effects) {
  const auto& task = *entry.task;
  const auto& definition = *task.definition;
  if (task.group) {
    std::vector<std::string> members;
    for (std::size_t i = 0; i < instance.members.size(); ++i) {
      if (instance.shares[i] != 0) members.push_back(instance.members[i]);
    }
    return grant_members(event, task, slot.cycle, members, number, number, effects);
  }
  const auto& stage = task.stage(number);
  auto* before = instance.grant_of(number);
  // Where a version before this one kept a record of the reward, so does this one.
  const bool tracked = task.tracked || before != nullptr;
  GrantKey key{event.event->merchant,
               std::string(user_of(event)),
               definition.id,
               slot.cycle,
               number,
               before == nullptr ? 1 : before->generation + 1};
  auto input = input_of(event.event->attributes, event.event->id, key.user, stage, definition.id);
  if (!input) return fail(std::move(input).error());
  // Made for a reward that waits, too, where it is made again later: an input no run takes must refuse the
  // event now. Found later, it would keep its own and every other waiting reward from being made.
  auto run = runner_.prepare(stage.plan, std::string(partition_), to_run_key(key),
                             tracked ? *input : *std::move(input));
  if (!run) return fail(std::move(run).error());
  const auto place = effects.record.grants.size();
  effects.record.grants.push_back(
      {definition.id, slot.cycle, number, stage.plan.definition().id, key.generation, tracked, false});
  if (!tracked) {
    effects.runs.push_back({event.place, place, *std::move(run), absent});
    return {};
  }
  Grant grant{number, key.generation};
  grant.input = *std::move(input);
  grant.collected = definition.collect == Mode::automatic;
  const auto* quota = definition.quota ? &*definition.quota : nullptr;
  const bool unit = quota != nullptr && quota->at != QuotaAt::claim &&
                    (grant.collected || quota->at == QuotaAt::completion);
  if (unit) {
    grant.state = Grant::State::waiting;
    grant.unit = true;
    grant.period = cycle_of(quota->per, entry.zone(), event.event->at);
    Todo todo{Todo::Kind::take_unit, key};
    todo.period = grant.period;
    todo.version = definition.version;
    add_todo(event, std::move(todo), place, effects);
  } else if (grant.collected) {
    grant.state = Grant::State::granted;
    if (definition.on_refund == OnRefund::keep) grant.input = {};
    effects.runs.push_back({event.place, place, *std::move(run), absent});
  }
  if (before != nullptr) {
    *before = std::move(grant);
  } else {
    instance.grants.push_back(std::move(grant));
  }
  return {};
}

/// Each member is rewarded in a partition of his own.
Result<void> UserWork::grant_members(const PendingEvent& event, const CompiledTask& task,
                                     const std::string& cycle, std::span<const std::string> members,
                                     std::int64_t first, std::int64_t last, Effects& effects) {
  if (members.empty()) return {};
  for (auto number = first; number <= last; ++number) {
    const auto& stage = task.stage(number);
    // One todo for all, however many they are: a batch takes no more.
    const auto& named = members.size() == 1 ? members.front() : std::string();
    Todo todo{Todo::Kind::member, {event.event->merchant, named, task.definition->id, cycle, number, 1}};
    todo.members.assign(members.begin(), members.end());
    todo.event = to_value(*event.event);
    todo.version = task.definition->version;
    // Made here too, as every reward is: what no run takes must refuse the event now.
    for (const auto& member : members) {
      auto key = todo.grant;
      key.user = member;
      auto input = input_of(event.event->attributes, event.event->id, member, stage, task.definition->id);
      if (!input) return fail(std::move(input).error());
      auto run = runner_.prepare(stage.plan, owner_partition(key.merchant, user_owner(member)),
                                 to_run_key(key), *std::move(input));
      if (!run) return fail(std::move(run).error());
    }
    add_todo(event, std::move(todo), WaitingTodo::no_grant, effects);
  }
  return {};
}

}  // namespace onceward::task_detail
