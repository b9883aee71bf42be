#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>
#include <onceward/expr/value.hpp>
#include <onceward/pipeline/transactions.hpp>

#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace onceward {

class Functions;

/// What a second call of a step does, and so what a runner may do when it does not know whether the first
/// one took effect.
enum class Effect : std::uint8_t {
  pure,        ///< no effect outside; may run any number of times
  idempotent,  ///< the downstream knows tokens: a second call with the same token has no second effect
  tx,  ///< rows written in the transaction that records the step: RunnerOptions::transactions opens it. They
       ///< are kept where the step is Done, and rolled back with every other outcome
};

/// One argument or result member of a step.
struct StepField {
  std::string name;
  Value::Kind kind = Value::Kind::string;
  bool required = true;
};

/// What a step is: fixed for the life of the object.
struct StepSpec {
  std::string name;  ///< "grant-points@1": lower-case words and digits joined by '-', then '@' and a version
  std::vector<StepField> arguments{};
  std::vector<StepField> results{};
  Effect effect = Effect::idempotent;
  Duration dedup_window = std::chrono::hours(24 * 30);  ///< how long the downstream remembers a token
  bool undo = false;  ///< it implements undo(): pipelines that recover backward ask for it
};

/// The effect took place; `result` is a map (or null) that later steps read as steps.<id>.<name>.
struct Done {
  Value result{};
};
/// It did not take place now, but may later: try again after the retry policy's delay, or exactly `after`.
struct Retry {
  std::string reason;
  std::optional<Duration> after{};
  std::string code{};  ///< for the retry rules of the plan
};
/// It will never take place: the run fails with this code. No retry.
struct Reject {
  std::string code;
  std::string message;
};
/// Nobody knows whether it took place (a lost reply, an exception): it is tried again with the same token.
struct Unknown {
  std::string reason;
};
/// It takes time: look again after this long; counts as no attempt. The step's total time bounds it too.
struct Park {
  Duration again_in = std::chrono::seconds(1);
};
using StepOutcome = std::variant<Done, Retry, Reject, Unknown, Park>;

/// The effect of a token has not taken place: the call may be made.
struct NotDone {};
/// What verify() found out. Unknown: nothing; an operator must look.
using Verification = std::variant<Done, NotDone, Unknown>;

/// What a step sees of its run. Valid during one call, on the thread of that call.
class StepContext {
 public:
  StepContext(std::string_view pipeline, std::string_view run, std::string_view step, std::string_view token,
              const Value& arguments, int attempt, std::stop_token stop = {}) noexcept
      : pipeline_(pipeline),
        run_(run),
        step_(step),
        token_(token),
        arguments_(&arguments),
        attempt_(attempt),
        stop_(std::move(stop)) {}
  /// The same with what most calls do not have: how long the call may take, and of an undo the do's token and
  /// result (null where nobody knows whether it took place).
  StepContext with(std::optional<Duration> time_left, std::string_view done_token, const Value* result) && {
    time_left_ = time_left;
    done_token_ = done_token;
    result_ = result;
    return std::move(*this);
  }

  /// Of a tx step: what its rows are written with.
  StepContext with(const StepConnection& connection) && {
    connection_ = connection;
    return std::move(*this);
  }

  [[nodiscard]] std::string_view pipeline() const noexcept { return pipeline_; }
  [[nodiscard]] std::string_view run_key() const noexcept { return run_; }
  /// The step's path: its id, behind the items of foreach ("each[item key]/") and the calls it is within.
  [[nodiscard]] std::string_view step_id() const noexcept { return step_; }
  /// Names this effect: 32 hexadecimal digits, equal on every attempt, after every crash, on every machine.
  /// Pass it to the downstream; it must answer a second call with the first one's result.
  [[nodiscard]] std::string_view token() const noexcept { return token_; }
  /// 1 on the first try. For logs; never part of what the downstream dedupes by.
  [[nodiscard]] int attempt() const noexcept { return attempt_; }
  /// Requested when the runner stops and when time_left() is over: a step that heeds it frees its thread.
  [[nodiscard]] const std::stop_token& stop() const noexcept { return stop_; }
  /// How long this call may take at its start: the attempt's timeout, or what is left of the step's total or
  /// the run's deadline where that is less. Empty: no bound. Pass it to the client of the downstream.
  [[nodiscard]] std::optional<Duration> time_left() const noexcept { return time_left_; }
  /// Of an undo: the token of what is undone, and its result. A null result with undo means that it is not
  /// known whether the step took place: the undo must do then what makes both right.
  [[nodiscard]] std::string_view done_token() const noexcept { return done_token_; }
  [[nodiscard]] const Value* result() const noexcept { return result_; }

