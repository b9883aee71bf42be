#include <onceward/task/definition.hpp>

#include "pipeline/xml_reader.hpp"

#include <algorithm>
#include <array>

namespace onceward {
namespace {

using pipeline_detail::XmlReader;

constexpr std::array<std::string_view, 6> period_words = {"once", "day", "week", "month", "fixed", "rolling"};
constexpr auto quota_periods = std::span(period_words).first(4);
constexpr auto streak_words = std::span(period_words).subspan(1, 3);
constexpr std::array<std::string_view, 2> mode_words = {"auto", "manual"};
constexpr std::array<std::string_view, 2> refund_words = {"keep", "clawback"};
constexpr std::array<std::string_view, 3> match_words = {"sum", "all", "any"};
constexpr std::array<std::string_view, 2> count_words = {"claim", "cycle"};
constexpr std::array<std::string_view, 2> update_words = {"pin", "migrate"};
constexpr std::array<std::string_view, 2> zone_words = {"campaign", "user"};
constexpr std::array<std::string_view, 3> quota_words = {"claim", "completion", "collection"};

template <class Enum>
Enum choice(XmlReader& reader, pugi::xml_node node, const char* name, std::span<const std::string_view> words,
            Enum otherwise = Enum{}) {
  return static_cast<Enum>(reader.word(node, name, words, static_cast<std::size_t>(otherwise)));
}

EventRule read_rule(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"event",  "when",  "add",    "distinct", "streak",
                                                    "freeze", "grace", "credit", "needs"};
  reader.allow(node, attributes, {});
  EventRule rule{reader.required(node, "event"), reader.expression(node, "when"),
                 reader.expression(node, "add"), reader.expression(node, "distinct")};
  if (node.attribute("streak"))
    rule.streak = static_cast<Period>(reader.word(node, "streak", streak_words, 0) + 1);
  rule.freeze = static_cast<int>(std::clamp<std::int64_t>(reader.integer(node, "freeze", 0), -1, 1000));
  rule.grace = reader.duration(node, "grace", {});
  rule.credit = reader.expression(node, "credit");
  rule.needs = reader.integer(node, "needs", 1);
  rule.place = reader.place(node);
  return rule;
}

StageDefinition read_stage(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"target", "pipeline", "take-back"};
  static constexpr std::string_view children[] = {"arg"};
  static constexpr std::string_view argument_attributes[] = {"name", "value"};
  reader.allow(node, attributes, children);
  StageDefinition stage{reader.integer(node, "target", 1, true), reader.required(node, "pipeline")};
  for (const auto argument : node.children("arg")) {
    reader.allow(argument, argument_attributes, {});
    auto name = reader.required(argument, "name");
    stage.arguments.emplace_back(std::move(name), reader.required(argument, "value"));
  }
  stage.take_back = reader.optional(node, "take-back");
  stage.place = reader.place(node);
  return stage;
}

QuotaDefinition read_quota(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"limit", "per", "at", "hold"};
  reader.allow(node, attributes, {});
  return {reader.integer(node, "limit", 1, true), choice<Period>(reader, node, "per", quota_periods),
          choice(reader, node, "at", quota_words, QuotaAt::completion), reader.duration(node, "hold", {})};
}

/// Ids with spaces between them.
std::vector<std::string> read_ids(std::string_view text) {
  std::vector<std::string> ids;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (end != 0) ids.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ids;
}

void read_modes(XmlReader& reader, pugi::xml_node node, TaskDefinition& task) {
  task.claim = choice<Mode>(reader, node, "claim", mode_words);
  task.collect = choice<Mode>(reader, node, "collect", mode_words);
  task.complete = choice<Mode>(reader, node, "complete", mode_words);
  task.on_refund = choice<OnRefund>(reader, node, "on-refund", refund_words);
  task.match = choice<Match>(reader, node, "match", match_words);
  task.count_from = choice<CountFrom>(reader, node, "count-from", count_words);
  task.on_update = choice<OnUpdate>(reader, node, "on-update", update_words);
  task.user_zone = reader.word(node, "zone", zone_words, 0) == 1;
  task.timezone = reader.optional(node, "timezone");
  task.day_starts = reader.duration(node, "day-starts", {});
  task.month_day = static_cast<int>(std::clamp<std::int64_t>(reader.integer(node, "month-day", 1), 0, 99));
  task.every = reader.duration(node, "every", {});
  if (node.attribute("late")) task.late = reader.duration(node, "late", {});
  task.within = reader.duration(node, "within", {});
  task.collect_within = reader.duration(node, "collect-within", {});
  task.after = read_ids(reader.optional(node, "after"));
  task.audience = reader.expression(node, "audience");
  task.per_user = reader.integer(node, "per-user", 0);
  task.group = reader.expression(node, "group");
  task.members =
      static_cast<int>(std::clamp<std::int64_t>(reader.integer(node, "members", 0), -1, 1'000'000));
}

