#include "task/eligible.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>

namespace onceward {

std::string_view to_string(Reply::Outcome outcome) noexcept {
  constexpr std::array<std::string_view, 5> names = {"done", "wrong_state", "not_eligible", "out_of_stock",
                                                     "late"};
  return names[static_cast<std::size_t>(outcome)];
}

namespace task_detail {
namespace {

std::int64_t number_of(const std::optional<Record>& record) noexcept {
  std::int64_t number = 0;
  if (record) std::from_chars(record->value.data(), record->value.data() + record->value.size(), number);
  return number;
}

}  // namespace

std::vector<Cause> window_causes(const IndexEntry& entry, Timestamp at) {
  std::vector<Cause> causes;
  const auto& task = *entry.task->definition;
  if (task.starts && at < *task.starts) causes.push_back({"not_started", "it has not begun", task.starts});
  if (task.ends && at >= *task.ends) causes.push_back({"ended", "it is over"});
  return causes;
}

std::optional<Cause> late_cause(const IndexEntry& entry, Timestamp cycle_end, Timestamp now) {
  const auto& task = *entry.task->definition;
  const auto end = std::min(cycle_end, task.ends.value_or(Timestamp::max()));
  if (!task.late || end == Timestamp::max() || now < end + *task.late) return std::nullopt;
  return Cause{"late", "its grace is over: what happened in this cycle counts no more"};
}

std::optional<Timestamp> next_cycle_at(const TaskDefinition& task, Timestamp cycle_end) noexcept {
  const bool none = cycle_end == Timestamp::max() || (task.ends && cycle_end >= *task.ends);
  return none ? std::nullopt : std::optional(cycle_end);
}

std::string quota_period(const IndexEntry& entry, Timestamp at) {
  return cycle_of(entry.task->definition->quota->per, entry.zone(), at);
}

Cause stock_cause(const IndexEntry& entry, Timestamp at) {
  const auto& quota = *entry.task->definition->quota;
  Cause cause{"out_of_stock", fmt::format("all {} are gone", quota.limit)};
  if (quota.per != Period::once) {
    const Calendar calendar({quota.per}, entry.zone());
    cause.changes_at = calendar.end_of(calendar.number_of(at));
  }
  return cause;
}

void count_causes(const IndexEntry& entry, const std::optional<Record>& claims,
                  const std::optional<Record>& units, Timestamp at, std::vector<Cause>& causes) {
  const auto& task = *entry.task->definition;
  if (task.per_user != 0 && number_of(claims) >= task.per_user) {
    causes.push_back(
        {"limit",
         fmt::format("the user has taken it {} times, as often as allowed over all cycles", task.per_user)});
  }
  if (task.quota && number_of(units) >= task.quota->limit) causes.push_back(stock_cause(entry, at));
}

Reply::Outcome outcome_of(std::span<const Cause> causes) noexcept {
  const auto only = [&](std::initializer_list<std::string_view> codes) {
    return std::all_of(causes.begin(), causes.end(), [&](const Cause& cause) {
      return std::find(codes.begin(), codes.end(), cause.code) != codes.end();
    });
  };
  if (only({"out_of_stock"})) return Reply::Outcome::out_of_stock;
  return only({"ended", "late"}) ? Reply::Outcome::late : Reply::Outcome::not_eligible;
}

}  // namespace task_detail
}  // namespace onceward
