#include <onceward/core/ids.hpp>

#include "task/chores.hpp"
#include "task/record_parts.hpp"

// What is told to the journal, and how lines are kept that may be told only once the caller has committed.
namespace onceward::task_detail {

void tell(Journal* journal, std::span<const Line> lines) {
  if (journal == nullptr) return;
  for (const auto& line : lines) {
    journal->write({.room = "task",
                    .partition = line.partition,
                    .subject = line.subject,
                    .trigger = to_string(line.trigger),
                    .from = to_string(line.from),
                    .to = to_string(line.to),
                    .actor = line.actor,
                    .reason = line.reason});
  }
}

void tell_trouble(Journal* journal, std::string_view partition, std::string_view subject,
                  const Error& error) {
  if (journal == nullptr) return;
  journal->write({.room = "task",
                  .partition = std::string(partition),
                  .subject = std::string(subject),
                  .trigger = "work",
                  .reason = describe(error)});
}

Operation tell_later(std::string_view partition, std::span<const Line> lines) {
  Todo todo{Todo::Kind::tell, {std::string(partition.substr(0, partition.find('/'))), "-", "-", "-"}};
  todo.unit = new_owner_id();
  List kept;
  for (const auto& line : lines) {
    kept.push_back(List{line.subject, static_cast<std::int64_t>(line.trigger), to_string(line.from),
                        to_string(line.to), line.reason, line.actor});
  }
  todo.event = std::move(kept);
  return Operation::insert(todo_key(todo), encode(todo), {.due_in = Duration::zero()});
}

Result<std::vector<Line>> kept_lines(const WaitingTodo& todo) {
  std::vector<Line> lines;
  if (todo.todo.event.list() == nullptr) return corrupt(todo.key);
  for (const auto& item : *todo.todo.event.list()) {
    constexpr std::size_t members = 6;
    if (item.list() == nullptr || item.list()->size() != members) return corrupt(todo.key);
    const auto& list = *item.list();
    const auto* trigger = list[1].integer();
    const auto text = [&](std::size_t place) { return list[place].string(); };
    const auto from = text(2) == nullptr ? std::nullopt : parse_status(*text(2));
    const auto to = text(3) == nullptr ? std::nullopt : parse_status(*text(3));
    const bool known = trigger != nullptr && *trigger >= 0 && *trigger < static_cast<std::int64_t>(triggers);
    if (!known || !text(0) || !from || !to || !text(4) || !text(5)) return corrupt(todo.key);
    lines.push_back(
        {todo.partition, *text(0), static_cast<Trigger>(*trigger), *from, *to, *text(4), *text(5)});
  }
  return lines;
}

Result<void> Chores::tell_kept(std::span<const WaitingTodo> todos) {
  if (options_.journal == nullptr) return {};
  std::vector<std::vector<Line>> lines;
  std::vector<Batch> batches;
  for (const auto& todo : todos) {
    auto kept = kept_lines(todo);
    if (!kept) return fail(std::move(kept).error());
    lines.push_back(*std::move(kept));
    batches.push_back({todo.partition, {Operation::remove(todo.key, todo.revision)}});
  }
  const auto answers = commit_all(storage_, batches);
  if (!answers) return fail(answers.error());
  for (std::size_t i = 0; i < batches.size(); ++i) {
    // Refused: another process has told them.
    if ((*answers)[i].applied()) tell(options_.journal, lines[i]);
  }
  return {};
}

}  // namespace onceward::task_detail
