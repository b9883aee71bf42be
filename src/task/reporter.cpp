#include "task/reporter.hpp"

#include "task/chores.hpp"
#include "task/turn.hpp"
#include "task/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <unordered_set>

namespace onceward::task_detail {
namespace {

Error conflict_of(const PendingEvent& event, std::size_t rounds) {
  return {ErrorCode::timeout,
          fmt::format("event \"{}\" of user \"{}\" met other callers {} times in a row; nothing was "
                      "applied, send it again",
                      event.event->id, event.event->user, rounds)};
}

/// An upper bound of the records an event needs.
std::size_t records_of(const PendingEvent& event) {
  constexpr std::size_t beside = 3;  // its own, that of the one it takes back, the board
  return beside + 2 * event.candidates.size() +
         (event.ahead.original ? event.ahead.original->contributions.size() : 0);
}

GrantKey key_of(const KnownEvent& event, const EventRecord::Grant& grant) {
  return {event.owner.merchant, event.owner.user, grant.task, grant.cycle, grant.stage, grant.generation};
}

}  // namespace

Result<Receipt> Reporter::receipt_of(KnownEvent known) {
  Result<Receipt> answer;
  std::vector<WaitingTodo> todos;
  if (auto recalled = recall({&known, 1}, {&answer, 1}, todos); !recalled)
    return fail(std::move(recalled).error());
  if (answer) answer->duplicate = false;
  return answer;
}

void Reporter::report(std::vector<PendingEvent> events, std::span<Result<Receipt>> answers) {
  std::vector<PendingEvent*> waiting;
  waiting.reserve(events.size());
  for (auto& event : events) waiting.push_back(&event);
  Started started;
  started.runs.reserve(events.size());
  std::optional<Turn> turn;
  for (std::size_t conflicts = 0; !waiting.empty(); ++conflicts) {
    const auto before = waiting.size();
    if (conflicts > options_.conflict_retries) {
      for (const auto* event : waiting) answers[event->place] = fail(conflict_of(*event, conflicts));
      break;
    }
    apply_round(waiting, answers, started);
    if (waiting.size() < before) {
      conflicts = 0;
    } else if (!turn) {
      turn.emplace(waiting);
    }
  }
  turn.reset();
  carry_on(started, answers);
}

/// What follows is durable already: where the storage fails now, work() finishes it, and the receipts say
/// running.
void Reporter::carry_on(Started& started, std::span<Result<Receipt>> answers) {
  if (!options_.store_only) tell(options_.journal, started.lines);
  if (auto recalled = recall(started.known, answers, started.todos); !recalled) {
    for (const auto& known : started.known) answers[known.place] = fail(recalled.error());
  }
  if (!options_.store_only) {
    (void)do_todos(started.todos, started.runs, answers);
    (void)drive(started.runs, answers);
  }
  for (const auto& [place, first] : started.repeats) {
    answers[place] = answers[first];
    if (answers[place]) answers[place]->duplicate = true;
  }
}

Result<void> Reporter::do_todos(std::vector<WaitingTodo>& todos, std::vector<WaitingRun>& runs,
                                std::span<Result<Receipt>> answers) {
  if (todos.empty()) return {};
  // Kind by kind, units in the order of the events.
  std::sort(todos.begin(), todos.end(), [](const WaitingTodo& a, const WaitingTodo& b) {
    return std::tie(a.todo.kind, a.place, a.grant) < std::tie(b.todo.kind, b.place, b.grant);
  });
  std::optional<Error> failed;
  for (std::size_t first = 0; first < todos.size();) {
    const auto kind = todos[first].todo.kind;
    auto last = first;
    while (last < todos.size() && todos[last].todo.kind == kind) ++last;
    const auto some = std::span(todos).subspan(first, last - first);
    first = last;
    const auto done = do_kind(some, runs, answers);
    if (done) continue;
    // One kind's failure keeps no other from being done, and one todo's no other of its kind.
    failed = done.error();
    if (retry_advice(failed->code) != RetryAdvice::give_up) continue;
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto one = do_kind(some.subspan(i, 1), runs, answers);
      if (one) continue;
      failed = one.error();
      tell_trouble(options_.journal, some[i].partition, some[i].key, *failed);
    }
  }
  if (failed) return fail(*std::move(failed));
  return {};
}

