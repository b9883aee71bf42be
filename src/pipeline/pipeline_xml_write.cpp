// The XML form of a definition.
#include "pipeline/pipeline_words.hpp"
#include "pipeline/xml_reader.hpp"

#include <fmt/format.h>

#include <utility>

namespace onceward {
namespace pipeline_detail {
namespace {

std::string duration_text(Duration duration) {
  static constexpr std::pair<std::int64_t, std::string_view> units[] = {
      {86'400'000'000, "d"}, {3'600'000'000, "h"}, {60'000'000, "m"},
      {1'000'000, "s"},      {1'000, "ms"},        {1, "us"}};
  for (const auto& [micros, unit] : units) {
    if (duration.count() % micros == 0) return fmt::format("{}{}", duration.count() / micros, unit);
  }
  return {};
}

void write_policy(const RetryPolicy& retry, std::string& out) {
  write_attribute("attempts", std::to_string(retry.attempts), out);
  write_attribute("first", duration_text(retry.first), out);
  write_attribute("factor", fmt::format("{}", retry.factor), out);
  write_attribute("cap", duration_text(retry.cap), out);
  write_attribute("jitter", retry.jitter ? "true" : "false", out);
}

void write_construct(const StepDefinition& step, const std::string& margin, std::string& out);

void write_body(const std::vector<StepDefinition>& body, const std::string& margin, std::string& out) {
  for (const auto& step : body) write_construct(step, margin, out);
}

/// An element with a body of constructs: `<name attribute="value">`; no attribute where its name is empty.
void write_branch(std::string_view name, std::string_view attribute, const std::string& value,
                  const std::vector<StepDefinition>& body, const std::string& margin, std::string& out) {
  out.append(margin).append("<").append(name);
  if (!attribute.empty()) write_attribute(attribute, value, out);
  out += ">\n";
  write_body(body, margin + "  ", out);
  out.append(margin).append("</").append(name).append(">\n");
}

void write_arguments(const StepDefinition& step, const std::string& margin, std::string& out) {
  for (const auto& [name, value] : step.arguments) {
    out.append(margin).append("<arg");
    write_attribute("name", name, out);
    write_attribute("value", value, out);
    out += "/>\n";
  }
}

/// What stands within a step.
void write_inside_of_step(const StepDefinition& step, const std::string& margin, std::string& out) {
  write_arguments(step, margin, out);
  if (step.retry != RetryPolicy{} || !step.rules.empty()) {
    out.append(margin).append("<retry");
    write_policy(step.retry, out);
    out += step.rules.empty() ? "/>\n" : ">\n";
    for (const auto& rule : step.rules) {
      out.append(margin).append("  <on");
      write_attribute("code", rule.code, out);
      write_policy(rule.policy, out);
      out += "/>\n";
    }
    if (!step.rules.empty()) out.append(margin).append("</retry>\n");
  }
  if (step.timeout != Duration::zero() || step.total != Duration::zero()) {
    out.append(margin).append("<timeout");
    if (step.timeout != Duration::zero()) write_attribute("attempt", duration_text(step.timeout), out);
    if (step.total != Duration::zero()) write_attribute("total", duration_text(step.total), out);
    out += "/>\n";
  }
  if (step.undo != UndoPolicy{}) {
    out.append(margin).append("<undo");
    write_attribute("skip", step.undo.skip ? "true" : "false", out);
    write_policy(step.undo.retry, out);
    out += "/>\n";
  }
}

void write_inside(const StepDefinition& step, const std::string& margin, std::string& out) {
  switch (step.kind) {
    case StepKind::step: return write_inside_of_step(step, margin, out);
    case StepKind::call: return write_arguments(step, margin, out);
    case StepKind::choose:
      for (const auto& branch : step.branches) {
        if (branch.test.empty())
          write_branch("otherwise", "", "", branch.body, margin, out);
        else
          write_branch("when", "test", branch.test, branch.body, margin, out);
      }
      return;
    case StepKind::attempt:
      write_body(step.body, margin, out);
      for (const auto& branch : step.branches)
        write_branch("catch", branch.test.empty() ? "" : "code", branch.test, branch.body, margin, out);
      if (!step.last.empty()) write_branch("finally", "", "", step.last, margin, out);
      return;
    default: return write_body(step.body, margin, out);
  }
}

void write_attributes(const StepDefinition& step, std::string& out) {
  static const StepDefinition plain{};
  write_attribute(step.kind == StepKind::set ? "name" : "id", step.id, out);
  switch (step.kind) {
    case StepKind::step: write_attribute("use", step.uses, out); break;
    case StepKind::parallel:
      if (step.join != Join::all)
        write_attribute("join", join_words[static_cast<std::size_t>(step.join)], out);
      if (step.quorum != 0) write_attribute("quorum", std::to_string(step.quorum), out);
      break;
    case StepKind::foreach:
      write_attribute("items", step.items, out);
      write_attribute("var", step.variable, out);
      write_attribute("item-key", step.item_key, out);
      if (step.max != plain.max) write_attribute("max", std::to_string(step.max), out);
      if (step.concurrency != plain.concurrency)
        write_attribute("concurrency", std::to_string(step.concurrency), out);
      break;
    case StepKind::call:
      write_attribute("pipeline", step.uses, out);
      if (!step.version.empty()) write_attribute("version", step.version, out);
      break;
    case StepKind::wait:
      if (step.total != Duration::zero()) write_attribute("for", duration_text(step.total), out);
      if (!step.value.empty()) write_attribute("until", step.value, out);
      break;
    case StepKind::await:
      write_attribute("signal", step.code, out);
      if (step.total != Duration::zero()) write_attribute("timeout", duration_text(step.total), out);
      break;
    case StepKind::set:
    case StepKind::result: write_attribute("value", step.value, out); break;
    case StepKind::fail:
      write_attribute("code", step.code, out);
      if (!step.value.empty()) write_attribute("message", step.value, out);
      break;
    default: break;
  }
  if (step.on_fail != plain.on_fail)
    write_attribute("on-fail", on_fail_words[static_cast<std::size_t>(step.on_fail)], out);
  if (!step.when.empty()) write_attribute("when", step.when, out);
}

void write_construct(const StepDefinition& step, const std::string& margin, std::string& out) {
  const auto name = construct_words[static_cast<std::size_t>(step.kind)];
  out.append(margin).append("<").append(name);
  write_attributes(step, out);
  const auto before = out.size();
  out += ">\n";
  const auto begun = out.size();
  write_inside(step, margin + "  ", out);
  if (out.size() == begun) {
    out.resize(before);
    out += "/>\n";
  } else {
    out.append(margin).append("</").append(name).append(">\n");
  }
}

}  // namespace

void write_attribute(std::string_view name, std::string_view value, std::string& out) {
  out.append(" ").append(name).append("=\"");
  for (const char c : value) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      // Written as they are, the parser would read a space for each.
      case '\n': out += "&#10;"; break;
      case '\r': out += "&#13;"; break;
      case '\t': out += "&#9;"; break;
      default: out += c;
    }
  }
  out += '"';
}

void write_pipeline(const PipelineDefinition& definition, std::size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  out.append(margin).append("<pipeline");
  write_attribute("id", definition.id, out);
  write_attribute("version", definition.version, out);
  if (!definition.key.empty()) write_attribute("key", definition.key, out);
  if (definition.recover != Recover::forward) write_attribute("recover", "backward", out);
  if (definition.deadline != Duration::zero())
    write_attribute("deadline", duration_text(definition.deadline), out);
  if (!definition.serial_by.empty()) write_attribute("serial-by", definition.serial_by, out);
  if (definition.priority != 0) write_attribute("priority", std::to_string(definition.priority), out);
  out += ">\n";
  if (!definition.inputs.empty()) {
    out.append(margin).append("  <input>\n");
    for (const auto& input : definition.inputs) {
      out.append(margin).append("    <param");
      write_attribute("name", input.name, out);
      write_attribute("type", to_string(input.kind), out);
      if (!input.required) write_attribute("required", "false", out);
      out += "/>\n";
    }
    out.append(margin).append("  </input>\n");
  }
  write_body(definition.steps, margin + "  ", out);
  out.append(margin).append("</pipeline>\n");
}

}  // namespace pipeline_detail

std::string to_xml(const PipelineDefinition& definition) {
  std::string text;
  pipeline_detail::write_pipeline(definition, 0, text);
  return text;
}

}  // namespace onceward
