#include "task/chores.hpp"

#include "task/reward_moves.hpp"
#include "task/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

namespace onceward::task_detail {
namespace {

constexpr std::string_view taken_mark = "1";
constexpr std::string_view returned_mark = "returned";

std::string unit_key(const Todo& todo) { return fmt::format("unit/{}/{}", todo.period, todo.unit); }
std::string count_key(const Todo& todo) { return fmt::format("count/{}", todo.period); }

/// Frees the id a stored event holds; empty where it holds none.
Result<std::optional<Operation>> free_id(const std::optional<Record>& record) {
  if (!record) return std::optional<Operation>();
  auto event = decode_event(*record);
  if (!event) return fail(std::move(event).error());
  if (event->waiting.empty()) return std::optional<Operation>();
  const bool taken_back = event->gone || event->taken != 0;
  if (!taken_back) return std::optional(Operation::remove(record->key, record->revision));
  event->waiting.clear();
  return std::optional(Operation::replace(record->key, record->revision, encode(*event)));
}

}  // namespace

IndexEntry entry_of(const WaitingTodo& todo) {
  if (todo.merchant == nullptr) return {nullptr, nullptr, 0, false};
  return todo.merchant->entry_of(todo.todo.grant.task, todo.todo.version);
}

Error too_many(std::string_view key, std::size_t rounds) {
  return {ErrorCode::timeout,
          fmt::format("\"{}\" met other callers {} times in a row; it is done later", key, rounds)};
}

Result<ReadAnswer> read_many(Storage& storage, std::span<const RecordRef> refs) {
  ReadAnswer answer;
  answer.records.reserve(refs.size());
  while (!refs.empty()) {
    const auto some = std::min(refs.size(), limits::span_reads);
    auto stored = storage.read(refs.first(some));
    if (!stored) return fail(std::move(stored).error());
    answer.now = stored->now;
    std::move(stored->records.begin(), stored->records.end(), std::back_inserter(answer.records));
    refs = refs.subspan(some);
  }
  return answer;
}

Result<std::vector<std::optional<Record>>> read_all(Storage& storage, std::span<const RecordRef> refs) {
  auto answer = read_many(storage, refs);
  if (!answer) return fail(std::move(answer).error());
  return std::move(answer->records);
}

Result<std::vector<BatchAnswer>> commit_all(Storage& storage, std::span<const Batch> batches) {
  std::vector<BatchAnswer> answers;
  answers.reserve(batches.size());
  while (!batches.empty()) {
    const auto some = std::min(batches.size(), limits::span_batches);
    auto committed = storage.commit(batches.first(some));
    if (!committed) return fail(std::move(committed).error());
    std::move(committed->batches.begin(), committed->batches.end(), std::back_inserter(answers));
    batches = batches.subspan(some);
  }
  return answers;
}

GrantReceipt* grant_at(std::span<Result<Receipt>> answers, std::size_t place, std::size_t grant) {
  if (place >= answers.size() || !answers[place] || grant >= answers[place]->grants.size()) return nullptr;
  return &answers[place]->grants[grant];
}

void note(GrantReceipt* receipt, const Grant& grant) {
  if (receipt == nullptr || receipt->generation != grant.generation || receipt->taken_back) return;
  receipt->out_of_stock = grant.state == Grant::State::out_of_stock;
  receipt->collectable = grant.state == Grant::State::earned;
}

Result<void> Chores::take_units(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs,
                                std::span<Result<Receipt>> answers) {
  std::vector<Batch> takes;
  std::vector<WaitingTodo*> known;
  for (auto& todo : todos) {
    const auto entry = entry_of(todo);
    // Not published here: it waits for who knows it.
    if (entry.task == nullptr || !entry.task->definition->quota) continue;
    todo.todo.unit = unit_name(todo.todo.grant);
    known.push_back(&todo);
    takes.push_back({quota_partition(todo.todo.grant.merchant, todo.todo.grant.task),
                     {Operation::insert(unit_key(todo.todo), std::string(taken_mark)),
                      Operation::add(count_key(todo.todo), 1, 0, entry.task->definition->quota->limit)}});
  }
  if (known.empty()) return {};
  const auto taken = commit_all(storage_, takes);
  if (!taken) return fail(taken.error());
  std::vector<Decision> decisions;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const auto& answer = (*taken)[i];
    // Refused at the insert: the unit is this grant's already, from before a crash, or was given back.
    const bool had = answer.refused == 0 && answer.found && answer.found->value == taken_mark;
    decisions.push_back({known[i], answer.applied() || had});
  }
  return decide(std::move(decisions), runs, answers);
}

