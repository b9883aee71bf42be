#include "pipeline/compiler.hpp"

namespace onceward::pipeline_detail {
namespace {

List numbers_of(const RetryPolicy& retry) {
  return {retry.attempts, std::int64_t{retry.first.count()}, retry.factor, std::int64_t{retry.cap.count()},
          retry.jitter};
}

List list_of(const std::vector<StepDefinition>& steps);

/// What has its default is left out: definitions of older versions keep their digest when members are added.
Map rest_of(const StepDefinition& step) {
  static const StepDefinition plain{};
  Map rest;
  const auto add = [&](const char* name, bool differs, auto make) {
    if (differs) rest.set(name, make());
  };
  const auto micros = [](Duration duration) { return Value(std::int64_t{duration.count()}); };
  add("kind", step.kind != plain.kind, [&] { return Value(static_cast<int>(step.kind)); });
  add("rules", !step.rules.empty(), [&] {
    List rules;
    for (const auto& rule : step.rules) rules.push_back(List{rule.code, numbers_of(rule.policy)});
    return Value(std::move(rules));
  });
  add("undo", !(step.undo == plain.undo), [&] {
    return Value(List{step.undo.skip, numbers_of(step.undo.retry)});
  });
  add("timeout", step.timeout != plain.timeout, [&] { return micros(step.timeout); });
  add("total", step.total != plain.total, [&] { return micros(step.total); });
  add("join", step.join != plain.join, [&] { return Value(static_cast<int>(step.join)); });
  add("quorum", step.quorum != plain.quorum, [&] { return Value(step.quorum); });
  add("on_fail", step.on_fail != plain.on_fail, [&] { return Value(static_cast<int>(step.on_fail)); });
  add("items", !step.items.empty(), [&] { return Value(step.items); });
  add("variable", !step.variable.empty(), [&] { return Value(step.variable); });
  add("item_key", !step.item_key.empty(), [&] { return Value(step.item_key); });
  add("max", step.max != plain.max, [&] { return Value(step.max); });
  add("concurrency", step.concurrency != plain.concurrency, [&] { return Value(step.concurrency); });
  add("version", !step.version.empty(), [&] { return Value(step.version); });
  add("value", !step.value.empty(), [&] { return Value(step.value); });
  add("code", !step.code.empty(), [&] { return Value(step.code); });
  add("body", !step.body.empty(), [&] { return Value(list_of(step.body)); });
  add("branches", !step.branches.empty(), [&] {
    List branches;
    for (const auto& branch : step.branches) branches.push_back(List{branch.test, list_of(branch.body)});
    return Value(std::move(branches));
  });
  add("last", !step.last.empty(), [&] { return Value(list_of(step.last)); });
  return rest;
}

List list_of(const std::vector<StepDefinition>& steps) {
  List list;
  for (const auto& step : steps) {
    Map arguments;
    for (const auto& [name, text] : step.arguments) arguments.set(name, text);
    List item{step.id, step.uses, step.when, std::move(arguments), numbers_of(step.retry)};
    if (auto rest = rest_of(step); !rest.empty()) item.push_back(std::move(rest));
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace

std::string canonical(const PipelineDefinition& definition) {
  List inputs;
  for (const auto& input : definition.inputs)
    inputs.push_back(List{input.name, to_string(input.kind), input.required});
  Map rest;
  if (!definition.key.empty()) rest.set("key", definition.key);
  if (definition.recover != Recover::forward) rest.set("recover", "backward");
  if (definition.deadline != Duration::zero())
    rest.set("deadline", std::int64_t{definition.deadline.count()});
  if (!definition.serial_by.empty()) rest.set("serial_by", definition.serial_by);
  if (definition.priority != 0) rest.set("priority", definition.priority);
  List all{definition.id, definition.version, std::move(inputs), list_of(definition.steps)};
  if (!rest.empty()) all.push_back(std::move(rest));
  return Value(std::move(all)).to_json();
}

}  // namespace onceward::pipeline_detail
