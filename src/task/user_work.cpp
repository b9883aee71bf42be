#include "task/work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace onceward::task_detail {
namespace {

/// Of a batch's limit; the rest is for the stages an event may reach beyond the usual one.
constexpr std::size_t most_operations = limits::batch_operations / 2;
constexpr std::size_t operations_of_contribution = 2;
/// The board, and those that leave it: so many more than begin there.
constexpr std::size_t operations_of_board = 1 + most_on_board - left_on_board;
constexpr std::size_t most_written = limits::batch_operations - operations_of_board;

}  // namespace

UserWork::UserWork(std::string_view partition, const Runner& runner, const TaskCenterOptions& options,
                   Scratch& scratch)
    : partition_(partition),
      runner_(runner),
      options_(options),
      scratch_(scratch),
      events_(scratch.round()),
      event_slots_(scratch.round()),
      slots_(scratch.round()),
      board_(scratch.round()),
      counters_(scratch.round()),
      anchors_(scratch.round()) {}

std::size_t UserWork::slot_of(const std::string& task, const std::string& cycle) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].task == task && slots_[i].cycle == cycle) return i;
  }
  slots_.push_back({task, instance_key(task, cycle), cycle});
  return slots_.size() - 1;
}

std::size_t UserWork::event_slot_of(std::string_view key) {
  for (std::size_t i = 0; i < event_slots_.size(); ++i) {
    if (event_slots_[i].key == key) return i;
  }
  event_slots_.push_back({key});
  return event_slots_.size() - 1;
}

std::size_t UserWork::counter_of(const std::string& task) {
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    if (counters_[i].task == task) return i;
  }
  counters_.push_back({task, counter_key(task)});
  return counters_.size() - 1;
}

/// Whether its user may begin the task with it: an event does not where he has to claim it.
bool UserWork::begins(const PendingEvent& event, const CompiledTask& task) noexcept {
  const auto& definition = *task.definition;
  return event.act || definition.claim == Mode::automatic || definition.count_from == CountFrom::cycle;
}

const UserWork::Anchored* UserWork::fresh_anchor(const CompiledTask& task) const {
  const auto found = std::find_if(anchors_.begin(), anchors_.end(), [&](const Anchored& anchored) {
    return anchored.task == task.definition->id;
  });
  return found == anchors_.end() ? nullptr : &*found;
}

Result<Anchor> UserWork::anchor_of(const PendingEvent& event, const CompiledTask& task) {
  const auto& id = task.definition->id;
  for (const auto& [name, record] : event.ahead.anchors) {
    if (name != id || !record) continue;
    auto stored = decode_anchor(*record);
    if (stored) return stored;
    return fail(ErrorCode::corrupt,
                fmt::format("the record \"{}\" of user \"{}\" is not what this version writes",
                            anchor_key(id), event.event->user));
  }
  if (const auto* known = begins(event, task) ? fresh_anchor(task) : nullptr) return known->anchor;
  Anchor anchor{event.zone, event.event->at};
  if (begins(event, task)) anchors_.push_back({id, anchor});
  return anchor;
}

Result<Calendar> UserWork::calendar_of(const PendingEvent& event, const Candidate& candidate) {
  const auto& task = *candidate.entry->task;
  if (!task.own_cycles) return task.calendar;
  const auto anchor = anchor_of(event, task);
  if (!anchor) return fail(anchor.error());
  return task_detail::calendar_of(*candidate.entry->campaign, task, *anchor);
}

bool UserWork::take(PendingEvent* event) {
  // Where a user begins is known once the events before this one are applied: they may not count.
  const bool open =
      std::any_of(event->candidates.begin(), event->candidates.end(), [&](const Candidate& candidate) {
        const auto& task = *candidate.entry->task;
        return task.own_cycles && begins(*event, task) && fresh_anchor(task) != nullptr;
      });
  if (open) return false;
  std::size_t more = 1 + event->passed_on.size();
  for (const auto& candidate : event->candidates) {
    more += operations_of_contribution + candidate.entry->task->stages.size();
  }
  const auto* original = event->ahead.original ? &*event->ahead.original : nullptr;
  if (original != nullptr) more += 1 + original->contributions.size() * operations_of_contribution;
  if (!events_.empty() && operations_ + more > most_operations) return false;
  operations_ += more;
  events_.push_back(event);
  if (!event->key.empty()) event_slot_of(event->key);
  if (!event->reverses_key.empty()) event_slot_of(event->reverses_key);
  reverses_ = reverses_ || !event->reverses_key.empty();
  if (slots_.empty()) slots_.reserve(event->candidates.size());
  for (auto& candidate : event->candidates) {
    const auto& task = *candidate.entry->task;
    if (task.own_cycles && !candidate.cycle_given) {
      // A zone that is not known here refuses the event when it is applied.
      const auto calendar = calendar_of(*event, candidate);
      candidate.cycle = calendar ? calendar->cycle_of(event->event->at) : "-";
      // Its days, too, are those of the zone the user began in, which was not known before.
      if (calendar && task.measure == Measure::streak) {
        candidate.contributed = streak_of(task, candidate.entry->rule, calendar->zone(), event->event->at);
      }
    }
    candidate.slot = slot_of(task.definition->id, candidate.cycle);
    if (task.definition->per_user != 0) counter_of(task.definition->id);
  }
  if (original != nullptr) {
    for (const auto& contribution : original->contributions) slot_of(contribution.task, contribution.cycle);
  }
  return true;
}

