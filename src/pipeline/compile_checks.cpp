// What an argument, an expression or a policy of a definition gets wrong.
#include "pipeline/compiler_rules.hpp"
#include "pipeline/suggest.hpp"
#include "pipeline/xml_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {

using expr_detail::bit_of;
using expr_detail::has;
using Kind = Value::Kind;

void Compiler::check_duration(const StepDefinition& step, Duration duration, std::string_view what) {
  if (duration >= Duration::zero() && duration.count() <= limits::duration_us) return;
  report(step.place, "bad-value", fmt::format("the {} of \"{}\" is out of bounds", what, step.id),
         "0 to 100 years");
}

void Compiler::compile_argument(const StepDefinition& step, const std::string& name, const std::string& text,
                                std::span<const StepField> fields, std::string_view wants, Node& node,
                                const Type& names) {
  const bool twice = std::any_of(node.arguments.begin(), node.arguments.end(),
                                 [&](const auto& argument) { return argument.name == name; });
  if (twice)
    report(step.place, "duplicate-argument", fmt::format("step \"{}\" gives \"{}\" twice", step.id, name));
  auto parsed = expression(step.place, name, text, names, node);
  if (!parsed) return;
  const auto field =
      std::find_if(fields.begin(), fields.end(), [&](const StepField& f) { return f.name == name; });
  if (field == fields.end()) {
    node.arguments.push_back({name, *std::move(parsed)});
    return;
  }
  const auto kinds = check_kinds(*parsed, names);
  if (kinds && !has(*kinds, field->kind) && !(!field->required && has(*kinds, Kind::null))) {
    report(step.place, "wrong-kind",
           fmt::format("step \"{}\": \"{}\" is {}, {} wants {}", step.id, name, expr_detail::names_of(*kinds),
                       wants, to_string(field->kind)));
  } else if (kinds && field->required && has(*kinds, Kind::null)) {
    report(step.place, "nullable",
           fmt::format("step \"{}\": \"{}\" may be null, {} needs it", step.id, name, wants),
           "give a default with ?:, or a when to the step");
  }
  node.arguments.push_back({name, *std::move(parsed), field->kind, field->required});
}

void Compiler::check_arguments(const StepDefinition& step, std::span<const StepField> fields,
                               std::string_view wants) {
  std::vector<std::string_view> known;
  for (const auto& field : fields) known.push_back(field.name);
  for (const auto& [name, text] : step.arguments) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      report(step.place, "unknown-argument", fmt::format("{} has no argument \"{}\"", wants, name),
             did_you_mean(name, known));
    }
  }
  for (const auto& field : fields) {
    const bool given = std::any_of(step.arguments.begin(), step.arguments.end(),
                                   [&](const auto& argument) { return argument.first == field.name; });
    if (field.required && !given) {
      report(step.place, "missing-argument",
             fmt::format("step \"{}\" does not give \"{}\" to {}", step.id, field.name, wants),
             fmt::format("add <arg name=\"{}\" value=\"...\"/>", field.name));
    }
  }
}

void Compiler::check_retry(const StepDefinition& step, const RetryPolicy& retry) {
  const bool fine = retry.attempts >= 1 && retry.attempts <= most_attempts &&
                    retry.first > Duration::zero() && retry.cap >= retry.first &&
                    retry.cap.count() <= limits::duration_us && retry.factor >= 1 &&
                    retry.factor <= most_factor;
  if (!fine) {
    report(
        step.place, "bad-retry", fmt::format("the retry of step \"{}\" is out of bounds", step.id),
        fmt::format("attempts 1 to {}, first > 0, cap >= first, factor 1 to {}", most_attempts, most_factor));
  }
}

void Compiler::check_catch(const StepDefinition& step, const BranchDefinition& branch, Codes& before) {
  const auto& place = branch.place.line > 0 ? branch.place : step.place;
  check_text(place, "the code of a catch", branch.test, "bad-value");
  const bool all = before.contains("");
  if (before.insert(branch.test).second && !all) return;
  report(place, "unreachable",
         fmt::format("a catch of \"{}\" comes behind one that takes its errors", step.id),
         all ? "put the one without a code last" : "keep one");
}

/// A call is no run: what its pipeline says of runs does not count, so the caller must say it.
void Compiler::check_heeded(const StepDefinition& step, const PipelineDefinition& callee) {
  const auto& own = plan_->definition;
  const auto unheeded = [&](std::string_view what, std::string_view hint) {
    report(step.place, "unheeded",
           fmt::format("the call \"{}\" does not heed the {} of \"{}\"", step.id, what, callee.id), hint);
  };
  if (callee.deadline > Duration::zero() &&
      (own.deadline == Duration::zero() || own.deadline > callee.deadline))
    unheeded("deadline", "give this pipeline one that is no later");
  if (callee.recover == Recover::backward && own.recover != Recover::backward)
    unheeded("recover", "let this pipeline recover backward too");
  if (!callee.serial_by.empty() && own.serial_by.empty())
    unheeded("serial-by", "give this pipeline a serial-by of its own");
  if (callee.priority > own.priority) unheeded("priority", "give this pipeline one that is no lower");
}