/// Decides one grant; false where it does not wait any more.
Result<bool> Chores::decide_one(const Decision& decision, Instance& instance, Batch& batch,
                                std::vector<WaitingRun>& runs) {
  const auto& todo = decision.todo->todo;
  auto* grant = instance.grant_of(todo.grant.stage);
  if (grant == nullptr || grant->generation != todo.grant.generation || grant->state != Grant::State::waiting)
    return false;
  const auto entry = entry_of(*decision.todo);
  if (!decision.granted) {
    grant->state = Grant::State::out_of_stock;
    grant->unit = false;
    grant->input = {};
  } else if (!grant->collected) {
    grant->state = Grant::State::earned;
  } else {
    auto run = runner_.prepare(entry.task->stage(grant->stage).plan, batch.partition, to_run_key(todo.grant),
                               grant->input);
    if (!run) return fail(std::move(run).error());
    grant->state = Grant::State::granted;
    if (entry.task->definition->on_refund == OnRefund::keep) grant->input = {};
    batch.operations.push_back(run->insert);
    runs.push_back({decision.todo->place, decision.todo->grant, *std::move(run), absent});
  }
  // It says whether rewards still wait for collect(), which counts once the last stage is reached.
  if (const auto facts = facts_of(instance, *entry.task); facts.all_reached)
    move(instance, Trigger::event, facts);
  return true;
}

Result<void> Chores::decide(std::vector<Decision> decisions, std::vector<WaitingRun>& runs,
                            std::span<Result<Receipt>> answers) {
  for (std::size_t round = 0; !decisions.empty(); ++round) {
    if (round > options_.conflict_retries) return fail(too_many(decisions.front().todo->key, round));
    std::map<std::pair<std::string, std::string>, std::vector<Decision>> by_instance;
    for (const auto& decision : decisions) {
      const auto& grant = decision.todo->todo.grant;
      by_instance[{decision.todo->partition, instance_key(grant.task, grant.cycle)}].push_back(decision);
    }
    std::vector<RecordRef> refs;
    for (const auto& [name, some] : by_instance) {
      refs.push_back({name.first, name.second});
      for (const auto& decision : some) refs.push_back({name.first, decision.todo->key});
    }
    const auto stored = read_many(storage_, refs);
    if (!stored) return fail(stored.error());
    std::size_t next = 0;
    std::vector<Batch> batches;
    std::vector<Decided> decided;
    decisions.clear();
    for (auto& [name, some] : by_instance) {
      const auto& record = stored->records[next++];
      const auto todos = next;
      next += some.size();
      if (!record) continue;
      auto instance = decode_instance(*record);
      if (!instance) return fail(std::move(instance).error());
      Batch batch{name.first, {}};
      Decided mine;
      bool moved = false;
      const auto from = instance->status;
      for (std::size_t i = 0; i < some.size(); ++i) {
        const auto& grant = some[i].todo->todo.grant;
        if (const auto& todo = stored->records[todos + i]) {
          auto done = decide_one(some[i], *instance, batch, mine.runs);
          if (!done) return fail(std::move(done).error());
          moved = moved || *done;
          mine.settles = mine.settles || (*done && !some[i].granted);
          batch.operations.push_back(Operation::remove(some[i].todo->key, todo->revision));
          mine.decisions.push_back(some[i]);
        }
        // Another caller may have decided it the same way, since a grant's unit is taken at most once.
        if (const auto* stands = instance->grant_of(grant.stage))
          note(grant_at(answers, some[i].todo->place, some[i].todo->grant), *stands);
      }
      if (batch.operations.empty()) continue;
      if (moved) {
        batch.operations.insert(batch.operations.begin(),
                                Operation::replace(name.second, record->revision, encode(*instance),
                                                   timing_of(*instance, stored->now)));
      }
      if (instance->status != from)
        mine.lines.push_back({name.first, name.second, Trigger::event, from, instance->status});
      batches.push_back(std::move(batch));
      decided.push_back(std::move(mine));
    }
    if (batches.empty()) return {};
    const auto answered = commit_all(storage_, batches);
    if (!answered) return fail(answered.error());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      auto& done = decided[i];
      if (!(*answered)[i].applied()) {
        decisions.insert(decisions.end(), done.decisions.begin(), done.decisions.end());
        continue;
      }
      tell(options_.journal, done.lines);
      if (done.settles && options_.journal != nullptr) {
        const auto& grant = done.decisions.front().todo->todo.grant;
        tell_settled(storage_, *done.decisions.front().todo->merchant, batches[i].partition, grant,
                     (*answered)[i].revision, *options_.journal);
      }
      for (auto& run : done.runs) {
        run.revision = (*answered)[i].revision;
        runs.push_back(std::move(run));
      }
    }
  }
  return {};
}

