#include <onceward/core/ids.hpp>
#include <onceward/task/task_admin.hpp>

#include "task/compiled.hpp"
#include "task/sheet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace onceward {

using task_detail::SheetAct;
using task_detail::SheetRecord;

namespace {

constexpr std::size_t most_audit_lines = 10'000;
constexpr std::size_t most_name = 200;

std::string audit_key(Timestamp at) {
  return fmt::format("{}{:020}/{}", task_detail::audit_prefix, at.time_since_epoch().count(), new_owner_id());
}

}  // namespace

struct TaskAdmin::State {
  Storage& storage;
  TaskCenter& center;
  const StepRegistry& steps;
  const TaskTypes& types;
  std::mutex mutex{};
  std::map<std::string, MerchantSetup, std::less<>> merchants{};

  struct Found {
    SheetRecord record;
    Revision revision = absent;
    Timestamp now{};
  };
  struct Change {
    SheetAct act;
    std::string_view reason{};
    std::optional<Timestamp> online_at{};
  };

  Result<MerchantSetup> setup_of(std::string_view merchant) {
    const std::lock_guard lock(mutex);
    const auto known = merchants.find(merchant);
    if (known == merchants.end())
      return fail(ErrorCode::not_found, fmt::format("the merchant \"{}\" is not set up", merchant));
    return known->second;
  }
  Result<Found> find(const Acting& who, std::string_view task, std::string_view version);
  Result<void> begin(const Acting& who, TaskSheet sheet, std::string_view act);
  Result<void> write(const Acting& who, const Found& found, SheetRecord record, std::string_view act,
                     const Change& change);
  Result<void> change(const Acting& who, std::string_view task, std::string_view version,
                      const Change& change);
  Result<TaskDefinition> make(const TaskSheet& sheet);
  Result<std::string> compile(const Acting& who, const TaskSheet& sheet);
  Result<std::vector<SheetRecord>> all(std::string_view merchant);
  Result<void> retire_others(const Acting& who, std::string_view task, std::string_view version);
};

TaskAdmin::TaskAdmin(Storage& storage, TaskCenter& center, const StepRegistry& steps, const TaskTypes& types)
    : state_(new State{storage, center, steps, types}) {}
TaskAdmin::~TaskAdmin() = default;

void TaskAdmin::set_up(MerchantSetup setup) {
  const std::lock_guard lock(state_->mutex);
  auto name = setup.merchant;
  state_->merchants.insert_or_assign(std::move(name), std::move(setup));
}

Result<TaskAdmin::State::Found> TaskAdmin::State::find(const Acting& who, std::string_view task,
                                                       std::string_view version) {
  if (who.actor.empty() || who.actor.size() > most_name)
    return fail(ErrorCode::invalid_argument, "every act needs an actor of 1 to 200 bytes");
  if (auto setup = setup_of(who.merchant); !setup) return fail(std::move(setup).error());
  const auto partition = task_detail::drafts_partition(who.merchant);
  const auto key = task_detail::sheet_key(task, version);
  const RecordRef ref{partition, key};
  const auto stored = storage.read({&ref, 1});
  if (!stored) return fail(stored.error());
  if (!stored->records[0]) {
    return fail(ErrorCode::not_found,
                fmt::format("the merchant \"{}\" has no version \"{}\" of a task \"{}\"", who.merchant,
                            version, task));
  }
  auto record = task_detail::decode_sheet(*stored->records[0]);
  if (!record) return fail(std::move(record).error());
  return Found{*std::move(record), stored->records[0]->revision, stored->now};
}

Result<TaskDefinition> TaskAdmin::State::make(const TaskSheet& sheet) {
  auto task = types.make(sheet.type, sheet.fields);
  if (!task) return task;
  task->id = sheet.task;
  task->version = sheet.version;
  task->title = sheet.title;
  return task;
}

