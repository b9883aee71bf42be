#include <onceward/core/digest.hpp>
#include <onceward/pipeline/plan.hpp>

#include "pipeline/compiler.hpp"

namespace onceward {

Result<Plan> Plan::compile(const PipelineDefinition& definition, const StepRegistry& registry,
                           std::vector<Diagnostic>* diagnostics, const PlanCatalog* callees) {
  pipeline_detail::Compiler compiler(registry, callees);
  auto compiled = compiler.compile(definition);
  if (compiled == nullptr) {
    auto text = describe(compiler.diagnostics, {});
    if (diagnostics != nullptr) *diagnostics = std::move(compiler.diagnostics);
    return fail(ErrorCode::invalid_argument, std::move(text));
  }
  compiled->sha256 = sha256_hex(compiled->canonical);
  return Plan(std::move(compiled));
}

const PipelineDefinition& Plan::definition() const noexcept { return compiled_->definition; }
const std::string& Plan::sha256() const noexcept { return compiled_->sha256; }

namespace {

void add_paths(const pipeline_detail::Node& node, const std::string& prefix,
               std::vector<std::string>& paths) {
  auto below = prefix;
  if (node.kind == StepKind::step) paths.push_back(prefix + std::string(node.id()));
  if (node.kind == StepKind::call) below.append(node.id()).append("/");
  if (node.kind == StepKind::foreach) below.append(node.id()).append("[]/");
  for (const auto& child : node.children) add_paths(child, below, paths);
}

}  // namespace

std::vector<std::string> Plan::token_paths() const {
  std::vector<std::string> paths;
  add_paths(compiled_->root, {}, paths);
  return paths;
}

Result<std::string> Plan::key_of(const Value& input) const {
  if (compiled_->key) return compiled_->key->render(input);
  return fail(ErrorCode::wrong_state,
              "the pipeline \"" + definition().id + "\" has no key template: start its runs with a key");
}

}  // namespace onceward