/// Todos of one kind. What is done already is found done when it is done again.
Result<void> Reporter::do_kind(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs,
                               std::span<Result<Receipt>> answers) {
  using Kind = Todo::Kind;
  Chores chores(storage_, runner_, options_);
  switch (todos.front().todo.kind) {
    case Kind::take_unit: return chores.take_units(todos, runs, answers);
    case Kind::return_unit: return chores.return_units(todos);
    case Kind::take_back: return chores.take_back(todos, runs);
    case Kind::member: return chores.members(todos, runs);
    case Kind::claim: return chores.lapse(todos);
    case Kind::tell: return chores.tell_kept(todos);
    case Kind::pass_on:
    case Kind::apply: break;
  }
  return apply_stored(todos);
}

Result<void> Reporter::apply_stored(std::span<WaitingTodo> todos) {
  std::vector<Event> events(todos.size());
  std::vector<Result<Receipt>> answers(todos.size());
  std::vector<PendingEvent> pending;
  for (std::size_t i = 0; i < todos.size(); ++i) {
    const auto& todo = todos[i].todo;
    auto event = event_of(todo.event);
    if (!event) {
      answers[i] = fail(std::move(event).error());
      continue;
    }
    events[i] = *std::move(event);
    auto looked = todo.kind == Todo::Kind::apply
                      ? look_at(events[i], i, todos[i].merchant, options_.profile)
                      : look_at_passed_on(events[i], i, todos[i].merchant, options_.profile, todo.owner,
                                          todo.grant.task, todo.reduced);
    if (looked) {
      pending.push_back(*std::move(looked));
    } else {
      answers[i] = fail(std::move(looked).error());
    }
  }
  Reporter(storage_, runner_, options_, drives_).report(std::move(pending), answers);
  std::vector<WaitingTodo> done;
  std::vector<std::pair<const WaitingTodo*, Error>> refused;
  for (std::size_t i = 0; i < todos.size(); ++i) {
    if (answers[i]) {
      done.push_back(todos[i]);
      continue;
    }
    const auto& error = answers[i].error();
    // A merchant that is not published here is known to another process, or later.
    if (retry_advice(error.code) != RetryAdvice::give_up || error.code == ErrorCode::not_found) continue;
    refused.emplace_back(&todos[i], error);
  }
  Chores chores(storage_, runner_, options_);
  if (auto kept = chores.set_aside(refused); !kept) return kept;
  return chores.remove(done);
}

/// Reads what events need before their records can be named: the events they reverse, the user's own start,
/// and whether what a task comes after is rewarded.
Result<void> Reporter::look_ahead(std::span<PendingEvent*> events) {
  std::vector<std::string> keys;
  std::vector<RecordRef> refs;
  std::vector<ViewWanted> wanted;
  for (auto* event : events) {
    event->ahead = {};
    if (!event->reverses_key.empty()) refs.push_back({event->partition, event->reverses_key});
    for (const auto& candidate : event->candidates) {
      const auto& task = *candidate.entry->task;
      if (task.own_cycles) event->ahead.anchors.emplace_back(task.definition->id, std::nullopt);
    }
    for (auto& [task, record] : event->ahead.anchors) keys.push_back(anchor_key(task));
  }
  std::size_t key = 0;
  for (const auto* event : events) {
    for (std::size_t i = 0; i < event->ahead.anchors.size(); ++i)
      refs.push_back({event->partition, keys[key++]});
  }
  auto stored = read_all(storage_, refs);
  if (!stored) return fail(std::move(stored).error());
  std::size_t next = 0;
  for (auto* event : events) {
    if (event->reverses_key.empty()) continue;
    if (const auto& record = (*stored)[next++]) {
      auto original = decode_event(*record);
      if (!original) return fail(std::move(original).error());
      event->ahead.original = *std::move(original);
    }
  }
  for (auto* event : events) {
    for (auto& [task, record] : event->ahead.anchors) record = std::move((*stored)[next++]);
  }
  return check_prerequisites(events);
}

