#include "pipeline/compiler.hpp"

#include "expr/kinds.hpp"
#include "pipeline/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

using expr_detail::bit_of;
using expr_detail::has;
using Kind = Value::Kind;

constexpr std::size_t most_constructs = 1000;  // of one pipeline
constexpr std::size_t most_nodes = 10'000;     // with those of called pipelines
constexpr std::size_t most_plan_depth = 100;   // with those of called pipelines
constexpr std::size_t most_inputs = 64;
constexpr std::size_t most_depth = 24;  // below limits::xml_depth, so that every plan has an XML form
constexpr std::size_t most_rules = 16;
constexpr int most_attempts = 1000;
constexpr int most_priority = 9;
constexpr double most_factor = 10;
constexpr std::string_view id_hint = "use 1 to 64 of a-z, 0-9, '-' and '_'";

bool is_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_name(std::string_view name) noexcept {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && name.size() <= 64 && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// Names that mean something to every expression.
bool is_taken(std::string_view name) noexcept { return name == "steps" || name == "error"; }

Type steps_type() {
  Type type;
  type.kinds = bit_of(Kind::map);
  type.closed = true;
  return type;
}

Type& steps_of(Type& names) { return names.members.at("steps"); }

/// Takes over the names that `from` has more; they may be null where `maybe` is set.
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

}  // namespace

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
  for (const auto& path : key->paths()) {
    if (find_input(std::string_view(path).substr(0, path.find('.'))) == nullptr)
      report(definition.place, "unknown-name", fmt::format("key \"{}\" reads \"{}\"", definition.key, path),
             "it may read the pipeline's inputs");
  }
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
    node.when = expression(step.place, "when", step.when, outer, node, bit_of(Kind::boolean));
  if (node.when) {
    // What its condition says is no null is none within it.
    const auto says = promises_of(*node.when, outer);
    if (!says.if_true.empty()) {
      inner = outer;
      narrow(inner, says.if_true);
      seen = &inner;
    }
  }
  auto& names = *seen;
  Type result;
  const Type before = step.kind == StepKind::step ? Type() : names;
  switch (step.kind) {
    case StepKind::step:
      compile_step(step, node, names);
      if (node.entry != nullptr && !node.entry->spec.results.empty()) {
        result.kinds = bit_of(Kind::map);
        result.closed = true;
        for (const auto& field : node.entry->spec.results)
          result.members.insert_or_assign(field.name, Type::of(field.kind, field.required));
      }
      break;
    case StepKind::sequence:
      node.children = compile_branch(step.body, before, names, !step.when.empty(), depth).children;
      break;
    case StepKind::parallel: compile_parallel(step, node, names, depth); break;
    case StepKind::choose: compile_choose(step, node, names, depth); break;
    case StepKind::foreach:
      compile_foreach(step, node, names, depth);
      result.kinds = bit_of(Kind::map);
      break;
    case StepKind::attempt: compile_attempt(step, node, names, depth); break;
    case StepKind::call: compile_call(step, node, names, depth); break;
    case StepKind::wait:
    case StepKind::await: compile_timer(step, node, names); break;
    case StepKind::set:
    case StepKind::result:
      if (step.value.empty())
        report(step.place, "missing-argument", fmt::format("\"{}\" has no value", step.id));
      node.value = expression(step.place, "value", step.value, names, node);
      if (node.value) {
        const auto kinds = check_kinds(*node.value, names);
        result.kinds = kinds ? *kinds : Type::unknown;
      }
      break;
    case StepKind::fail:
      if (!is_id(step.code))
        report(step.place, "bad-id", fmt::format("the code \"{}\" is no id", step.code), id_hint);
      if (!step.value.empty())
        node.value = expression(step.place, "message", step.value, names, node, bit_of(Kind::string));
      break;
  }
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

