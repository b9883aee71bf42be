#include <onceward/testing/faulty_steps.hpp>

#include <functional>
#include <memory>
#include <stdexcept>

namespace onceward::testing {
namespace {

/// A step that lets another one work, and then has its say. `undo` tells which call it was.
class StepAround final : public Step {
 public:
  using After = std::function<void(Step& inner, bool undo, std::span<StepContext>, std::span<StepOutcome>)>;
  StepAround(const StepRegistry::Entry& inner, After after) : inner_(inner), after_(std::move(after)) {}

  [[nodiscard]] StepSpec spec() const override { return inner_.spec; }
  StepOutcome run(StepContext& step) override {
    auto outcome = inner_.step->run(step);
    after_(*inner_.step, false, {&step, 1}, {&outcome, 1});
    return outcome;
  }
  void run_many(std::span<StepContext> steps, std::span<StepOutcome> outcomes) override {
    inner_.step->run_many(steps, outcomes);
    after_(*inner_.step, false, steps, outcomes);
  }
  StepOutcome undo(StepContext& step) override {
    auto outcome = inner_.step->undo(step);
    after_(*inner_.step, true, {&step, 1}, {&outcome, 1});
    return outcome;
  }
  Verification verify(StepContext& step) override { return inner_.step->verify(step); }

 private:
  const StepRegistry::Entry& inner_;
  After after_;
};

/// Each step of `inner` with `after(entry)` around it.
template <class After>
void wrap(const StepRegistry& inner, StepRegistry& outer, const After& after) {
  for (const auto name : inner.names()) {
    const auto& entry = *inner.find(name);
    if (auto added = outer.add(std::make_unique<StepAround>(entry, after(entry))); !added)
      throw std::logic_error(describe(added.error()));
  }
  outer.offer(inner.functions());
}

std::string_view word_of(const StepOutcome& outcome) noexcept {
  static constexpr std::string_view words[] = {"done", "retry", "reject", "unknown", "park"};
  return words[outcome.index()];
}

}  // namespace

RepeatedSteps::RepeatedSteps(const StepRegistry& inner) {
  wrap(inner, registry_, [this](const StepRegistry::Entry& entry) {
    return [this, pure = entry.spec.effect == Effect::pure](
               Step& step, bool undo, std::span<StepContext> contexts, std::span<StepOutcome> outcomes) {
      again(step, pure, undo, contexts, outcomes);
    };
  });
}

void RepeatedSteps::again(Step& inner, bool pure, bool undo, std::span<StepContext> contexts,
                          std::span<StepOutcome> outcomes) {
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const auto* first = std::get_if<Done>(&outcomes[i]);
    if (first == nullptr) continue;
    const auto second = undo ? inner.undo(contexts[i]) : inner.run(contexts[i]);
    const std::lock_guard lock(mutex_);
    ++repeated_;
    const auto* done = std::get_if<Done>(&second);
    if (pure || (done != nullptr && (undo || done->result == first->result))) continue;
    differences_.push_back(std::string(undo ? "undo of " : "") + std::string(contexts[i].step_id()) +
                           " of run " + std::string(contexts[i].run_key()) + ": first done " +
                           first->result.to_json() + ", then " + std::string(word_of(second)) +
                           (done == nullptr ? "" : " " + done->result.to_json()));
  }
}

std::size_t RepeatedSteps::repeated() const {
  const std::lock_guard lock(mutex_);
  return repeated_;
}

std::vector<std::string> RepeatedSteps::differences() const {
  const std::lock_guard lock(mutex_);
  return differences_;
}

LostReplies::LostReplies(const StepRegistry& inner, std::size_t times) : times_(times) {
  wrap(inner, registry_, [this](const StepRegistry::Entry&) {
    return [this](Step&, bool, std::span<StepContext> contexts, std::span<StepOutcome> outcomes) {
      lose(contexts, outcomes);
    };
  });
}

void LostReplies::lose(std::span<StepContext> contexts, std::span<StepOutcome> outcomes) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    if (!std::holds_alternative<Done>(outcomes[i])) continue;
    auto& count = by_token_[std::string(contexts[i].token())];
    if (count == times_) continue;
    ++count;
    ++lost_;
    outcomes[i] = Unknown{"a fault the test asked for: the reply is lost"};
  }
}

std::size_t LostReplies::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace onceward::testing