Result<void> TaskAdmin::State::begin(const Acting& who, TaskSheet sheet, std::string_view act) {
  if (who.actor.empty() || who.actor.size() > most_name)
    return fail(ErrorCode::invalid_argument, "every act needs an actor of 1 to 200 bytes");
  if (auto setup = setup_of(who.merchant); !setup) return fail(std::move(setup).error());
  if (auto made = make(sheet); !made) return fail(std::move(made).error());
  sheet.state = Publication::draft;
  sheet.author = who.actor;
  sheet.approver.clear();
  sheet.online_at.reset();
  const auto partition = task_detail::drafts_partition(who.merchant);
  const auto key = task_detail::sheet_key(sheet.task, sheet.version);
  const RecordRef ref{partition, key};
  const auto stored = storage.read({&ref, 1});
  if (!stored) return fail(stored.error());
  const AuditLine line{stored->now, who.actor, std::string(act), sheet.task, sheet.version};
  const auto written =
      commit_one(storage, {partition,
                           {Operation::insert(key, task_detail::encode(SheetRecord{std::move(sheet)})),
                            Operation::insert(audit_key(stored->now), task_detail::encode(line))}});
  if (!written) return fail(written.error());
  if (written->applied()) return {};
  return fail(ErrorCode::conflict,
              fmt::format("version \"{}\" of task \"{}\" is there; a version never changes, "
                          "begin another one",
                          line.version, line.task));
}

Result<void> TaskAdmin::State::write(const Acting& who, const Found& found, SheetRecord record,
                                     std::string_view act, const Change& change) {
  const auto& sheet = record.sheet;
  const AuditLine line{found.now,  who.actor,     std::string(act),
                       sheet.task, sheet.version, std::string(change.reason)};
  Timing timing;
  if (sheet.state == Publication::scheduled && sheet.online_at)
    timing.due_in =
        std::clamp(Duration(*sheet.online_at - found.now), Duration::zero(), Duration(limits::duration_us));
  const auto written =
      commit_one(storage, {task_detail::drafts_partition(who.merchant),
                           {Operation::replace(task_detail::sheet_key(sheet.task, sheet.version),
                                               found.revision, task_detail::encode(record), timing),
                            Operation::insert(audit_key(found.now), task_detail::encode(line))}});
  if (!written) return fail(written.error());
  if (written->applied()) return {};
  return fail(ErrorCode::conflict,
              fmt::format("another actor changed version \"{}\" of task \"{}\" meanwhile; look at it again",
                          sheet.version, sheet.task));
}

Result<void> TaskAdmin::State::change(const Acting& who, std::string_view task, std::string_view version,
                                      const Change& change) {
  auto found = find(who, task, version);
  if (!found) return fail(std::move(found).error());
  auto record = found->record;
  const auto to = task_detail::next(record.sheet.state, change.act);
  if (!to) {
    return fail(ErrorCode::wrong_state,
                fmt::format("version \"{}\" of task \"{}\" is {}: {} is not defined from there", version,
                            task, to_string(record.sheet.state), task_detail::to_string(change.act)));
  }
  if (change.act == SheetAct::approve && record.sheet.author == who.actor) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" wrote version \"{}\" of task \"{}\"; somebody else approves it",
                            who.actor, version, task));
  }
  if (change.act == SheetAct::submit) {
    auto xml = compile(who, record.sheet);
    if (!xml) return fail(std::move(xml).error());
    record.xml = *std::move(xml);
  }
  if (change.act == SheetAct::approve) record.sheet.approver = who.actor;
  record.sheet.state = *to;
  record.sheet.online_at = change.online_at;
  return write(who, *found, std::move(record), task_detail::to_string(change.act), change);
}