void UserWork::name_records(std::vector<RecordRef>& refs) const {
  for (const auto& slot : event_slots_) refs.push_back({partition_, slot.key});
  if (!slots_.empty()) refs.push_back({partition_, board_key});
  for (const auto& slot : slots_) refs.push_back({partition_, slot.key});
  for (const auto& counter : counters_) refs.push_back({partition_, counter.key});
}

bool UserWork::load(std::span<std::optional<Record>> stored, std::span<Result<Receipt>> answers) {
  const auto refuse = [&](const Error& error) {
    for (const auto* event : events_) answers[event->place] = fail(error);
    return false;
  };
  for (std::size_t i = 0; i < event_slots_.size(); ++i) {
    if (!stored[i]) continue;
    auto record = decode_event(*stored[i]);
    if (!record) return refuse(record.error());
    event_slots_[i].record = *std::move(record);
    event_slots_[i].revision = stored[i]->revision;
  }
  stored = stored.subspan(event_slots_.size());
  if (!slots_.empty() && stored.front()) {
    if (auto read = decode_board(*stored.front(), board_); !read) return refuse(read.error());
    board_revision_ = stored.front()->revision;
  }
  if (!slots_.empty()) stored = stored.subspan(1);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!stored[i]) {
      const auto* entry = find_on(board_, name_on_board(slots_[i].key));
      if (entry == nullptr) continue;
      entry->read_into(slots_[i].instance.emplace());
      slots_[i].on_board = static_cast<std::size_t>(entry - board_.data());
      continue;
    }
    auto instance = decode_instance(*stored[i]);
    if (!instance) return refuse(instance.error());
    slots_[i].instance = *std::move(instance);
    slots_[i].revision = stored[i]->revision;
  }
  stored = stored.subspan(slots_.size());
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    if (!stored[i]) continue;
    const auto& text = stored[i]->value;
    std::from_chars(text.data(), text.data() + text.size(), counters_[i].count);
    counters_[i].revision = stored[i]->revision;
  }
  return true;
}

bool UserWork::apply(std::span<std::optional<Record>> stored, Timestamp now,
                     std::span<Result<Receipt>> answers) {
  batch_ = {std::string(partition_), {}};
  now_ = now;
  if (!load(stored, answers)) return true;
  for (std::size_t i = 0; i < events_.size() && !misnamed_; ++i) {
    if (!apply_one(*events_[i], answers)) {
      postponed_.assign(events_.begin() + static_cast<std::ptrdiff_t>(i), events_.end());
      events_.resize(i);
      break;
    }
  }
  if (misnamed_) return false;
  write();
  return true;
}

/// Answers an event that was applied before, or that bears the id of another one; false where it is new.
bool UserWork::answer_known(const PendingEvent& event, std::span<Result<Receipt>> answers) {
  if (event.key.empty()) return false;
  const auto& slot = event_slots_[event_slot_of(event.key)];
  if (!slot.record) return false;
  // A stored event that still waits has its id already; whoever reports the same one applies it.
  const bool waits = slot.record->fingerprint.empty();
  const auto& known = waits ? slot.record->waiting : slot.record->fingerprint;
  if (known.empty() || (waits && known == event.fingerprint)) return false;
  if (known != event.fingerprint) {
    answers[event.place] = fail(
        ErrorCode::conflict,
        fmt::format("{} \"{}\" of user \"{}\" was reported before with another content; nothing was applied",
                    event.act ? "request" : "event", event.event->id, event.event->user));
  } else if (slot.fresh) {
    started_.repeats.emplace_back(event.place, slot.place);
  } else {
    recall(event, *slot.record);
  }
  return true;
}

void UserWork::recall(const PendingEvent& event, EventRecord record) {
  KnownEvent known;
  known.place = event.place;
  known.id = event.event->id;
  known.owner.merchant = event.event->merchant;
  known.owner.user = event.event->user;
  known.partition = partition_;
  known.record = std::move(record);
  known.merchant = event.merchant;
  started_.known.push_back(std::move(known));
}

bool UserWork::apply_one(const PendingEvent& event, std::span<Result<Receipt>> answers) {
  if (answer_known(event, answers)) return true;
  const auto effects_now = [&]() -> Result<Effects> {
    if (event.act) return act_of(event);
    if (!event.reverses_key.empty()) return reversal_of(event);
    const auto& slot = event_slots_[event_slot_of(event.key)];
    return effects_of(event, slot.record ? &*slot.record : nullptr);
  };
  auto effects = effects_now();
  if (misnamed_) return true;
  if (!effects) {
    answers[event.place] = fail(std::move(effects).error());
    return true;
  }
  if (event.act && !effects->record.skipped.empty()) {  // refused: nothing is written
    answers[event.place] = Receipt{event.event->id, false, {}, {}, std::move(effects->record.skipped)};
    return true;
  }
  if (effects->known) {
    recall(event, std::move(effects->record));
    return true;
  }
  const auto operations = effects->operations();
  if (written_ != 0 && written_ + operations > room()) return false;
  written_ += operations;
  keep(event, *std::move(effects), answers);
  return true;
}