  /// Of a tx step: the connection whose transaction records this step, of the type that step_transactions()
  /// was given: `step.connection<SQLite::Database&>()`. Its rows are there if and only if the step is done.
  /// Throws std::logic_error for another type, and in a step that is no tx step.
  template <class Connection>
  [[nodiscard]] Connection connection() const {
    auto* object = connection_.as<Connection>();
    if (object == nullptr) throw std::logic_error("the step's transaction has no connection of this type");
    if constexpr (std::is_reference_v<Connection>)
      return *object;
    else
      return object;
  }

  /// All arguments, a map checked against the spec.
  [[nodiscard]] const Value& arguments() const noexcept { return *arguments_; }
  /// One argument as bool, std::int64_t, int, double or std::string.
  /// Throws std::invalid_argument where it is not there, of another kind, or does not fit: the spec promised
  /// it.
  template <class T>
  [[nodiscard]] T arg(std::string_view name) const;
  /// As arg, empty where the argument was not given or is null.
  template <class T>
  [[nodiscard]] std::optional<T> optional_arg(std::string_view name) const;

 private:
  std::string_view pipeline_, run_, step_, token_;
  const Value* arguments_;
  int attempt_;
  std::stop_token stop_;
  std::optional<Duration> time_left_{};
  StepConnection connection_{};
  std::string_view done_token_{};
  const Value* result_ = nullptr;
};

/// One effect, implemented by the application. One object serves every run, from any thread at once.
class Step {
 public:
  virtual ~Step() = default;
  [[nodiscard]] virtual StepSpec spec() const = 0;
  /// Causes the effect named by step.token(). An exception counts as Unknown (idempotent) or Retry (pure,
  /// tx).
  virtual StepOutcome run(StepContext& step) = 0;
  /// Causes the effects of many runs that are driven side by side: `outcomes[i]` is that of `steps[i]`.
  /// Override it where the downstream takes many in one call; each keeps its own token. The default calls
  /// run() for each.
  virtual void run_many(std::span<StepContext> steps, std::span<StepOutcome> outcomes);
  /// Takes an effect back, under a token of its own (step.token()); called again until it is Done. Steps with
  /// StepSpec::undo implement it. The default rejects.
  virtual StepOutcome undo(StepContext& step);
  /// Finds out whether the effect of step.token() took place, without causing it: asked before a call is
  /// repeated after StepSpec::dedup_window. The default does not know. Never called for pure steps.
  virtual Verification verify(StepContext& step);

 protected:
  Step() = default;
  Step(const Step&) = default;
  Step& operator=(const Step&) = default;
};

/// The steps an application offers to its pipelines, by spec name. Fill it at start-up; afterwards any
/// number of threads may read it. It must outlive every plan compiled against it.
class StepRegistry {
 public:
  StepRegistry();
  /// Errors: invalid_argument (a malformed spec), conflict (a step of that name is there).
  Result<void> add(std::unique_ptr<Step> step);

  struct Entry {
    StepSpec spec;
    std::unique_ptr<Step> step;
  };
  /// Null where there is none.
  [[nodiscard]] const Entry* find(std::string_view name) const noexcept;
  [[nodiscard]] std::vector<std::string_view> names() const;

  /// Offers functions of the application's own to the expressions of every pipeline and task compiled against
  /// this registry from now on; the last ones given hold.
  void offer(const Functions& functions);
  [[nodiscard]] const Functions& functions() const noexcept { return *functions_; }

 private:
  std::vector<std::unique_ptr<Entry>> entries_;
  std::shared_ptr<const Functions> functions_;
};

}  // namespace onceward
