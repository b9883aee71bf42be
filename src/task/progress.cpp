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

constexpr char early_mark = '~';

/// The runs of a streak. A run misses at most `freezes` periods in all; one that an early event of the period
/// after it forgives is not missed.
struct Runs {
  /// Of all runs there are, wherever one begins: one period more never makes it shorter.
  std::int64_t longest = 0;
  /// The latest one, told in order: a freeze that was used is used, and what is missed then begins it anew.
  std::int64_t last = 0;
};
Runs runs_of(const Map& counted, int freezes) {
  std::vector<std::int64_t> numbers;
  numbers.reserve(counted.size());
  for (const auto& [name, count] : counted) {
    if (name.back() != early_mark) numbers.push_back(std::stoll(name));
  }
  std::sort(numbers.begin(), numbers.end());
  const auto missed_before = [&](std::size_t i) -> std::int64_t {
    const auto missed = numbers[i] - numbers[i - 1] - 1;
    const bool forgiven = missed == 1 && counted.find(std::to_string(numbers[i]) + early_mark) != nullptr;
    return forgiven ? 0 : missed;
  };
  Runs runs;
  std::int64_t missed = 0;  // in the longest run that ends at i
  std::size_t first = 0;    // and where it begins
  std::int64_t frozen = 0;  // in the run told in order
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto more = i == 0 ? 0 : missed_before(i);
    missed += more;
    while (missed > freezes) missed -= missed_before(++first);
    runs.longest = std::max(runs.longest, static_cast<std::int64_t>(i - first) + 1);
    const bool goes_on = more <= freezes - frozen;
    runs.last = goes_on ? runs.last + 1 : 1;
    frozen = goes_on ? frozen + more : 0;
  }
  return runs;
}

/// The usual streak needs no list of its periods: the run through a new one is looked up.
std::int64_t longest_run_through(const Map& counted, std::int64_t number) {
  std::int64_t length = 1;
  for (auto n = number - 1; counted.find(std::to_string(n)) != nullptr; --n) ++length;
  for (auto n = number + 1; counted.find(std::to_string(n)) != nullptr; ++n) ++length;
  return length;
}

bool forgives(const CompiledTask& task) noexcept {
  const auto& rules = task.definition->rules;
  return std::any_of(rules.begin(), rules.end(), [](const EventRule& rule) {
    return rule.freeze != 0 || rule.grace != Duration::zero();
  });
}

int freezes_of(const CompiledTask& task) noexcept { return task.definition->rules.front().freeze; }

/// How often a name is counted, changed by one; a name counted no more is gone. Gives the new count.
std::int64_t change_count(Map& counted, const std::string& name, std::int64_t by) {
  const auto* known = counted.find(name);
  const auto count = (known == nullptr ? 0 : *known->integer()) + by;
  if (count > 0) {
    counted.set(name, count);
    return count;
  }
  std::vector<Map::Entry> left;
  for (const auto& entry : counted) {
    if (entry.first != name) left.push_back(entry);
  }
  counted = Map::from_entries(std::move(left));
  return count;
}

Error overflow(const CompiledTask& task, std::int64_t progress, std::int64_t by) {
  return {ErrorCode::out_of_range, fmt::format("the progress of task \"{}\" would leave 64 bits: {} and {}",
                                               task.definition->id, progress, by)};
}

/// The progress of match all and any: how many rules have what they need.
std::int64_t matched(const Instance& instance, const CompiledTask& task) {
  std::int64_t satisfied = 0;
  const auto& rules = task.definition->rules;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto* sum = instance.counted.find(std::to_string(i + 1));
    if (sum != nullptr && *sum->integer() >= rules[i].needs) ++satisfied;
  }
  return task.definition->match == Match::any ? std::min<std::int64_t>(satisfied, 1) : satisfied;
}

Result<void> change_sum(Instance& instance, const CompiledTask& task, const Contributed& contributed,
                        bool back) {
  const bool match = task.measure == Measure::match;
  const auto rule = std::to_string(contributed.taking.rule);
  const auto* known = match ? instance.counted.find(rule) : nullptr;
  const std::int64_t before = match ? (known == nullptr ? 0 : *known->integer()) : instance.progress;
  std::int64_t sum = 0;
  const bool beyond = back ? __builtin_sub_overflow(before, contributed.add, &sum)
                           : __builtin_add_overflow(before, contributed.add, &sum);
  if (beyond) return fail(overflow(task, before, contributed.add));
  if (match) {
    instance.counted.set(rule, sum);
    instance.progress = matched(instance, task);
  } else {
    instance.progress = sum;
  }
  return {};
}

