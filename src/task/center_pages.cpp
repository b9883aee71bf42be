#include <onceward/core/ids.hpp>
#include <onceward/core/timestamp.hpp>

#include "task/board.hpp"
#include "task/center_state.hpp"
#include "task/chores.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

// Pages of tasks, replay by operators, imports of lines.
namespace onceward {
namespace {

constexpr std::size_t most_entries = 1000;
constexpr std::size_t lines_at_once = 256;

Result<Event> event_of_line(std::string_view merchant, std::string_view line) {
  const auto value = Value::from_json(line);
  if (!value) return fail(value.error());
  if (value->map() == nullptr) return fail(ErrorCode::invalid_argument, "the line is no object");
  Event event{std::string(merchant)};
  for (const auto& [name, member] : *value->map()) {
    std::string* text = name == "id"         ? &event.id
                        : name == "user"     ? &event.user
                        : name == "type"     ? &event.type
                        : name == "reverses" ? &event.reverses
                                             : nullptr;
    if (text != nullptr) {
      if (member.string() == nullptr)
        return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" must be text", name));
      *text = *member.string();
    } else if (name == "at") {
      const auto at = member.string() == nullptr ? std::nullopt : parse_timestamp(*member.string());
      if (!at) return fail(ErrorCode::invalid_argument, "\"at\" must be a time such as 2024-03-10T12:00:00Z");
      event.at = *at;
    } else if (name == "attributes") {
      if (member.map() == nullptr)
        return fail(ErrorCode::invalid_argument, "\"attributes\" must be an object");
      event.attributes = *member.map();
    } else if (name == "amount") {
      if (member.integer() == nullptr)
        return fail(ErrorCode::invalid_argument, "\"amount\" must be an integer");
      event.amount = *member.integer();
    } else {
      return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is no member of an event", name));
    }
  }
  if (value->find("at") == nullptr) return fail(ErrorCode::invalid_argument, "\"at\" is missing");
  return event;
}

}  // namespace

Result<ImportReport> TaskCenter::import(std::string_view merchant, std::string_view lines) {
  ImportReport report;
  std::vector<Event> events;
  std::vector<std::size_t> places;
  const auto flush = [&]() -> Result<void> {
    const auto answers = report_many(events);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i]) {
        ++(answers[i]->duplicate ? report.duplicates : report.applied);
      } else if (retry_advice(answers[i].error().code) == RetryAdvice::give_up) {
        report.bad.push_back({places[i], answers[i].error()});
      } else {
        return fail(answers[i].error());
      }
    }
    events.clear();
    places.clear();
    return {};
  };
  for (std::size_t number = 1; !lines.empty(); ++number) {
    const auto end = std::min(lines.find('\n'), lines.size());
    auto line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    auto event = event_of_line(merchant, line);
    if (!event) {
      report.bad.push_back({number, std::move(event).error()});
      continue;
    }
    events.push_back(*std::move(event));
    places.push_back(number);
    if (events.size() < lines_at_once) continue;
    if (auto flushed = flush(); !flushed) return fail(std::move(flushed).error());
  }
  if (auto flushed = flush(); !flushed) return fail(std::move(flushed).error());
  std::sort(report.bad.begin(), report.bad.end(),
            [](const ImportReport::Bad& a, const ImportReport::Bad& b) { return a.line < b.line; });
  return report;
}

