#include <onceward/task/definition.hpp>

#include "task/check_task.hpp"
#include "task/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace onceward {
namespace task_detail {
namespace {

constexpr std::size_t most_event_bytes = 64;
constexpr std::size_t most_tasks = 10'000;
constexpr std::size_t most_stages = 100;
constexpr std::size_t most_rules = 100;

/// Gathers every mistake of a campaign while it is compiled.
class Compiler {
 public:
  Compiler(const StepRegistry& registry, std::span<const std::string> attributes)
      : registry_(registry), attributes_(attributes.begin(), attributes.end()) {}

  std::shared_ptr<const CompiledCampaign> compile(const CampaignDefinition& definition) {
    if (!is_id(definition.merchant)) {
      report(definition.place, "bad-id", fmt::format("the merchant \"{}\" is no id", definition.merchant),
             id_hint);
    }
    auto zone = Zone::find(definition.timezone);
    if (!zone) {
      report(definition.place, "unknown-timezone", zone.error().message, "");
      zone = Zone::find("UTC");  // the other mistakes are told as well
      if (!zone) return nullptr;
    }
    auto campaign = std::make_shared<CompiledCampaign>(definition, *std::move(zone));
    campaign->registry = &registry_;
    compile_pipelines(*campaign);
    std::set<std::string_view> ids;
    if (definition.tasks.size() > most_tasks) {
      report(definition.place, "too-many",
             fmt::format("{} tasks; at most {} in one campaign", definition.tasks.size(), most_tasks), "");
    }
    for (const auto& task : campaign->definition.tasks) {
      if (!ids.insert(task.id).second) {
        report(task.place, "duplicate-task", fmt::format("the task \"{}\" is there twice", task.id),
               "give it another id");
      }
      compile_task(*campaign, task);
    }
    check_order(campaign->definition);
    return diagnostics.empty() ? campaign : nullptr;
  }

  std::vector<Diagnostic> diagnostics;

 private:
  enum class Reads : std::uint8_t { event, profile };

  void report(const SourcePlace& place, std::string code, std::string message, std::string_view hint) {
    if (diagnostics.size() >= limits::diagnostics) return;
    diagnostics.push_back({std::move(code), std::move(message), std::string(hint), place.line, place.column});
  }

  void compile_pipelines(CompiledCampaign& campaign) {
    std::set<std::string_view> ids;
    for (const auto& pipeline : campaign.definition.pipelines) {
      if (!ids.insert(pipeline.id).second) {
        report(pipeline.place, "duplicate-pipeline",
               fmt::format("the pipeline \"{}\" is there twice", pipeline.id), "");
      }
      std::vector<Diagnostic> found;
      auto plan = Plan::compile(pipeline, registry_, &found);
      for (auto& diagnostic : found) diagnostics.push_back(std::move(diagnostic));
      if (plan) campaign.plans.push_back(*std::move(plan));
    }
  }

  std::optional<Expression> expression(const SourcePlace& place, std::string_view what,
                                       const std::string& text, Reads reads = Reads::event) {
    auto parsed = Expression::parse(text, registry_.functions());
    if (!parsed) {
      report(place, "bad-expression", fmt::format("{} \"{}\": {}", what, text, describe(parsed.error())), "");
      return std::nullopt;
    }
    for (const auto& path : parsed->paths()) {
      const std::string_view root = std::string_view(path).substr(0, path.find_first_of(".?["));
      if (path == "user") continue;
      const std::string_view wanted = reads == Reads::profile ? "profile" : "event";
      if (root != wanted) {
        report(place, "unknown-name", fmt::format("{} \"{}\" reads \"{}\"", what, text, path),
               fmt::format("it may read {}.<attribute> and user", wanted));
        continue;
      }
      if (reads == Reads::event) check_attribute(place, what, text, path);
    }
    return *std::move(parsed);
  }

  void check_attribute(const SourcePlace& place, std::string_view what, const std::string& text,
                       const std::string& path) {
    constexpr std::string_view prefix = "event.";
    if (attributes_.empty() || !path.starts_with(prefix)) return;
    std::string_view name = std::string_view(path).substr(prefix.size());
    name = name.substr(0, name.find_first_of(".?["));
    if (attributes_.contains(name)) return;
    std::string known;
    for (const auto& attribute : attributes_) known += (known.empty() ? "" : ", ") + attribute;
    report(place, "unknown-attribute",
           fmt::format("{} \"{}\" reads event.{}, which no event has", what, text, name),
           fmt::format("events have {}", known));
  }

