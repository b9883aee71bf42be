#include <onceward/core/digest.hpp>
#include <onceward/pipeline/plan.hpp>

#include "pipeline/compiled_plan.hpp"
#include "pipeline/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace onceward {
namespace pipeline_detail {
namespace {

constexpr std::size_t most_steps = 1000;
constexpr std::size_t most_inputs = 64;
constexpr int most_attempts = 1000;
constexpr double most_factor = 10;

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

/// Gathers every mistake of a definition while it is compiled.
class Compiler {
 public:
  explicit Compiler(const StepRegistry& registry) : registry_(registry) {}

  std::shared_ptr<CompiledPlan> compile(const PipelineDefinition& definition) {
    auto plan = std::make_shared<CompiledPlan>(definition);
    plan_ = plan.get();
    check_head();
    for (const auto& step : plan->definition.steps) compile_step(step);
    return diagnostics.empty() ? plan : nullptr;
  }

  std::vector<Diagnostic> diagnostics;

 private:
  static constexpr std::string_view id_hint = "use 1 to 64 of a-z, 0-9, '-' and '_'";

  void report(const SourcePlace& place, std::string code, std::string message, std::string_view hint = {}) {
    if (diagnostics.size() >= limits::diagnostics) return;
    diagnostics.push_back({std::move(code), std::move(message), std::string(hint), place.line, place.column});
  }

  void check_head() {
    const auto& definition = plan_->definition;
    if (!is_id(definition.id)) {
      report(definition.place, "bad-id", fmt::format("the pipeline \"{}\" is no id", definition.id), id_hint);
    }
    if (!is_id(definition.version)) {
      report(definition.place, "bad-id", fmt::format("the version \"{}\" is no id", definition.version),
             id_hint);
    }
    if (definition.steps.empty() || definition.steps.size() > most_steps) {
      report(definition.place, "bad-steps",
             fmt::format("the pipeline \"{}\" has {} steps", definition.id, definition.steps.size()),
             fmt::format("give it 1 to {}", most_steps));
    }
    if (definition.inputs.size() > most_inputs) {
      report(definition.place, "bad-input", fmt::format("more than {} inputs", most_inputs));
    }
    for (std::size_t i = 0; i < definition.inputs.size(); ++i) {
      const auto& input = definition.inputs[i];
      if (!is_name(input.name) || input.name == "steps") {
        report(definition.place, "bad-input", fmt::format("\"{}\" is no name for an input", input.name),
               "use letters, digits and '_'; \"steps\" is taken");
      }
      if (input.kind == Value::Kind::null) {
        report(definition.place, "bad-input", fmt::format("the input \"{}\" could only be null", input.name),
               "give it a kind");
      }
      if (find_input(input.name) != &input) {
        report(definition.place, "duplicate-input",
               fmt::format("the input \"{}\" is there twice", input.name));
      }
    }
  }

  [[nodiscard]] const PipelineInput* find_input(std::string_view name) const {
    const auto& inputs = plan_->definition.inputs;
    const auto found = std::find_if(inputs.begin(), inputs.end(),
                                    [&](const PipelineInput& input) { return input.name == name; });
    return found == inputs.end() ? nullptr : &*found;
  }
  [[nodiscard]] const CompiledStep* find_step(std::string_view id) const {
    const auto found = std::find_if(plan_->steps.begin(), plan_->steps.end(),
                                    [&](const CompiledStep& step) { return step.definition->id == id; });
    return found == plan_->steps.end() ? nullptr : &*found;
  }

