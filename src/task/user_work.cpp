#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

/// Of a batch's limit; the rest is for the stages an event may reach beyond the usual one.
constexpr std::size_t most_operations = limits::batch_operations / 2;
constexpr std::size_t operations_of_contribution = 2;

bool same_instance(const IndexEntry& a, const IndexEntry& b) noexcept {
  return a.task == b.task || a.task->definition->id == b.task->definition->id;
}

/// The run's input: the stage's arguments, and those of user, merchant, task, cycle and stage that the
/// pipeline asks for and the stage does not give.
Result<Value> input_of(const Event& event, const CompiledStage& stage, const GrantKey& grant) {
  const Binding names[] = {{"event", &event.attributes}, {"user", nullptr, event.user}};
  Map input;
  input.reserve(stage.arguments.size() + 1);
  for (const auto& wanted : stage.plan.definition().inputs) {
    if (wanted.name == "user") input.set("user", grant.user);
  }
  for (const auto& [name, expression] : stage.arguments) {
    auto value = expression.evaluate(names);
    if (!value) {
      auto error = std::move(value).error();
      error.message = fmt::format("event \"{}\": argument \"{}\" of task \"{}\": {}", event.id, name,
                                  grant.task, error.message);
      return fail(std::move(error));
    }
    input.set(name, *std::move(value));
  }
  return Value(std::move(input));
}

}  // namespace

std::size_t UserWork::slot_of(const IndexEntry& entry, const std::string& cycle) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (same_instance(*slots_[i].entry, entry) && slots_[i].cycle == cycle) return i;
  }
  slots_.push_back({&entry, instance_key(entry.task->definition->id, cycle), cycle});
  return slots_.size() - 1;
}

bool UserWork::take(PendingEvent* event) {
  std::size_t more = 1;
  for (const auto& candidate : event->candidates) {
    more += operations_of_contribution + candidate.entry->task->stages.size();
  }
  if (!events_.empty() && operations_ + more > most_operations) return false;
  operations_ += more;
  events_.push_back(event);
  if (slots_.empty()) slots_.reserve(event->candidates.size());
  for (const auto& candidate : event->candidates) slot_of(*candidate.entry, candidate.cycle);
  return true;
}

void UserWork::name_records(std::vector<RecordRef>& refs) const {
  for (const auto* event : events_) refs.push_back({partition_, event->key});
  for (const auto& slot : slots_) refs.push_back({partition_, slot.key});
}

bool UserWork::load_slots(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!stored[i]) continue;
    auto instance = decode_instance(*stored[i]);
    if (!instance) {
      for (const auto* event : events_) answers[event->place] = fail(instance.error());
      return false;
    }
    slots_[i].instance = *std::move(instance);
    slots_[i].revision = stored[i]->revision;
  }
  return true;
}

void UserWork::apply(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers) {
  batch_ = {std::string(partition_), {}};
  batch_.operations.reserve(operations_);
  if (!load_slots(stored.subspan(events_.size()), answers)) return;
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const auto& event = *events_[i];
    const auto conflict = [&](const std::string& fingerprint) {
      if (fingerprint == event.fingerprint) return false;
      answers[event.place] =
          fail(ErrorCode::conflict,
               fmt::format("event \"{}\" of user \"{}\" was reported before with another content; "
                           "nothing was applied",
                           event.event->id, event.event->user));
      return true;
    };
    if (stored[i]) {
      auto record = decode_event(*stored[i]);
      if (!record) {
        answers[event.place] = fail(std::move(record).error());
      } else if (!conflict(record->fingerprint)) {
        started_.known.push_back({event.place,
                                  event.event->id,
                                  {event.event->merchant, event.event->user},
                                  std::string(partition_),
                                  *std::move(record),
                                  event.merchant});
      }
      continue;
    }
    const auto twice = std::find_if(applied_.begin(), applied_.end(),
                                    [&](const PendingEvent* other) { return other->key == event.key; });
    if (twice != applied_.end()) {
      if (!conflict((*twice)->fingerprint)) started_.repeats.emplace_back(event.place, (*twice)->place);
      continue;
    }
    auto effects = effects_of(event);
    if (effects) {
      keep(event, *std::move(effects), answers);
    } else {
      answers[event.place] = fail(std::move(effects).error());
    }
  }
  for (auto& slot : slots_) {
    if (!slot.moved) continue;
    auto value = encode(*slot.instance);
    batch_.operations.push_back(
        slot.revision == absent ? Operation::insert(std::move(slot.key), std::move(value))
                                : Operation::replace(std::move(slot.key), slot.revision, std::move(value)));
  }
  for (auto& unit : started_.units) {
    batch_.operations.push_back(Operation::insert(unit.key, encode(unit.unit), {.due_in = lease_}));
  }
  for (auto& run : started_.runs) batch_.operations.push_back(std::move(run.run.insert));
}

void UserWork::keep(const PendingEvent& event, Effects effects, std::span<Result<Receipt>> answers) {
  batch_.operations.insert(batch_.operations.begin() + static_cast<std::ptrdiff_t>(applied_.size()),
                           Operation::insert(event.key, std::move(effects.encoded)));
  Receipt receipt{event.event->id, false, std::move(effects.record.contributions), {}};
  receipt.grants.reserve(effects.record.grants.size());
  for (auto& grant : effects.record.grants)
    receipt.grants.push_back({std::move(grant.task), std::move(grant.cycle), grant.stage});
  answers[event.place] = std::move(receipt);
  applied_.push_back(&event);
  for (auto& [slot, instance] : effects.moved) {
    slots_[slot].instance = std::move(instance);
    slots_[slot].moved = true;
  }
  std::move(effects.units.begin(), effects.units.end(), std::back_inserter(started_.units));
  std::move(effects.runs.begin(), effects.runs.end(), std::back_inserter(started_.runs));
}

