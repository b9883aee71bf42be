#pragma once
#include <onceward/expr/expression.hpp>
#include <onceward/pipeline/builder.hpp>
#include <onceward/pipeline/definition.hpp>
#include <onceward/pipeline/diagnostic.hpp>
#include <onceward/pipeline/step.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onceward {

namespace pipeline_detail {
struct CompiledPlan;
}

class PlanCatalog;

/// A pipeline checked against a registry and compiled: what runs. Immutable, cheap to copy, for any thread.
class Plan {
 public:
  /// Checks everything and reports every mistake at once in `diagnostics`. Pipelines it calls are looked up
  /// in `callees` and become part of it: it stays as it is, whatever later versions they get. Errors:
  /// invalid_argument, its message holding the diagnostics.
  static Result<Plan> compile(const PipelineDefinition& definition, const StepRegistry& registry,
                              std::vector<Diagnostic>* diagnostics = nullptr,
                              const PlanCatalog* callees = nullptr);

  [[nodiscard]] const PipelineDefinition& definition() const noexcept;
  /// Of the canonical definition and those it calls, 64 hexadecimal digits: a run is pinned to (id, version,
  /// sha256).
  [[nodiscard]] const std::string& sha256() const noexcept;
  /// The paths of all steps that have tokens, without item keys ("each[]/points"), in order.
  [[nodiscard]] std::vector<std::string> token_paths() const;
  /// The run key of an input, by the pipeline's key template. Errors: wrong_state where it has none; as
  /// KeyTemplate::render.
  [[nodiscard]] Result<std::string> key_of(const Value& input) const;
  [[nodiscard]] const pipeline_detail::CompiledPlan& compiled() const noexcept { return *compiled_; }

 private:
  explicit Plan(std::shared_ptr<const pipeline_detail::CompiledPlan> compiled) noexcept
      : compiled_(std::move(compiled)) {}
  std::shared_ptr<const pipeline_detail::CompiledPlan> compiled_;
};

/// Where a catalog finds plans that nobody added: stored templates, say.
class PlanSource {
 public:
  virtual ~PlanSource() = default;
  /// The plan of (id, version) whose sha256 begins with this one; empty where it has none. Any thread.
  virtual std::optional<Plan> plan_of(std::string_view id, std::string_view version,
                                      std::string_view sha256) = 0;

 protected:
  PlanSource() = default;
  PlanSource(const PlanSource&) = default;
  PlanSource& operator=(const PlanSource&) = default;
};

/// The plans a runner may run, by (id, version, sha256). Add at start-up or at a reload, from any thread.
/// Plans of different owners (a task centre's merchants) have nothing to do with each other, whatever their
/// names; a run finds its own by the sha256 it is pinned to.
class PlanCatalog {
 public:
  PlanCatalog();
  ~PlanCatalog();
  /// Adding an equal plan again changes nothing.
  /// Errors: conflict, where (id, version) of this owner is there with another content: versions are
  /// immutable.
  Result<void> add(Plan plan, std::string_view owner = {});
  /// Asks this source too, in the order they were given, for what find() by sha256 does not know. Of what a
  /// source gave, the last 1,000 plans are kept. It is asked for as long as it lives.
  void ask(std::weak_ptr<PlanSource> source);
  /// Empty where it is not there.
  [[nodiscard]] std::optional<Plan> find(std::string_view id, std::string_view version,
                                         std::string_view sha256) const;
  /// The same by what people know, of the plans that were added without an owner alone.
  [[nodiscard]] std::optional<Plan> find(std::string_view id, std::string_view version) const;
  /// The same of this owner's.
  [[nodiscard]] std::optional<Plan> find_of(std::string_view owner, std::string_view id,
                                            std::string_view version) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reads one <pipeline> document. Every mistake of the text is reported, with line and column.
/// Refuses DOCTYPE and entity declarations, more than limits::xml_bytes and limits::xml_depth.
/// Errors: invalid_argument, its message holding the diagnostics; `file` is only named in them.
Result<PipelineDefinition> parse_pipeline_xml(std::string_view text, std::string_view file,
                                              std::vector<Diagnostic>* diagnostics = nullptr);
/// Reads and compiles one <pipeline> document: the mistakes of the text and of the definition in one list, by
/// place. Errors: as parse_pipeline_xml.
Result<Plan> compile_pipeline_xml(std::string_view text, std::string_view file, const StepRegistry& registry,
                                  std::vector<Diagnostic>* diagnostics = nullptr,
                                  const PlanCatalog* callees = nullptr);
/// The XML text of a definition; parse_pipeline_xml reads it back to an equal definition.
[[nodiscard]] std::string to_xml(const PipelineDefinition& definition);

}  // namespace onceward
