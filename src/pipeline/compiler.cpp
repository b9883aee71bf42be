#include "pipeline/compiler_rules.hpp"
#include "pipeline/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

using Kind = Value::Kind;

Type steps_type() {
  Type type;
  type.kinds = expr_detail::bit_of(Kind::map);
  type.closed = true;
  return type;
}

/// Whether a <result> is given wherever this comes to its end. What always fails comes to none.
bool gives_result(const Node& node) {
  const auto& inside = node.children;
  if (node.when) return false;
  switch (node.kind) {
    case StepKind::result:
    case StepKind::fail: return true;
    case StepKind::sequence: return std::any_of(inside.begin(), inside.end(), gives_result);
    case StepKind::parallel:
      return node.definition->join == Join::all ? std::any_of(inside.begin(), inside.end(), gives_result)
                                                : std::all_of(inside.begin(), inside.end(), gives_result);
    case StepKind::choose:
      return node.tests.size() < inside.size() && std::all_of(inside.begin(), inside.end(), gives_result);
    case StepKind::attempt: {
      const bool closes = !node.definition->last.empty();
      return (closes && gives_result(inside.back())) ||
             std::all_of(inside.begin(), inside.end() - (closes ? 1 : 0), gives_result);
    }
    default: return false;
  }
}

}  // namespace

void take_new(Type& into, Type& from, bool maybe) {
  const auto take = [&](Type& to, const Type& all) {
    for (const auto& [name, type] : all.members) {
      if (to.members.contains(name)) continue;
      auto& added = to.members.insert_or_assign(name, type).first->second;
      if (maybe) added.make_nullable();
    }
  };
  take(steps_of(into), steps_of(from));
  take(into, from);
}

void Compiler::report(const SourcePlace& place, std::string code, std::string message,
                      std::string_view hint) {
  if (diagnostics.size() >= limits::diagnostics) return;
  diagnostics.push_back({std::move(code), std::move(message), std::string(hint), place.line, place.column});
}

std::shared_ptr<CompiledPlan> Compiler::compile(const PipelineDefinition& definition) {
  auto plan = std::make_shared<CompiledPlan>(definition);
  plan_ = plan.get();
  check_head();
  Type names;
  for (const auto& input : plan->definition.inputs)
    names.members.insert_or_assign(input.name, Type::of(input.kind, input.required));
  compile_key();
  names.members.insert_or_assign("steps", steps_type());
  plan->root.children = compile_body(plan->definition.steps, names, 0);
  plan->nodes += nodes_;
  if (!diagnostics.empty()) return nullptr;
  plan->result = results_;
  if (!gives_result(plan->root)) plan->result |= expr_detail::bit_of(Kind::null);
  plan->canonical = canonical(plan->definition);
  for (const auto& callee : plan->callees) plan->canonical.append("\n").append(callee.sha256());
  return plan;
}

void Compiler::check_head() {
  const auto& definition = plan_->definition;
  const auto& place = definition.place;
  if (!is_id(definition.id))
    report(place, "bad-id", fmt::format("the pipeline \"{}\" is no id", definition.id), id_hint);
  if (!is_id(definition.version))
    report(place, "bad-id", fmt::format("the version \"{}\" is no id", definition.version), id_hint);
  if (definition.steps.empty()) {
    report(place, "bad-steps", fmt::format("the pipeline \"{}\" has 0 steps", definition.id),
           fmt::format("give it 1 to {}", most_constructs));
  }
  if (definition.priority < 0 || definition.priority > most_priority)
    report(place, "bad-value", fmt::format("the priority {} is out of bounds", definition.priority),
           "0 to 9");
  if (definition.deadline < Duration::zero() || definition.deadline.count() > limits::duration_us)
    report(place, "bad-value", "the deadline is out of bounds", "at most 100 years");
  if (definition.inputs.size() > most_inputs)
    report(place, "bad-input", fmt::format("more than {} inputs", most_inputs));
  for (std::size_t i = 0; i < definition.inputs.size(); ++i) {
    const auto& input = definition.inputs[i];
    if (!is_name(input.name) || is_taken(input.name)) {
      report(place, "bad-input", fmt::format("\"{}\" is no name for an input", input.name),
             "use letters, digits and '_'; \"steps\" and \"error\" are taken");
    }
    if (input.kind == Kind::null)
      report(place, "bad-input", fmt::format("the input \"{}\" could only be null", input.name),
             "give it a kind");
    if (find_input(input.name) != &input)
      report(place, "duplicate-input", fmt::format("the input \"{}\" is there twice", input.name));
  }
}

