#pragma once
#include <onceward/core/result.hpp>
#include <onceward/pipeline/definition.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace onceward {

class Plan;
class PlanCatalog;
class StepRegistry;
class Body;
/// The body of a parallel is its branches, one construct each.
using Branches = Body;
using BodyMaker = std::function<void(Body&)>;
using Arguments = std::vector<std::pair<std::string, std::string>>;

namespace pipeline_detail {
/// The last construct. Throws std::logic_error where there is none, or where it is no step.
StepDefinition& last_of(std::vector<StepDefinition>& steps, const char* call, bool step_only);
StepDefinition make(StepKind kind, std::string id);
std::vector<StepDefinition> body_of(const BodyMaker& maker);
}  // namespace pipeline_detail

/// A branch of a choose. `otherwise` comes last.
[[nodiscard]] BranchDefinition when(std::string test, const BodyMaker& body);
[[nodiscard]] BranchDefinition otherwise(const BodyMaker& body);
/// A catch of an attempt; an empty code catches every error.
[[nodiscard]] BranchDefinition on_error(std::string code, const BodyMaker& body);

struct ForEach {
  std::string items;       ///< an expression that gives a list
  std::string variable;    ///< names the item in the body
  std::string item_key{};  ///< an expression on it; it names the item in tokens, so it must not change
  int max = 1000;
  int concurrency = 1;
  OnFail on_fail = OnFail::cancel;
};

/// What bodies and pipelines have in common: every call adds a construct, or says more of the last one.
template <class Self>
class BodyBuilder {
 public:
  Self& step(std::string id, std::string uses, Arguments arguments = {}) {
    auto& added = add(StepKind::step, std::move(id));
    added.uses = std::move(uses);
    added.arguments = std::move(arguments);
    return self();
  }
  Self& sequence(std::string id, const BodyMaker& body) {
    add(StepKind::sequence, std::move(id)).body = pipeline_detail::body_of(body);
    return self();
  }
  Self& parallel(std::string id, Join join, const BodyMaker& branches, OnFail on_fail = OnFail::cancel,
                 int quorum = 0) {
    auto& added = add(StepKind::parallel, std::move(id));
    added.body = pipeline_detail::body_of(branches);
    added.join = join;
    added.on_fail = on_fail;
    added.quorum = quorum;
    return self();
  }
  template <class... Branch>
  Self& choose(std::string id, Branch... branches) {
    auto& added = add(StepKind::choose, std::move(id));
    (added.branches.push_back(std::move(branches)), ...);
    return self();
  }
  Self& foreach (std::string id, ForEach each, const BodyMaker& body) {
    auto& added = add(StepKind::foreach, std::move(id));
    added.items = std::move(each.items);
    added.variable = std::move(each.variable);
    added.item_key = std::move(each.item_key);
    added.max = each.max;
    added.concurrency = each.concurrency;
    added.on_fail = each.on_fail;
    added.body = pipeline_detail::body_of(body);
    return self();
  }
  Self& attempt(std::string id, const BodyMaker& body, std::vector<BranchDefinition> catches,
                const BodyMaker& finally = {}) {
    auto& added = add(StepKind::attempt, std::move(id));
    added.body = pipeline_detail::body_of(body);
    added.branches = std::move(catches);
    if (finally) added.last = pipeline_detail::body_of(finally);
    return self();
  }
  Self& call(std::string id, std::string pipeline, Arguments arguments = {}, std::string version = {}) {
    auto& added = add(StepKind::call, std::move(id));
    added.uses = std::move(pipeline);
    added.arguments = std::move(arguments);
    added.version = std::move(version);
    return self();
  }
  Self& wait(std::string id, Duration how_long) {
    add(StepKind::wait, std::move(id)).total = how_long;
    return self();
  }
  /// Until the time of an expression: text as 2011-01-01T00:00:00Z, or microseconds since 1970.
  Self& wait_until(std::string id, std::string expression) {
    add(StepKind::wait, std::move(id)).value = std::move(expression);
    return self();
  }
  /// At most so long, where it is above 0; then it fails with "timeout".
  Self& await(std::string id, std::string signal, Duration at_most = {}) {
    auto& added = add(StepKind::await, std::move(id));
    added.code = std::move(signal);
    added.total = at_most;
    return self();
  }
  Self& set(std::string name, std::string expression) {
    add(StepKind::set, std::move(name)).value = std::move(expression);
    return self();
  }
  Self& result(std::string expression, std::string id = "result") {
    add(StepKind::result, std::move(id)).value = std::move(expression);
    return self();
  }
  Self& fail(std::string id, std::string code, std::string message_expression = {}) {
    auto& added = add(StepKind::fail, std::move(id));
    added.code = std::move(code);
    added.value = std::move(message_expression);
    return self();
  }

  /// Of what was added last. These throw std::logic_error where there is nothing yet, or where only a step
  /// may have it.
  Self& when(std::string expression) {
    pipeline_detail::last_of(steps(), "when", false).when = std::move(expression);
    return self();
  }
  Self& retry(RetryPolicy policy) {
    pipeline_detail::last_of(steps(), "retry", true).retry = policy;
    return self();
  }
  Self& retry_on(std::string code, RetryPolicy policy) {
    pipeline_detail::last_of(steps(), "retry_on", true).rules.push_back({std::move(code), policy});
    return self();
  }
  Self& undo(UndoPolicy policy) {
    pipeline_detail::last_of(steps(), "undo", true).undo = policy;
    return self();
  }
  /// Of one attempt, and of all of them.
  Self& timeout(Duration attempt, Duration total = {}) {
    auto& last = pipeline_detail::last_of(steps(), "timeout", true);
    last.timeout = attempt;
    last.total = total;
    return self();
  }

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }
  std::vector<StepDefinition>& steps() noexcept { return self().steps_of_this(); }
  StepDefinition& add(StepKind kind, std::string id) {
    return steps().emplace_back(pipeline_detail::make(kind, std::move(id)));
  }
};

/// A list of constructs within another one.
class Body : public BodyBuilder<Body> {
 public:
  [[nodiscard]] std::vector<StepDefinition>& steps_of_this() noexcept { return steps_; }

 private:
  std::vector<StepDefinition> steps_;
};

/// Builds a pipeline in code:
/// pipeline("reward").input("user", Value::Kind::string).step("points", "grant-points@1", {{"user",
/// "user"}}).compile(registry)
class PipelineBuilder : public BodyBuilder<PipelineBuilder> {
 public:
  explicit PipelineBuilder(std::string id, std::string version = "1");
  PipelineBuilder& input(std::string name, Value::Kind kind, bool required = true);
  PipelineBuilder& key(std::string key_template);
  PipelineBuilder& recover(Recover recover);
  PipelineBuilder& deadline(Duration deadline);
  PipelineBuilder& serial_by(std::string expression);
  PipelineBuilder& priority(int priority);

  [[nodiscard]] const PipelineDefinition& definition() const noexcept { return definition_; }
  [[nodiscard]] std::vector<StepDefinition>& steps_of_this() noexcept { return definition_.steps; }
  /// As Plan::compile. `callees` holds the pipelines it calls; null where it calls none.
  [[nodiscard]] Result<Plan> compile(const StepRegistry& registry,
                                     const PlanCatalog* callees = nullptr) const;

 private:
  PipelineDefinition definition_;
};
[[nodiscard]] PipelineBuilder pipeline(std::string id, std::string version = "1");

}  // namespace onceward
