#pragma once
#include "pipeline/compiled_plan.hpp"
#include "pipeline/kind_check.hpp"

#include <memory>
#include <set>

namespace onceward::pipeline_detail {

/// Gathers every mistake of a definition while it is compiled.
class Compiler {
 public:
  Compiler(const StepRegistry& registry, const PlanCatalog* callees)
      : registry_(registry), callees_(callees) {}

  /// Null where there are mistakes.
  std::shared_ptr<CompiledPlan> compile(const PipelineDefinition& definition);

  std::vector<Diagnostic> diagnostics{};

 private:
  void report(const SourcePlace& place, std::string code, std::string message, std::string_view hint = {});
  void check_head();
  void compile_key();
  [[nodiscard]] const PipelineInput* find_input(std::string_view name) const;

  /// Compiles constructs that run one after another; each sees those before it.
  std::vector<Node> compile_body(const std::vector<StepDefinition>& body, Type& names, std::size_t depth);
  Node compile_construct(const StepDefinition& step, Type& outer, std::size_t depth);
  /// A sequence of its own. What it adds to `names` may be null behind it where `maybe` is set.
  Node compile_branch(const std::vector<StepDefinition>& body, const Type& before, Type& after, bool maybe,
                      std::size_t depth);
  /// What its kind alone has; gives what its result may be.
  Type compile_kind(const StepDefinition& step, Node& node, Type& names, std::size_t depth);
  void check_id(const StepDefinition& step);
  void compile_step(const StepDefinition& step, Node& node, const Type& names);
  void compile_parallel(const StepDefinition& step, Node& node, Type& names, std::size_t depth);
  void compile_choose(const StepDefinition& step, Node& node, Type& names, std::size_t depth);
  void compile_foreach(const StepDefinition& step, Node& node, const Type& names, std::size_t depth);
  void compile_attempt(const StepDefinition& step, Node& node, Type& names, std::size_t depth);
  void compile_call(const StepDefinition& step, Node& node, const Type& names, std::size_t depth);
  void compile_value(const StepDefinition& step, Node& node, const Type& names, Type& result);
  void compile_timer(const StepDefinition& step, Node& node, const Type& names);
  void compile_argument(const StepDefinition& step, const std::string& name, const std::string& text,
                        std::span<const StepField> fields, std::string_view wants, Node& node,
                        const Type& names);
  void check_arguments(const StepDefinition& step, std::span<const StepField> fields, std::string_view wants);
  void check_retry(const StepDefinition& step, const RetryPolicy& retry);
  using Codes = std::set<std::string_view>;
  void check_catch(const StepDefinition& step, const BranchDefinition& branch, Codes& before);
  void check_heeded(const StepDefinition& step, const PipelineDefinition& callee);
  void check_undo(const SourcePlace& place, const Node& node, const std::string& within);
  void check_duration(const StepDefinition& step, Duration duration, std::string_view what);
  /// Parses an expression and checks every name and kind in it; `wanted` is what its result must be.
  std::optional<Expression> expression(const SourcePlace& place, std::string_view what,
                                       const std::string& text, const Type& names, Node& node,
                                       expr_detail::Kinds wanted = expr_detail::any_kind);
  /// A definition has an XML form: reports text that can stand in none.
  void check_text(const SourcePlace& place, std::string_view what, std::string_view text, std::string code);
  /// Reports kinds that are a mistake, or not those wanted. Whether there are kinds.
  bool check_result(const SourcePlace& place, std::string_view what, std::string_view text,
                    const Result<expr_detail::Kinds>& kinds, expr_detail::Kinds wanted);
  bool check_names(const SourcePlace& place, std::string_view what, const Expression& expression,
                   const Type& names);

  const StepRegistry& registry_;
  const PlanCatalog* callees_;
  CompiledPlan* plan_ = nullptr;
  std::set<std::string, std::less<>> ids_{};
  std::size_t nodes_ = 0;
  expr_detail::Kinds results_ = 0;  ///< of all <result>s so far
};

/// All that makes a definition what it is, in one order, whatever text it came from.
[[nodiscard]] std::string canonical(const PipelineDefinition& definition);

}  // namespace onceward::pipeline_detail
