#include "pipeline/storable.hpp"
#include "task/eligible.hpp"
#include "task/requests.hpp"
#include "task/sheet.hpp"
#include "task/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

// Everything that keeps a user from a task, and when it changes.
namespace onceward::task_detail {
namespace {

/// Why a task that is known is not in force here: what its merchant's sheets say of it.
Result<Cause> offline_cause(Storage& storage, std::string_view merchant, std::string_view task) {
  Cause cause{"not_online", "the merchant does not offer it now"};
  const auto partition = drafts_partition(merchant);
  const auto prefix = sheet_key(task, "");
  for (std::string cursor;;) {
    const auto page = storage.scan(partition, prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& record : page->records) {
      const auto found = decode_sheet(record);
      if (!found) return fail(found.error());
      const auto& sheet = found->sheet;
      if (sheet.state == Publication::paused) cause.message = "the merchant has paused it";
      if (sheet.state != Publication::scheduled || !sheet.online_at) continue;
      cause.changes_at = std::min(cause.changes_at.value_or(*sheet.online_at), *sheet.online_at);
    }
    cursor = page->cursor;
    if (cursor.empty()) return cause;
  }
}

/// Of what comes first, each task that is not rewarded in its cycle of the time asked. Where that cycle can
/// bring no reward any more, the next one may.
Result<std::vector<Cause>> prerequisite_causes(Storage& storage, const MerchantIndex& merchant,
                                               const Request& request, std::span<const std::string> tasks,
                                               Timestamp at) {
  std::vector<ViewWanted> wanted;
  for (const auto& id : tasks)
    wanted.push_back(prerequisite(merchant, request.merchant, request.user, id, at));
  const auto views = read_views(storage, wanted);
  if (!views) return fail(views.error());
  std::vector<Cause> causes;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const auto& view = (*views)[i];
    if (view && view->status == Status::rewarded) continue;
    Cause cause{"prerequisite",
                fmt::format("\"{}\" comes first: {}", tasks[i],
                            view ? fmt::format("it is {}", to_string(view->status)) : "it is not taken")};
    const auto* task = merchant.in_force(tasks[i]);
    const bool over = view && (view->status == Status::terminated || view->status == Status::expired) &&
                      view->reason != "retry_exhausted";
    if (task != nullptr && over) {
      const auto& calendar = task->calendar;
      cause.changes_at = next_cycle_at(*task->definition, calendar.end_of(calendar.number_of(at)));
    } else if (task != nullptr && !view && task->definition->starts && at < *task->definition->starts) {
      cause.changes_at = task->definition->starts;
    }
    causes.push_back(std::move(cause));
  }
  return causes;
}

}  // namespace

Result<std::optional<Cause>> Requests::audience_of(const Asked& asked) {
  const auto& task = *asked.entry.task;
  if (!task.audience) return std::optional<Cause>();
  UserProfile profile;
  if (options_.profile) {
    auto known = options_.profile(asked.request->merchant, asked.request->user);
    if (!known) return fail(std::move(known).error());
    profile = *std::move(known);
  }
  const Binding names[] = {{"profile", &profile.attributes}, {"user", nullptr, asked.request->user}};
  const auto belongs = task.audience->test(names);
  if (!belongs && belongs.error().code != ErrorCode::unknown_name) return fail(belongs.error());
  if (belongs && *belongs) return std::optional<Cause>();
  return std::optional(
      Cause{"audience", fmt::format("the user does not belong to: {}; it depends on the user's profile",
                                    task.audience->text())});
}

Result<std::vector<Cause>> Requests::causes_of(const Asked& asked, std::optional<InstanceView>& view) {
  const auto& definition = *asked.entry.task->definition;
  const auto& request = *asked.request;
  const auto quota = quota_partition(request.merchant, request.task);
  const auto counter = counter_key(request.task);
  const auto count = definition.quota ? "count/" + quota_period(asked.entry, asked.at) : std::string("count");
  const RecordRef counts[] = {{asked.partition, counter}, {quota, count}};
  Beside beside{counts};
  auto stands = view_of(asked, &beside);
  if (!stands) return fail(std::move(stands).error());
  view = *std::move(stands);
  if (!view && !asked.cycle_exists) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("task \"{}\" has no cycle \"{}\"; leave it empty for the one of the time asked",
                            request.task, pipeline_detail::readable(asked.cycle, request.cycle.size())));
  }
  auto causes = window_causes(asked.entry, asked.at);
  if (!asked.entry.in_force) {
    auto offline = offline_cause(storage_, request.merchant, request.task);
    if (!offline) return fail(std::move(offline).error());
    causes.insert(causes.begin(), *std::move(offline));
  }
  // A task is begun in the cycle of the time it is asked for: each cycle has rewards of its own.
  if (!view && asked.other_cycle) causes.push_back(*asked.other_cycle);
  if (auto late = late_cause(asked.entry, asked.cycle_end, asked.now)) causes.push_back(*std::move(late));
  auto audience = audience_of(asked);
  if (!audience) return fail(std::move(audience).error());
  if (*audience) causes.push_back(**std::move(audience));
  if (!definition.after.empty()) {
    auto missing = prerequisite_causes(storage_, *asked.merchant, request, definition.after, asked.at);
    if (!missing) return fail(std::move(missing).error());
    std::move(missing->begin(), missing->end(), std::back_inserter(causes));
  }
  count_causes(asked.entry, beside.records[0], beside.records[1], asked.at, causes);
  return causes;
}

Result<Explanation> Requests::explain(const Request& request) {
  auto named = request;
  if (named.key.empty()) named.key = "explain";
  const auto asked = ask(Trigger::claim, named);
  if (!asked) return fail(asked.error());
  Explanation explanation{request.task, asked->cycle};
  auto causes = causes_of(*asked, explanation.view);
  if (!causes) return fail(std::move(causes).error());
  explanation.causes = *std::move(causes);
  if (explanation.view) {
    Cause cause{"wrong_state", fmt::format("the user has it: {}", to_string(explanation.view->status))};
    cause.changes_at = next_cycle_at(*asked->entry.task->definition, asked->cycle_end);
    explanation.causes.push_back(std::move(cause));
  }
  return explanation;
}

}  // namespace onceward::task_detail