  void compile_task(CompiledCampaign& campaign, const TaskDefinition& task) {
    if (!is_id(task.id))
      report(task.place, "bad-id", fmt::format("the task \"{}\" is no id", task.id), id_hint);
    if (!is_id(task.version)) {
      report(task.place, "bad-id",
             fmt::format("the version \"{}\" of task \"{}\" is no id", task.version, task.id), id_hint);
    }
    if (task.rules.empty() || task.rules.size() > most_rules) {
      report(task.place, "bad-rules",
             fmt::format("task \"{}\" has {} <on> rules", task.id, task.rules.size()),
             fmt::format("give it 1 to {}", most_rules));
    }
    check_task(task, [&](const SourcePlace& place, const char* code, std::string message, const char* hint) {
      report(place, code, std::move(message), hint);
    });
    std::optional<Zone> own_zone;
    if (!task.timezone.empty()) {
      auto zone = Zone::find(task.timezone);
      if (zone) own_zone = *std::move(zone);
      if (!zone) report(task.place, "unknown-timezone", zone.error().message, "");
    }
    CompiledTask compiled{&task, calendar_of(own_zone.value_or(campaign.zone), task)};
    compiled.own_zone = std::move(own_zone);
    const bool quota_later = task.quota && task.quota->at != QuotaAt::claim;
    compiled.tracked = task.group.empty() &&
                       (quota_later || task.collect == Mode::manual || task.on_refund == OnRefund::clawback);
    compiled.timed = task.late || task.within != Duration::zero();
    compiled.own_cycles = task.user_zone || task.period == Period::rolling;
    compiled.plain_cycles = !compiled.own_cycles && !compiled.own_zone && task.period != Period::fixed &&
                            task.month_day == 1 && task.day_starts == Duration::zero();
    if (!task.audience.empty())
      compiled.audience = expression(task.place, "audience", task.audience, Reads::profile);
    if (!task.group.empty()) compiled.group = expression(task.place, "group", task.group);
    compile_rules(task, compiled);
    compile_stages(campaign, task, compiled);
    for (std::size_t i = 0; i < task.rules.size(); ++i) {
      campaign.by_event[task.rules[i].event].push_back({campaign.tasks.size(), i});
    }
    campaign.tasks.push_back(std::move(compiled));
  }

  static Calendar calendar_of(const Zone& zone, const TaskDefinition& task) {
    const Calendar::Rule rule{task.period, task.month_day, std::max(task.every, Duration(1)),
                              task.starts.value_or(Timestamp{})};
    return {rule, zone.with_day_at(task.day_starts)};
  }

  /// What comes before a task must not come after it. Reports each circle once, at the task it is found from.
  void check_order(const CampaignDefinition& definition) {
    std::map<std::string_view, const TaskDefinition*> tasks;
    for (const auto& task : definition.tasks) tasks.emplace(task.id, &task);
    std::map<std::string_view, int> seen;  // 1: on the way, 2: done
    const std::function<void(const TaskDefinition&)> visit = [&](const TaskDefinition& task) {
      seen[task.id] = 1;
      for (const auto& before : task.after) {
        const auto found = tasks.find(before);
        if (found == tasks.end()) {
          report(task.place, "unknown-task", fmt::format("task \"{}\" comes after \"{}\"", task.id, before),
                 "the campaign has no task of that id");
        } else if (found->second->user_zone || found->second->period == Period::rolling) {
          report(
              task.place, "bad-order",
              fmt::format("task \"{}\" comes after \"{}\", whose cycles are the user's own", task.id, before),
              "name a task whose cycles are the same for every user");
        } else if (seen[before] == 1) {
          report(task.place, "bad-order",
                 fmt::format("task \"{}\" comes after \"{}\", which comes after it", task.id, before),
                 "take one of them out of `after`");
        } else if (seen[before] == 0) {
          visit(*found->second);
        }
      }
      seen[task.id] = 2;
    };
    for (const auto& task : definition.tasks) {
      if (seen[task.id] == 0) visit(task);
    }
  }

  /// Of a constant expression its kind is known before any event comes.
  std::optional<Expression> rule_expression(const EventRule& rule, std::string_view what,
                                            const std::string& text,
                                            std::initializer_list<Value::Kind> wanted) {
    auto parsed = expression(rule.place, what, text);
    if (!parsed || !parsed->is_constant()) return parsed;
    const auto value = parsed->evaluate(Map());
    if (!value) {
      report(rule.place, "bad-expression", fmt::format("{} \"{}\": {}", what, text, describe(value.error())),
             "");
    } else if (std::find(wanted.begin(), wanted.end(), value->kind()) == wanted.end()) {
      std::string kinds;
      for (const auto kind : wanted) kinds.append(kinds.empty() ? "" : " or ").append(to_string(kind));
      report(rule.place, "wrong-kind",
             fmt::format("{} \"{}\" is {}, it must be {}", what, text, to_string(value->kind()), kinds), "");
    }
    return parsed;
  }