Result<void> Reporter::check_prerequisites(std::span<PendingEvent*> events) {
  for (auto* event : events) {
    for (auto& candidate : event->candidates) {
      const auto& after = candidate.entry->task->definition->after;
      if (!candidate.entry->in_force || after.empty() || !candidate.refused.empty()) continue;
      auto missing = unrewarded(storage_, *event->merchant, event->event->merchant,
                                std::string_view(event->owner).substr(event->owner.find('/') + 1), after,
                                event->event->at);
      if (!missing) return fail(std::move(missing).error());
      if (!missing->empty()) candidate.refused = "not_eligible";
    }
  }
  return {};
}

void Reporter::apply_round(std::vector<PendingEvent*>& waiting, std::span<Result<Receipt>> answers,
                           Started& started) {
  UserWork::Scratch scratch;
  std::vector<UserWork> users;
  users.reserve(waiting.size());
  std::pmr::unordered_map<std::string_view, std::size_t> by_partition(scratch.round());
  by_partition.reserve(waiting.size());
  std::vector<PendingEvent*> later;
  std::unordered_set<std::string_view> full;
  std::size_t reads = 0;  // an upper bound of the records to read
  const auto take = [&](PendingEvent* event) {
    const auto more = records_of(*event);
    // Once one event of a user has to wait, so do the ones after it: a user's events keep their order.
    if (full.contains(event->partition) || (reads != 0 && reads + more > limits::span_reads)) return false;
    const auto [known, fresh] = by_partition.try_emplace(event->partition, users.size());
    if (fresh) users.emplace_back(event->partition, runner_, options_, scratch);
    if (!users[known->second].take(event)) return false;
    reads += more;
    return true;
  };
  const auto refuse_all = [&](const Error& error) {
    for (const auto* event : waiting) answers[event->place] = fail(error);
    waiting.clear();
  };
  std::vector<PendingEvent*> ahead;
  std::copy_if(waiting.begin(), waiting.end(), std::back_inserter(ahead),
               [](const PendingEvent* event) { return event->looks_ahead(); });
  if (!ahead.empty()) {
    if (auto looked = look_ahead(ahead); !looked) return refuse_all(looked.error());
  }
  for (auto* event : waiting) {
    if (take(event)) continue;
    full.insert(event->partition);
    later.push_back(event);
  }
  std::vector<RecordRef> refs;
  refs.reserve(reads);
  for (const auto& user : users) user.name_records(refs);
  auto stored = storage_.read(refs);
  if (!stored) return refuse_all(stored.error());
  std::span<std::optional<Record>> records(stored->records);
  std::vector<Batch> batches;
  std::vector<UserWork*> writers;
  for (auto& user : users) {
    const bool named = user.apply(records.first(user.record_count()), stored->now, answers);
    records = records.subspan(user.record_count());
    if (!named) {
      later.insert(later.end(), user.events().begin(), user.events().end());
      continue;
    }
    later.insert(later.end(), user.postponed().begin(), user.postponed().end());
    if (user.batch().operations.empty()) {
      user.finish(absent, started);
    } else {
      writers.push_back(&user);
      batches.push_back(user.take_batch());
    }
  }
  if (!batches.empty()) {
    const auto committed = storage_.commit(batches);
    if (!committed) return refuse_all(committed.error());
    for (std::size_t i = 0; i < writers.size(); ++i) {
      const auto& answer = committed->batches[i];
      if (answer.applied()) {
        writers[i]->finish(answer.revision, started);
      } else {
        // Another caller moved this user meanwhile: his events are applied anew to what is there now.
        later.insert(later.end(), writers[i]->events().begin(), writers[i]->events().end());
      }
    }
  }
  std::sort(later.begin(), later.end(), [](const auto* a, const auto* b) { return a->place < b->place; });
  waiting = std::move(later);
}