/// The task as XML, compiled with the merchant's pipelines so that what is approved can go online.
Result<std::string> TaskAdmin::State::compile(const Acting& who, const TaskSheet& sheet) {
  const auto setup = setup_of(who.merchant);
  if (!setup) return fail(setup.error());
  auto task = make(sheet);
  if (!task) return fail(std::move(task).error());
  CampaignDefinition campaign{setup->merchant, setup->timezone};
  // What comes before it is checked against the tasks the merchant has.
  campaign.tasks.push_back(*task);
  auto others = all(who.merchant);
  if (!others) return fail(std::move(others).error());
  for (const auto& other : *others) {
    if (other.sheet.state != Publication::online || other.sheet.task == sheet.task) continue;
    auto parsed = parse_campaign_xml(other.xml, other.sheet.task);
    if (parsed && !parsed->tasks.empty()) campaign.tasks.push_back(std::move(parsed->tasks.front()));
  }
  campaign.pipelines = setup->pipelines;
  const auto path = fmt::format("{}/{}", sheet.task, sheet.version);
  if (auto compiled = Campaign::compile(campaign, steps, path); !compiled)
    return fail(std::move(compiled).error());
  return to_xml(CampaignDefinition{setup->merchant, setup->timezone, {*std::move(task)}});
}

Result<std::vector<SheetRecord>> TaskAdmin::State::all(std::string_view merchant) {
  std::vector<SheetRecord> records;
  const auto partition = task_detail::drafts_partition(merchant);
  for (std::string cursor;;) {
    const auto page = storage.scan(partition, task_detail::sheet_prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& stored : page->records) {
      auto record = task_detail::decode_sheet(stored);
      if (!record) return fail(std::move(record).error());
      records.push_back(*std::move(record));
    }
    cursor = page->cursor;
    if (cursor.empty()) return records;
  }
}

/// Of a task one version is online: the others go offline.
Result<void> TaskAdmin::State::retire_others(const Acting& who, std::string_view task,
                                             std::string_view version) {
  const auto records = all(who.merchant);
  if (!records) return fail(records.error());
  for (const auto& record : *records) {
    const auto& sheet = record.sheet;
    if (sheet.task != task || sheet.version == version) continue;
    if (sheet.state != Publication::online && sheet.state != Publication::paused) continue;
    auto retired =
        change(who, sheet.task, sheet.version, {SheetAct::take_offline, "another version went online"});
    if (!retired) return retired;
  }
  return {};
}

Result<void> TaskAdmin::draft(const Acting& who, const TaskSheet& sheet) {
  return state_->begin(who, sheet, "draft");
}

Result<void> TaskAdmin::edit(const Acting& who, const TaskSheet& sheet) {
  auto found = state_->find(who, sheet.task, sheet.version);
  if (!found) return fail(std::move(found).error());
  auto record = found->record;
  if (record.sheet.state != Publication::draft) {
    return fail(ErrorCode::wrong_state,
                fmt::format("version \"{}\" of task \"{}\" is {}; begin another version to change it",
                            sheet.version, sheet.task, to_string(record.sheet.state)));
  }
  if (auto made = state_->make(sheet); !made) return fail(std::move(made).error());
  record.sheet.type = sheet.type;
  record.sheet.fields = sheet.fields;
  record.sheet.title = sheet.title;
  // Who changed it last may not approve it either.
  record.sheet.author = who.actor;
  return state_->write(who, *found, std::move(record), "edit", {SheetAct::edit});
}

Result<void> TaskAdmin::clone(const Acting& who, std::string_view task, std::string_view version,
                              std::string_view to_task, std::string_view to_version) {
  auto found = state_->find(who, task, version);
  if (!found) return fail(std::move(found).error());
  auto sheet = found->record.sheet;
  sheet.task = to_task;
  sheet.version = to_version;
  return state_->begin(who, std::move(sheet), "clone");
}

