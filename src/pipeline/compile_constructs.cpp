// Constructs, one kind each.
#include "pipeline/compiler_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {

using expr_detail::bit_of;
using Kind = Value::Kind;

Type Compiler::compile_kind(const StepDefinition& step, Node& node, Type& names, std::size_t depth) {
  Type result;
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
    case StepKind::sequence: {
      const Type before = names;
      node.children = compile_branch(step.body, before, names, !step.when.empty(), depth).children;
      break;
    }
    case StepKind::parallel: compile_parallel(step, node, names, depth); break;
    case StepKind::choose: compile_choose(step, node, names, depth); break;
    case StepKind::foreach:
      compile_foreach(step, node, names, depth);
      result.kinds = bit_of(Kind::map);
      break;
    case StepKind::attempt: compile_attempt(step, node, names, depth); break;
    case StepKind::call:
      compile_call(step, node, names, depth);
      if (node.callee != nullptr) result.kinds = plan_->callees.back().compiled().result;
      break;
    case StepKind::wait: compile_timer(step, node, names); break;
    case StepKind::await:
      compile_timer(step, node, names);
      result.make_nullable();  // of a signal that brings nothing
      break;
    case StepKind::set:
    case StepKind::result:
    case StepKind::fail: compile_value(step, node, names, result); break;
  }
  return result;
}

void Compiler::compile_value(const StepDefinition& step, Node& node, const Type& names, Type& result) {
  if (step.kind == StepKind::fail) {
    if (!is_id(step.code))
      report(step.place, "bad-id", fmt::format("the code \"{}\" is no id", step.code), id_hint);
    if (!step.value.empty())
      node.value = expression(step.place, "message", step.value, names, node, bit_of(Kind::string));
    return;
  }
  if (step.value.empty()) report(step.place, "missing-argument", fmt::format("\"{}\" has no value", step.id));
  node.value = expression(step.place, "value", step.value, names, node);
  if (!node.value) return;
  const auto kinds = check_kinds(*node.value, names);
  result.kinds = kinds ? *kinds : Type::unknown;
  if (step.kind == StepKind::result) results_ |= result.kinds;
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
  Codes codes;
  for (const auto& rule : step.rules) {
    check_retry(step, rule.policy);
    if (rule.code.empty())
      report(step.place, "bad-retry", fmt::format("a rule of step \"{}\" has no code", step.id));
    check_text(step.place, "the code of a rule", rule.code, "bad-value");
    if (!codes.insert(rule.code).second) {
      report(step.place, "unreachable",
             fmt::format("step \"{}\" has a second rule for \"{}\"", step.id, rule.code), "keep one");
    }
  }
  check_retry(step, step.undo.retry);
  check_duration(step, step.timeout, "timeout");
  check_duration(step, step.total, "total");
  const auto& spec = node.entry->spec;
  plan_->has_rows = plan_->has_rows || spec.effect == Effect::tx;
  check_undo(step.place, node, {});
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
  Codes codes;
  for (const auto& branch : step.branches) {
    check_catch(step, branch, codes);
    node.children.push_back(compile_branch(branch.body, inside, caught, true, depth));
  }
  // Behind it, and in its finally, the error is that of the catch around it again.
  caught.members.erase("error");
  if (const auto around = before.members.find("error"); around != before.members.end())
    caught.members.insert_or_assign("error", around->second);
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
  check_heeded(step, callee->definition());
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
  check_undo(step.place, node, {});
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

}  // namespace onceward::pipeline_detail
