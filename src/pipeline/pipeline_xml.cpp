#include "pipeline/pipeline_words.hpp"
#include "pipeline/xml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace onceward {
namespace pipeline_detail {
namespace {

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

/// The attributes of a retry policy on `node`.
RetryPolicy read_policy(XmlReader& reader, pugi::xml_node node) {
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

void read_retry(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  static constexpr std::string_view attributes[] = {"attempts", "first", "factor", "cap", "jitter"};
  static constexpr std::string_view of_rule[] = {"code", "attempts", "first", "factor", "cap", "jitter"};
  static constexpr std::string_view children[] = {"on"};
  reader.allow(node, attributes, children);
  step.retry = read_policy(reader, node);
  for (const auto rule : node.children("on")) {
    reader.allow(rule, of_rule, {});
    auto code = reader.required(rule, "code");
    step.rules.push_back({std::move(code), read_policy(reader, rule)});
  }
}

void read_undo(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  static constexpr std::string_view attributes[] = {"skip", "attempts", "first", "factor", "cap", "jitter"};
  reader.allow(node, attributes, {});
  step.undo = {reader.boolean(node, "skip", false), read_policy(reader, node)};
}

void read_timeout(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  static constexpr std::string_view attributes[] = {"attempt", "total"};
  reader.allow(node, attributes, {});
  step.timeout = reader.duration(node, "attempt", {});
  step.total = reader.duration(node, "total", {});
}

/// An element that may be there once.
template <class Read>
void read_once(XmlReader& reader, pugi::xml_node node, const char* name, const Read& read) {
  std::size_t count = 0;
  for (const auto child : node.children(name)) {
    if (++count > 1)
      reader.report(reader.place(child), "duplicate-element", fmt::format("a second <{}>", name), "keep one");
    read(child);
  }
}

int bounded_integer(XmlReader& reader, pugi::xml_node node, const char* name, int otherwise) {
  return static_cast<int>(std::clamp<std::int64_t>(reader.integer(node, name, otherwise), -1, 1'000'000'000));
}

std::optional<StepKind> kind_of(pugi::xml_node node) {
  const auto found = std::find(construct_words.begin(), construct_words.end(), std::string_view(node.name()));
  if (found == construct_words.end()) return std::nullopt;
  return static_cast<StepKind>(found - construct_words.begin());
}

StepDefinition read_construct(XmlReader& reader, pugi::xml_node node, StepKind kind);

/// Every construct within `node`, in order; what else is there is for `allow` to judge.
std::vector<StepDefinition> read_body(XmlReader& reader, pugi::xml_node node) {
  std::vector<StepDefinition> body;
  for (const auto child : node.children()) {
    if (child.type() != pugi::node_element) continue;
    if (const auto kind = kind_of(child)) body.push_back(read_construct(reader, child, *kind));
  }
  return body;
}

using Words = std::vector<std::string_view>;

void allow(XmlReader& reader, pugi::xml_node node, Words attributes, Words children, bool body) {
  if (body) children.insert(children.end(), construct_words.begin(), construct_words.end());
  reader.allow(node, attributes, children);
}

void read_step(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  allow(reader, node, {"id", "use", "when"}, {"arg", "retry", "timeout", "undo"}, false);
  step.uses = reader.required(node, "use");
  step.arguments = read_arguments(reader, node);
  read_once(reader, node, "retry", [&](pugi::xml_node child) { read_retry(reader, child, step); });
  read_once(reader, node, "timeout", [&](pugi::xml_node child) { read_timeout(reader, child, step); });
  read_once(reader, node, "undo", [&](pugi::xml_node child) { read_undo(reader, child, step); });
}

void read_choose(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  allow(reader, node, {"id", "when"}, {"when", "otherwise"}, false);
  for (const auto child : node.children()) {
    const std::string_view name = child.name();
    if (name != "when" && name != "otherwise") continue;
    BranchDefinition branch;
    branch.place = reader.place(child);
    if (name == "when") {
      allow(reader, child, {"test"}, {}, true);
      branch.test = reader.required(child, "test");
    } else {
      allow(reader, child, {}, {}, true);
    }
    branch.body = read_body(reader, child);
    step.branches.push_back(std::move(branch));
  }
}

void read_try(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  allow(reader, node, {"id", "when"}, {"catch", "finally"}, true);
  step.body = read_body(reader, node);
  for (const auto child : node.children("catch")) {
    allow(reader, child, {"code"}, {}, true);
    step.branches.push_back({reader.optional(child, "code"), read_body(reader, child), reader.place(child)});
  }
  read_once(reader, node, "finally", [&](pugi::xml_node child) {
    allow(reader, child, {}, {}, true);
    step.last = read_body(reader, child);
  });
}

void read_foreach(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  allow(reader, node, {"id", "items", "var", "item-key", "max", "concurrency", "on-fail", "when"}, {}, true);
  step.items = reader.required(node, "items");
  step.variable = reader.required(node, "var");
  step.item_key = reader.required(node, "item-key");
  step.max = bounded_integer(reader, node, "max", step.max);
  step.concurrency = bounded_integer(reader, node, "concurrency", step.concurrency);
  step.on_fail = static_cast<OnFail>(reader.word(node, "on-fail", on_fail_words, 0));
  step.body = read_body(reader, node);
}

void read_leaf(XmlReader& reader, pugi::xml_node node, StepDefinition& step) {
  switch (step.kind) {
    case StepKind::wait:
      allow(reader, node, {"id", "for", "until", "when"}, {}, false);
      step.total = reader.duration(node, "for", {}, Duration(1));
      step.value = reader.expression(node, "until");
      break;
    case StepKind::await:
      allow(reader, node, {"id", "signal", "timeout", "when"}, {}, false);
      step.code = reader.required(node, "signal");
      step.total = reader.duration(node, "timeout", {});
      break;
    case StepKind::set:
      allow(reader, node, {"name", "value", "when"}, {}, false);
      step.value = reader.required(node, "value");
      break;
    case StepKind::result:
      allow(reader, node, {"id", "value", "when"}, {}, false);
      step.value = reader.required(node, "value");
      break;
    case StepKind::fail:
      allow(reader, node, {"id", "code", "message", "when"}, {}, false);
      step.code = reader.required(node, "code");
      step.value = reader.expression(node, "message");
      break;
    default: break;
  }
}

StepDefinition read_construct(XmlReader& reader, pugi::xml_node node, StepKind kind) {
  StepDefinition step;
  step.kind = kind;
  step.place = reader.place(node);
  if (kind == StepKind::set)
    step.id = reader.required(node, "name");
  else if (kind == StepKind::result)
    step.id = reader.optional(node, "id", "result");
  else
    step.id = reader.required(node, "id");
  switch (kind) {
    case StepKind::step: read_step(reader, node, step); break;
    case StepKind::sequence:
      allow(reader, node, {"id", "when"}, {}, true);
      step.body = read_body(reader, node);
      break;
    case StepKind::parallel:
      allow(reader, node, {"id", "join", "quorum", "on-fail", "when"}, {}, true);
      step.join = static_cast<Join>(reader.word(node, "join", join_words, 0));
      step.quorum = bounded_integer(reader, node, "quorum", 0);
      step.on_fail = static_cast<OnFail>(reader.word(node, "on-fail", on_fail_words, 0));
      step.body = read_body(reader, node);
      break;
    case StepKind::choose: read_choose(reader, node, step); break;
    case StepKind::foreach: read_foreach(reader, node, step); break;
    case StepKind::attempt: read_try(reader, node, step); break;
    case StepKind::call:
      allow(reader, node, {"id", "pipeline", "version", "when"}, {"arg"}, false);
      step.uses = reader.required(node, "pipeline");
      if (node.attribute("version")) step.version = reader.required(node, "version");
      step.arguments = read_arguments(reader, node);
      break;
    default: read_leaf(reader, node, step);
  }
  step.when = reader.expression(node, "when");
  return step;
}

}  // namespace

PipelineDefinition read_pipeline(XmlReader& reader, pugi::xml_node node) {
  allow(reader, node, {"id", "version", "key", "recover", "deadline", "serial-by", "priority"}, {"input"},
        true);
  PipelineDefinition definition{reader.required(node, "id"), reader.optional(node, "version", "1")};
  definition.place = reader.place(node);
  definition.key = reader.expression(node, "key");
  definition.recover = static_cast<Recover>(reader.word(node, "recover", recover_words, 0));
  definition.deadline = reader.duration(node, "deadline", {});
  definition.serial_by = reader.expression(node, "serial-by");
  definition.priority = bounded_integer(reader, node, "priority", 0);
  for (const auto input : node.children("input")) {
    static constexpr std::string_view inputs[] = {"param"};
    reader.allow(input, {}, inputs);
    for (const auto param : input.children("param")) definition.inputs.push_back(read_param(reader, param));
  }
  definition.steps = read_body(reader, node);
  return definition;
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
                                  std::vector<Diagnostic>* diagnostics, const PlanCatalog* callees) {
  pipeline_detail::XmlReader reader(text);
  auto& all = reader.diagnostics();
  if (const auto root = reader.root("pipeline")) {
    const auto definition = pipeline_detail::read_pipeline(reader, root);
    std::vector<Diagnostic> more;
    auto plan = Plan::compile(definition, registry, &more, callees);
    if (plan && all.empty()) return plan;
    reader.add_later(std::move(more));
  }
  auto message = describe(all, file);
  if (diagnostics != nullptr) *diagnostics = std::move(all);
  return fail(ErrorCode::invalid_argument, std::move(message));
}

}  // namespace onceward
