#include "task/work.hpp"

#include <fmt/format.h>

#include <limits>

// Taking back what an event contributed.
namespace onceward::task_detail {
Result<UserWork::Effects> UserWork::reversal_of(const PendingEvent& event) {
  Effects effects;
  effects.record.fingerprint = event.fingerprint;
  effects.record.reverses = event.event->reverses;
  const auto& slot = event_slots_[event_slot_of(event.reverses_key)];
  const EventRecord before = slot.record.value_or(EventRecord{});
  if (!before.reverses.empty()) {
    return fail(ErrorCode::wrong_state,
                fmt::format("event \"{}\" of user \"{}\" reverses \"{}\", which is a reversal itself",
                            event.event->id, event.event->user, event.event->reverses));
  }
  EventRecord after = before;
  if (!event.event->amount) {
    after.gone = true;
  } else if (__builtin_add_overflow(after.taken, *event.event->amount, &after.taken)) {
    // More than anything can have contributed is all of it, however often it is taken back.
    after.taken = std::numeric_limits<std::int64_t>::max();
  }
  for (std::size_t i = 0; i < before.contributions.size(); ++i) {
    if (auto done = take_back(event, i, before, after, effects); !done) return fail(std::move(done).error());
    if (misnamed_) return effects;
  }
  if (!before.gone) {
    for (const auto& [owner, task] : before.passed_on) {
      effects.record.passed_on.emplace_back(owner, task);
      Todo todo{Todo::Kind::pass_on, {event.event->merchant, event.event->user, task, "-"}};
      todo.owner = owner;
      todo.event = to_value(*event.event);
      add_todo(event, std::move(todo), WaitingTodo::no_grant, effects);
    }
  }
  effects.original = std::move(after);
  effects.encoded = encode(effects.record);
  if (auto fits = check_size(event, effects); !fits) return fail(std::move(fits).error());
  return effects;
}

Result<void> UserWork::take_back(const PendingEvent& event, std::size_t i, const EventRecord& before,
                                 const EventRecord& after, Effects& effects) {
  const auto& contribution = before.contributions[i];
  const auto place = find_slot(contribution.task, contribution.cycle);
  const auto* known = place < slots_.size() ? current(effects, place) : nullptr;
  if (known == nullptr) {
    // Its event was applied after this one looked ahead.
    misnamed_ = place == slots_.size();
    if (misnamed_) return {};
    return fail(ErrorCode::corrupt, fmt::format("event \"{}\" contributed to \"{}\", which is not there",
                                                event.event->reverses, slots_[place].key));
  }
  Instance instance = *known;
  const auto entry = event.merchant->entry_of(contribution.task, instance.version);
  if (entry.task == nullptr) {
    // What it takes back of the other tasks waits with it: a refund is applied whole or not at all.
    return fail(ErrorCode::not_found,
                fmt::format("event \"{}\": user \"{}\" works on version \"{}\" of task \"{}\", which is not "
                            "known here; nothing was taken back, send it again once it is published",
                            event.event->id, event.event->user, instance.version, contribution.task));
  }
  const auto& taking = before.takings[i];
  auto part = contributed_of(contribution.amount, taking, entry.task->measure);
  const auto left = [&](const EventRecord& record) -> std::int64_t {
    if (record.gone) return 0;
    return taking.divisible ? left_of(part.add, record.taken) : part.add;
  };
  const bool counted = !part.counted.is_null();
  if (counted ? before.gone == after.gone : left(before) == left(after)) return {};
  const bool lost = counted || left(after) == 0;
  if (entry.task->group && lost) share(instance, event.event->user, -1);
  if (!counted) part.add = left(before) - left(after);
  if (auto done = subtract(instance, *entry.task, part); !done) return done;
  effects.record.contributions.push_back(
      {contribution.task, contribution.cycle, counted ? part.counted : Value(-part.add)});
  effects.record.takings.push_back(taking);
  // Taken back, what took away adds: it moves the instance as an event does.
  const auto trigger = instance.progress > known->progress ? Trigger::event : Trigger::take_back;
  if (auto done = reach(event, entry, slots_[place], instance, known->progress, trigger, effects); !done) {
    return done;
  }
  put(effects, place, std::move(instance));
  return {};
}

}  // namespace onceward::task_detail