  void compile_step(const StepDefinition& step) {
    if (!is_id(step.id))
      report(step.place, "bad-id", fmt::format("the step \"{}\" is no id", step.id), id_hint);
    if (find_step(step.id) != nullptr) {
      report(step.place, "duplicate-step", fmt::format("the step \"{}\" is there twice", step.id),
             "give it another id");
    }
    check_retry(step);
    CompiledStep compiled{&step, registry_.find(step.uses), {}, {}};
    if (compiled.entry == nullptr) {
      report(step.place, "unknown-step", fmt::format("there is no step \"{}\"", step.uses),
             did_you_mean(step.uses, registry_.names()));
    }
    if (!step.when.empty()) {
      compiled.when = expression(step, "when", step.when);
      if (compiled.when && compiled.when->is_constant() && !compiled.when->test(Map())) {
        report(step.place, "wrong-kind", fmt::format("when \"{}\" is neither true nor false", step.when));
      }
    }
    for (const auto& [name, text] : step.arguments) compile_argument(step, name, text, compiled);
    if (compiled.entry != nullptr) check_arguments(step, *compiled.entry);
    plan_->steps.push_back(std::move(compiled));
  }

  void compile_argument(const StepDefinition& step, const std::string& name, const std::string& text,
                        CompiledStep& compiled) {
    const bool twice = std::any_of(compiled.arguments.begin(), compiled.arguments.end(),
                                   [&](const auto& argument) { return argument.first == name; });
    if (twice)
      report(step.place, "duplicate-argument", fmt::format("step \"{}\" gives \"{}\" twice", step.id, name));
    auto parsed = expression(step, name, text);
    if (!parsed) return;
    if (compiled.entry != nullptr) check_kind(step, name, *parsed, *compiled.entry);
    compiled.arguments.emplace_back(name, *std::move(parsed));
  }

  /// Compares kinds where they are known without running: of constants and of plain inputs.
  void check_kind(const StepDefinition& step, const std::string& name, const Expression& expression,
                  const StepRegistry::Entry& entry) {
    const auto& fields = entry.spec.arguments;
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const StepField& f) { return f.name == name; });
    if (field == fields.end()) return;
    std::optional<Value::Kind> kind;
    if (const auto* input = find_input(expression.text())) kind = input->kind;
    if (expression.is_constant()) {
      const auto value = expression.evaluate(Map());
      if (!value) {
        report(step.place, "bad-expression",
               fmt::format("{} \"{}\": {}", name, expression.text(), describe(value.error())));
        return;
      }
      kind = value->kind();
      if (value->is_null() && !field->required) return;
    }
    if (kind && *kind != field->kind) {
      report(step.place, "wrong-kind",
             fmt::format("step \"{}\": \"{}\" is {}, {} wants {}", step.id, name, to_string(*kind),
                         entry.spec.name, to_string(field->kind)));
    }
  }

  void check_arguments(const StepDefinition& step, const StepRegistry::Entry& entry) {
    std::vector<std::string_view> known;
    for (const auto& field : entry.spec.arguments) known.push_back(field.name);
    for (const auto& [name, text] : step.arguments) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        report(step.place, "unknown-argument",
               fmt::format("{} has no argument \"{}\"", entry.spec.name, name), did_you_mean(name, known));
      }
    }
    for (const auto& field : entry.spec.arguments) {
      const bool given = std::any_of(step.arguments.begin(), step.arguments.end(),
                                     [&](const auto& argument) { return argument.first == field.name; });
      if (field.required && !given) {
        report(step.place, "missing-argument",
               fmt::format("step \"{}\" does not give \"{}\" to {}", step.id, field.name, entry.spec.name),
               fmt::format("add <arg name=\"{}\" value=\"...\"/>", field.name));
      }
    }
  }

  void check_retry(const StepDefinition& step) {
    const auto& retry = step.retry;
    const bool fine = retry.attempts >= 1 && retry.attempts <= most_attempts &&
                      retry.first > Duration::zero() && retry.cap >= retry.first &&
                      retry.cap.count() <= limits::duration_us && retry.factor >= 1 &&
                      retry.factor <= most_factor;
    if (!fine) {
      report(step.place, "bad-retry", fmt::format("the retry of step \"{}\" is out of bounds", step.id),
             fmt::format("attempts 1 to {}, first > 0, cap >= first, factor 1 to {}", most_attempts,
                         most_factor));
    }
  }

  std::optional<Expression> expression(const StepDefinition& step, std::string_view what,
                                       const std::string& text) {
    auto parsed = Expression::parse(text, registry_.functions());
    if (!parsed) {
      report(step.place, "bad-expression",
             fmt::format("{} \"{}\": {}", what, text, describe(parsed.error())));
      return std::nullopt;
    }
    for (const auto& path : parsed->paths()) {
      const std::string_view whole = path;
      const auto root = whole.substr(0, whole.find('.'));
      if (find_input(root) != nullptr) continue;
      if (root == "steps" && whole.size() > 6) {
        const auto rest = whole.substr(6);
        if (find_step(rest.substr(0, rest.find('.'))) != nullptr) continue;
      }
      report(step.place, "unknown-name", fmt::format("{} \"{}\" reads \"{}\"", what, text, path),
             "it may read the pipeline's inputs and steps.<id of an earlier step>");
    }
    return *std::move(parsed);
  }

  const StepRegistry& registry_;
  CompiledPlan* plan_ = nullptr;
};