Result<TaskPage> TaskCenter::list(const ListRequest& request) {
  if (request.limit == 0 || request.limit > most_entries) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a page of {} tasks; ask for 1 to {}", request.limit, most_entries));
  }
  const auto index = state_->merchants.find(request.merchant);
  if (index == nullptr) {
    return fail(ErrorCode::not_found,
                fmt::format("the merchant \"{}\" has published no campaign", request.merchant));
  }
  const auto& tasks = index->campaign().tasks;
  std::size_t first = 0;
  if (!request.cursor.empty()) {
    const auto last = std::find_if(tasks.begin(), tasks.end(), [&](const task_detail::CompiledTask& task) {
      return task.definition->id == request.cursor;
    });
    if (last == tasks.end())
      return fail(ErrorCode::invalid_argument, "the cursor is of another campaign; list from the start");
    first = static_cast<std::size_t>(last - tasks.begin()) + 1;
  }
  const auto at = request.at.value_or(SystemClock().now());
  if (at < task_detail::earliest || at >= task_detail::latest)
    return fail(ErrorCode::invalid_argument, "the page's time lies outside 1900 to 2099");
  const auto count = std::min(request.limit, tasks.size() - first);
  const auto partition = task_detail::user_partition(request.merchant, request.user);
  // Whose cycles are the user's own is known once his start is read.
  std::vector<std::string> anchors;
  std::vector<RecordRef> refs;
  for (std::size_t i = first; i < first + count; ++i) {
    if (tasks[i].own_cycles) anchors.push_back(task_detail::anchor_key(tasks[i].definition->id));
  }
  for (const auto& key : anchors) refs.push_back({partition, key});
  const auto stored = task_detail::read_all(state_->storage, refs);
  if (!stored) return fail(stored.error());
  TaskPage page;
  std::vector<task_detail::ViewWanted> wanted;
  for (std::size_t i = first, own = 0; i < first + count; ++i) {
    const auto& task = tasks[i];
    const auto& definition = *task.definition;
    std::string cycle;
    if (!task.own_cycles) {
      cycle = task.calendar.cycle_of(at);
    } else if (const auto& record = (*stored)[own++]) {
      const auto anchor = task_detail::decode_anchor(*record);
      if (!anchor) return fail(anchor.error());
      const auto calendar = task_detail::calendar_of(index->campaign(), task, *anchor);
      if (!calendar) return fail(calendar.error());
      cycle = calendar->cycle_of(at);
    }
    page.entries.push_back({definition.id, definition.title, definition.version, cycle});
    wanted.push_back({index.get(), partition, request.user, definition.id, std::move(cycle)});
  }
  auto views = task_detail::read_views(state_->storage, wanted);
  if (!views) return fail(std::move(views).error());
  for (std::size_t i = 0; i < count; ++i) page.entries[i].view = std::move((*views)[i]);
  if (first + count < tasks.size() && count > 0) page.cursor = page.entries.back().task;
  return page;
}

Result<ReplayReport> TaskCenter::replay(const ReplayRequest& request) {
  if (request.user.empty())
    return fail(ErrorCode::invalid_argument, "replay goes user by user: name the user");
  if (request.force && (request.actor.empty() || request.reason.empty())) {
    return fail(ErrorCode::invalid_argument, "a forced replay needs an actor and a reason");
  }
  const auto index = state_->merchants.find(request.merchant);
  if (index == nullptr) {
    return fail(ErrorCode::not_found,
                fmt::format("the merchant \"{}\" has published no campaign", request.merchant));
  }
  ReplayReport report;
  const auto partition = task_detail::user_partition(request.merchant, request.user);
  const auto prefix =
      std::string(task_detail::instance_prefix) + (request.task.empty() ? "" : request.task + "/");
  // The board first: what leaves it meanwhile is found below.
  const auto board = read_one(state_->storage, partition, task_detail::board_key);
  if (!board) return fail(board.error());
  if (*board) {
    std::pmr::vector<task_detail::BoardEntry> entries;
    if (auto read = task_detail::decode_board(**board, entries); !read) return fail(std::move(read).error());
    for (const auto& entry : entries) {
      const Record record{std::string(task_detail::instance_prefix).append(entry.name),
                          task_detail::encode(entry.instance())};
      const auto [task, cycle] = task_detail::parse_instance_key(record.key);
      if (!record.key.starts_with(prefix) || (!request.cycle.empty() && cycle != request.cycle)) continue;
      if (auto done = state_->replay_one(request, partition, record, {}, report); !done)
        return fail(std::move(done).error());
    }
  }
  for (std::string cursor;;) {
    const auto page = state_->storage.scan(partition, prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& record : page->records) {
      const auto [task, cycle] = task_detail::parse_instance_key(record.key);
      if (!request.cycle.empty() && cycle != request.cycle) continue;
      if (auto done = state_->replay_one(request, partition, record, page->now, report); !done)
        return fail(std::move(done).error());
    }
    cursor = page->cursor;
    if (cursor.empty()) break;
  }
  if (auto done = state_->replay_memberships(request, partition, report); !done)
    return fail(std::move(done).error());
  if (auto done = state_->replay_older(request, partition, report); !done)
    return fail(std::move(done).error());
  return report;
}

