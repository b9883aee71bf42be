#include "storage/due_of.hpp"
#include "task/center_state.hpp"

#include <algorithm>

// Units that nobody has a right to any more, and that nobody has given back yet.
namespace onceward {
namespace {

/// Where units are gone, callers come in thousands: they do not all look.
constexpr auto look_every = std::chrono::milliseconds(100);

bool holds_unit(const Record& record, std::string_view task) {
  if (record.key.starts_with(task_detail::instance_prefix))
    return task_detail::parse_instance_key(record.key).first == task;
  if (!record.key.starts_with(task_detail::todo_prefix)) return false;
  const auto todo = task_detail::decode_todo(record);
  return todo && todo->grant.task == task &&
         (todo->kind == task_detail::Todo::Kind::claim || todo->kind == task_detail::Todo::Kind::return_unit);
}

}  // namespace

Result<bool> TaskCenter::State::free_lapsed(std::string_view merchant, std::string_view task, Timestamp now) {
  const auto index = merchants.find(merchant);
  const auto* known = index == nullptr ? nullptr : index->in_force(task);
  if (known == nullptr || !known->definition->quota || known->definition->quota->at != QuotaAt::claim)
    return false;
  {
    const std::lock_guard lock(looking);
    const auto [last, fresh] = last_looks.try_emplace(std::string(merchant) + "/" + std::string(task), now);
    if (!fresh && now >= last->second && now < last->second + look_every) return false;
    last->second = now;
  }
  const auto users = task_detail::user_partition(merchant, "");
  const auto holds = [&](const DuePage::Entry& entry) {
    return entry.partition.starts_with(users) && holds_unit(entry.record, task);
  };
  // Where nothing is done after a batch (store_only), a hold that ends leaves its unit to the second look.
  const int looks = options.store_only ? 2 : 1;
  bool found = false;
  for (int look = 0; look < looks; ++look) {
    auto looked = storage_detail::due_of(storage, 1, holds);
    if (!looked) return fail(std::move(looked).error());
    auto& page = looked->page;
    std::erase_if(page.entries, [&](const DuePage::Entry& entry) { return !holds(entry); });
    if (page.entries.empty()) break;
    found = true;
    auto due = look_at_due(page, page.entries.size());
    if (!due) return fail(std::move(due).error());
    std::vector<task_detail::WaitingRun> runs;
    task_detail::Reporter reporter(storage, runner, options);
    if (auto done = reporter.do_todos(due->todos, runs, {}); !done) return fail(std::move(done).error());
  }
  return found;
}

}  // namespace onceward
