#include <onceward/task/definition.hpp>

#include "pipeline/xml_reader.hpp"

#include <date/date.h>
#include <fmt/format.h>

#include <sstream>

namespace onceward {
namespace {

using pipeline_detail::write_attribute;

std::string duration_text(Duration duration) {
  static constexpr std::pair<std::int64_t, std::string_view> units[] = {
      {86'400'000'000, "d"}, {3'600'000'000, "h"}, {60'000'000, "m"}, {1'000'000, "s"}, {1'000, "ms"}};
  for (const auto& [micros, unit] : units) {
    if (duration.count() % micros == 0) return fmt::format("{}{}", duration.count() / micros, unit);
  }
  return fmt::format("{}us", duration.count());
}

std::string time_text(Timestamp time) {
  std::ostringstream text;
  text << date::format("%FT%TZ", date::sys_time<Duration>(time.time_since_epoch()));
  return text.str();
}

/// Writes attributes that differ from their defaults.
class Attributes {
 public:
  explicit Attributes(std::string& out) : out_(out) {}
  void text(std::string_view name, const std::string& value) {
    if (!value.empty()) write_attribute(name, value, out_);
  }
  void number(std::string_view name, std::int64_t value, std::int64_t usual) {
    if (value != usual) write_attribute(name, std::to_string(value), out_);
  }
  void duration(std::string_view name, Duration value) {
    if (value != Duration::zero()) write_attribute(name, duration_text(value), out_);
  }
  void word(std::string_view name, bool other, std::string_view value) {
    if (other) write_attribute(name, value, out_);
  }

 private:
  std::string& out_;
};

void write_rule(const EventRule& rule, std::string& out) {
  out += "    <on";
  write_attribute("event", rule.event, out);
  Attributes attributes(out);
  attributes.text("when", rule.when);
  attributes.text("add", rule.add);
  attributes.text("distinct", rule.distinct);
  attributes.word("streak", rule.streak != Period::once, to_string(rule.streak));
  attributes.number("freeze", rule.freeze, 0);
  attributes.duration("grace", rule.grace);
  attributes.text("credit", rule.credit);
  attributes.number("needs", rule.needs, 1);
  out += "/>\n";
}

void write_stage(const StageDefinition& stage, std::string& out) {
  out += "    <stage";
  write_attribute("target", std::to_string(stage.target), out);
  write_attribute("pipeline", stage.pipeline, out);
  Attributes(out).text("take-back", stage.take_back);
  out += stage.arguments.empty() ? "/>\n" : ">\n";
  if (stage.arguments.empty()) return;
  for (const auto& [name, value] : stage.arguments) {
    out += "      <arg";
    write_attribute("name", name, out);
    write_attribute("value", value, out);
    out += "/>\n";
  }
  out += "    </stage>\n";
}

void write_modes(const TaskDefinition& task, std::string& out) {
  Attributes attributes(out);
  attributes.word("claim", task.claim == Mode::manual, "manual");
  attributes.word("collect", task.collect == Mode::manual, "manual");
  attributes.word("complete", task.complete == Mode::manual, "manual");
  attributes.word("on-refund", task.on_refund == OnRefund::clawback, "clawback");
  attributes.word("match", task.match != Match::sum, task.match == Match::all ? "all" : "any");
  attributes.word("count-from", task.count_from == CountFrom::cycle, "cycle");
  attributes.word("on-update", task.on_update == OnUpdate::migrate, "migrate");
  attributes.word("zone", task.user_zone, "user");
  attributes.text("timezone", task.timezone);
  attributes.duration("day-starts", task.day_starts);
  attributes.number("month-day", task.month_day, 1);
  attributes.duration("every", task.every);
  if (task.late) write_attribute("late", duration_text(*task.late), out);
  attributes.duration("within", task.within);
  attributes.duration("collect-within", task.collect_within);
  std::string after;
  for (const auto& id : task.after) after += (after.empty() ? "" : " ") + id;
  attributes.text("after", after);
  attributes.text("audience", task.audience);
  attributes.number("per-user", task.per_user, 0);
  attributes.text("group", task.group);
  attributes.number("members", task.members, 0);
}

void write_task(const TaskDefinition& task, std::string& out) {
  out += "  <task";
  write_attribute("id", task.id, out);
  write_attribute("version", task.version, out);
  Attributes attributes(out);
  attributes.text("title", task.title);
  attributes.word("period", task.period != Period::once, to_string(task.period));
  if (task.starts) write_attribute("starts", time_text(*task.starts), out);
  if (task.ends) write_attribute("ends", time_text(*task.ends), out);
  write_modes(task, out);
  out += ">\n";
  for (const auto& rule : task.rules) write_rule(rule, out);
  for (const auto& stage : task.stages) write_stage(stage, out);
  if (task.quota) {
    out += "    <quota";
    write_attribute("limit", std::to_string(task.quota->limit), out);
    write_attribute("per", to_string(task.quota->per), out);
    attributes.word("at", task.quota->at != QuotaAt::completion,
                    task.quota->at == QuotaAt::claim ? "claim" : "collection");
    attributes.duration("hold", task.quota->hold);
    out += "/>\n";
  }
  out += "  </task>\n";
}

}  // namespace

std::string to_xml(const CampaignDefinition& definition) {
  std::string out = "<campaign xmlns=\"urn:onceward:1\"";
  write_attribute("merchant", definition.merchant, out);
  write_attribute("timezone", definition.timezone, out);
  out += ">\n";
  for (const auto& task : definition.tasks) write_task(task, out);
  for (const auto& pipeline : definition.pipelines) pipeline_detail::write_pipeline(pipeline, 2, out);
  return out + "</campaign>\n";
}

}  // namespace onceward
