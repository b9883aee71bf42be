#include "storage/due_of.hpp"
#include "task/center_state.hpp"
#include "task/chores.hpp"

#include <algorithm>

// What is due, and what operators push on.
namespace onceward {

using task_detail::WaitingTodo;

namespace {

constexpr std::string_view user_part = "/user/";
/// What could not be done comes again after 1, 2, 4, 8 and then always so many leases.
constexpr std::int64_t most_leases = 16;  // 2 to the 4th

/// The merchant and user of a user's partition; empty for another one. Merchants' ids have no '/'.
std::optional<std::pair<std::string, std::string>> user_of(std::string_view partition) {
  const auto slash = partition.find('/');
  if (slash == std::string_view::npos || !partition.substr(slash).starts_with(user_part)) return std::nullopt;
  return std::pair(std::string(partition.substr(0, slash)),
                   std::string(partition.substr(slash + user_part.size())));
}

/// A timer or a todo among due records.
bool is_ours(const DuePage::Entry& entry) {
  return entry.record.key.starts_with(task_detail::instance_prefix) ||
         entry.record.key.starts_with(task_detail::todo_prefix);
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

Result<std::size_t> TaskCenter::State::put_off(std::span<const LookedAt> looked) {
  std::vector<RecordRef> refs;
  for (const auto& one : looked) refs.push_back({one.entry->partition, one.entry->record.key});
  const auto stored = task_detail::read_all(storage, refs);
  if (!stored) return fail(stored.error());
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < looked.size(); ++i) {
    const auto& [partition, record] = *looked[i].entry;
    if (!(*stored)[i] || (*stored)[i]->revision != record.revision) continue;
    auto value = record.value;
    if (auto todo = looked[i].todo) {
      ++todo->tries;
      value = task_detail::encode(*todo);
    }
    batches.push_back({partition,
                       {Operation::replace(record.key, record.revision, std::move(value),
                                           {.due_in = options.lease * looked[i].leases})}});
  }
  // Refused: somebody did it meanwhile.
  if (const auto written = task_detail::commit_all(storage, batches); !written) return fail(written.error());
  return batches.size();
}

/// Has the time of an instance end; false where it failed for good.
Result<bool> TaskCenter::State::end_time(const DuePage::Entry& entry, Timestamp now) {
  const auto& [partition, record] = entry;
  const auto owner =
      user_of(partition).value_or(std::pair(partition.substr(0, partition.find('/')), std::string()));
  const auto ended = act({Trigger::deadline}, owner.first, owner.second, partition, record, now);
  if (ended) return true;
  if (retry_advice(ended.error().code) != RetryAdvice::give_up) return fail(ended.error());
  task_detail::tell_trouble(options.journal, partition, record.key, ended.error());
  return false;
}

Result<TaskCenter::State::Due> TaskCenter::State::look_at_due(const DuePage& page, std::size_t limit) {
  Due due;
  for (const auto& entry : page.entries) {
    const auto& [partition, record] = entry;
    if (due.tried.size() == limit) break;
    if (is_reward(record) && options.journal != nullptr) due.rewards.emplace_back(partition, record.key);
    if (!is_ours(entry)) continue;
    const bool timer = record.key.starts_with(task_detail::instance_prefix);
    auto merchant = merchants.find(std::string_view(partition).substr(0, partition.find('/')));
    if (merchant == nullptr) {
      due.strange.push_back({&entry});
    } else if (timer) {
      const auto ended = end_time(entry, page.now);
      if (!ended) return fail(ended.error());
      due.tried.push_back({&entry, *ended ? 1 : most_leases});
    } else if (auto todo = task_detail::decode_todo(record)) {
      const auto leases = std::int64_t{1} << std::clamp(todo->tries, std::int64_t{0}, std::int64_t{4});
      due.tried.push_back({&entry, leases, *todo});
      due.todos.push_back({due.todos.size(), WaitingTodo::no_grant, partition, record.key, record.revision,
                           *std::move(todo), std::move(merchant)});
    } else {
      // Of a later version of the library, or damaged: it is kept for who can read it.
      due.strange.push_back({&entry, most_leases});
      task_detail::tell_trouble(options.journal, partition, record.key, todo.error());
    }
  }
  return due;
}

Result<WorkReport> TaskCenter::work(std::size_t limit) {
  const auto page = storage_detail::due_of(state_->storage, limit, is_ours);
  if (!page) return fail(page.error());
  auto due = state_->look_at_due(page->page, limit);
  if (!due) return fail(std::move(due).error());
  task_detail::Reporter reporter(state_->storage, state_->runner, state_->options);
  std::vector<task_detail::WaitingRun> runs;
  const auto done = reporter.do_todos(due->todos, runs, {});
  if (auto driven = reporter.drive(runs, {}); !driven) return fail(std::move(driven).error());
  if (!done && retry_advice(done.error().code) != RetryAdvice::give_up) return fail(done.error());
  const auto left = state_->put_off(due->tried);
  if (!left) return fail(left.error());
  if (auto later = state_->put_off(due->strange); !later) return fail(std::move(later).error());
  auto report = state_->runner.work(limit);
  if (report) report->taken += due->tried.size() - *left;
  if (auto told = state_->tell_ended(due->rewards); !told) return fail(std::move(told).error());
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
  if (auto stored = task_detail::check_stored(event); !stored) return fail(std::move(stored).error());
  if (state_->merchants.find(event.merchant) == nullptr)
    return fail(ErrorCode::not_found, "the merchant \"" + event.merchant + "\" has published no campaign");
  task_detail::Todo todo{task_detail::Todo::Kind::apply, {event.merchant, event.user, "-", "-"}};
  todo.event = task_detail::to_value(event);
  const auto partition = task_detail::user_partition(event.merchant, event.user);
  // Due now: any process applies it. Its id is taken from now on.
  const auto fingerprint = task_detail::fingerprint_of(event);
  task_detail::EventRecord waiting;
  waiting.waiting = fingerprint;
  const auto key = task_detail::event_key(event.id);
  const auto claims_id = Operation::insert(key, task_detail::encode(waiting));
  const auto todo_key = task_detail::todo_key(todo);
  const auto encoded = task_detail::encode(todo);
  const auto stored = commit_one(
      state_->storage,
      {partition, {claims_id, Operation::insert(todo_key, encoded, {.due_in = Duration::zero()})}});
  if (!stored) return fail(stored.error());
  const Ticket ticket{event.merchant, event.user, event.id};
  if (stored->applied()) return ticket;
  const auto conflict = [&] {
    return fail(ErrorCode::conflict, "event \"" + event.id + "\" of user \"" + event.user +
                                         "\" was reported before with another content; nothing was stored");
  };
  if (stored->refused == 1) {
    const auto known = task_detail::decode_todo(*stored->found);
    if (!known) return fail(known.error());
    // Stored by a version that took no id: it waits.
    if (known->error.empty()) return known->event == todo.event ? Result<Ticket>(ticket) : conflict();
    // Refused before, and nothing was applied: it is tried again, as it is now.
    const auto again =
        commit_one(state_->storage, {partition,
                                     {claims_id, Operation::replace(todo_key, stored->found->revision,
                                                                    encoded, {.due_in = Duration::zero()})}});
    if (!again) return fail(again.error());
    if (again->applied()) return ticket;
    return fail(ErrorCode::timeout, "event \"" + event.id + "\" of user \"" + event.user +
                                        "\" met another caller; nothing was stored, send it again");
  }
  const auto applied = task_detail::decode_event(*stored->found);
  if (!applied) return fail(applied.error());
  if (applied->fingerprint.empty() && applied->waiting.empty()) {
    // Taken back before it came: it is applied as that.
    auto receipt = report(event);
    if (!receipt) return fail(std::move(receipt).error());
    return ticket;
  }
  const auto& known = applied->fingerprint.empty() ? applied->waiting : applied->fingerprint;
  if (known != fingerprint) return conflict();
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