void Compiler::compile_step(const StepDefinition& step, Node& node, const Type& names) {
  static const std::vector<StepField> none;
  const auto& fields = node.entry == nullptr ? none : node.entry->spec.arguments;
  for (const auto& [name, text] : step.arguments)
    compile_argument(step, name, text, fields, step.uses, node, names);
  if (node.entry == nullptr) return;
  check_arguments(step, fields, step.uses);
  if (step.rules.size() > most_rules)
    report(step.place, "bad-retry", fmt::format("step \"{}\" has more than {} rules", step.id, most_rules));
  for (const auto& rule : step.rules) {
    check_retry(step, rule.policy);
    if (rule.code.empty())
      report(step.place, "bad-retry", fmt::format("a rule of step \"{}\" has no code", step.id));
  }
  check_retry(step, step.undo.retry);
  check_duration(step, step.timeout, "timeout");
  check_duration(step, step.total, "total");
  const auto& spec = node.entry->spec;
  plan_->has_rows = plan_->has_rows || spec.effect == Effect::tx;
  if (plan_->definition.recover == Recover::backward && spec.effect != Effect::pure && !spec.undo &&
      !step.undo.skip) {
    report(step.place, "no-undo",
           fmt::format("step \"{}\": {} cannot be undone, and the pipeline recovers backward", step.id,
                       step.uses),
           "implement Step::undo, or write <undo skip=\"true\"/>");
  }
}

void Compiler::check_duration(const StepDefinition& step, Duration duration, std::string_view what) {
  if (duration >= Duration::zero() && duration.count() <= limits::duration_us) return;
  report(step.place, "bad-value", fmt::format("the {} of \"{}\" is out of bounds", what, step.id),
         "0 to 100 years");
}

void Compiler::compile_parallel(const StepDefinition& step, Node& node, Type& names, std::size_t depth) {
  const Type before = names;
  const bool maybe = step.join != Join::all || !step.when.empty();
  for (const auto& branch : step.body) {
    Type after = before;
    if (depth >= most_depth) {
      report(branch.place, "too-deep", fmt::format("constructs are nested deeper than {}", most_depth));
      return;
    }
    if (++nodes_ > most_constructs) break;
    node.children.push_back(compile_construct(branch, after, depth + 1));
    for (const auto& [name, type] : steps_of(after).members) {
      if (before.members.at("steps").members.contains(name)) continue;
      auto& added = steps_of(names).members.insert_or_assign(name, type).first->second;
      if (maybe) added.make_nullable();
    }
    for (const auto& [name, type] : after.members) {
      if (names.members.contains(name)) continue;
      auto& added = names.members.insert_or_assign(name, type).first->second;
      if (maybe) added.make_nullable();
    }
  }
  const auto count = static_cast<int>(step.body.size());
  if (count == 0) report(step.place, "bad-steps", fmt::format("\"{}\" has no branch", step.id));
  if (step.join == Join::quorum ? step.quorum < 1 || step.quorum > count : step.quorum != 0) {
    report(step.place, "bad-value",
           fmt::format("the quorum of \"{}\" is {} of {}", step.id, step.quorum, count),
           "1 to the number of branches, with join=\"quorum\" alone");
  }
}

void Compiler::compile_choose(const StepDefinition& step, Node& node, Type& names, std::size_t depth) {
  Type before = names;
  if (step.branches.empty()) report(step.place, "bad-steps", fmt::format("\"{}\" has no <when>", step.id));
  for (std::size_t i = 0; i < step.branches.size(); ++i) {
    const auto& branch = step.branches[i];
    if (branch.test.empty() && i + 1 < step.branches.size())
      report(branch.place, "bad-steps", "an <otherwise> stands before another branch", "put it last");
    Promises says;
    if (!branch.test.empty()) {
      auto test = expression(branch.place.line > 0 ? branch.place : step.place, "test", branch.test, before,
                             node, bit_of(Kind::boolean));
      if (test) {
        says = promises_of(*test, before);
        node.tests.push_back(*std::move(test));
      }
    }
    Type within = before;
    narrow(within, says.if_true);
    node.children.push_back(compile_branch(branch.body, within, names, true, depth));
    narrow(before, says.if_false);
  }
}

void Compiler::compile_foreach(const StepDefinition& step, Node& node, const Type& names, std::size_t depth) {
  node.value = expression(step.place, "items", step.items, names, node, bit_of(Kind::list));
  if (!is_name(step.variable) || is_taken(step.variable) || names.members.contains(step.variable)) {
    report(step.place, "bad-id",
           fmt::format("\"{}\" is no name for the items of \"{}\"", step.variable, step.id),
           "give var a name that is not there yet");
  }
  Type inner = names;
  inner.members.insert_or_assign(step.variable, Type());
  node.item_key = expression(step.place, "item-key", step.item_key, inner, node, expr_detail::text_kinds);
  if (step.max < 1 || step.max > 10'000 || step.concurrency < 1 || step.concurrency > 1'000) {
    report(step.place, "bad-value", fmt::format("max or concurrency of \"{}\" is out of bounds", step.id),
           "max 1 to 10000, concurrency 1 to 1000");
  }
  if (step.body.empty()) report(step.place, "bad-steps", fmt::format("\"{}\" has no step", step.id));
  Type unused = inner;
  node.children.push_back(compile_branch(step.body, inner, unused, true, depth));
}

