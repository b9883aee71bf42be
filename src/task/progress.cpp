#include "task/progress.hpp"

#include <onceward/core/digest.hpp>

#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::size_t longest_counted = 64;

Error at_rule(Error error, const CompiledTask& task, std::size_t rule, std::string_view what) {
  error.message =
      fmt::format("task \"{}\", rule {}, {}: {}", task.definition->id, rule + 1, what, error.message);
  return error;
}

/// The name under which a distinct value is counted: its JSON text, so that 1 and '1' differ.
std::string counted_name(const Value& value) {
  auto name = value.to_json();
  return name.size() <= longest_counted ? name : "sha256:" + sha256_hex(name).substr(0, 32);
}

std::int64_t longest_run_through(const Map& counted, std::int64_t number) {
  std::int64_t length = 1;
  for (auto n = number - 1; counted.find(std::to_string(n)) != nullptr; --n) ++length;
  for (auto n = number + 1; counted.find(std::to_string(n)) != nullptr; ++n) ++length;
  return length;
}

void count(Instance& instance, const CompiledTask& task, const Value& value) {
  const bool streak = task.measure == Measure::streak;
  const auto name = streak ? value.to_json() : counted_name(value);
  if (const auto* known = instance.counted.find(name)) {
    instance.counted.set(name, *known->integer() + 1);
    return;
  }
  if (instance.counted.size() >= static_cast<std::size_t>(most_counted)) return;
  instance.counted.set(name, 1);
  instance.progress =
      streak ? std::max(instance.progress, longest_run_through(instance.counted, *value.integer()))
             : static_cast<std::int64_t>(instance.counted.size());
}

}  // namespace

Result<std::optional<Contributed>> contribution_of(const CompiledTask& task, std::size_t rule,
                                                   const Zone& zone, std::span<const Binding> names,
                                                   Timestamp at) {
  const auto& compiled = task.rules[rule];
  if (compiled.when) {
    auto counts = compiled.when->test(names);
    if (!counts) return fail(at_rule(std::move(counts).error(), task, rule, "when"));
    if (!*counts) return std::optional<Contributed>();
  }
  if (task.measure == Measure::streak) {
    return std::optional(Contributed{0, Value(period_number(compiled.streak, zone, at))});
  }
  if (!compiled.value) return std::optional(Contributed{1, {}});
  auto value = compiled.value->evaluate(names);
  if (task.measure == Measure::sum) {
    if (!value) return fail(at_rule(std::move(value).error(), task, rule, "add"));
    if (const auto* amount = value->integer()) return std::optional(Contributed{*amount, {}});
    return fail(at_rule(
        {ErrorCode::wrong_kind, fmt::format("it must give an int, it gave {}", to_string(value->kind()))},
        task, rule, "add"));
  }
  if (!value) return fail(at_rule(std::move(value).error(), task, rule, "distinct"));
  if (value->string() == nullptr && value->integer() == nullptr && value->boolean() == nullptr) {
    return fail(at_rule({ErrorCode::wrong_kind, fmt::format("it must give a string, int or bool, it gave {}",
                                                            to_string(value->kind()))},
                        task, rule, "distinct"));
  }
  if (!pipeline_detail::is_storable(*value)) {
    return fail(at_rule({ErrorCode::invalid_argument, "its text is no UTF-8"}, task, rule, "distinct"));
  }
  return std::optional(Contributed{0, *std::move(value)});
}

Result<std::vector<std::int64_t>> advance(Instance& instance, const CompiledTask& task,
                                          const Contributed& contributed) {
  if (task.measure == Measure::sum) {
    std::int64_t sum = 0;
    if (__builtin_add_overflow(instance.progress, contributed.add, &sum)) {
      return fail(ErrorCode::out_of_range,
                  fmt::format("the progress of task \"{}\" would leave 64 bits: {} and {}",
                              task.definition->id, instance.progress, contributed.add));
    }
    instance.progress = sum;
  } else {
    count(instance, task, contributed.counted);
  }
  std::vector<std::int64_t> reached;
  while (instance.reached < static_cast<std::int64_t>(task.stages.size()) &&
         instance.progress >= task.stages[static_cast<std::size_t>(instance.reached)].target) {
    reached.push_back(++instance.reached);
  }
  return reached;
}

}  // namespace onceward::task_detail
