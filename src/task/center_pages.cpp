#include <onceward/core/timestamp.hpp>

#include "task/center_state.hpp"
#include "task/chores.hpp"

#include <fmt/format.h>

#include <algorithm>

// Pages of tasks, imports of lines.
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

}  // namespace onceward