Result<UserWork::Effects> UserWork::effects_of(const PendingEvent& event) {
  Effects effects;
  effects.record.fingerprint = event.fingerprint;
  effects.record.contributions.reserve(event.candidates.size());
  effects.moved.reserve(event.candidates.size());
  for (const auto& candidate : event.candidates) {
    const auto& definition = *candidate.entry->task->definition;
    const auto slot = slot_of(*candidate.entry, candidate.cycle);
    const auto moved = std::find_if(effects.moved.begin(), effects.moved.end(),
                                    [&](const auto& item) { return item.first == slot; });
    std::optional<Instance> instance =
        moved != effects.moved.end() ? std::optional(moved->second) : slots_[slot].instance;
    if (!instance) {
      if (!candidate.entry->in_force) continue;
      instance = Instance{definition.version};
    } else if (instance->version != definition.version) {
      if (event.merchant->find(definition.id, instance->version) != nullptr) continue;
      return fail(
          ErrorCode::wrong_state,
          fmt::format(
              "event \"{}\": user \"{}\" works on version \"{}\" of task \"{}\", which is not published "
              "here; publish its campaign before the current one",
              event.event->id, event.event->user, instance->version, definition.id));
    }
    auto reached = advance(*instance, *candidate.entry->task, candidate.contributed);
    if (!reached) return fail(std::move(reached).error());
    const bool sum = candidate.entry->task->measure == Measure::sum;
    effects.record.contributions.push_back(
        {definition.id, candidate.cycle,
         sum ? Value(candidate.contributed.add) : candidate.contributed.counted});
    for (const auto stage : *reached) {
      if (auto done = reach(event, candidate, stage, effects); !done) return fail(std::move(done).error());
    }
    if (moved != effects.moved.end()) {
      moved->second = *std::move(instance);
    } else {
      effects.moved.emplace_back(slot, *std::move(instance));
    }
  }
  effects.encoded = encode(effects.record);
  if (auto fits = check_size(event, effects); !fits) return fail(std::move(fits).error());
  return effects;
}

/// What no batch takes is refused here: the storage would refuse the other users' batches with it.
Result<void> UserWork::check_size(const PendingEvent& event, const Effects& effects) {
  const auto operations = 1 + effects.moved.size() + effects.units.size() + effects.runs.size();
  if (operations > limits::batch_operations) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format("event \"{}\" of user \"{}\" moves {} tasks and reaches {} stages; one batch takes "
                    "{} operations, give its tasks different event types",
                    event.event->id, event.event->user, effects.moved.size(),
                    effects.units.size() + effects.runs.size(), limits::batch_operations));
  }
  const bool units_fit = std::all_of(effects.units.begin(), effects.units.end(), [](const WaitingUnit& unit) {
    return encode(unit.unit).size() <= limits::value_bytes;
  });
  if (units_fit && effects.encoded.size() <= limits::value_bytes) return {};
  return fail(ErrorCode::limit_exceeded,
              fmt::format("event \"{}\" of user \"{}\": what it contributes is larger than {} bytes",
                          event.event->id, event.event->user, limits::value_bytes));
}

Result<void> UserWork::reach(const PendingEvent& event, const Candidate& candidate, std::int64_t number,
                             Effects& effects) {
  const auto& task = *candidate.entry->task;
  const auto& stage = task.stages[static_cast<std::size_t>(number - 1)];
  const auto& definition = *task.definition;
  GrantKey grant{event.event->merchant, event.event->user, definition.id, candidate.cycle, number, 1};
  auto input = input_of(*event.event, stage, grant);
  if (!input) return fail(std::move(input).error());
  // Made for a quota too, where it is made again with its unit: an input no run takes must refuse the event
  // now. Found with the unit, it would keep its own and every other waiting reward from being made.
  auto run = runner_.prepare(stage.plan, std::string(partition_), to_run_key(grant),
                             definition.quota ? *input : *std::move(input));
  if (!run) return fail(std::move(run).error());
  const auto place = effects.record.grants.size();
  effects.record.grants.push_back(
      {definition.id, candidate.cycle, number, stage.plan.definition().id, definition.quota.has_value()});
  if (definition.quota) {
    auto period = cycle_of(definition.quota->per, candidate.entry->campaign->zone, event.event->at);
    effects.units.push_back({event.place,
                             place,
                             std::string(partition_),
                             unit_key(definition.id, candidate.cycle, number),
                             absent,
                             {UnitRecord::State::waiting, std::move(grant), definition.version,
                              std::move(period), *std::move(input)},
                             event.merchant});
    return {};
  }
  effects.runs.push_back({event.place, place, *std::move(run), absent});
  return {};
}

void UserWork::finish(Revision revision, Started& started) {
  for (auto& unit : started_.units) unit.revision = revision;
  for (auto& run : started_.runs) run.revision = revision;
  const auto hand_over = [](auto& from, auto& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  hand_over(started_.units, started.units);
  hand_over(started_.runs, started.runs);
  hand_over(started_.known, started.known);
  hand_over(started_.repeats, started.repeats);
}

}  // namespace onceward::task_detail