  static Measure measure_of(const EventRule& rule) noexcept {
    if (!rule.distinct.empty()) return Measure::distinct;
    return rule.streak != Period::once ? Measure::streak : Measure::sum;
  }

  void compile_rules(const TaskDefinition& task, CompiledTask& compiled) {
    for (std::size_t i = 0; i < task.rules.size(); ++i) {
      const auto& rule = task.rules[i];
      if (rule.event.empty() || rule.event.size() > most_event_bytes) {
        report(rule.place, "bad-event", fmt::format("an <on> of task \"{}\" names no event", task.id),
               "write event=\"order.paid\"");
      }
      const int kinds = (rule.add.empty() ? 0 : 1) + (rule.distinct.empty() ? 0 : 1) +
                        (rule.streak == Period::once ? 0 : 1);
      if (kinds > 1) {
        report(rule.place, "mixed-measure",
               fmt::format("an <on> of task \"{}\" has several of add, distinct, streak", task.id),
               "keep one of them");
      }
      if (i == 0) {
        compiled.measure = measure_of(rule);
      } else if (measure_of(rule) != measure_of(task.rules[0]) || rule.streak != task.rules[0].streak ||
                 rule.freeze != task.rules[0].freeze || rule.grace != task.rules[0].grace) {
        report(rule.place, "mixed-measure",
               fmt::format("the <on> rules of task \"{}\" count in different ways", task.id),
               "let all of them add, or count distinct values, or the same streak");
      }
      CompiledRule target;
      target.streak = rule.streak;
      using Kind = Value::Kind;
      if (!rule.credit.empty()) target.credit = rule_expression(rule, "credit", rule.credit, {Kind::string});
      if (!rule.when.empty()) target.when = rule_expression(rule, "when", rule.when, {Kind::boolean});
      if (!rule.add.empty()) target.value = rule_expression(rule, "add", rule.add, {Kind::integer});
      if (!rule.distinct.empty()) {
        target.value =
            rule_expression(rule, "distinct", rule.distinct, {Kind::string, Kind::integer, Kind::boolean});
      }
      target.divisible = rule.distinct.empty() && target.value && !target.value->is_constant();
      compiled.rules.push_back(std::move(target));
    }
    if (task.match == Match::sum) return;
    if (compiled.measure != Measure::sum) {
      report(task.place, "mixed-measure",
             fmt::format("task \"{}\" matches all or any of what is no sum", task.id),
             "distinct and streak need match=\"sum\"");
    }
    compiled.measure = Measure::match;
  }

  void compile_stages(const CompiledCampaign& campaign, const TaskDefinition& task, CompiledTask& compiled) {
    if (task.stages.empty() || task.stages.size() > most_stages) {
      report(task.place, "bad-stages", fmt::format("task \"{}\" has {} stages", task.id, task.stages.size()),
             fmt::format("give it 1 to {}", most_stages));
    }
    std::int64_t before = 0;
    for (const auto& stage : task.stages) {
      if (stage.target <= before) {
        report(stage.place, "bad-target",
               fmt::format("a stage of task \"{}\" has the target {}", task.id, stage.target),
               "targets are at least 1 and grow from stage to stage");
      }
      before = stage.target;
      const auto rules = task.match == Match::any ? 1 : static_cast<std::int64_t>(task.rules.size());
      if (compiled.measure == Measure::match && stage.target > rules) {
        report(stage.place, "bad-target",
               fmt::format("a stage of task \"{}\" has the target {}", task.id, stage.target),
               fmt::format("the progress of match all or any is at most {}", rules));
      }
      if ((compiled.measure == Measure::distinct || compiled.measure == Measure::streak) &&
          stage.target > most_counted) {
        report(stage.place, "bad-target",
               fmt::format("a stage of task \"{}\" has the target {}", task.id, stage.target),
               fmt::format("distinct and streak count up to {}", most_counted));
      }
      const auto* plan = plan_of(campaign, task, stage, stage.pipeline);
      if (plan == nullptr) continue;
      CompiledStage made{stage.target, *plan, arguments_of(task, stage, plan->definition()), std::nullopt};
      if (!stage.take_back.empty()) {
        if (const auto* back = plan_of(campaign, task, stage, stage.take_back)) {
          check_take_back(task, stage, *back);
          made.take_back = *back;
        }
      }
      compiled.stages.push_back(std::move(made));
    }
  }

