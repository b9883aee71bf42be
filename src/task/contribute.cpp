#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

// What one event does to the instances of one user: pure, kept aside until the whole of it is right.
namespace onceward::task_detail {

const Instance* UserWork::current(const Effects& effects, std::size_t slot) const {
  const auto moved = std::find_if(effects.moved.begin(), effects.moved.end(),
                                  [&](const auto& item) { return item.first == slot; });
  if (moved != effects.moved.end()) return &moved->second;
  return slots_[slot].instance ? &*slots_[slot].instance : nullptr;
}

void UserWork::put(Effects& effects, std::size_t slot, Instance&& instance) {
  const auto moved = std::find_if(effects.moved.begin(), effects.moved.end(),
                                  [&](const auto& item) { return item.first == slot; });
  if (moved != effects.moved.end()) {
    moved->second = std::move(instance);
  } else {
    effects.moved.emplace_back(slot, std::move(instance));
  }
}

Result<UserWork::Effects> UserWork::effects_of(const PendingEvent& event, const EventRecord* early) {
  Effects effects;
  effects.record.fingerprint = event.fingerprint;
  effects.record.skipped = event.skipped;
  // Taken back before it came: it contributes nothing, and stays taken back.
  if (early != nullptr) effects.record.gone = early->gone;
  if (!effects.record.gone) {
    effects.record.contributions.reserve(event.candidates.size());
    effects.record.takings.reserve(event.candidates.size());
    effects.moved.swap(scratch_.moved_);
    effects.moved.reserve(event.candidates.size());
    const auto reduced = event.reduced + (early == nullptr ? 0 : early->taken);
    for (const auto& candidate : event.candidates) {
      if (auto done = contribute(event, candidate, reduced, effects); !done)
        return fail(std::move(done).error());
    }
    pass_on(event, reduced, effects);
  }
  effects.encoded = encode(effects.record);
  if (auto fits = check_size(event, effects); !fits) return fail(std::move(fits).error());
  return effects;
}

void UserWork::pass_on(const PendingEvent& event, std::int64_t reduced, Effects& effects) const {
  for (const auto& passed : event.passed_on) pass_on(event, passed, reduced, effects);
}

void UserWork::pass_on(const PendingEvent& event, const PassedOn& passed, std::int64_t reduced,
                       Effects& effects) const {
  effects.record.passed_on.emplace_back(passed.owner, passed.task);
  Todo todo{Todo::Kind::pass_on, {event.event->merchant, event.event->user, passed.task, "-"}};
  todo.owner = passed.owner;
  todo.event = to_value(*event.event);
  todo.reduced = reduced;
  add_todo(event, std::move(todo), WaitingTodo::no_grant, effects);
}

/// The user began with a version that is not known here. His other tasks count now; this one's contribution
/// is left to the process, or the time, that knows it.
Result<void> UserWork::wait_for_version(const PendingEvent& event, const Candidate& candidate,
                                        const Instance& instance, std::int64_t reduced, Effects& effects) {
  const auto& task = candidate.entry->task->definition->id;
  if (event.handed_over) {
    return fail(ErrorCode::not_found,
                fmt::format("event \"{}\": \"{}\" works on version \"{}\" of task \"{}\", which is not known "
                            "here; it waits for a process that knows it",
                            event.event->id, event.owner, instance.version, task));
  }
  const auto& waiting = effects.record.passed_on;
  const std::pair name(event.owner, task);
  if (std::find(waiting.begin(), waiting.end(), name) != waiting.end()) return {};
  // It is written down with its event.
  if (auto stored = check_stored(*event.event); !stored) return stored;
  effects.record.skipped.push_back({task, candidate.cycle, "not_published"});
  pass_on(event, {event.owner, task}, reduced, effects);
  return {};
}

void UserWork::add_todo(const PendingEvent& event, Todo todo, std::size_t grant, Effects& effects) const {
  auto key = todo_key(todo);
  effects.todos.push_back(
      {event.place, grant, std::string(partition_), std::move(key), absent, std::move(todo), event.merchant});
}

void UserWork::add_line(const Slot& slot, Trigger trigger, Status from, Status to, std::string reason,
                        Effects& effects, const std::string& actor) const {
  if (options_.journal == nullptr) return;
  effects.lines.push_back({std::string(partition_), slot.key, trigger, from, to, std::move(reason), actor});
}

/// A new instance, where the task lets an event begin one.
std::optional<Instance> UserWork::begin(const Candidate& candidate, Timestamp cycle_end, Timestamp at,
                                        Effects& effects, std::string_view& refused) {
  const auto& task = *candidate.entry->task;
  const auto& definition = *task.definition;
  Instance instance{definition.version};
  if (definition.claim == Mode::manual) {
    if (definition.count_from == CountFrom::cycle) {
      instance.status = Status::not_taken;
      return instance;
    }
    refused = "not_claimed";
    return std::nullopt;
  }
  if (!candidate.refused.empty()) {
    refused = candidate.refused;
    return std::nullopt;
  }
  if (definition.per_user != 0) {
    const auto counter = counter_of(definition.id);
    const auto taken = std::count(effects.taken.begin(), effects.taken.end(), counter);
    if (counters_[counter].count + taken >= definition.per_user) {
      refused = "limit";
      return std::nullopt;
    }
    effects.taken.push_back(counter);
  }
  instance.status = Status::claimed;
  if (task.timed) set_deadlines(instance, task, at, cycle_end, now_);
  return instance;
}

/// Lets the event's user into the group; false where it is full.
bool UserWork::join(const PendingEvent& event, const Candidate& candidate, Instance& instance, bool& joined) {
  const auto& user = event.event->user;
  joined = std::find(instance.members.begin(), instance.members.end(), user) == instance.members.end();
  if (!joined) return true;
  if (instance.members.size() >= static_cast<std::size_t>(candidate.entry->task->definition->members))
    return false;
  instance.members.push_back(user);
  instance.shares.push_back(0);
  return true;
}

/// Counts what stands of a member's contributions. Without any he is no member, but for his place in a group
/// that has been rewarded: nobody else takes it.
void UserWork::share(Instance& instance, const std::string& user, std::int64_t by) {
  const auto member = std::find(instance.members.begin(), instance.members.end(), user);
  if (member == instance.members.end()) return;
  const auto count = instance.shares.begin() + (member - instance.members.begin());
  if (*count < 0) return;
  *count = std::max<std::int64_t>(*count + by, 0);
  if (*count != 0 || instance.reached != 0) return;
  instance.shares.erase(count);
  instance.members.erase(member);
}

/// Whether it works on this version, or goes on with it from now on.
bool UserWork::migrate(const MerchantIndex& merchant, const IndexEntry& entry, Instance& instance) {
  const auto& to = *entry.task;
  if (instance.version == to.definition->version) return true;
  if (!entry.in_force || to.definition->on_update != OnUpdate::migrate) return false;
  // Publishing refuses a version that cannot go on with another; that other one may be published later.
  const auto* from = merchant.find(to.definition->id, instance.version);
  const bool fits = from == nullptr ? instance.reached <= static_cast<std::int64_t>(to.stages.size())
                                    : goes_on_as(*from, to);
  if (fits) instance.version = to.definition->version;
  return fits;
}

UserWork::Pinned UserWork::pinned(const PendingEvent& event, const Candidate& candidate, Instance& instance) {
  const auto& task = candidate.entry->task->definition->id;
  const auto& entry = *candidate.entry;
  if (migrate(*event.merchant, entry, instance)) {
    // Once a version that takes its users over is in force, an older one counts and tells nothing of them.
    const auto* now = entry.in_force ? nullptr : event.merchant->in_force(task);
    const bool taken_over =
        now != nullptr && now->definition->on_update == OnUpdate::migrate && goes_on_as(*entry.task, *now);
    return taken_over ? Pinned::elsewhere : Pinned::here;
  }
  return event.merchant->find(task, instance.version) == nullptr ? Pinned::unknown : Pinned::elsewhere;
}

Result<void> UserWork::contribute(const PendingEvent& event, const Candidate& candidate, std::int64_t reduced,
                                  Effects& effects) {
  const auto& task = *candidate.entry->task;
  const auto& definition = *task.definition;
  const auto at = event.event->at;
  const auto skip = [&](std::string_view reason) {
    effects.record.skipped.push_back({definition.id, candidate.cycle, std::string(reason)});
    return Result<void>();
  };
  Timestamp cycle_end = Timestamp::max();
  if (task.timed || task.own_cycles) {
    auto calendar = calendar_of(event, candidate);
    if (!calendar) return fail(std::move(calendar).error());
    cycle_end = std::min(calendar->end_of(calendar->number_of(at)), definition.ends.value_or(cycle_end));
  }
  const auto place = candidate.slot;
  const auto& slot = slots_[place];
  const auto* known = current(effects, place);
  std::optional<Instance> instance;
  if (known != nullptr) {
    instance = *known;
    const auto where = pinned(event, candidate, *instance);
    if (where == Pinned::unknown) return wait_for_version(event, candidate, *instance, reduced, effects);
    if (where == Pinned::elsewhere) return {};
    if (candidate.failed) {
      return fail(candidate.failed->code, fmt::format("event \"{}\" of user \"{}\": {}", event.event->id,
                                                      event.event->user, candidate.failed->message));
    }
  } else if (!candidate.entry->in_force) {
    return {};
  }
  if (definition.late && cycle_end != Timestamp::max() && now_ >= cycle_end + *definition.late) {
    const auto status = instance ? instance->status : Status::not_taken;
    add_line(slot, Trigger::event, status, status, "late", effects);
    return skip("late");
  }
  if (!instance) {
    std::string_view refused;
    instance = begin(candidate, cycle_end, at, effects, refused);
    if (!instance) return skip(refused);
    effects.anchors += task.own_cycles ? 1 : 0;
    if (instance->status == Status::claimed)
      add_line(slot, Trigger::claim, Status::not_taken, Status::claimed, {}, effects);
  }
  if (instance->status == Status::terminated || instance->status == Status::expired) return skip("ended");
  if (instance->deadline && at >= *instance->deadline) return skip("ended");
  if (definition.claim == Mode::manual && definition.count_from == CountFrom::claim && instance->claimed_at &&
      at < *instance->claimed_at) {
    return skip("not_claimed");
  }
  auto contributed = candidate.contributed;
  const bool completes = event.act.has_value();
  if (completes) {
    // Nobody completes what is not offered now, also where it began before.
    const bool open =
        (!definition.starts || at >= *definition.starts) && (!definition.ends || at < *definition.ends);
    if (!open || event.merchant->in_force(definition.id) == nullptr) return skip("ended");
    contributed.add = task.stages.back().target - instance->progress;
    if (contributed.add <= 0 || find_move(instance->status, Trigger::complete, {true, false}) == nullptr)
      return skip("wrong_state");
  }
  if (reduced != 0 && contributed.taking.divisible) contributed.add = left_of(contributed.add, reduced);
  bool joined = false;
  // Taken back before it came, to nothing, it makes nobody a member.
  const bool shares = task.group && contributed.stands();
  if (shares && !join(event, candidate, *instance, joined)) return skip("group_full");
  if (shares) share(*instance, event.event->user, 1);
  const auto before = instance->progress;
  const auto added = add(*instance, task, contributed);
  if (!added) return fail(added.error());
  if (!*added) return skip("full");
  effects.record.contributions.push_back({definition.id, candidate.cycle, contributed.amount()});
  effects.record.takings.push_back(contributed.taking);
  if (joined && instance->reached > 0) {
    auto late_member =
        grant_members(event, task, candidate.cycle, {&event.event->user, 1}, 1, instance->reached, effects);
    if (!late_member) return late_member;
  }
  if (auto done = reach(event, *candidate.entry, slot, *instance, before,
                        completes ? Trigger::complete : Trigger::event, effects);
      !done) {
    return done;
  }
  put(effects, place, *std::move(instance));
  return {};
}

std::string_view UserWork::user_of(const PendingEvent& event) noexcept {
  return std::string_view(event.owner).substr(event.owner.find('/') + 1);
}

std::size_t UserWork::find_slot(const std::string& task, const std::string& cycle) const noexcept {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const Slot& slot) { return slot.task == task && slot.cycle == cycle; });
  return static_cast<std::size_t>(found - slots_.begin());
}

}  // namespace onceward::task_detail