std::size_t UserWork::room() const noexcept {
  return most_written - (options_.store_only && options_.journal != nullptr ? 1 : 0);
}

std::size_t UserWork::Effects::operations() const noexcept {
  return 1 + (original ? 1 : 0) + moved.size() + anchors + taken.size() + todos.size() + runs.size();
}

void UserWork::keep(const PendingEvent& event, Effects effects, std::span<Result<Receipt>> answers) {
  Receipt receipt{event.event->id};
  receipt.grants.reserve(effects.record.grants.size());
  for (const auto& grant : effects.record.grants) receipt.grants.push_back(receipt_of(grant, event));
  if (reverses_) {
    receipt.contributions = effects.record.contributions;
    receipt.skipped = effects.record.skipped;
  } else {
    // Nobody of this batch looks at the record again but for its fingerprint.
    receipt.contributions = std::move(effects.record.contributions);
    receipt.skipped = std::move(effects.record.skipped);
  }
  answers[event.place] = std::move(receipt);
  if (!event.key.empty()) {
    auto& slot = event_slots_[event_slot_of(event.key)];
    slot.record = std::move(effects.record);
    slot.encoded = std::move(effects.encoded);
    slot.changed = true;
    slot.fresh = true;
    slot.place = event.place;
  }
  if (event.act && event.act->unit)
    fences_.push_back(Operation::remove(event.act->unit->key, event.act->unit->revision));
  if (effects.original) {
    auto& original = event_slots_[event_slot_of(event.reverses_key)];
    original.record = *std::move(effects.original);
    original.encoded.clear();
    original.changed = true;
  }
  for (auto& [place, instance] : effects.moved) {
    slots_[place].instance = std::move(instance);
    slots_[place].moved = true;
  }
  effects.moved.clear();
  effects.moved.swap(scratch_.moved_);
  for (const auto counter : effects.taken) {
    ++counters_[counter].count;
    counters_[counter].changed = true;
  }
  const auto hand_over = [](auto& from, auto& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  hand_over(effects.todos, started_.todos);
  hand_over(effects.runs, started_.runs);
  hand_over(effects.lines, started_.lines);
}

/// As it stands right after its batch.
GrantReceipt UserWork::receipt_of(const EventRecord::Grant& grant, const PendingEvent& event) {
  GrantReceipt receipt{grant.task, grant.cycle, grant.stage};
  receipt.generation = grant.generation;
  receipt.taken_back = grant.taken_back;
  if (grant.taken_back && grant.pipeline.empty()) receipt.state = RunState::cancelled;
  if (grant.taken_back || !grant.tracked || (event.act && event.act->trigger == Trigger::collect))
    return receipt;
  for (const auto& task : event.candidates) {
    const auto& definition = *task.entry->task->definition;
    if (definition.id != grant.task) continue;
    const bool unit_first = definition.quota && definition.quota->at == QuotaAt::completion;
    receipt.collectable = definition.collect == Mode::manual && !unit_first;
  }
  return receipt;
}

/// What no batch takes is refused here: the storage would refuse the other users' batches with it.
Result<void> UserWork::check_size(const PendingEvent& event, const Effects& effects) const {
  // Its reversal writes one more: what is taken can be taken back.
  const auto operations = effects.operations() + (effects.original ? 0 : 1);
  if (operations > room()) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format("event \"{}\" of user \"{}\" moves {} tasks and reaches {} stages; one batch takes "
                    "{} operations, give its tasks different event types",
                    event.event->id, event.event->user, effects.moved.size(),
                    effects.todos.size() + effects.runs.size(), room()));
  }
  const bool todos_fit = std::all_of(effects.todos.begin(), effects.todos.end(), [](const WaitingTodo& todo) {
    return encode(todo.todo).size() <= limits::value_bytes;
  });
  const bool instances_fit = std::all_of(effects.moved.begin(), effects.moved.end(), [](const auto& moved) {
    return moved.second.grants.empty() || encode(moved.second).size() <= limits::value_bytes;
  });
  if (todos_fit && instances_fit && effects.encoded.size() <= limits::value_bytes) return {};
  return fail(ErrorCode::limit_exceeded,
              fmt::format("event \"{}\" of user \"{}\": what it contributes is larger than {} bytes",
                          event.event->id, event.event->user, limits::value_bytes));
}

void UserWork::finish(Revision revision, Started& started) {
  for (auto& todo : started_.todos) todo.revision = revision;
  for (auto& run : started_.runs) run.revision = revision;
  const auto hand_over = [](auto& from, auto& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  hand_over(started_.todos, started.todos);
  hand_over(started_.runs, started.runs);
  hand_over(started_.known, started.known);
  hand_over(started_.repeats, started.repeats);
  hand_over(started_.lines, started.lines);
}

}  // namespace onceward::task_detail
