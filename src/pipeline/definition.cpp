#include <onceward/pipeline/builder.hpp>
#include <onceward/pipeline/plan.hpp>

#include <stdexcept>

namespace onceward {

bool operator==(const StepDefinition& a, const StepDefinition& b) = default;

namespace pipeline_detail {

StepDefinition& last_of(std::vector<StepDefinition>& steps, const char* call, bool step_only) {
  if (steps.empty() || (step_only && steps.back().kind != StepKind::step))
    throw std::logic_error(std::string(call) + "() belongs to a step; call step() first");
  return steps.back();
}

StepDefinition make(StepKind kind, std::string id) {
  StepDefinition made{std::move(id)};
  made.kind = kind;
  return made;
}

std::vector<StepDefinition> body_of(const BodyMaker& maker) {
  Body body;
  maker(body);
  return std::move(body.steps_of_this());
}

}  // namespace pipeline_detail

BranchDefinition when(std::string test, const BodyMaker& body) {
  return {std::move(test), pipeline_detail::body_of(body)};
}
BranchDefinition otherwise(const BodyMaker& body) { return {{}, pipeline_detail::body_of(body)}; }
BranchDefinition on_error(std::string code, const BodyMaker& body) {
  return {std::move(code), pipeline_detail::body_of(body)};
}

PipelineBuilder::PipelineBuilder(std::string id, std::string version) {
  definition_.id = std::move(id);
  definition_.version = std::move(version);
}
PipelineBuilder& PipelineBuilder::input(std::string name, Value::Kind kind, bool required) {
  definition_.inputs.push_back({std::move(name), kind, required});
  return *this;
}
PipelineBuilder& PipelineBuilder::key(std::string key_template) {
  definition_.key = std::move(key_template);
  return *this;
}
PipelineBuilder& PipelineBuilder::recover(Recover recover) {
  definition_.recover = recover;
  return *this;
}
PipelineBuilder& PipelineBuilder::deadline(Duration deadline) {
  definition_.deadline = deadline;
  return *this;
}
PipelineBuilder& PipelineBuilder::serial_by(std::string expression) {
  definition_.serial_by = std::move(expression);
  return *this;
}
PipelineBuilder& PipelineBuilder::priority(int priority) {
  definition_.priority = priority;
  return *this;
}
Result<Plan> PipelineBuilder::compile(const StepRegistry& registry, const PlanCatalog* callees) const {
  return Plan::compile(definition_, registry, nullptr, callees);
}
PipelineBuilder pipeline(std::string id, std::string version) {
  return PipelineBuilder(std::move(id), std::move(version));
}

}  // namespace onceward