Result<void> Reporter::recall(std::span<KnownEvent> known, std::span<Result<Receipt>> answers,
                              std::vector<WaitingTodo>& todos) {
  struct Place {
    std::size_t event;
    std::size_t grant;
    std::string instance;
    std::string todo;
  };
  std::vector<Place> places;
  for (std::size_t i = 0; i < known.size(); ++i) {
    auto& event = known[i];
    Receipt receipt{
        event.id, true, std::move(event.record.contributions), {}, std::move(event.record.skipped)};
    for (std::size_t g = 0; g < event.record.grants.size(); ++g) {
      const auto& grant = event.record.grants[g];
      receipt.grants.push_back({grant.task, grant.cycle, grant.stage});
      receipt.grants.back().generation = grant.generation;
      receipt.grants.back().taken_back = grant.taken_back;
      // A run whose record is gone has succeeded: no other ever goes.
      if (!grant.tracked) receipt.grants.back().state = RunState::succeeded;
      if (grant.taken_back && grant.pipeline.empty()) receipt.grants.back().state = RunState::cancelled;
      if (!grant.tracked || grant.taken_back) continue;
      const Todo todo{Todo::Kind::take_unit, key_of(event, grant)};
      places.push_back({i, g, instance_key(grant.task, grant.cycle), todo_key(todo)});
    }
    answers[event.place] = std::move(receipt);
  }
  std::vector<RecordRef> refs;
  for (const auto& place : places) {
    refs.push_back({known[place.event].partition, place.instance});
    refs.push_back({known[place.event].partition, place.todo});
  }
  const auto stored = read_all(storage_, refs);
  if (!stored) return fail(stored.error());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& event = known[places[i].event];
    const auto& record = (*stored)[2 * i];
    if (!record) {
      return fail(ErrorCode::corrupt,
                  fmt::format("event \"{}\" names the reward of \"{}\", which is not there", event.id,
                              places[i].instance));
    }
    const auto instance = decode_instance(*record);
    if (!instance) return fail(instance.error());
    const auto& grant = event.record.grants[places[i].grant];
    if (const auto* stands = instance->grant_of(grant.stage)) {
      auto* told = grant_at(answers, event.place, places[i].grant);
      note(told, *stands);
      const bool issued = stands->generation != grant.generation || stands->state == Grant::State::granted;
      if (told != nullptr && issued) told->state = RunState::succeeded;
    }
    // The caller that reached the stage died, or is slow, before the unit was taken: this one takes it.
    if (const auto& waiting = (*stored)[2 * i + 1]) {
      auto todo = decode_todo(*waiting);
      if (!todo) return fail(std::move(todo).error());
      todos.push_back({event.place, places[i].grant, event.partition, waiting->key, waiting->revision,
                       *std::move(todo), event.merchant});
    }
  }
  return recall_runs(known, answers);
}

Result<void> Reporter::recall_runs(std::span<KnownEvent> known, std::span<Result<Receipt>> answers) {
  for (const auto& event : known) {
    for (std::size_t g = 0; g < event.record.grants.size(); ++g) {
      const auto& grant = event.record.grants[g];
      auto* receipt = grant_at(answers, event.place, g);
      if (receipt == nullptr || receipt->out_of_stock || receipt->collectable || grant.pipeline.empty())
        continue;
      if (grant.taken_back) {
        const auto state = taken_back(storage_, event.partition, key_of(event, grant), grant.pipeline);
        if (!state) return fail(state.error());
        receipt->state = *state;
        continue;
      }
      auto run = runner_.find(grant.pipeline, event.partition, to_run_key(key_of(event, grant)));
      if (!run) return fail(std::move(run).error());
      if (*run) receipt->state = (*run)->state;
    }
  }
  return {};
}

Result<void> Reporter::drive(std::vector<WaitingRun>& runs, std::span<Result<Receipt>> answers) {
  if (runs.empty() || !drives_) return {};
  std::vector<PreparedRun> prepared;
  std::vector<Revision> revisions;
  prepared.reserve(runs.size());
  revisions.reserve(runs.size());
  for (auto& run : runs) {
    prepared.push_back(std::move(run.run));
    revisions.push_back(run.revision);
  }
  if (auto driven = runner_.drive(prepared, revisions); !driven) return driven;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (auto* receipt = grant_at(answers, runs[i].place, runs[i].grant)) receipt->state = prepared[i].state();
  }
  return {};
}

}  // namespace onceward::task_detail