Result<void> TaskAdmin::submit(const Acting& who, std::string_view task, std::string_view version) {
  return state_->change(who, task, version, {SheetAct::submit});
}
Result<void> TaskAdmin::approve(const Acting& who, std::string_view task, std::string_view version) {
  return state_->change(who, task, version, {SheetAct::approve});
}
Result<void> TaskAdmin::reject(const Acting& who, std::string_view task, std::string_view version,
                               std::string_view reason) {
  return state_->change(who, task, version, {SheetAct::reject, reason});
}
Result<void> TaskAdmin::schedule(const Acting& who, std::string_view task, std::string_view version,
                                 Timestamp at) {
  return state_->change(who, task, version, {SheetAct::schedule, {}, at});
}
Result<void> TaskAdmin::put_online(const Acting& who, std::string_view task, std::string_view version) {
  if (auto moved = state_->change(who, task, version, {SheetAct::put_online}); !moved) return moved;
  if (auto retired = state_->retire_others(who, task, version); !retired) return retired;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::pause(const Acting& who, std::string_view task, std::string_view version,
                              std::string_view reason) {
  if (auto moved = state_->change(who, task, version, {SheetAct::pause, reason}); !moved) return moved;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::take_offline(const Acting& who, std::string_view task, std::string_view version,
                                     std::string_view reason) {
  if (auto moved = state_->change(who, task, version, {SheetAct::take_offline, reason}); !moved) return moved;
  return refresh(who.merchant);
}
Result<void> TaskAdmin::archive(const Acting& who, std::string_view task, std::string_view version) {
  return state_->change(who, task, version, {SheetAct::archive});
}

Result<std::vector<TaskSheet>> TaskAdmin::sheets(std::string_view merchant) {
  auto records = state_->all(merchant);
  if (!records) return fail(std::move(records).error());
  std::vector<TaskSheet> sheets;
  for (auto& record : *records) sheets.push_back(std::move(record.sheet));
  return sheets;
}

Result<std::vector<AuditLine>> TaskAdmin::audit(std::string_view merchant) {
  std::vector<AuditLine> lines;
  const auto partition = task_detail::drafts_partition(merchant);
  for (std::string cursor;;) {
    const auto page =
        state_->storage.scan(partition, task_detail::audit_prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& record : page->records) {
      auto line = task_detail::decode_audit(record);
      if (!line) return fail(std::move(line).error());
      lines.push_back(*std::move(line));
    }
    if (lines.size() > most_audit_lines)
      lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(most_audit_lines));
    cursor = page->cursor;
    if (cursor.empty()) return lines;
  }
}

Result<void> TaskAdmin::refresh(std::string_view merchant) {
  const auto setup = state_->setup_of(merchant);
  if (!setup) return fail(setup.error());
  const auto records = state_->all(merchant);
  if (!records) return fail(records.error());
  CampaignDefinition campaign{setup->merchant, setup->timezone};
  campaign.pipelines = setup->pipelines;
  for (const auto& record : *records) {
    if (record.sheet.state != Publication::online) continue;
    auto parsed = parse_campaign_xml(record.xml, record.sheet.task);
    if (!parsed) return fail(std::move(parsed).error());
    std::move(parsed->tasks.begin(), parsed->tasks.end(), std::back_inserter(campaign.tasks));
  }
  auto compiled = Campaign::compile(campaign, state_->steps, merchant);
  if (!compiled) return fail(std::move(compiled).error());
  return state_->center.publish(*compiled);
}

Result<std::size_t> TaskAdmin::work() {
  const auto due = state_->storage.due({}, limits::page_records);
  if (!due) return fail(due.error());
  std::size_t done = 0;
  for (const auto& [partition, stored] : due->entries) {
    if (!stored.key.starts_with(task_detail::sheet_prefix) || !partition.ends_with("/drafts")) continue;
    const auto record = task_detail::decode_sheet(stored);
    if (!record) return fail(record.error());
    const Acting timer{partition.substr(0, partition.find('/')), "schedule"};
    const auto put = put_online(timer, record->sheet.task, record->sheet.version);
    // A merchant that is not set up here is another process's.
    if (!put && put.error().code == ErrorCode::not_found) continue;
    if (!put) return fail(put.error());
    ++done;
  }
  return done;
}

}  // namespace onceward
