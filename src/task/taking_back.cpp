#include "task/chores.hpp"
#include "task/views.hpp"

#include <fmt/format.h>

#include <algorithm>

// Rewards that are taken back, each once and only what was given.
namespace onceward::task_detail {

Result<void> Chores::take_back(std::span<WaitingTodo> todos, std::vector<WaitingRun>& runs) {
  std::vector<const WaitingTodo*> left;
  for (const auto& todo : todos) {
    const auto entry = entry_of(todo);
    if (entry.task != nullptr && entry.task->stage(todo.todo.grant.stage).take_back) left.push_back(&todo);
  }
  for (std::size_t round = 0; !left.empty(); ++round) {
    if (round > options_.conflict_retries) return fail(too_many(left.front()->key, round));
    if (auto done = take_back_some(left, runs); !done) return done;
  }
  return {};
}

/// `left` keeps those whose batch met another caller's.
Result<void> Chores::take_back_some(std::vector<const WaitingTodo*>& left, std::vector<WaitingRun>& runs) {
  std::vector<std::vector<std::string>> keys;  // of each the instance, and where its reward's run may be
  std::vector<RecordRef> refs;
  for (const auto* todo : left) {
    const auto& grant = todo->todo.grant;
    auto& mine = keys.emplace_back();
    mine.push_back(instance_key(grant.task, grant.cycle));
    const auto& task = *entry_of(*todo).task;
    for (const auto& pipeline : pipelines_of(*todo->merchant, task, grant.stage, false))
      mine.push_back(run_record_key(pipeline, to_run_key(grant)));
  }
  std::vector<std::size_t> first;
  for (std::size_t i = 0; i < left.size(); ++i) {
    first.push_back(refs.size());
    refs.push_back({left[i]->partition, left[i]->key});
    for (const auto& key : keys[i]) refs.push_back({left[i]->partition, key});
  }
  const auto stored = read_many(storage_, refs);
  if (!stored) return fail(stored.error());
  const auto at = [&](std::size_t place) {
    const auto& record = stored->records[place];
    return record ? &*record : nullptr;
  };
  std::vector<TakingBack> decided;
  std::vector<Batch> batches;
  std::vector<std::pair<const WaitingTodo*, Error>> wrong;
  for (std::size_t i = 0; i < left.size(); ++i) {
    // Another process has done it, or put it off.
    const auto* todo = at(first[i]);
    if (todo == nullptr || todo->revision != left[i]->revision) continue;
    const Record* reward = nullptr;
    for (std::size_t key = 1; key < keys[i].size() && reward == nullptr; ++key)
      reward = at(first[i] + 1 + key);
    auto taking = taking_back(*left[i], reward, at(first[i] + 1), stored->now);
    if (!taking) {
      wrong.emplace_back(left[i], std::move(taking).error());
      continue;
    }
    if (!*taking) continue;
    batches.push_back(std::move((*taking)->batch));
    decided.push_back(**std::move(taking));
  }
  const auto answers = commit_all(storage_, batches);
  if (!answers) return fail(answers.error());
  left.clear();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (!(*answers)[i].applied()) {
      left.push_back(decided[i].todo);
    } else if (decided[i].run) {
      runs.push_back({decided[i].todo->place, decided[i].todo->grant, *std::move(decided[i].run),
                      (*answers)[i].revision});
    } else if (decided[i].voided) {
      const auto& grant = decided[i].todo->todo.grant;
      const Line line{batches[i].partition, instance_key(grant.task, grant.cycle),
                      Trigger::take_back,   *decided[i].voided,
                      *decided[i].voided,   fmt::format("stage {}: void, it had given nothing", grant.stage)};
      tell(options_.journal, {&line, 1});
    }
  }
  return set_aside(wrong);
}

/// One batch that takes a reward back or makes it void; empty where that cannot be told yet.
Result<std::optional<Chores::TakingBack>> Chores::taking_back(const WaitingTodo& todo, const Record* reward,
                                                              const Record* stored, Timestamp now) const {
  const auto& key = todo.todo.grant;
  TakingBack taking{&todo, std::nullopt, {todo.partition, {Operation::remove(todo.key, todo.revision)}}};
  // A run whose record is gone has succeeded: no other ever goes.
  auto given = reward == nullptr ? Result<Given>(Given::something) : given_by(*reward);
  if (!given) return fail(std::move(given).error());
  if (*given == Given::unknown) return std::optional<TakingBack>();
  if (reward != nullptr) {
    const auto run = decode_run_view(*reward);
    if (!run) return fail(run.error());
    if (run->state != RunState::succeeded && run->state != RunState::cancelled) {
      auto off = call_off(*reward);
      if (!off) return fail(std::move(off).error());
      taking.batch.operations.push_back(*std::move(off));
    }
  }
  if (*given == Given::something) {
    const auto& stage = entry_of(todo).task->stage(key.stage);
    auto run = runner_.prepare(*stage.take_back, todo.partition, to_run_key(key), todo.todo.input);
    if (!run) return fail(std::move(run).error());
    taking.batch.operations.push_back(run->insert);
    taking.run = *std::move(run);
    return std::optional(std::move(taking));
  }
  if (stored == nullptr) return std::optional(std::move(taking));
  auto instance = decode_instance(*stored);
  if (!instance) return fail(std::move(instance).error());
  auto* grant = instance->grant_of(key.stage);
  // Earned again meanwhile it is another generation.
  if (grant == nullptr || grant->generation != key.generation || grant->state != Grant::State::revoked)
    return std::optional(std::move(taking));
  grant->state = Grant::State::voided;
  taking.voided = instance->status;
  taking.batch.operations.push_back(
      Operation::replace(stored->key, stored->revision, encode(*instance), timing_of(*instance, now)));
  return std::optional(std::move(taking));
}

}  // namespace onceward::task_detail
