#include <onceward/task/definition.hpp>

#include "pipeline/xml_reader.hpp"

#include <array>

namespace onceward {
namespace {

using pipeline_detail::XmlReader;

constexpr std::array<std::string_view, 4> period_words = {"once", "day", "week", "month"};
constexpr auto streak_words = std::span(period_words).subspan(1);

EventRule read_rule(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"event", "when", "add", "distinct", "streak"};
  reader.allow(node, attributes, {});
  EventRule rule{reader.required(node, "event"), reader.expression(node, "when"),
                 reader.expression(node, "add"), reader.expression(node, "distinct")};
  if (node.attribute("streak"))
    rule.streak = static_cast<Period>(reader.word(node, "streak", streak_words, 0) + 1);
  rule.place = reader.place(node);
  return rule;
}

StageDefinition read_stage(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"target", "pipeline"};
  static constexpr std::string_view children[] = {"arg"};
  static constexpr std::string_view argument_attributes[] = {"name", "value"};
  reader.allow(node, attributes, children);
  StageDefinition stage{reader.integer(node, "target", 1, true), reader.required(node, "pipeline")};
  for (const auto argument : node.children("arg")) {
    reader.allow(argument, argument_attributes, {});
    auto name = reader.required(argument, "name");
    stage.arguments.emplace_back(std::move(name), reader.required(argument, "value"));
  }
  stage.place = reader.place(node);
  return stage;
}

QuotaDefinition read_quota(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"limit", "per"};
  reader.allow(node, attributes, {});
  return {reader.integer(node, "limit", 1, true),
          static_cast<Period>(reader.word(node, "per", period_words, 0))};
}

/// Attributes of the whole design of which this version does one thing: another value must not pass
/// unnoticed.
void expect_only(XmlReader& reader, pugi::xml_node node, const char* name, std::string_view value) {
  const std::string_view words[] = {value};
  reader.word(node, name, words, 0);
}

TaskDefinition read_task(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"id",   "version", "title",   "period",   "starts",
                                                    "ends", "claim",   "collect", "on-refund"};
  static constexpr std::string_view children[] = {"on", "stage", "quota"};
  reader.allow(node, attributes, children);
  expect_only(reader, node, "claim", "auto");
  expect_only(reader, node, "collect", "auto");
  expect_only(reader, node, "on-refund", "keep");
  TaskDefinition task{
      reader.required(node, "id"),      reader.optional(node, "version", "1"),
      reader.optional(node, "title"),   static_cast<Period>(reader.word(node, "period", period_words, 0)),
      reader.timestamp(node, "starts"), reader.timestamp(node, "ends")};
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
