#pragma once
#include "bench.hpp"

#include "support/catch.hpp"

#include <optional>

namespace onceward::pipeline_test {

/// Steps that do what their run's test tells them, and books of every call.
struct Works : Bench {
  std::vector<std::string> done;                         ///< paths of run() calls, in order
  std::vector<std::string> undone;                       ///< paths of undo() calls, with the result undone
  std::map<std::string, std::vector<StepOutcome>> next;  ///< by path: what to answer first
  std::map<std::string, std::vector<StepOutcome>> next_undo;
  std::map<std::string, std::string> tokens;

  class Book final : public Step {
   public:
    Book(Works& works, std::string name) : works_(works), name_(std::move(name)) {}
    [[nodiscard]] StepSpec spec() const override {
      return {.name = name_, .arguments = {{"amount", Value::Kind::integer, false}}, .undo = true};
    }
    StepOutcome run(StepContext& step) override {
      const std::string path(step.step_id());
      works_.done.push_back(path);
      works_.tokens[path] = step.token();
      return answer(works_.next, path)
          .value_or(Done{Map{{"amount", step.optional_arg<std::int64_t>("amount").value_or(0)}}});
    }
    StepOutcome undo(StepContext& step) override {
      const std::string path(step.step_id());
      works_.undone.push_back(path + (step.result() != nullptr ? step.result()->to_json() : "?"));
      CHECK(step.done_token() == works_.tokens[path]);
      CHECK(step.token() != step.done_token());
      return answer(works_.next_undo, path).value_or(Done{});
    }

   private:
    static std::optional<StepOutcome> answer(std::map<std::string, std::vector<StepOutcome>>& all,
                                             const std::string& path) {
      auto& waiting = all[path];
      if (waiting.empty()) return std::nullopt;
      auto first = waiting.front();
      waiting.erase(waiting.begin());
      return first;
    }
    Works& works_;
    std::string name_;
  };

  Works() { registry.add(std::make_unique<Book>(*this, "book@1")).value(); }

  RunView start(const Plan& of, Value input = Map(), std::string key = "k") {
    Runner runner(storage, catalog, options);
    return runner.start(of, "p", key, input).value();
  }
  RunView later(const Plan& of, Duration after, std::string key = "k") {
    clock.advance(after);
    Runner runner(storage, catalog, options);
    runner.work().value();
    return runner.find(of.definition().id, "p", key).value().value();
  }
};

using Paths = std::vector<std::string>;

inline void book(Body& body, std::initializer_list<const char*> ids) {
  for (const auto* id : ids) body.step(id, "book@1").retry(steady(3));
}

}  // namespace onceward::pipeline_test
