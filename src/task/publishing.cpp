#include "storage/due_of.hpp"
#include "task/admin_state.hpp"

#include <fmt/format.h>

#include <algorithm>

// What of a merchant's sheets users see, and how that changes.
namespace onceward {

using task_detail::SheetAct;
using task_detail::SheetRecord;

namespace {

/// Whether a task may stop to be offered: nothing online names it in `after`. What else may be wrong with the
/// others keeps nobody from stopping it.
Result<void> nobody_after(std::string_view task, std::span<const SheetRecord> sheets) {
  const bool stays = std::any_of(sheets.begin(), sheets.end(), [&](const SheetRecord& record) {
    return record.sheet.task == task && record.sheet.state == Publication::online;
  });
  if (stays) return {};
  for (const auto& record : sheets) {
    if (record.sheet.state != Publication::online) continue;
    const auto parsed = parse_campaign_xml(record.xml, record.sheet.task);
    if (!parsed || parsed->tasks.empty()) continue;
    const auto& after = parsed->tasks.front().after;
    if (std::find(after.begin(), after.end(), task) == after.end()) continue;
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("task \"{}\" comes after \"{}\": stop it first, or put a version of it online that "
                    "does not",
                    record.sheet.task, task));
  }
  return {};
}

}  // namespace

/// An act that changes what users see: all it changes, and that nothing else changed what is online
/// meanwhile, is one batch, made only where the outcome can be published.
Result<void> TaskAdmin::State::change_online(const Acting& who, std::string_view task,
                                             std::string_view version, const Change& change) {
  const auto partition = task_detail::drafts_partition(who.merchant);
  const auto fence = read_one(storage, partition, task_detail::online_key);
  if (!fence) return fail(fence.error());
  if (auto found = find(who, task, version); !found) return fail(std::move(found).error());
  const auto found = all(who.merchant);
  if (!found) return fail(found.error());
  std::vector<SheetRecord> sheets;
  std::vector<Move> moves;
  const auto move = [&](const Found& from, SheetAct act, std::string_view reason) -> Result<void> {
    const auto to = moved(from.record.sheet, act);
    if (!to) return fail(to.error());
    sheets.back().sheet.state = *to;
    sheets.back().sheet.online_at.reset();
    moves.push_back({&from, sheets.back(), task_detail::to_string(act), reason});
    return {};
  };
  for (const auto& from : *found) {
    sheets.push_back(from.record);
    const auto& sheet = from.record.sheet;
    if (sheet.task != task) continue;
    Result<void> done;
    if (sheet.version == version) {
      done = move(from, change.act, change.reason);
      // The act's own sheet is the one that is told about.
      if (done) std::swap(moves.front(), moves.back());
    } else if (change.act == SheetAct::put_online &&
               (sheet.state == Publication::online || sheet.state == Publication::paused)) {
      done = move(from, SheetAct::take_offline, "another version went online");
    }
    if (!done) return done;
  }
  if (change.act == SheetAct::put_online) {
    const auto campaign = campaign_of(who.merchant, sheets, fmt::format("{}/{}", task, version));
    if (!campaign) return fail(campaign.error());
    if (auto accepted = center.check(*campaign); !accepted) return accepted;
  } else if (auto free = nobody_after(task, sheets); !free) {
    return free;
  }
  const std::string online(task_detail::online_key);
  const auto value = fmt::format("{}/{}", task, version);
  return write(
      who, moves,
      *fence ? Operation::replace(online, (*fence)->revision, value) : Operation::insert(online, value));
}

