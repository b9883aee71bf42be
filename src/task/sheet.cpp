#include "task/sheet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace {

constexpr std::array<std::string_view, 8> state_names = {"draft",  "submitted", "approved", "scheduled",
                                                         "online", "paused",    "offline",  "archived"};

}  // namespace

std::string_view to_string(Publication state) noexcept {
  return state_names[static_cast<std::size_t>(state)];
}

namespace task_detail {
namespace {

constexpr std::array<std::string_view, 9> act_names = {"edit",   "submit", "approve", "reject", "schedule",
                                                       "online", "pause",  "offline", "archive"};

struct SheetMove {
  Publication from;
  SheetAct act;
  Publication to;
};
using P = Publication;
using A = SheetAct;
constexpr SheetMove table[] = {
    {P::draft, A::edit, P::draft},
    {P::draft, A::submit, P::submitted},
    {P::draft, A::archive, P::archived},
    {P::submitted, A::approve, P::approved},
    {P::submitted, A::reject, P::draft},
    {P::approved, A::reject, P::draft},
    {P::approved, A::schedule, P::scheduled},
    {P::approved, A::put_online, P::online},
    {P::approved, A::archive, P::archived},
    {P::scheduled, A::schedule, P::scheduled},
    {P::scheduled, A::put_online, P::online},
    {P::scheduled, A::take_offline, P::offline},
    {P::online, A::pause, P::paused},
    {P::online, A::take_offline, P::offline},
    {P::paused, A::put_online, P::online},
    {P::paused, A::take_offline, P::offline},
    {P::offline, A::put_online, P::online},
    {P::offline, A::archive, P::archived},
};

Unexpected corrupt(const Record& record) {
  return fail(ErrorCode::corrupt,
              fmt::format("the record \"{}\" is not what this version writes; look at it before going on",
                          record.key));
}

std::string text_of(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr || member->string() == nullptr ? std::string() : *member->string();
}

}  // namespace

std::string_view to_string(SheetAct act) noexcept { return act_names[static_cast<std::size_t>(act)]; }

std::optional<Publication> next(Publication from, SheetAct act) noexcept {
  for (const auto& move : table) {
    if (move.from == from && move.act == act) return move.to;
  }
  return std::nullopt;
}

std::string drafts_partition(std::string_view merchant) { return fmt::format("{}/drafts", merchant); }
std::string sheet_key(std::string_view task, std::string_view version) {
  return fmt::format("{}{}/{}", sheet_prefix, task, version);
}

std::string encode(const SheetRecord& record) {
  const auto& sheet = record.sheet;
  Map map{{"task", sheet.task},     {"version", sheet.version},   {"type", sheet.type},
          {"title", sheet.title},   {"fields", sheet.fields},     {"state", to_string(sheet.state)},
          {"author", sheet.author}, {"approver", sheet.approver}, {"xml", record.xml}};
  List authors;
  for (const auto& author : sheet.authors) authors.push_back(author);
  map.set("authors", std::move(authors));
  if (sheet.online_at) map.set("online_at", std::int64_t{sheet.online_at->time_since_epoch().count()});
  return Value(std::move(map)).to_json();
}

Result<SheetRecord> decode_sheet(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value || value->map() == nullptr) return corrupt(record);
  SheetRecord sheet;
  sheet.xml = text_of(*value, "xml");
  sheet.sheet.task = text_of(*value, "task");
  sheet.sheet.version = text_of(*value, "version");
  sheet.sheet.type = text_of(*value, "type");
  sheet.sheet.title = text_of(*value, "title");
  sheet.sheet.author = text_of(*value, "author");
  sheet.sheet.approver = text_of(*value, "approver");
  sheet.sheet.authors = {sheet.sheet.author};
  if (const auto* authors = value->find("authors"); authors != nullptr && authors->list() != nullptr) {
    sheet.sheet.authors.clear();
    for (const auto& author : *authors->list()) {
      if (author.string() == nullptr) return corrupt(record);
      sheet.sheet.authors.push_back(*author.string());
    }
  }
  const auto* fields = value->find("fields");
  const auto state = std::find(state_names.begin(), state_names.end(), text_of(*value, "state"));
  if (fields == nullptr || fields->map() == nullptr || state == state_names.end()) return corrupt(record);
  sheet.sheet.fields = *fields->map();
  sheet.sheet.state = static_cast<Publication>(state - state_names.begin());
  if (const auto* at = value->find("online_at"); at != nullptr && at->integer() != nullptr)
    sheet.sheet.online_at = Timestamp(Duration(*at->integer()));
  return sheet;
}

std::string encode(const AuditLine& line) {
  return Value(Map{{"at", std::int64_t{line.at.time_since_epoch().count()}},
                   {"actor", line.actor},
                   {"act", line.act},
                   {"task", line.task},
                   {"version", line.version},
                   {"reason", line.reason}})
      .to_json();
}

Result<AuditLine> decode_audit(const Record& record) {
  const auto value = Value::from_json(record.value);
  const auto* at = value ? value->find("at") : nullptr;
  if (at == nullptr || at->integer() == nullptr) return corrupt(record);
  return AuditLine{Timestamp(Duration(*at->integer())),
                   text_of(*value, "actor"),
                   text_of(*value, "act"),
                   text_of(*value, "task"),
                   text_of(*value, "version"),
                   text_of(*value, "reason")};
}

}  // namespace task_detail
}  // namespace onceward
