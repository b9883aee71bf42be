#pragma once
#include <onceward/pipeline/plan.hpp>

#include <optional>

namespace onceward::pipeline_detail {

struct CompiledStep {
  const StepDefinition* definition;
  const StepRegistry::Entry* entry;
  std::vector<std::pair<std::string, Expression>> arguments;
  std::optional<Expression> when;
};

struct CompiledPlan {
  explicit CompiledPlan(PipelineDefinition written) : definition(std::move(written)) {}
  CompiledPlan(const CompiledPlan&) = delete;
  CompiledPlan& operator=(const CompiledPlan&) = delete;

  PipelineDefinition definition;
  std::string sha256;
  std::vector<CompiledStep> steps;
};

}  // namespace onceward::pipeline_detail