Result<void> Chores::return_units(std::span<WaitingTodo> todos) {
  std::vector<WaitingTodo*> left;
  for (auto& todo : todos) left.push_back(&todo);
  for (std::size_t round = 0; !left.empty(); ++round) {
    if (round > options_.conflict_retries) return fail(too_many(left.front()->key, round));
    if (auto done = return_some(left); !done) return done;
  }
  return remove(todos);
}

Result<void> Chores::return_some(std::vector<WaitingTodo*>& left) {
  std::vector<std::string> partitions;
  std::vector<std::string> keys;
  for (const auto* todo : left) {
    partitions.push_back(quota_partition(todo->todo.grant.merchant, todo->todo.grant.task));
    keys.push_back(unit_key(todo->todo));
  }
  std::vector<RecordRef> refs;
  for (std::size_t i = 0; i < left.size(); ++i) refs.push_back({partitions[i], keys[i]});
  const auto units = read_all(storage_, refs);
  if (!units) return fail(units.error());
  std::vector<Batch> batches;
  std::vector<WaitingTodo*> writers;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const auto& unit = (*units)[i];
    if (unit && unit->value == returned_mark) continue;
    writers.push_back(left[i]);
    if (unit) {
      batches.push_back({partitions[i],
                         {Operation::replace(keys[i], unit->revision, std::string(returned_mark)),
                          Operation::add(count_key(left[i]->todo), -1, 0)}});
    } else {
      batches.push_back({partitions[i], {Operation::insert(keys[i], std::string(returned_mark))}});
    }
  }
  const auto answers = commit_all(storage_, batches);
  if (!answers) return fail(answers.error());
  left.clear();
  for (std::size_t i = 0; i < writers.size(); ++i) {
    if (!(*answers)[i].applied()) left.push_back(writers[i]);
  }
  return {};
}

Result<void> Chores::members(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs) {
  std::vector<WaitingRun> prepared;
  std::vector<WaitingTodo> known;
  std::vector<std::pair<const WaitingTodo*, Error>> wrong;
  for (const auto& todo : todos) {
    if (entry_of(todo).task == nullptr) continue;
    auto made = runs_of_members(todo);
    if (!made) {
      wrong.emplace_back(&todo, std::move(made).error());
      continue;
    }
    std::move(made->begin(), made->end(), std::back_inserter(prepared));
    known.push_back(todo);
  }
  std::vector<Batch> batches;
  for (const auto& run : prepared) batches.push_back({run.run.partition(), {run.run.insert}});
  const auto answers = commit_all(storage_, batches);
  if (!answers) return fail(answers.error());
  for (std::size_t i = 0; i < batches.size(); ++i) {
    // Refused: the member has it already.
    if (!(*answers)[i].applied()) continue;
    prepared[i].revision = (*answers)[i].revision;
    runs.push_back(std::move(prepared[i]));
  }
  if (auto removed = remove(known); !removed) return removed;
  return set_aside(wrong);
}