/// A reward that was earned again keeps a record of its last generation alone. What stopped of one before it
/// is owed all the same: the run that takes it back, or the reward's own that says whether there is anything
/// to take.
Result<void> TaskCenter::State::replay_older(const ReplayRequest& request, const std::string& partition,
                                             ReplayReport& report) {
  const auto index = merchants.find(request.merchant);
  std::set<std::string> prefixes;
  for (const auto& [id, versions] : index->versions) {
    if (!request.task.empty() && request.task != id) continue;
    const auto runs = fmt::format("{}/{}/{}/", request.merchant, request.user, id);
    for (const auto& [version, known] : versions) {
      for (const auto& stage : known.task->stages) {
        if (!stage.take_back) continue;
        prefixes.insert(run_record_key(stage.plan.definition().id, runs));
        prefixes.insert(run_record_key(stage.take_back->definition().id, runs));
      }
    }
  }
  for (const auto& prefix : prefixes) {
    for (std::string cursor;;) {
      const auto page = storage.scan(partition, prefix, cursor, limits::page_records);
      if (!page) return fail(page.error());
      for (const auto& record : page->records) {
        const auto grant = parse_run_key(std::string_view(record.key).substr(record.key.find('/', 4) + 1));
        if (!grant) continue;
        const auto key = task_detail::instance_key(grant->task, grant->cycle);
        const auto stored = read_one(storage, partition, key);
        if (!stored) return fail(stored.error());
        if (!*stored) continue;
        const auto instance = task_detail::decode_instance(**stored);
        if (!instance) return fail(instance.error());
        const auto* last = instance->grant_of(grant->stage);
        if (last == nullptr || last->generation == grant->generation) continue;
        if (auto done = replay_run(request, partition, record, report); !done) return done;
      }
      cursor = page->cursor;
      if (cursor.empty()) break;
    }
  }
  return {};
}

/// Rewards the user has as a group's member: their runs are his, their instance is not.
Result<void> TaskCenter::State::replay_memberships(const ReplayRequest& request, const std::string& partition,
                                                   ReplayReport& report) {
  const auto index = merchants.find(request.merchant);
  std::set<std::string> prefixes;
  for (const auto& [id, versions] : index->versions) {
    if (!request.task.empty() && request.task != id) continue;
    for (const auto& [version, known] : versions) {
      if (!known.task->group) continue;
      for (const auto& stage : known.task->stages)
        prefixes.insert(run_record_key(stage.plan.definition().id,
                                       fmt::format("{}/{}/{}/", request.merchant, request.user, id)));
    }
  }
  for (const auto& prefix : prefixes) {
    for (std::string cursor;;) {
      const auto page = storage.scan(partition, prefix, cursor, limits::page_records);
      if (!page) return fail(page.error());
      for (const auto& record : page->records) {
        if (auto done = replay_run(request, partition, record, report); !done) return done;
      }
      cursor = page->cursor;
      if (cursor.empty()) break;
    }
  }
  return {};
}

Result<void> TaskCenter::State::replay_run(const ReplayRequest& request, const std::string& partition,
                                           const Record& record, ReplayReport& report) {
  const auto run = task_detail::decode_run_view(record);
  if (!run) return fail(run.error());
  const auto slash = record.key.find('/', record.key.find('/') + 1);
  const auto grant = parse_run_key(std::string_view(record.key).substr(slash + 1));
  const bool stopped = run->state == RunState::failed || run->state == RunState::needs_attention;
  if (!stopped || !grant || (!request.cycle.empty() && request.cycle != grant->cycle)) return {};
  const auto name = fmt::format("{}/{}", grant->task, grant->cycle);
  if (std::find(report.pushed.begin(), report.pushed.end(), name) == report.pushed.end())
    report.pushed.push_back(name);
  if (request.dry_run) return {};
  auto again = task_detail::push_on(record);
  if (!again) return fail(std::move(again).error());
  // Refused: another one pushed it on.
  const auto pushed = commit_one(storage, {partition, {*std::move(again)}});
  if (!pushed) return fail(pushed.error());
  return {};
}