/// Of a pipeline that recovers backward, each step can be undone, also those of what it calls.
void Compiler::check_undo(const SourcePlace& place, const Node& node, const std::string& within) {
  if (plan_->definition.recover != Recover::backward) return;
  if (node.kind == StepKind::step) {
    const auto& spec = node.entry->spec;
    if (spec.effect == Effect::pure || spec.undo || node.definition->undo.skip) return;
    report(place, "no-undo",
           fmt::format("step \"{}{}\": {} cannot be undone, and the pipeline recovers backward", within,
                       node.id(), spec.name),
           "implement Step::undo, or write <undo skip=\"true\"/>");
  }
  const auto below = node.kind == StepKind::call ? fmt::format("{}{}/", within, node.id()) : within;
  for (const auto& child : node.children) check_undo(place, child, below);
}

void Compiler::check_text(const SourcePlace& place, std::string_view what, std::string_view text,
                          std::string code) {
  const auto bad = first_not_xml(text);
  if (bad == std::string_view::npos) return;
  report(place, std::move(code), fmt::format("{} has a character that XML has not (at byte {})", what, bad),
         "text is UTF-8, without control characters other than tab and line ends");
}

bool Compiler::check_names(const SourcePlace& place, std::string_view what, const Expression& expression,
                           const Type& names) {
  bool fine = true;
  for (const auto& path : expression.paths()) {
    const std::string_view whole = path;
    const auto root = whole.substr(0, whole.find('.'));
    if (root == "steps" && names.members.contains("steps")) {
      const auto& steps = names.members.at("steps").members;
      const auto rest = whole.size() > 6 ? whole.substr(6) : std::string_view();
      if (steps.contains(std::string(rest.substr(0, rest.find('.'))))) continue;
    } else if (names.members.contains(root)) {
      continue;
    }
    std::vector<std::string_view> known;
    for (const auto& [name, type] : names.members) known.push_back(name);
    auto near = did_you_mean(root, known);
    if (root == "steps") {
      known.clear();
      if (names.members.contains("steps"))
        for (const auto& [name, type] : names.members.at("steps").members) known.push_back(name);
      near = did_you_mean(whole.size() > 6 ? whole.substr(6, whole.find('.', 6) - 6) : "", known);
    }
    report(place, "unknown-name", fmt::format("{} \"{}\" reads \"{}\"", what, expression.text(), path),
           near.empty() ? "it may read the pipeline's inputs and steps.<id of an earlier step>" : near);
    fine = false;
  }
  return fine;
}

std::optional<Expression> Compiler::expression(const SourcePlace& place, std::string_view what,
                                               const std::string& text, const Type& names, Node& node,
                                               expr_detail::Kinds wanted) {
  auto parsed = Expression::parse(text, registry_.functions());
  if (!parsed) {
    report(place, "bad-expression", fmt::format("{} \"{}\": {}", what, text, describe(parsed.error())));
    return std::nullopt;
  }
  check_text(place, what, text, "bad-expression");
  if (!check_names(place, what, *parsed, names)) return std::nullopt;
  for (const auto& path : parsed->paths()) {
    if (find_input(std::string_view(path).substr(0, path.find('.'))) == nullptr) node.reads_steps = true;
  }
  if (parsed->is_constant()) {
    const auto value = parsed->evaluate(Map());
    if (!value) {
      report(place, "bad-expression", fmt::format("{} \"{}\": {}", what, text, describe(value.error())));
      return std::nullopt;
    }
  }
  if (!check_result(place, what, text, check_kinds(*parsed, names), wanted)) return std::nullopt;
  return *std::move(parsed);
}

bool Compiler::check_result(const SourcePlace& place, std::string_view what, std::string_view text,
                            const Result<expr_detail::Kinds>& kinds, expr_detail::Kinds wanted) {
  if (!kinds) {
    const auto code = kinds.error().code;
    report(
        place,
        code == ErrorCode::wrong_kind     ? "wrong-kind"
        : code == ErrorCode::unknown_name ? "unknown-name"
                                          : "nullable",
        fmt::format("{} \"{}\": {} (at byte {})", what, text, kinds.error().message, kinds.error().offset));
    return false;
  }
  if (!has(*kinds, wanted)) {
    report(place, "wrong-kind",
           wanted == bit_of(Kind::boolean)
               ? fmt::format("{} \"{}\" is neither true nor false", what, text)
               : fmt::format("{} \"{}\" is {}, it must be {}", what, text, expr_detail::names_of(*kinds),
                             expr_detail::names_of(wanted)));
  } else if (wanted != expr_detail::any_kind && has(*kinds, Kind::null)) {
    report(place, "nullable", fmt::format("{} \"{}\" may be null", what, text), "give a default with ?:");
  }
  return true;
}

}  // namespace onceward::pipeline_detail
