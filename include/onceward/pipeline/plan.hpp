#pragma once
#include <onceward/expr/expression.hpp>
#include <onceward/pipeline/diagnostic.hpp>
#include <onceward/pipeline/step.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onceward {

/// How often and how late a step is tried again. The delay before attempt n+1 is
/// min(cap, first * factor^(n-1)), drawn evenly from [0, delay] where `jitter` is set.
struct RetryPolicy {
  int attempts = 20;                                ///< 1..1000, the first one included
  Duration first = std::chrono::milliseconds(200);  ///< > 0
  double factor = 2.0;                              ///< 1..10
  Duration cap = std::chrono::minutes(5);
  bool jitter = true;

  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

/// One input of a pipeline.
struct PipelineInput {
  std::string name;
  Value::Kind kind = Value::Kind::string;
  bool required = true;

  friend bool operator==(const PipelineInput&, const PipelineInput&) = default;
};

/// One step of a pipeline, as written: argument names with the expressions that give their values.
struct StepDefinition {
  std::string id;    ///< unique in the pipeline: [a-z0-9_-]{1,64}; part of the step's token
  std::string uses;  ///< a name in the registry, "grant-points@1"
  std::vector<std::pair<std::string, std::string>> arguments{};
  std::string when{};  ///< an expression; the step is skipped where it is false. Empty: always
  RetryPolicy retry{};
  SourcePlace place{};

  friend bool operator==(const StepDefinition&, const StepDefinition&) = default;
};

/// A pipeline as written, in code or XML.
struct PipelineDefinition {
  std::string id;
  std::string version = "1";
  std::vector<PipelineInput> inputs{};
  std::vector<StepDefinition> steps{};
  SourcePlace place{};

  friend bool operator==(const PipelineDefinition&, const PipelineDefinition&) = default;
};

namespace pipeline_detail {
struct CompiledPlan;
}

/// A pipeline checked against a registry and compiled: what runs. Immutable, cheap to copy, for any thread.
class Plan {
 public:
  /// Checks everything and reports every mistake at once in `diagnostics` (never null).
  /// Errors: invalid_argument, its message holding the diagnostics.
  static Result<Plan> compile(const PipelineDefinition& definition, const StepRegistry& registry,
                              std::vector<Diagnostic>* diagnostics = nullptr);

  [[nodiscard]] const PipelineDefinition& definition() const noexcept;
  /// Of the canonical definition, 64 hexadecimal digits: a run is pinned to (id, version, sha256).
  [[nodiscard]] const std::string& sha256() const noexcept;
  [[nodiscard]] const pipeline_detail::CompiledPlan& compiled() const noexcept { return *compiled_; }

 private:
  explicit Plan(std::shared_ptr<const pipeline_detail::CompiledPlan> compiled) noexcept
      : compiled_(std::move(compiled)) {}
  std::shared_ptr<const pipeline_detail::CompiledPlan> compiled_;
};

/// Builds a pipeline in code:
/// pipeline("reward").input("user", Value::Kind::string).step("points", "grant-points@1", {{"user",
/// "user"}}).compile(registry)
class PipelineBuilder {
 public:
  explicit PipelineBuilder(std::string id, std::string version = "1");
  PipelineBuilder& input(std::string name, Value::Kind kind, bool required = true);
  PipelineBuilder& step(std::string id, std::string uses,
                        std::vector<std::pair<std::string, std::string>> arguments = {});
  /// Of the step added last. Throws std::logic_error where there is none yet.
  PipelineBuilder& when(std::string expression);
  PipelineBuilder& retry(RetryPolicy policy);
  [[nodiscard]] const PipelineDefinition& definition() const noexcept { return definition_; }
  [[nodiscard]] Result<Plan> compile(const StepRegistry& registry) const;

 private:
  PipelineDefinition definition_;
};
[[nodiscard]] PipelineBuilder pipeline(std::string id, std::string version = "1");

/// Reads one <pipeline> document. Every mistake of the text is reported, with line and column.
/// Refuses DOCTYPE and entity declarations, more than limits::xml_bytes and limits::xml_depth.
/// Errors: invalid_argument, its message holding the diagnostics; `file` is only named in them.
Result<PipelineDefinition> parse_pipeline_xml(std::string_view text, std::string_view file,
                                              std::vector<Diagnostic>* diagnostics = nullptr);
/// Reads and compiles one <pipeline> document: the mistakes of the text and of the definition in one list, by
/// place. Errors: as parse_pipeline_xml.
Result<Plan> compile_pipeline_xml(std::string_view text, std::string_view file, const StepRegistry& registry,
                                  std::vector<Diagnostic>* diagnostics = nullptr);
/// The XML text of a definition; parse_pipeline_xml reads it back to an equal definition.
[[nodiscard]] std::string to_xml(const PipelineDefinition& definition);

}  // namespace onceward