Result<void> TaskCenter::State::replay_one(const ReplayRequest& request, const std::string& partition,
                                           const Record& record, Timestamp now, ReplayReport& report) {
  const auto [task, cycle] = task_detail::parse_instance_key(record.key);
  const auto stands =
      view(request.merchant, task_detail::user_owner(request.user), request.user, task, cycle);
  if (!stands) return fail(stands.error());
  if (!*stands) return {};
  const auto& seen = **stands;
  const bool ended = seen.status == Status::terminated || seen.status == Status::expired;
  const auto name = fmt::format("{}/{}", task, cycle);
  // A reward of an unfinished task may have stopped as well.
  const bool stopped = std::any_of(seen.grants.begin(), seen.grants.end(), task_detail::has_stopped);
  if (!ended && !stopped) {
    // Its reward's run was cancelled by an operator, who alone takes that back.
    if (seen.status == Status::failed) report.refused.push_back(name);
    return {};
  }
  const bool by_itself = !ended || seen.reason == "retry_exhausted";
  if (!by_itself && !request.force) {
    report.refused.push_back(name);
    return {};
  }
  if (!by_itself && !request.dry_run) {
    const auto forced = force_on(request, partition, record, now);
    if (!forced) return fail(forced.error());
    if (!*forced) {
      report.refused.push_back(name);
      return {};
    }
  }
  report.pushed.push_back(name);
  if (request.dry_run) return {};
  return push_runs(request, partition, seen);
}

Result<bool> TaskCenter::State::force_on(const ReplayRequest& request, const std::string& partition,
                                         const Record& record, Timestamp now) {
  const auto instance = task_detail::decode_instance(record);
  if (!instance) return fail(instance.error());
  const auto [task, cycle] = task_detail::parse_instance_key(record.key);
  const auto entry = merchants.find(request.merchant)->entry_of(task, instance->version);
  task_detail::Act act{Trigger::replay, 0, request.actor, request.reason, true};
  const auto* quota =
      entry.task != nullptr && entry.task->definition->quota ? &*entry.task->definition->quota : nullptr;
  if (quota != nullptr && quota->at == QuotaAt::claim && instance->unit.empty()) {
    // A try of its own, as each claim's key is: what one took, another one never finds taken.
    const Request asked{request.merchant, request.user, std::string(task), new_owner_id(),
                        std::string(cycle)};
    bool out_of_stock = false;
    auto unit = requests().take_unit_again(asked, entry, instance->claimed_at.value_or(now), out_of_stock);
    if (!unit) return fail(std::move(unit).error());
    if (out_of_stock) return false;
    act.unit = *std::move(unit);
  }
  auto unit = act.unit;
  const auto moved = this->act(std::move(act), request.merchant, request.user, partition, record, now);
  // Not needed: another one was faster. Where this fails it lapses by itself.
  if (unit && (!moved || !moved->skipped.empty()))
    (void)task_detail::Chores(storage, runner, options).lapse({&*unit, 1});
  if (!moved) return fail(moved.error());
  return moved->skipped.empty();
}

Result<void> TaskCenter::State::push_runs(const ReplayRequest& request, const std::string& partition,
                                          const InstanceView& seen) {
  const auto index = merchants.find(request.merchant);
  const auto* task = index->find(seen.task, seen.version);
  if (task == nullptr) return {};
  std::vector<std::string> keys;
  for (const auto& grant : seen.grants) {
    if (!task_detail::has_stopped(grant)) continue;
    const auto& stage = task->stage(grant.stage);
    const auto run_key =
        to_run_key({request.merchant, request.user, seen.task, seen.cycle, grant.stage, grant.generation});
    keys.push_back(run_record_key(stage.plan.definition().id, run_key));
    if (grant.state == "revoked" && stage.take_back)
      keys.push_back(run_record_key(stage.take_back->definition().id, run_key));
  }
  std::vector<RecordRef> refs;
  for (const auto& key : keys) refs.push_back({partition, key});
  const auto stored = task_detail::read_all(storage, refs);
  if (!stored) return fail(stored.error());
  std::vector<Batch> batches;
  for (const auto& record : *stored) {
    if (!record) continue;
    const auto run = task_detail::decode_run_view(*record);
    if (!run) return fail(run.error());
    if (run->state != RunState::failed && run->state != RunState::needs_attention) continue;
    auto again = task_detail::push_on(*record);
    if (!again) return fail(std::move(again).error());
    batches.push_back({partition, {*std::move(again)}});
  }
  // Refused: another one pushed it on.
  const auto pushed = task_detail::commit_all(storage, batches);
  if (!pushed) return fail(pushed.error());
  const task_detail::Line line{partition,         task_detail::instance_key(seen.task, seen.cycle),
                               Trigger::replay,   seen.status,
                               Status::rewarding, request.reason,
                               request.actor};
  if (!batches.empty()) task_detail::tell(options.journal, {&line, 1});
  return {};
}

}  // namespace onceward