  /// Null where there is none that compiles; reported where none is written.
  const Plan* plan_of(const CompiledCampaign& campaign, const TaskDefinition& task,
                      const StageDefinition& stage, const std::string& id) {
    const auto plan = std::find_if(campaign.plans.begin(), campaign.plans.end(),
                                   [&](const Plan& candidate) { return candidate.definition().id == id; });
    if (plan != campaign.plans.end()) return &*plan;
    const bool written =
        std::any_of(campaign.definition.pipelines.begin(), campaign.definition.pipelines.end(),
                    [&](const PipelineDefinition& p) { return p.id == id; });
    if (!written) {
      report(stage.place, "unknown-pipeline",
             fmt::format("a stage of task \"{}\" uses the pipeline \"{}\"", task.id, id),
             "the campaign has no <pipeline> of that id");
    }
    return nullptr;
  }

  void check_take_back(const TaskDefinition& task, const StageDefinition& stage, const Plan& plan) {
    for (const auto& input : plan.definition().inputs) {
      const bool given = std::any_of(stage.arguments.begin(), stage.arguments.end(),
                                     [&](const auto& argument) { return argument.first == input.name; });
      if (!input.required || input.name == "user" || given) continue;
      report(stage.place, "missing-argument",
             fmt::format("a stage of task \"{}\" does not give \"{}\", which the pipeline \"{}\" requires",
                         task.id, input.name, plan.definition().id),
             "what takes a reward back gets those of the stage's arguments it has");
    }
  }

  std::vector<std::pair<std::string, Expression>> arguments_of(const TaskDefinition& task,
                                                               const StageDefinition& stage,
                                                               const PipelineDefinition& pipeline) {
    std::vector<std::pair<std::string, Expression>> arguments;
    std::set<std::string_view> given;
    for (const auto& [name, text] : stage.arguments) {
      const auto input = std::find_if(
          pipeline.inputs.begin(), pipeline.inputs.end(),
          [&, &wanted = name](const PipelineInput& candidate) { return candidate.name == wanted; });
      if (!given.insert(name).second) {
        report(stage.place, "duplicate-argument", fmt::format("the argument \"{}\" is there twice", name),
               "");
      }
      if (input == pipeline.inputs.end()) {
        report(stage.place, "unknown-argument",
               fmt::format("a stage of task \"{}\" gives \"{}\" to the pipeline \"{}\"", task.id, name,
                           pipeline.id),
               "the pipeline has no such <param>");
        continue;
      }
      auto parsed = expression(stage.place, "argument", text);
      if (!parsed) continue;
      check_constant(stage, *parsed, *input);
      arguments.emplace_back(name, *std::move(parsed));
    }
    for (const auto& input : pipeline.inputs) {
      if (!input.required || input.name == "user" || given.contains(input.name)) continue;
      report(stage.place, "missing-argument",
             fmt::format("a stage of task \"{}\" does not give \"{}\", which the pipeline \"{}\" requires",
                         task.id, input.name, pipeline.id),
             fmt::format("add <arg name=\"{}\" value=\"...\"/>", input.name));
    }
    return arguments;
  }

  void check_constant(const StageDefinition& stage, const Expression& expression,
                      const PipelineInput& input) {
    if (!expression.is_constant()) return;
    const auto value = expression.evaluate(Map());
    if (!value) {
      report(stage.place, "bad-expression",
             fmt::format("argument \"{}\": {}", expression.text(), describe(value.error())), "");
    } else if (value->kind() != input.kind && !(value->is_null() && !input.required)) {
      report(stage.place, "wrong-kind",
             fmt::format("argument \"{}\" is {}, the pipeline's \"{}\" is {}", expression.text(),
                         to_string(value->kind()), input.name, to_string(input.kind)),
             value->kind() == Value::Kind::string ? "" : "write text in quotes: 'GOLD10'");
    }
  }

  const StepRegistry& registry_;
  std::set<std::string, std::less<>> attributes_;
};

}  // namespace

}  // namespace task_detail

const CampaignDefinition& Campaign::definition() const noexcept { return compiled_->definition; }

Result<Campaign> Campaign::compile(const CampaignDefinition& definition, const StepRegistry& registry,
                                   std::string_view file, std::span<const std::string> event_attributes,
                                   std::vector<Diagnostic>* diagnostics) {
  task_detail::Compiler compiler(registry, event_attributes);
  auto compiled = compiler.compile(definition);
  if (compiled == nullptr) {
    auto text = describe(compiler.diagnostics, file);
    if (diagnostics != nullptr) *diagnostics = std::move(compiler.diagnostics);
    return fail(ErrorCode::invalid_argument, std::move(text));
  }
  return Campaign(std::move(compiled));
}

}  // namespace onceward