void Compiler::compile_key() {
  const auto& definition = plan_->definition;
  Type inputs;
  for (const auto& input : definition.inputs)
    inputs.members.insert_or_assign(input.name, Type::of(input.kind, input.required));
  Node unused;
  if (!definition.serial_by.empty())
    plan_->serial_by = expression(definition.place, "serial-by", definition.serial_by, inputs, unused,
                                  expr_detail::text_kinds);
  if (definition.key.empty()) return;
  auto key = KeyTemplate::parse(definition.key, registry_.functions());
  if (!key) {
    report(definition.place, "bad-expression",
           fmt::format("key \"{}\": {}", definition.key, describe(key.error())));
    return;
  }
  check_text(definition.place, "key", definition.key, "bad-expression");
  bool known = true;
  for (const auto& path : key->paths()) {
    if (find_input(std::string_view(path).substr(0, path.find('.'))) != nullptr) continue;
    report(definition.place, "unknown-name", fmt::format("key \"{}\" reads \"{}\"", definition.key, path),
           "it may read the pipeline's inputs");
    known = false;
  }
  if (!known) return;
  for (const auto& kinds : check_kinds(*key, inputs))
    check_result(definition.place, "key", definition.key, kinds, expr_detail::text_kinds);
  plan_->key = *std::move(key);
}

const PipelineInput* Compiler::find_input(std::string_view name) const {
  const auto& inputs = plan_->definition.inputs;
  const auto found = std::find_if(inputs.begin(), inputs.end(),
                                  [&](const PipelineInput& input) { return input.name == name; });
  return found == inputs.end() ? nullptr : &*found;
}

std::vector<Node> Compiler::compile_body(const std::vector<StepDefinition>& body, Type& names,
                                         std::size_t depth) {
  std::vector<Node> nodes;
  if (depth > most_depth) {
    report(body.empty() ? SourcePlace{} : body.front().place, "too-deep",
           fmt::format("constructs are nested deeper than {}", most_depth));
    return nodes;
  }
  plan_->depth = std::max(plan_->depth, depth);
  nodes.reserve(body.size());
  for (const auto& step : body) {
    if (++nodes_ == most_constructs + 1) {
      report(plan_->definition.place, "bad-steps",
             fmt::format("the pipeline \"{}\" has more than {} steps", plan_->definition.id, most_constructs),
             fmt::format("give it 1 to {}", most_constructs));
    }
    if (nodes_ > most_constructs) break;
    if (!nodes.empty() && nodes.back().kind == StepKind::fail && nodes.back().definition->when.empty()) {
      report(step.place, "unreachable",
             fmt::format("\"{}\" comes behind \"{}\", which always fails", step.id, nodes.back().id()),
             "give that one a when, or remove this one");
    }
    nodes.push_back(compile_construct(step, names, depth));
  }
  return nodes;
}

Node Compiler::compile_branch(const std::vector<StepDefinition>& body, const Type& before, Type& after,
                              bool maybe, std::size_t depth) {
  Node branch;
  Type names = before;
  branch.children = compile_body(body, names, depth + 1);
  take_new(after, names, maybe);
  return branch;
}

void Compiler::check_id(const StepDefinition& step) {
  const bool name = step.kind == StepKind::set;
  if (name ? !is_name(step.id) || is_taken(step.id) : !is_id(step.id)) {
    report(step.place, "bad-id", fmt::format("the step \"{}\" is no {}", step.id, name ? "name" : "id"),
           name ? "use letters, digits and '_'" : id_hint);
  }
  if (!ids_.insert(step.id).second) {
    report(step.place, "duplicate-step", fmt::format("the step \"{}\" is there twice", step.id),
           "give it another id");
  }
}

Node Compiler::compile_construct(const StepDefinition& step, Type& outer, std::size_t depth) {
  Node node;
  Type inner;
  auto* seen = &outer;
  node.definition = &step;
  node.kind = step.kind;
  check_id(step);
  if (step.kind == StepKind::step) {
    // Reported in this order since ever: what the step asks for comes before what it reads.
    check_retry(step, step.retry);
    node.entry = registry_.find(step.uses);
    if (node.entry == nullptr) {
      report(step.place, "unknown-step", fmt::format("there is no step \"{}\"", step.uses),
             did_you_mean(step.uses, registry_.names()));
    }
  }
  if (!step.when.empty())
    node.when = expression(step.place, "when", step.when, outer, node, expr_detail::bit_of(Kind::boolean));
  if (node.when) {
    // What its condition says is no null is none within it.
    const auto says = promises_of(*node.when, outer);
    if (!says.if_true.empty()) {
      inner = outer;
      narrow(inner, says.if_true);
      seen = &inner;
    }
  }
  auto result = compile_kind(step, node, *seen, depth);
  if (seen != &outer) take_new(outer, inner, true);
  if (!step.when.empty()) result.make_nullable();
  if (step.kind == StepKind::set) {
    if (find_input(step.id) != nullptr)
      report(step.place, "duplicate-input", fmt::format("\"{}\" is an input already", step.id));
    outer.members.insert_or_assign(step.id, result);
  } else {
    steps_of(outer).members.insert_or_assign(step.id, std::move(result));
  }
  return node;
}

}  // namespace onceward::pipeline_detail
