#include <onceward/core/ids.hpp>

#include "task/admin_state.hpp"
#include "task/check_task.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using task_detail::SheetAct;
using task_detail::SheetRecord;

namespace {

constexpr std::size_t most_audit_lines = 10'000;
constexpr std::size_t most_name = 200;

std::string audit_key(Timestamp at) {
  return fmt::format("{}{:020}/{}", task_detail::audit_prefix, at.time_since_epoch().count(), new_owner_id());
}

void add_author(TaskSheet& sheet, const std::string& actor) {
  sheet.author = actor;
  auto& authors = sheet.authors;
  if (std::find(authors.begin(), authors.end(), actor) == authors.end()) authors.push_back(actor);
}

}  // namespace

TaskAdmin::TaskAdmin(Storage& storage, TaskCenter& center, const StepRegistry& steps, const TaskTypes& types)
    : state_(new State{storage, center, steps, types}) {}
TaskAdmin::~TaskAdmin() = default;

void TaskAdmin::set_up(MerchantSetup setup) {
  const std::lock_guard lock(state_->mutex);
  auto name = setup.merchant;
  state_->merchants.insert_or_assign(std::move(name), std::move(setup));
}

Result<MerchantSetup> TaskAdmin::State::setup_of(std::string_view merchant) {
  const std::lock_guard lock(mutex);
  const auto known = merchants.find(merchant);
  if (known == merchants.end())
    return fail(ErrorCode::not_found, fmt::format("the merchant \"{}\" is not set up", merchant));
  return known->second;
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

Result<Publication> TaskAdmin::State::moved(const TaskSheet& sheet, SheetAct act) {
  if (const auto to = task_detail::next(sheet.state, act)) return *to;
  return fail(ErrorCode::wrong_state,
              fmt::format("version \"{}\" of task \"{}\" is {}: {} is not defined from there", sheet.version,
                          sheet.task, to_string(sheet.state), task_detail::to_string(act)));
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
  for (const auto* id : {&sheet.task, &sheet.version}) {
    if (!task_detail::is_id(*id)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("version \"{}\" of task \"{}\": \"{}\" is no id; {}", sheet.version, sheet.task,
                              *id, task_detail::id_hint));
    }
  }
  if (auto made = make(sheet); !made) return fail(std::move(made).error());
  sheet.state = Publication::draft;
  add_author(sheet, who.actor);
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

Result<void> TaskAdmin::State::write(const Acting& who, std::span<const Move> moves,
                                     std::optional<Operation> fence) {
  Batch batch{task_detail::drafts_partition(who.merchant), {}};
  const auto now = moves.front().from->now;
  for (const auto& move : moves) {
    const auto& sheet = move.to.sheet;
    const AuditLine line{now,        who.actor,     std::string(move.act),
                         sheet.task, sheet.version, std::string(move.reason)};
    Timing timing;
    if (sheet.state == Publication::scheduled && sheet.online_at)
      timing.due_in =
          std::clamp(Duration(*sheet.online_at - now), Duration::zero(), Duration(limits::duration_us));
    batch.operations.push_back(Operation::replace(task_detail::sheet_key(sheet.task, sheet.version),
                                                  move.from->revision, task_detail::encode(move.to), timing));
    batch.operations.push_back(Operation::insert(audit_key(now), task_detail::encode(line)));
  }
  if (fence) batch.operations.push_back(*std::move(fence));
  const auto written = commit_one(storage, batch);
  if (!written) return fail(written.error());
  if (written->applied()) return {};
  const auto& sheet = moves.front().to.sheet;
  return fail(
      ErrorCode::conflict,
      fmt::format("another actor changed version \"{}\" of task \"{}\", or what is online, meanwhile; "
                  "look at it again",
                  sheet.version, sheet.task));
}

Result<void> TaskAdmin::State::change(const Acting& who, std::string_view task, std::string_view version,
                                      const Change& change) {
  auto found = find(who, task, version);
  if (!found) return fail(std::move(found).error());
  auto record = found->record;
  const auto to = moved(record.sheet, change.act);
  if (!to) return fail(to.error());
  const auto& authors = record.sheet.authors;
  if (change.act == SheetAct::approve &&
      std::find(authors.begin(), authors.end(), who.actor) != authors.end()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" wrote of version \"{}\" of task \"{}\"; somebody else approves it",
                            who.actor, version, task));
  }
  if (change.act == SheetAct::submit) {
    auto xml = compile(who, record.sheet);
    if (!xml) return fail(std::move(xml).error());
    record.xml = *std::move(xml);
  }
  if (change.act == SheetAct::approve) record.sheet.approver = who.actor;
  if (change.act == SheetAct::reject) record.sheet.approver.clear();
  record.sheet.state = *to;
  record.sheet.online_at = change.online_at;
  const Move move{&*found, std::move(record), task_detail::to_string(change.act), change.reason};
  return write(who, {&move, 1});
}

Result<std::vector<TaskAdmin::State::Found>> TaskAdmin::State::all(std::string_view merchant) {
  std::vector<Found> found;
  const auto partition = task_detail::drafts_partition(merchant);
  for (std::string cursor;;) {
    const auto page = storage.scan(partition, task_detail::sheet_prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& stored : page->records) {
      auto record = task_detail::decode_sheet(stored);
      if (!record) return fail(std::move(record).error());
      found.push_back({*std::move(record), stored.revision, page->now});
    }
    cursor = page->cursor;
    if (cursor.empty()) return found;
  }
}

Result<void> TaskAdmin::draft(const Acting& who, const TaskSheet& sheet) {
  auto begun = sheet;
  begun.authors.clear();
  return state_->begin(who, std::move(begun), "draft");
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
  add_author(record.sheet, who.actor);
  const State::Move move{&*found, std::move(record), task_detail::to_string(SheetAct::edit)};
  return state_->write(who, {&move, 1});
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
Result<void> TaskAdmin::archive(const Acting& who, std::string_view task, std::string_view version) {
  return state_->change(who, task, version, {SheetAct::archive});
}

Result<std::vector<TaskSheet>> TaskAdmin::sheets(std::string_view merchant) {
  auto found = state_->all(merchant);
  if (!found) return fail(std::move(found).error());
  std::vector<TaskSheet> sheets;
  for (auto& one : *found) sheets.push_back(std::move(one.record.sheet));
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

}  // namespace onceward