TaskDefinition read_task(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {
      "id",        "version",   "title",  "period",     "starts", "ends",           "claim",    "collect",
      "complete",  "on-refund", "match",  "count-from", "zone",   "on-update",      "late",     "day-starts",
      "month-day", "every",     "within", "after",      "group",  "collect-within", "audience", "per-user",
      "members",   "timezone"};
  static constexpr std::string_view children[] = {"on", "stage", "quota"};
  reader.allow(node, attributes, children);
  TaskDefinition task{reader.required(node, "id"),      reader.optional(node, "version", "1"),
                      reader.optional(node, "title"),   choice<Period>(reader, node, "period", period_words),
                      reader.timestamp(node, "starts"), reader.timestamp(node, "ends")};
  read_modes(reader, node, task);
  for (const auto rule : node.children("on")) task.rules.push_back(read_rule(reader, rule));
  for (const auto stage : node.children("stage")) task.stages.push_back(read_stage(reader, stage));
  for (const auto quota : node.children("quota")) {
    if (task.quota) reader.report(reader.place(quota), "duplicate-element", "a second <quota>", "keep one");
    task.quota = read_quota(reader, quota);
  }
  task.place = reader.place(node);
  return task;
}

/// Empty where there is no <campaign>; the reader says why, and what else is wrong.
std::optional<CampaignDefinition> read_campaign(XmlReader& reader) {
  static constexpr std::string_view attributes[] = {"merchant", "timezone"};
  static constexpr std::string_view children[] = {"task", "pipeline"};
  const auto root = reader.root("campaign");
  if (!root) return std::nullopt;
  reader.allow(root, attributes, children);
  CampaignDefinition campaign{reader.required(root, "merchant"), reader.optional(root, "timezone", "UTC")};
  campaign.place = reader.place(root);
  for (const auto task : root.children("task")) campaign.tasks.push_back(read_task(reader, task));
  for (const auto pipeline : root.children("pipeline")) {
    campaign.pipelines.push_back(pipeline_detail::read_pipeline(reader, pipeline));
  }
  return campaign;
}

Unexpected refuse(std::vector<Diagnostic>& found, std::string_view file,
                  std::vector<Diagnostic>* diagnostics) {
  auto message = describe(found, file);
  if (diagnostics != nullptr) *diagnostics = std::move(found);
  return fail(ErrorCode::invalid_argument, std::move(message));
}

}  // namespace

Result<CampaignDefinition> parse_campaign_xml(std::string_view text, std::string_view file,
                                              std::vector<Diagnostic>* diagnostics) {
  XmlReader reader(text);
  auto campaign = read_campaign(reader);
  if (reader.diagnostics().empty()) return *std::move(campaign);
  return refuse(reader.diagnostics(), file, diagnostics);
}

Result<Campaign> compile_campaign_xml(std::string_view text, std::string_view file,
                                      const StepRegistry& registry,
                                      std::span<const std::string> event_attributes,
                                      std::vector<Diagnostic>* diagnostics) {
  XmlReader reader(text);
  if (const auto definition = read_campaign(reader)) {
    std::vector<Diagnostic> more;
    auto campaign = Campaign::compile(*definition, registry, file, event_attributes, &more);
    if (campaign && reader.diagnostics().empty()) return campaign;
    reader.add_later(std::move(more));
  }
  return refuse(reader.diagnostics(), file, diagnostics);
}

}  // namespace onceward