/// All that makes a definition what it is, in one order, whatever text it came from.
std::string canonical(const PipelineDefinition& definition) {
  List inputs;
  for (const auto& input : definition.inputs)
    inputs.push_back(List{input.name, to_string(input.kind), input.required});
  List steps;
  for (const auto& step : definition.steps) {
    Map arguments;
    for (const auto& [name, text] : step.arguments) arguments.set(name, text);
    const auto& retry = step.retry;
    steps.push_back(List{step.id, step.uses, step.when, std::move(arguments),
                         List{retry.attempts, std::int64_t{retry.first.count()}, retry.factor,
                              std::int64_t{retry.cap.count()}, retry.jitter}});
  }
  return Value(List{definition.id, definition.version, std::move(inputs), std::move(steps)}).to_json();
}

}  // namespace
}  // namespace pipeline_detail

Result<Plan> Plan::compile(const PipelineDefinition& definition, const StepRegistry& registry,
                           std::vector<Diagnostic>* diagnostics) {
  pipeline_detail::Compiler compiler(registry);
  auto compiled = compiler.compile(definition);
  if (compiled == nullptr) {
    auto text = describe(compiler.diagnostics, {});
    if (diagnostics != nullptr) *diagnostics = std::move(compiler.diagnostics);
    return fail(ErrorCode::invalid_argument, std::move(text));
  }
  compiled->sha256 = sha256_hex(pipeline_detail::canonical(definition));
  return Plan(std::move(compiled));
}

const PipelineDefinition& Plan::definition() const noexcept { return compiled_->definition; }
const std::string& Plan::sha256() const noexcept { return compiled_->sha256; }

PipelineBuilder::PipelineBuilder(std::string id, std::string version) {
  definition_.id = std::move(id);
  definition_.version = std::move(version);
}
PipelineBuilder& PipelineBuilder::input(std::string name, Value::Kind kind, bool required) {
  definition_.inputs.push_back({std::move(name), kind, required});
  return *this;
}
PipelineBuilder& PipelineBuilder::step(std::string id, std::string uses,
                                       std::vector<std::pair<std::string, std::string>> arguments) {
  definition_.steps.push_back({std::move(id), std::move(uses), std::move(arguments)});
  return *this;
}
PipelineBuilder& PipelineBuilder::when(std::string expression) {
  if (definition_.steps.empty()) throw std::logic_error("when() belongs to a step; call step() first");
  definition_.steps.back().when = std::move(expression);
  return *this;
}
PipelineBuilder& PipelineBuilder::retry(RetryPolicy policy) {
  if (definition_.steps.empty()) throw std::logic_error("retry() belongs to a step; call step() first");
  definition_.steps.back().retry = policy;
  return *this;
}
Result<Plan> PipelineBuilder::compile(const StepRegistry& registry) const {
  return Plan::compile(definition_, registry);
}
PipelineBuilder pipeline(std::string id, std::string version) {
  return PipelineBuilder(std::move(id), std::move(version));
}

}  // namespace onceward