void recount(Instance& instance, const CompiledTask& task) {
  instance.progress = task.measure == Measure::streak ? runs_of(instance.counted, freezes_of(task)).longest
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
  if (task.measure == Measure::streak) return std::optional(streak_of(task, rule, zone, at));
  const bool sum = task.measure == Measure::sum || task.measure == Measure::match;
  const Taking taking{task.measure == Measure::match ? static_cast<std::int64_t>(rule) + 1 : 0,
                      compiled.divisible, false};
  if (!compiled.value) return std::optional(Contributed{1, {}, taking});
  auto value = compiled.value->evaluate(names);
  if (sum) {
    if (!value) return fail(at_rule(std::move(value).error(), task, rule, "add"));
    if (const auto* amount = value->integer()) return std::optional(Contributed{*amount, {}, taking});
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

Contributed streak_of(const CompiledTask& task, std::size_t rule, const Zone& zone, Timestamp at) {
  const Calendar calendar({task.rules[rule].streak, task.definition->month_day}, zone);
  const auto number = calendar.number_of(at);
  const auto grace = task.definition->rules[rule].grace;
  const bool early = grace != Duration::zero() && at < calendar.begin_of(number) + grace;
  return {0, Value(number), {0, false, early}};
}

Contributed contributed_of(const Value& amount, const Taking& taking, Measure measure) {
  const bool sum = measure == Measure::sum || measure == Measure::match;
  if (sum && amount.integer() != nullptr) return {*amount.integer(), {}, taking};
  return {0, amount, taking};
}

std::int64_t left_of(std::int64_t amount, std::int64_t taken) noexcept {
  if (amount >= 0) return amount > taken ? amount - taken : 0;
  return amount < -taken ? amount + taken : 0;
}

Result<bool> add(Instance& instance, const CompiledTask& task, const Contributed& contributed) {
  if (task.measure == Measure::sum || task.measure == Measure::match) {
    if (auto changed = change_sum(instance, task, contributed, false); !changed)
      return fail(std::move(changed).error());
    return true;
  }
  const bool streak = task.measure == Measure::streak;
  const auto name = streak ? contributed.counted.to_json() : counted_name(contributed.counted);
  const bool known = instance.counted.find(name) != nullptr;
  const std::size_t room = contributed.taking.early ? 2 : 1;
  if (!known && instance.counted.size() + room > static_cast<std::size_t>(most_counted)) return false;
  change_count(instance.counted, name, 1);
  if (contributed.taking.early) change_count(instance.counted, name + early_mark, 1);
  if (streak && forgives(task)) {
    recount(instance, task);
  } else if (!known) {
    instance.progress = streak
                            ? std::max(instance.progress,
                                       longest_run_through(instance.counted, *contributed.counted.integer()))
                            : static_cast<std::int64_t>(instance.counted.size());
  }
  return true;
}

Result<void> subtract(Instance& instance, const CompiledTask& task, const Contributed& contributed) {
  if (task.measure == Measure::sum || task.measure == Measure::match)
    return change_sum(instance, task, contributed, true);
  const auto name =
      task.measure == Measure::streak ? contributed.counted.to_json() : counted_name(contributed.counted);
  change_count(instance.counted, name, -1);
  if (contributed.taking.early) change_count(instance.counted, name + early_mark, -1);
  recount(instance, task);
  return {};
}

std::int64_t current_run(const Instance& instance, const CompiledTask& task) {
  return task.measure == Measure::streak ? runs_of(instance.counted, freezes_of(task)).last : 0;
}

std::vector<Grant> lose_stages(Instance& instance, const CompiledTask& task, std::int64_t before) {
  std::vector<Grant> fallen;
  const bool clawback = task.definition->on_refund == OnRefund::clawback;
  while (task.tracked && instance.reached > 0 && instance.progress < task.stage(instance.reached).target) {
    auto* grant = instance.grant_of(instance.reached);
    if (grant == nullptr) break;
    if (grant->state == Grant::State::voided) {
      --instance.reached;
      continue;
    }
    if (instance.progress >= before) break;
    const bool issued = grant->state == Grant::State::granted;
    const bool coming = grant->state == Grant::State::waiting && grant->collected;
    const bool without = grant->state == Grant::State::out_of_stock;
    if ((issued || coming || without) && !clawback) break;
    // One that waits for its unit has no run yet, and never gets one: there is nothing to take back.
    grant->state = issued ? Grant::State::revoked : Grant::State::voided;
    fallen.push_back(*grant);
    grant->unit = false;
    --instance.reached;
  }
  return fallen;
}

Reached settle(Instance& instance, const CompiledTask& task, std::int64_t before) {
  Reached done;
  done.fallen = lose_stages(instance, task, before);
  while (instance.reached < static_cast<std::int64_t>(task.stages.size()) &&
         instance.progress >= task.stage(instance.reached + 1).target) {
    done.stages.push_back(++instance.reached);
  }
  return done;
}

}  // namespace onceward::task_detail
