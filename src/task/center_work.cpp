#include "task/center_state.hpp"
#include "task/chores.hpp"

#include <algorithm>

// What is due, and what operators push on.
namespace onceward {

using task_detail::WaitingTodo;

namespace {

constexpr std::string_view user_part = "/user/";

/// The merchant and user of a user's partition; empty for another one. Merchants' ids have no '/'.
std::optional<std::pair<std::string, std::string>> user_of(std::string_view partition) {
  const auto slash = partition.find('/');
  if (slash == std::string_view::npos || !partition.substr(slash).starts_with(user_part)) return std::nullopt;
  return std::pair(std::string(partition.substr(0, slash)),
                   std::string(partition.substr(slash + user_part.size())));
}

/// A reward's run among due records.
bool is_reward(const Record& record) {
  constexpr std::string_view prefix = "run/";
  if (!record.key.starts_with(prefix)) return false;
  const auto slash = record.key.find('/', prefix.size());
  return slash != std::string::npos &&
         parse_run_key(std::string_view(record.key).substr(slash + 1)).has_value();
}

}  // namespace

Result<Receipt> TaskCenter::State::act(task_detail::Act act, std::string_view merchant, std::string_view user,
                                       const std::string& partition, const Record& record, Timestamp now) {
  auto index = merchants.find(merchant);
  auto instance = task_detail::decode_instance(record);
  if (!instance) return fail(std::move(instance).error());
  const auto [task, cycle] = task_detail::parse_instance_key(record.key);
  const auto entry = index == nullptr ? task_detail::IndexEntry{nullptr, nullptr, 0, false}
                                      : index->entry_of(task, instance->version);
  // Not published here: it waits for who knows it.
  if (entry.task == nullptr) return Receipt{};
  const auto owner = partition.substr(partition.find('/') + 1);
  const Event event{std::string(merchant), std::string(task), std::string(user), "timer", now};
  std::vector<task_detail::PendingEvent> pending;
  pending.push_back({0, &event, std::move(index), owner, partition, {}, {}, {}});
  pending.front().act = std::move(act);
  pending.front().candidates.push_back({&entry, std::string(cycle), {}, {}, true});
  Result<Receipt> answer;
  task_detail::Reporter(storage, runner, options).report(std::move(pending), {&answer, 1});
  return answer;
}

Result<WorkReport> TaskCenter::work(std::size_t limit) {
  // A page may hold runs as well, which are the runner's; a full page is asked for, so that they hide
  // nothing.
  const auto due = state_->storage.due({}, limits::page_records);
  if (!due) return fail(due.error());
  std::vector<WaitingTodo> todos;
  std::size_t own = 0;
  std::vector<std::pair<std::string, std::string>> rewards;
  for (const auto& [partition, record] : due->entries) {
    if (todos.size() + own == limit) break;
    if (is_reward(record) && state_->options.journal != nullptr) rewards.emplace_back(partition, record.key);
    if (record.key.starts_with(task_detail::todo_prefix)) {
      auto todo = task_detail::decode_todo(record);
      if (!todo) return fail(std::move(todo).error());
      auto merchant = state_->merchants.find(todo->grant.merchant);
      todos.push_back({todos.size(), WaitingTodo::no_grant, partition, record.key, record.revision,
                       *std::move(todo), std::move(merchant)});
    } else if (record.key.starts_with(task_detail::instance_prefix)) {
      const auto owner =
          user_of(partition).value_or(std::pair(partition.substr(0, partition.find('/')), std::string()));
      auto ended = state_->act({Trigger::deadline}, owner.first, owner.second, partition, record, due->now);
      if (!ended) return fail(std::move(ended).error());
      ++own;
    }
  }
  task_detail::Reporter reporter(state_->storage, state_->runner, state_->options);
  std::vector<task_detail::WaitingRun> runs;
  own += todos.size();
  const auto done = reporter.do_todos(todos, runs, {});
  if (auto driven = reporter.drive(runs, {}); !driven) return fail(std::move(driven).error());
  if (!done) return fail(done.error());
  auto report = state_->runner.work(limit);
  if (report) report->taken += own;
  if (auto told = state_->tell_ended(rewards); !told) return fail(std::move(told).error());
  return report;
}

/// Rewards that ended while they were worked on are moves of their instances.
Result<void> TaskCenter::State::tell_ended(std::span<const std::pair<std::string, std::string>> rewards) {
  std::vector<RecordRef> refs;
  for (const auto& [partition, key] : rewards) refs.push_back({partition, key});
  const auto stored = task_detail::read_all(storage, refs);
  if (!stored) return fail(stored.error());
  std::vector<task_detail::Line> lines;
  for (std::size_t i = 0; i < rewards.size(); ++i) {
    if (!(*stored)[i]) continue;
    const auto run = task_detail::decode_run_view(*(*stored)[i]);
    if (!run) return fail(run.error());
    if (run->state == RunState::running) continue;
    const auto& [partition, key] = rewards[i];
    const auto grant = parse_run_key(std::string_view(key).substr(key.find('/', 4) + 1));
    lines.push_back(task_detail::line_of(partition, task_detail::instance_key(grant->task, grant->cycle),
                                         run->state, run->reason));
  }
  task_detail::tell(options.journal, lines);
  return {};
}

Result<Ticket> TaskCenter::report_async(const Event& event) {
  if (auto checked = task_detail::check(event); !checked) return fail(std::move(checked).error());
  if (state_->merchants.find(event.merchant) == nullptr)
    return fail(ErrorCode::not_found, "the merchant \"" + event.merchant + "\" has published no campaign");
  task_detail::Todo todo{task_detail::Todo::Kind::apply, {event.merchant, event.user, "-", "-"}};
  todo.event = task_detail::to_value(event);
  const auto partition = task_detail::user_partition(event.merchant, event.user);
  // Due now: any process applies it. An event that was applied is not stored again.
  const auto encoded = task_detail::encode(todo);
  const auto stored =
      commit_one(state_->storage,
                 {partition,
                  {Operation::require(task_detail::event_key(event.id), absent),
                   Operation::insert(task_detail::todo_key(todo), encoded, {.due_in = Duration::zero()})}});
  if (!stored) return fail(stored.error());
  Ticket ticket{event.merchant, event.user, event.id};
  if (stored->applied()) return ticket;
  const auto conflict = [&] {
    return fail(ErrorCode::conflict, "event \"" + event.id + "\" of user \"" + event.user +
                                         "\" was reported before with another content; nothing was stored");
  };
  if (stored->refused == 1) {
    auto waiting = task_detail::decode_todo(*stored->found);
    if (!waiting) return fail(std::move(waiting).error());
    if (waiting->event != todo.event) return conflict();
    return ticket;
  }
  const auto applied = task_detail::decode_event(*stored->found);
  if (!applied) return fail(applied.error());
  if (applied->fingerprint.empty()) {
    // Taken back before it came: it is applied as that.
    auto receipt = report(event);
    if (!receipt) return fail(std::move(receipt).error());
    return ticket;
  }
  if (applied->fingerprint != task_detail::fingerprint_of(event)) return conflict();
  return ticket;
}

Result<std::optional<Receipt>> TaskCenter::receipt(const Ticket& ticket) {
  const auto partition = task_detail::user_partition(ticket.merchant, ticket.user);
  task_detail::Todo todo{task_detail::Todo::Kind::apply, {ticket.merchant, ticket.user, "-", "-"}};
  todo.event = Map{{"id", ticket.event}};
  const auto event = task_detail::event_key(ticket.event);
  const auto waiting = task_detail::todo_key(todo);
  const RecordRef refs[] = {{partition, event}, {partition, waiting}};
  auto stored = state_->storage.read(refs);
  if (!stored) return fail(std::move(stored).error());
  if (const auto& record = stored->records[0]) {
    auto applied = task_detail::decode_event(*record);
    if (!applied) return fail(std::move(applied).error());
    if (!applied->fingerprint.empty()) {
      task_detail::Reporter reporter(state_->storage, state_->runner, state_->options);
      auto receipt = reporter.receipt_of({0,
                                          ticket.event,
                                          {ticket.merchant, ticket.user},
                                          partition,
                                          *std::move(applied),
                                          state_->merchants.find(ticket.merchant)});
      if (!receipt) return fail(std::move(receipt).error());
      return std::optional(*std::move(receipt));
    }
  }
  if (const auto& record = stored->records[1]) {
    auto refused = task_detail::decode_todo(*record);
    if (!refused) return fail(std::move(refused).error());
    if (!refused->error.empty()) return fail(ErrorCode::invalid_argument, std::move(refused->error));
  }
  return std::optional<Receipt>();
}

}  // namespace onceward