/// The task as XML, compiled with what is online so that what is approved can go online.
Result<std::string> TaskAdmin::State::compile(const Acting& who, const TaskSheet& sheet) {
  const auto setup = setup_of(who.merchant);
  if (!setup) return fail(setup.error());
  auto task = make(sheet);
  if (!task) return fail(std::move(task).error());
  auto xml = to_xml(CampaignDefinition{setup->merchant, setup->timezone, {*std::move(task)}});
  const auto found = all(who.merchant);
  if (!found) return fail(found.error());
  std::vector<SheetRecord> sheets{{sheet, xml}};
  sheets.front().sheet.state = Publication::online;
  for (const auto& other : *found) {
    if (other.record.sheet.task != sheet.task) sheets.push_back(other.record);
  }
  const auto campaign = campaign_of(who.merchant, sheets, fmt::format("{}/{}", sheet.task, sheet.version));
  if (!campaign) return fail(campaign.error());
  if (auto accepted = center.check(*campaign); !accepted) return fail(std::move(accepted).error());
  return xml;
}

/// Of these sheets those that are online, with the merchant's pipelines.
Result<Campaign> TaskAdmin::State::campaign_of(std::string_view merchant, std::span<const SheetRecord> sheets,
                                               std::string_view path) {
  const auto setup = setup_of(merchant);
  if (!setup) return fail(setup.error());
  CampaignDefinition campaign{setup->merchant, setup->timezone};
  campaign.pipelines = setup->pipelines;
  for (const auto& record : sheets) {
    if (record.sheet.state != Publication::online) continue;
    auto parsed = parse_campaign_xml(record.xml, record.sheet.task);
    if (!parsed) return fail(std::move(parsed).error());
    for (auto& task : parsed->tasks) {
      // The zone is part of what was submitted, whatever the merchant is set up with now.
      if (task.timezone.empty() && parsed->timezone != campaign.timezone) task.timezone = parsed->timezone;
      campaign.tasks.push_back(std::move(task));
    }
  }
  return Campaign::compile(campaign, steps, path);
}

Result<void> TaskAdmin::put_online(const Acting& who, std::string_view task, std::string_view version) {
  if (auto moved = state_->change_online(who, task, version, {SheetAct::put_online}); !moved) return moved;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::pause(const Acting& who, std::string_view task, std::string_view version,
                              std::string_view reason) {
  if (auto moved = state_->change_online(who, task, version, {SheetAct::pause, reason}); !moved) return moved;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::take_offline(const Acting& who, std::string_view task, std::string_view version,
                                     std::string_view reason) {
  if (auto moved = state_->change_online(who, task, version, {SheetAct::take_offline, reason}); !moved)
    return moved;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::refresh(std::string_view merchant) {
  if (const auto setup = state_->setup_of(merchant); !setup) return fail(setup.error());
  const std::lock_guard lock(state_->refreshing);
  auto found = state_->all(merchant);
  if (!found) return fail(std::move(found).error());
  std::vector<SheetRecord> sheets;
  for (auto& one : *found) sheets.push_back(std::move(one.record));
  const auto campaign = state_->campaign_of(merchant, sheets, merchant);
  if (!campaign) return fail(campaign.error());
  return state_->center.publish(*campaign);
}

Result<std::size_t> TaskAdmin::work() {
  const auto is_schedule = [](const DuePage::Entry& entry) {
    return entry.record.key.starts_with(task_detail::sheet_prefix) && entry.partition.ends_with("/drafts");
  };
  const auto due = storage_detail::due_of(state_->storage, limits::page_records, is_schedule);
  if (!due) return fail(due.error());
  std::size_t done = 0;
  std::optional<Error> refused;
  for (const auto& entry : due->page.entries) {
    if (!is_schedule(entry)) continue;
    const auto& [partition, stored] = entry;
    const auto record = task_detail::decode_sheet(stored);
    if (!record) return fail(record.error());
    const Acting timer{partition.substr(0, partition.find('/')), "schedule"};
    auto put = put_online(timer, record->sheet.task, record->sheet.version);
    // A merchant that is not set up here is another process's.
    if (!put && put.error().code == ErrorCode::not_found) continue;
    if (!put && retry_advice(put.error().code) != RetryAdvice::give_up) return fail(std::move(put).error());
    // One that cannot go online keeps no other from it.
    if (put) {
      ++done;
    } else {
      refused = std::move(put).error();
    }
  }
  if (refused) return fail(*std::move(refused));
  return done;
}

}  // namespace onceward
