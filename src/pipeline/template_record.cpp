#include "pipeline/template_record.hpp"

#include <onceward/core/digest.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

Unexpected corrupt(const Record& record) {
  return fail(ErrorCode::corrupt,
              fmt::format("the record \"{}\" is not what this version writes; look at it before going on",
                          record.key));
}

const std::string* text(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->string();
}
const std::int64_t* number(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->integer();
}

}  // namespace

const TemplateView::Version* TemplateRecord::find(std::string_view version) const noexcept {
  const auto found = std::find_if(versions.begin(), versions.end(),
                                  [&](const Version& known) { return known.version == version; });
  return found == versions.end() ? nullptr : &*found;
}

std::string templates_partition(std::string_view tenant) {
  return tenant.empty() ? "templates" : fmt::format("{}/templates", tenant);
}
std::string template_key(std::string_view id) { return fmt::format("{}{}", template_prefix, id); }
std::string version_key(std::string_view id, std::string_view version) {
  return fmt::format("version/{}/{}", id, version);
}
std::string act_key(std::string_view id, std::int64_t number) {
  return fmt::format("act/{}/{:010}", id, number);
}

std::string encode(const TemplateRecord& record) {
  List versions;
  for (const auto& one : record.versions) versions.push_back(List{one.version, one.sha256, one.retired});
  return Value(Map{{"id", record.id},
                   {"active", record.active},
                   {"previous", record.previous},
                   {"canary", record.canary},
                   {"canary_percent", record.canary_percent},
                   {"acts", record.acts},
                   {"versions", std::move(versions)}})
      .to_json();
}

Result<TemplateRecord> decode_template(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* id = text(*value, "id");
  const auto* active = text(*value, "active");
  const auto* previous = text(*value, "previous");
  const auto* canary = text(*value, "canary");
  const auto* percent = number(*value, "canary_percent");
  const auto* acts = number(*value, "acts");
  const auto* versions = value->find("versions");
  if (!id || !active || !previous || !canary || !percent || *percent < 0 || *percent > 100 || !acts ||
      *acts < 0 || !versions || !versions->list() || record.key != template_key(*id))
    return corrupt(record);
  TemplateRecord found;
  found.id = *id;
  found.active = *active;
  found.previous = *previous;
  found.canary = *canary;
  found.canary_percent = static_cast<int>(*percent);
  found.acts = *acts;
  for (const auto& row : *versions->list()) {
    const auto* columns = row.list();
    if (!columns || columns->size() != 3 || !(*columns)[0].string() || !(*columns)[1].string() ||
        !(*columns)[2].boolean())
      return corrupt(record);
    found.versions.push_back({*(*columns)[0].string(), *(*columns)[1].string(), *(*columns)[2].boolean()});
  }
  return found;
}

std::string encode(const TemplateAct& act, std::string_view sign) {
  return Value(Map{{"number", act.number},
                   {"act", act.act},
                   {"version", act.version},
                   {"before", act.before},
                   {"after", act.after},
                   {"actor", act.actor},
                   {"reason", act.reason},
                   {"at", std::int64_t{act.at.time_since_epoch().count()}},
                   {"sign", sign}})
      .to_json();
}

Result<TemplateAct> decode_act(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* act_number = number(*value, "number");
  const auto* at = number(*value, "at");
  const auto* act = text(*value, "act");
  const auto* version = text(*value, "version");
  const auto* before = text(*value, "before");
  const auto* after = text(*value, "after");
  const auto* actor = text(*value, "actor");
  const auto* reason = text(*value, "reason");
  if (!act_number || !at || !act || !version || !before || !after || !actor || !reason)
    return corrupt(record);
  return TemplateAct{*act_number, *act, *version, *before, *after, *actor, *reason, Timestamp(Duration(*at))};
}

std::string sign_of(const Record& act) {
  const auto value = Value::from_json(act.value);
  const auto* sign = value ? text(*value, "sign") : nullptr;
  return sign == nullptr ? std::string() : *sign;
}

bool in_canary(std::string_view id, std::string_view partition, std::string_view key, int percent) {
  // Each part is preceded by its length, so that no two lists of parts make one text.
  std::string parts;
  for (const auto part : {id, partition, key})
    parts.append(std::to_string(part.size())).append(":").append(part);
  return stable_hash(parts) % 100 < static_cast<std::uint64_t>(std::clamp(percent, 0, 100));
}

}  // namespace onceward::pipeline_detail
