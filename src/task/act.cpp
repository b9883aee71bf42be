#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>

// What requests, operators and timers do to an instance: on the records and in the batches events use.
namespace onceward::task_detail {
namespace {

/// How an instance names the unit that was taken for it.
std::string name_of(const WaitingTodo& unit) { return unit.todo.period + "/" + unit.todo.unit; }

}  // namespace

void UserWork::refuse(const Slot& slot, std::string_view reason, Effects& effects) {
  effects.record.skipped.push_back({slot.task, slot.cycle, std::string(reason)});
}

Result<UserWork::Effects> UserWork::act_of(const PendingEvent& event) {
  Effects effects;
  effects.record.fingerprint = event.fingerprint;
  const auto& candidate = event.candidates.front();
  effects.record.cycle = candidate.cycle;
  effects.anchors = candidate.entry->task->own_cycles ? 1 : 0;
  const auto place = candidate.slot;
  auto& slot = slots_[place];
  auto entry = *candidate.entry;
  // A task that migrates does so with the request, as with an event; written where the request moves it.
  if (slot.instance && !migrate(*event.merchant, entry, *slot.instance)) {
    entry = event.merchant->entry_of(slot.task, slot.instance->version);
    if (entry.task == nullptr) {
      return fail(ErrorCode::not_found,
                  fmt::format("user \"{}\" works on version \"{}\" of task \"{}\", which is not known here; "
                              "ask again once it is published",
                              event.event->user, slot.instance->version, slot.task));
    }
  }
  const bool there = slot.instance && slot.instance->status != Status::not_taken;
  Result<void> done;
  switch (event.act->trigger) {
    case Trigger::claim:
      if (there) {
        refuse(slot, "wrong_state", effects);
      } else {
        done = claim(event, entry, place, effects);
      }
      break;
    case Trigger::complete: {
      Candidate completing{&entry, candidate.cycle, candidate.contributed, candidate.refused};
      const auto& early = event_slots_[event_slot_of(event.key)].record;
      if (early && early->gone) {  // taken back before it came
        refuse(slot, "wrong_state", effects);
      } else {
        done = contribute(event, completing, 0, effects);
      }
      break;
    }
    case Trigger::collect:
      if (there) {
        done = collect(event, entry, place, effects);
      } else {
        refuse(slot, "wrong_state", effects);
      }
      break;
    case Trigger::replay:
      if (there) push_on(event, entry, place, effects);
      break;
    default:
      if (there) {
        end(event, entry, place, effects);
      } else {
        refuse(slot, "wrong_state", effects);
      }
  }
  if (!done) return fail(std::move(done).error());
  effects.encoded = encode(effects.record);
  if (auto fits = check_size(event, effects); !fits) return fail(std::move(fits).error());
  return effects;
}

Result<void> UserWork::claim(const PendingEvent& event, const IndexEntry& entry, std::size_t place,
                             Effects& effects) {
  const auto& task = *entry.task;
  const auto& definition = *task.definition;
  const auto& slot = slots_[place];
  if (definition.per_user != 0) {
    const auto counter = counter_of(definition.id);
    if (counters_[counter].count >= definition.per_user) {
      refuse(slot, "limit", effects);
      return {};
    }
    effects.taken.push_back(counter);
  }
  Instance instance = slot.instance.value_or(Instance{definition.version});
  instance.status = Status::not_taken;
  auto calendar = calendar_of(event, event.candidates.front());
  if (!calendar) return fail(std::move(calendar).error());
  const auto end = std::min(calendar->end_of(calendar->number_of(event.event->at)),
                            definition.ends.value_or(Timestamp::max()));
  set_deadlines(instance, task, event.event->at, end, now_);
  if (event.act->unit) instance.unit = name_of(*event.act->unit);
  if (auto done = reach(event, entry, slot, instance, instance.progress, Trigger::claim, effects); !done)
    return done;
  put(effects, place, std::move(instance));
  return {};
}

Result<void> UserWork::collect(const PendingEvent& event, const IndexEntry& entry, std::size_t place,
                               Effects& effects) {
  const auto& slot = slots_[place];
  Instance instance = *slot.instance;
  const auto from = instance.status;
  const auto wanted = event.act->stage;
  const bool late = instance.collect_until && now_ >= *instance.collect_until;
  bool changed = false;
  bool waits = false;
  for (auto& grant : instance.grants) {
    if (wanted != 0 && grant.stage != wanted) continue;
    if (grant.state == Grant::State::voided || grant.state == Grant::State::revoked) continue;
    waits = waits || grant.state == Grant::State::earned;
    if (grant.state == Grant::State::earned && late) continue;
    auto collected = collect_one(event, entry, slot, grant, effects);
    if (!collected) return fail(std::move(collected).error());
    changed = changed || *collected;
  }
  if (!changed) {
    // Collected before: the first reply is given again. Else there is nothing to collect.
    effects.known = !effects.record.grants.empty();
    if (!effects.known) refuse(slot, waits && late ? "late" : "wrong_state", effects);
    return {};
  }
  if (!move(instance, Trigger::collect, facts_of(instance, *entry.task))) {
    effects = {};
    refuse(slot, "wrong_state", effects);
    return {};
  }
  add_line(slot, Trigger::collect, from, instance.status, event.act->reason, effects, event.act->actor);
  put(effects, place, std::move(instance));
  return {};
}

/// Starts the run of an earned reward; false where it was collected before.
Result<bool> UserWork::collect_one(const PendingEvent& event, const IndexEntry& entry, const Slot& slot,
                                   Grant& grant, Effects& effects) {
  const auto& definition = *entry.task->definition;
  const auto& stage = entry.task->stage(grant.stage);
  if (grant.state == Grant::State::waiting && !grant.collected) return false;
  const auto place = effects.record.grants.size();
  effects.record.grants.push_back(
      {slot.task, slot.cycle, grant.stage, stage.plan.definition().id, grant.generation, true, false});
  if (grant.state != Grant::State::earned) return false;
  GrantKey key{event.event->merchant, std::string(user_of(event)), slot.task, slot.cycle, grant.stage,
               grant.generation};
  grant.collected = true;
  if (definition.quota && definition.quota->at == QuotaAt::collection) {
    grant.state = Grant::State::waiting;
    grant.unit = true;
    grant.period = cycle_of(definition.quota->per, entry.zone(), event.event->at);
    Todo todo{Todo::Kind::take_unit, std::move(key)};
    todo.period = grant.period;
    todo.version = definition.version;
    add_todo(event, std::move(todo), place, effects);
    return true;
  }
  auto run = runner_.prepare(stage.plan, std::string(partition_), to_run_key(key), grant.input);
  if (!run) return fail(std::move(run).error());
  grant.state = Grant::State::granted;
  if (definition.on_refund == OnRefund::keep) grant.input = {};
  effects.runs.push_back({event.place, place, *std::move(run), absent});
  return true;
}

/// A unit taken at the claim returns where no reward stands that was issued for it.
void UserWork::return_claim_unit(const PendingEvent& event, const Slot& slot, Instance& instance,
                                 Effects& effects) {
  const bool issued = !instance.untracked().empty() ||
                      std::any_of(instance.grants.begin(), instance.grants.end(),
                                  [](const Grant& grant) { return grant.state == Grant::State::granted; });
  if (instance.unit.empty() || issued) return;
  const auto slash = instance.unit.find('/');
  Todo todo{Todo::Kind::return_unit,
            {event.event->merchant, std::string(user_of(event)), slot.task, slot.cycle}};
  todo.period = instance.unit.substr(0, slash);
  todo.unit = instance.unit.substr(slash + 1);
  todo.version = instance.version;
  add_todo(event, std::move(todo), WaitingTodo::no_grant, effects);
  instance.unit.clear();
}

/// Abandoned, withdrawn or past its time: what was not issued is void, units return.
void UserWork::end(const PendingEvent& event, const IndexEntry& entry, std::size_t place, Effects& effects) {
  const auto& slot = slots_[place];
  Instance instance = *slot.instance;
  const auto from = instance.status;
  const auto trigger = event.act->trigger;
  const bool timer = trigger == Trigger::deadline;
  // A timer that wakes late finds what is no longer due.
  const bool due = !timer || (instance.due() && *instance.due() <= now_);
  if (!due || !move(instance, trigger, facts_of(instance, *entry.task)))
    return refuse(slot, "wrong_state", effects);
  instance.reason = trigger == Trigger::abandon ? "abandoned"
                    : timer ? (from == Status::completed ? "not_collected" : "not_completed")
                            : event.act->reason;
  for (auto& grant : instance.grants) {
    // What needs nobody's collecting is as good as issued: only its unit is still on its way.
    const bool waits = grant.state == Grant::State::waiting && !grant.collected;
    if (grant.state != Grant::State::earned && !waits) continue;
    grant.state = Grant::State::voided;
    fall(event, *entry.task, slot, grant, effects);
    grant.unit = false;
  }
  return_claim_unit(event, slot, instance, effects);
  add_line(slot, trigger, from, instance.status, instance.reason, effects, event.act->actor);
  put(effects, place, std::move(instance));
}

/// Forced by an operator: an instance that ended goes on. Its runs are pushed on by the caller.
void UserWork::push_on(const PendingEvent& event, const IndexEntry& entry, std::size_t place,
                       Effects& effects) {
  const auto& slot = slots_[place];
  Instance instance = *slot.instance;
  const auto from = instance.status;
  for (auto& grant : instance.grants) {
    const bool reached =
        grant.stage <= instance.reached && instance.progress >= entry.task->stage(grant.stage).target;
    if (grant.state == Grant::State::voided && reached) earn_again(event, entry, slot, grant, effects);
  }
  auto facts = facts_of(instance, *entry.task);
  facts.forced = event.act->forced;
  // All reached and nothing to collect: what is void asks for more now, and is not rewarded by a word.
  const bool nothing = facts.all_reached && !facts.waits;
  if (nothing || !move(instance, Trigger::replay, facts)) {
    effects = {};
    return refuse(slot, "wrong_state", effects);
  }
  instance.reason.clear();
  if (event.act->unit) instance.unit = name_of(*event.act->unit);
  // Its time is over; the operator's word stands for it.
  instance.deadline.reset();
  instance.expires.reset();
  instance.collect_until.reset();
  add_line(slot, Trigger::replay, from, instance.status, event.act->reason, effects, event.act->actor);
  put(effects, place, std::move(instance));
}

/// A reward that was void waits again, as the next generation.
void UserWork::earn_again(const PendingEvent& event, const IndexEntry& entry, const Slot& slot, Grant& grant,
                          Effects& effects) {
  const auto& definition = *entry.task->definition;
  ++grant.generation;
  grant.state = Grant::State::earned;
  grant.collected = definition.collect == Mode::automatic;
  const bool unit = definition.quota && definition.quota->at != QuotaAt::claim &&
                    (grant.collected || definition.quota->at == QuotaAt::completion);
  if (!unit) return;
  grant.state = Grant::State::waiting;
  grant.unit = true;
  Todo todo{Todo::Kind::take_unit,
            {event.event->merchant, std::string(user_of(event)), slot.task, slot.cycle, grant.stage,
             grant.generation}};
  todo.period = grant.period;
  todo.version = definition.version;
  add_todo(event, std::move(todo), WaitingTodo::no_grant, effects);
}

}  // namespace onceward::task_detail
