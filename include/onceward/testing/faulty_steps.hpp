#pragma once
#include <onceward/pipeline/step.hpp>

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

// Registries that do what another one does and make it go wrong: compile the plan under test against
// registry() and run it as usual. The registry they are made of, and its steps, must outlive them.
namespace onceward::testing {

/// Makes every call that took effect twice: run() and undo() of every step, with the same token and the same
/// arguments, as after a crash between the effect and its record. What users count must be as after one pass.
class RepeatedSteps {
 public:
  explicit RepeatedSteps(const StepRegistry& inner);
  RepeatedSteps(const RepeatedSteps&) = delete;
  RepeatedSteps& operator=(const RepeatedSteps&) = delete;

  [[nodiscard]] StepRegistry& registry() noexcept { return registry_; }
  /// Second calls that were made.
  [[nodiscard]] std::size_t repeated() const;
  /// Where a second call said something else than the first one did, in words: a downstream that knows tokens
  /// gives its first answer again. Steps without effects may say what they like.
  [[nodiscard]] std::vector<std::string> differences() const;

 private:
  void again(Step& inner, bool pure, bool undo, std::span<StepContext> contexts,
             std::span<StepOutcome> outcomes);

  StepRegistry registry_;
  mutable std::mutex mutex_;
  std::size_t repeated_ = 0;
  std::vector<std::string> differences_;
};

/// Loses the reply of the first `times` calls of each token that took effect: they are made, and the runner
/// sees Unknown, as where a network is cut.
class LostReplies {
 public:
  explicit LostReplies(const StepRegistry& inner, std::size_t times = 1);
  LostReplies(const LostReplies&) = delete;
  LostReplies& operator=(const LostReplies&) = delete;

  [[nodiscard]] StepRegistry& registry() noexcept { return registry_; }
  [[nodiscard]] std::size_t lost() const;

 private:
  void lose(std::span<StepContext> contexts, std::span<StepOutcome> outcomes);

  StepRegistry registry_;
  std::size_t times_;
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> by_token_;
  std::size_t lost_ = 0;
};

}  // namespace onceward::testing
