#pragma once
#include <onceward/expr/shape.hpp>
#include <onceward/pipeline/plan.hpp>

#include <optional>

namespace onceward::pipeline_detail {

/// A construct of a plan, ready to be run. Every kind keeps what it contains in `children`: a sequence,
/// parallel and the body of a foreach, attempt or call one child for each construct; a choose and an attempt
/// one sequence for each branch.
struct Node {
  const StepDefinition* definition = nullptr;  ///< null: a sequence that nobody wrote (a branch, the root)
  StepKind kind = StepKind::sequence;
  const StepRegistry::Entry* entry = nullptr;  ///< step
  struct Argument {
    std::string name;
    Expression expression;
    Value::Kind kind = Value::Kind::null;  ///< what the step or the callee wants
    bool required = false;
  };
  std::vector<Argument> arguments{};
  std::optional<Expression> when{};
  std::optional<Expression> value{};     ///< set, result, fail, wait; foreach: its items
  std::optional<Expression> item_key{};  ///< foreach
  std::vector<Expression> tests{};       ///< choose: of its branches; an otherwise has none
  std::vector<Node> children{};
  const PipelineDefinition* callee = nullptr;  ///< call
  bool reads_steps = false;                    ///< one of its expressions reads more than inputs

  [[nodiscard]] std::string_view id() const noexcept {
    return definition == nullptr ? std::string_view() : std::string_view(definition->id);
  }
};

struct CompiledPlan {
  explicit CompiledPlan(PipelineDefinition written) : definition(std::move(written)) {}
  CompiledPlan(const CompiledPlan&) = delete;
  CompiledPlan& operator=(const CompiledPlan&) = delete;

  PipelineDefinition definition;
  std::string canonical;
  std::string sha256;
  Node root{};
  std::optional<KeyTemplate> key{};
  std::optional<Expression> serial_by{};
  std::size_t nodes = 0;  ///< constructs, those of callees included
  std::size_t depth = 0;  ///< of constructs within constructs, those of callees included
  bool has_rows = false;  ///< one of its steps is a tx step
  expr_detail::Kinds result = expr_detail::bit_of(Value::Kind::null);  ///< what its <result> may give
  std::vector<Plan> callees{};                                         ///< keeps what calls point to
};

}  // namespace onceward::pipeline_detail