void Compiler::compile_attempt(const StepDefinition& step, Node& node, Type& names, std::size_t depth) {
  const Type before = names;
  if (step.body.empty()) report(step.place, "bad-steps", fmt::format("\"{}\" has no step", step.id));
  node.children.push_back(compile_branch(step.body, before, names, true, depth));
  Type caught = names;
  Type error;
  error.kinds = bit_of(Kind::map);
  error.closed = true;
  for (const char* member : {"code", "message", "step"})
    error.members.insert_or_assign(member, Type::of(Kind::string, true));
  caught.members.insert_or_assign("error", error);
  const Type inside = caught;
  for (const auto& branch : step.branches)
    node.children.push_back(compile_branch(branch.body, inside, caught, true, depth));
  caught.members.erase("error");
  names = caught;
  if (!step.last.empty()) node.children.push_back(compile_branch(step.last, caught, names, true, depth));
}

void Compiler::compile_call(const StepDefinition& step, Node& node, const Type& names, std::size_t depth) {
  const auto version = step.version.empty() ? std::string("1") : step.version;
  const auto callee = callees_ == nullptr ? std::nullopt : callees_->find(step.uses, version);
  if (!callee) {
    report(step.place, "unknown-pipeline",
           fmt::format("there is no pipeline \"{}\" version \"{}\" to call", step.uses, version),
           "add it to the catalog that this one is compiled with");
    for (const auto& [name, text] : step.arguments) expression(step.place, name, text, names, node);
    return;
  }
  std::vector<StepField> fields;
  for (const auto& input : callee->definition().inputs)
    fields.push_back({input.name, input.kind, input.required});
  for (const auto& [name, text] : step.arguments)
    compile_argument(step, name, text, fields, step.uses, node, names);
  check_arguments(step, fields, step.uses);
  plan_->nodes += callee->compiled().nodes;
  plan_->has_rows = plan_->has_rows || callee->compiled().has_rows;
  plan_->depth = std::max(plan_->depth, depth + 1 + callee->compiled().depth);
  if (plan_->depth > most_plan_depth)
    report(step.place, "too-deep",
           fmt::format("with what it calls it nests deeper than {}", most_plan_depth));
  if (plan_->nodes > most_nodes) {
    report(step.place, "bad-steps", fmt::format("with what it calls it has more than {} steps", most_nodes));
    return;
  }
  plan_->callees.push_back(*callee);
  node.callee = &plan_->callees.back().definition();
  node.children.push_back(callee->compiled().root);
}

void Compiler::compile_timer(const StepDefinition& step, Node& node, const Type& names) {
  check_duration(step, step.total, "time");
  if (step.kind == StepKind::await) {
    if (!is_id(step.code))
      report(step.place, "bad-id", fmt::format("the signal \"{}\" is no id", step.code), id_hint);
    return;
  }
  if ((step.total > Duration::zero()) == !step.value.empty()) {
    report(step.place, "bad-value", fmt::format("\"{}\" waits for no time, or for two", step.id),
           "give it for or until");
  }
  if (!step.value.empty()) {
    node.value = expression(step.place, "until", step.value, names, node,
                            static_cast<expr_detail::Kinds>(bit_of(Kind::string) | bit_of(Kind::integer)));
  }
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
  const auto kinds = check_kinds(*parsed, names);
  if (!kinds) {
    const auto code = kinds.error().code;
    report(
        place,
        code == ErrorCode::wrong_kind     ? "wrong-kind"
        : code == ErrorCode::unknown_name ? "unknown-name"
                                          : "nullable",
        fmt::format("{} \"{}\": {} (at byte {})", what, text, kinds.error().message, kinds.error().offset));
    return std::nullopt;
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
  return *std::move(parsed);
}

}  // namespace onceward::pipeline_detail
