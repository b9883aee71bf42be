#include "pipeline/xml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace pipeline_detail {
namespace {

constexpr std::array<std::string_view, 7> kind_words = {"null",   "bool", "int", "double",
                                                        "string", "list", "map"};

std::vector<std::pair<std::string, std::string>> read_arguments(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"name", "value"};
  std::vector<std::pair<std::string, std::string>> arguments;
  for (const auto argument : node.children("arg")) {
    reader.allow(argument, attributes, {});
    auto name = reader.required(argument, "name");
    arguments.emplace_back(std::move(name), reader.required(argument, "value"));
  }
  return arguments;
}

PipelineInput read_param(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"name", "type", "required"};
  reader.allow(node, attributes, {});
  PipelineInput input{reader.required(node, "name"), Value::Kind::string,
                      reader.boolean(node, "required", true)};
  constexpr auto values = std::span(kind_words).subspan(1);  // null is the type of no input
  input.kind = static_cast<Value::Kind>(
      reader.word(node, "type", values, static_cast<std::size_t>(Value::Kind::string) - 1) + 1);
  return input;
}

RetryPolicy read_retry(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"attempts", "first", "factor", "cap", "jitter"};
  reader.allow(node, attributes, {});
  RetryPolicy retry;
  const auto attempts = reader.integer(node, "attempts", retry.attempts);
  // Out of bounds stays out of bounds: the compiler names the bounds.
  retry.attempts = static_cast<int>(std::clamp<std::int64_t>(attempts, 0, 1'000'000));
  retry.first = reader.duration(node, "first", retry.first);
  retry.factor = reader.real(node, "factor", retry.factor);
  retry.cap = reader.duration(node, "cap", retry.cap);
  retry.jitter = reader.boolean(node, "jitter", retry.jitter);
  return retry;
}

StepDefinition read_step(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"id", "use", "when"};
  static constexpr std::string_view children[] = {"arg", "retry"};
  reader.allow(node, attributes, children);
  StepDefinition step{reader.required(node, "id"), reader.required(node, "use")};
  step.arguments = read_arguments(reader, node);
  step.when = reader.expression(node, "when");
  step.place = reader.place(node);
  std::size_t retries = 0;
  for (const auto retry : node.children("retry")) {
    if (++retries > 1)
      reader.report(reader.place(retry), "duplicate-element", "a second <retry>", "keep one");
    step.retry = read_retry(reader, retry);
  }
  return step;
}

std::string duration_text(Duration duration) {
  static constexpr std::pair<std::int64_t, std::string_view> units[] = {
      {86'400'000'000, "d"}, {3'600'000'000, "h"}, {60'000'000, "m"},
      {1'000'000, "s"},      {1'000, "ms"},        {1, "us"}};
  for (const auto& [micros, unit] : units) {
    if (duration.count() % micros == 0) return fmt::format("{}{}", duration.count() / micros, unit);
  }
  return {};
}

void write_step(const StepDefinition& step, const std::string& margin, std::string& out) {
  out.append(margin).append("<step");
  write_attribute("id", step.id, out);
  write_attribute("use", step.uses, out);
  if (!step.when.empty()) write_attribute("when", step.when, out);
  const bool plain = step.arguments.empty() && step.retry == RetryPolicy{};
  out += plain ? "/>\n" : ">\n";
  if (plain) return;
  for (const auto& [name, value] : step.arguments) {
    out.append(margin).append("  <arg");
    write_attribute("name", name, out);
    write_attribute("value", value, out);
    out += "/>\n";
  }
  if (step.retry != RetryPolicy{}) {
    out.append(margin).append("  <retry");
    write_attribute("attempts", std::to_string(step.retry.attempts), out);
    write_attribute("first", duration_text(step.retry.first), out);
    write_attribute("factor", fmt::format("{}", step.retry.factor), out);
    write_attribute("cap", duration_text(step.retry.cap), out);
    write_attribute("jitter", step.retry.jitter ? "true" : "false", out);
    out += "/>\n";
  }
  out.append(margin).append("</step>\n");
}

}  // namespace

PipelineDefinition read_pipeline(XmlReader& reader, pugi::xml_node node) {
  static constexpr std::string_view attributes[] = {"id", "version"};
  static constexpr std::string_view children[] = {"input", "step"};
  reader.allow(node, attributes, children);
  PipelineDefinition definition{reader.required(node, "id"), reader.optional(node, "version", "1")};
  definition.place = reader.place(node);
  for (const auto input : node.children("input")) {
    static constexpr std::string_view inputs[] = {"param"};
    reader.allow(input, {}, inputs);
    for (const auto param : input.children("param")) definition.inputs.push_back(read_param(reader, param));
  }
  for (const auto step : node.children("step")) definition.steps.push_back(read_step(reader, step));
  return definition;
}

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
  for (const auto& step : definition.steps) write_step(step, margin + "  ", out);
  out.append(margin).append("</pipeline>\n");
}

}  // namespace pipeline_detail

Result<PipelineDefinition> parse_pipeline_xml(std::string_view text, std::string_view file,
                                              std::vector<Diagnostic>* diagnostics) {
  pipeline_detail::XmlReader reader(text);
  PipelineDefinition definition;
  if (const auto root = reader.root("pipeline")) definition = pipeline_detail::read_pipeline(reader, root);
  if (reader.diagnostics().empty()) return definition;
  auto message = describe(reader.diagnostics(), file);
  if (diagnostics != nullptr) *diagnostics = std::move(reader.diagnostics());
  return fail(ErrorCode::invalid_argument, std::move(message));
}

Result<Plan> compile_pipeline_xml(std::string_view text, std::string_view file, const StepRegistry& registry,
                                  std::vector<Diagnostic>* diagnostics) {
  pipeline_detail::XmlReader reader(text);
  auto& all = reader.diagnostics();
  if (const auto root = reader.root("pipeline")) {
    const auto definition = pipeline_detail::read_pipeline(reader, root);
    std::vector<Diagnostic> more;
    auto plan = Plan::compile(definition, registry, &more);
    if (plan && all.empty()) return plan;
    reader.add_later(std::move(more));
  }
  auto message = describe(all, file);
  if (diagnostics != nullptr) *diagnostics = std::move(all);
  return fail(ErrorCode::invalid_argument, std::move(message));
}

std::string to_xml(const PipelineDefinition& definition) {
  std::string text;
  pipeline_detail::write_pipeline(definition, 0, text);
  return text;
}

}  // namespace onceward