Result<std::vector<WaitingRun>> Chores::runs_of_members(const WaitingTodo& waiting) const {
  const auto& todo = waiting.todo;
  const auto& stage = entry_of(waiting).task->stage(todo.grant.stage);
  std::vector<WaitingRun> runs;
  const auto make = [&](const std::string& member, Value input) -> Result<void> {
    auto key = todo.grant;
    key.user = member;
    auto run = runner_.prepare(stage.plan, owner_partition(key.merchant, user_owner(member)), to_run_key(key),
                               std::move(input));
    if (!run) return fail(std::move(run).error());
    runs.push_back({waiting.place, waiting.grant, *std::move(run), absent});
    return {};
  };
  if (todo.members.empty()) {
    if (auto made = make(todo.grant.user, todo.input); !made) return fail(std::move(made).error());
    return runs;
  }
  const auto event = event_of(todo.event);
  if (!event) return fail(event.error());
  for (const auto& member : todo.members) {
    auto input = input_of(event->attributes, event->id, member, stage, todo.grant.task);
    if (!input) return fail(std::move(input).error());
    if (auto made = make(member, *std::move(input)); !made) return fail(std::move(made).error());
  }
  return runs;
}

Result<void> Chores::set_aside(std::span<const std::pair<const WaitingTodo*, Error>> wrong) {
  std::vector<std::string> keys;
  for (const auto& [waiting, error] : wrong) {
    const auto* id = waiting->todo.event.find("id");
    const bool holds = waiting->todo.kind == Todo::Kind::apply && id != nullptr && id->string() != nullptr;
    keys.push_back(event_key(holds ? *id->string() : ""));
  }
  std::vector<RecordRef> refs;
  for (std::size_t i = 0; i < wrong.size(); ++i) refs.push_back({wrong[i].first->partition, keys[i]});
  const auto events = read_all(storage_, refs);
  if (!events) return fail(events.error());
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const auto& [waiting, error] = wrong[i];
    auto todo = waiting->todo;
    todo.error = error.message;
    Timing kept{};
    if (todo.kind == Todo::Kind::apply || todo.kind == Todo::Kind::pass_on)
      kept.expires_in =
          std::clamp(options_.refused_retention, Duration::zero(), Duration(limits::duration_us));
    Batch batch{waiting->partition,
                {Operation::replace(waiting->key, waiting->revision, encode(todo), kept)}};
    auto freed = free_id((*events)[i]);
    if (!freed) return fail(std::move(freed).error());
    if (*freed) batch.operations.push_back(**std::move(freed));
    batches.push_back(std::move(batch));
  }
  // Refused: another one was faster, or moved the event; it is looked at again.
  const auto kept = commit_all(storage_, batches);
  if (!kept) return fail(kept.error());
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const auto& [waiting, error] = wrong[i];
    if ((*kept)[i].applied()) tell_trouble(options_.journal, waiting->partition, waiting->key, error);
  }
  return {};
}

Result<void> Chores::remove(std::span<const WaitingTodo> todos) {
  std::vector<Batch> batches;
  for (const auto& todo : todos)
    batches.push_back({todo.partition, {Operation::remove(todo.key, todo.revision)}});
  // Refused: another process has removed it, having done the same.
  if (const auto removed = commit_all(storage_, batches); !removed) return fail(removed.error());
  return {};
}

Result<void> Chores::lapse(std::span<WaitingTodo> todos) {
  std::vector<Batch> batches;
  std::vector<WaitingTodo> returns;
  for (const auto& todo : todos) {
    auto back = todo;
    back.todo.kind = Todo::Kind::return_unit;
    back.key = todo_key(back.todo);
    // From here on the claim's own batch, which removes the same todo, is refused, however late it comes.
    batches.push_back({todo.partition,
                       {Operation::remove(todo.key, todo.revision),
                        Operation::insert(back.key, encode(back.todo), {.due_in = options_.lease})}});
    returns.push_back(std::move(back));
  }
  const auto answers = commit_all(storage_, batches);
  if (!answers) return fail(answers.error());
  std::vector<WaitingTodo> mine;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (!(*answers)[i].applied()) continue;
    returns[i].revision = (*answers)[i].revision;
    mine.push_back(std::move(returns[i]));
  }
  return return_units(mine);
}

}  // namespace onceward::task_detail
