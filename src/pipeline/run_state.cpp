#include "pipeline/run_state.hpp"

#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t most_reason_bytes = 1024;

std::string bounded(std::string reason) { return readable(std::move(reason), most_reason_bytes); }

/// What expressions of the step in progress may read: the inputs, and the results of finished steps. The run
/// must outlive it.
class StepNames {
 public:
  explicit StepNames(const Run& run) {
    const auto& input = *run.input.map();
    bindings_.reserve(input.size() + 1);
    for (const auto& [name, value] : input) bindings_.push_back({name, nullptr, {}, &value});
    if (run.steps.empty()) return;
    for (const auto& step : run.steps) steps_.set(step.id, step.skipped ? Value() : step.result);
    bindings_.push_back({"steps", &steps_});
  }
  StepNames(const StepNames&) = delete;
  StepNames& operator=(const StepNames&) = delete;

  operator std::span<const Binding>() const noexcept { return bindings_; }

 private:
  Map steps_;
  std::vector<Binding> bindings_;
};

/// Goes on to the next step whose `when` holds, recording those that are skipped.
Move advance(Run& run, const CompiledPlan& plan) {
  run.attempt = 1;
  run.waiting = false;
  run.deaths = 0;
  while (run.steps.size() < plan.steps.size()) {
    const auto& step = plan.steps[run.steps.size()];
    if (!step.when) return {Move::Kind::call};
    const auto holds = step.when->test(StepNames(run));
    if (!holds)
      return give_up(run, fmt::format("step \"{}\", when: {}", step.definition->id, describe(holds.error())));
    if (*holds) return {Move::Kind::call};
    run.steps.push_back({step.definition->id, true, {}});
  }
  run.state = RunState::succeeded;
  run.reason.clear();
  return {Move::Kind::ended};
}

/// The step in progress took effect, but its result cannot be stored: it is done, and never called again.
Move without_result(Run& run, const CompiledPlan& plan, std::string_view why) {
  const auto& id = plan.steps[run.steps.size()].definition->id;
  run.steps.push_back({id, false, {}});
  return give_up(
      run,
      fmt::format("result_unstorable: step \"{}\" took effect, its result cannot be stored: {}", id, why));
}

Move try_again(Run& run, const RetryPolicy& policy, std::string reason, const std::optional<Duration>& after,
               double chance) {
  run.reason = bounded(std::move(reason));
  if (run.attempt >= policy.attempts) {
    return give_up(run, fmt::format("retry_exhausted after {} attempts: {}", run.attempt, run.reason));
  }
  const auto delay = after ? std::clamp(*after, Duration::zero(), Duration(limits::duration_us))
                           : backoff(policy, run.attempt, chance);
  ++run.attempt;
  run.waiting = true;
  return {Move::Kind::wait, delay};
}

const std::string* text(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->string();
}
const std::int64_t* number(const Value& value, std::string_view name) {
  const auto* member = value.find(name);
  return member == nullptr ? nullptr : member->integer();
}

constexpr std::int64_t most_counted = 1'000'000;  // of attempts and deaths; a record with more is not ours
constexpr std::array<std::string_view, 4> state_names = {"running", "succeeded", "failed", "needs_attention"};

Unexpected corrupt(const Record& record) {
  return fail(
      ErrorCode::corrupt,
      fmt::format("the run \"{}\" is not what this version writes; look at it before going on", record.key));
}

}  // namespace

std::string encode(const Run& run) {
  std::string out;
  out.reserve(512);
  const auto member = [&](std::string_view name, std::string_view id) {
    out.append(out.empty() ? "{\"" : ",\"").append(name).append("\":\"").append(id).append("\"");
  };
  member("pipeline", run.pipeline);
  member("version", run.version);
  member("plan", run.plan);
  member("state", state_names[static_cast<std::size_t>(run.state)]);
  member("owner", run.owner);
  out.append(",\"attempt\":").append(std::to_string(run.attempt));
  out.append(run.waiting ? ",\"waiting\":true" : ",\"waiting\":false");
  out.append(",\"deaths\":").append(std::to_string(run.deaths)).append(",\"reason\":");
  Value(run.reason).append_json(out);
  out += ",\"input\":";
  run.input.append_json(out);
  out += ",\"steps\":[";
  for (const auto& step : run.steps) {
    if (out.back() != '[') out += ',';
    out.append("{\"id\":\"").append(step.id).append("\",");
    if (step.skipped) {
      out += "\"skipped\":true}";
      continue;
    }
    out += "\"result\":";
    step.result.append_json(out);
    out += '}';
  }
  out += "]}";
  return out;
}

Result<Run> decode_run(const Record& record) {
  const auto value = Value::from_json(record.value);
  if (!value) return corrupt(record);
  const auto* pipeline = text(*value, "pipeline");
  const auto* version = text(*value, "version");
  const auto* plan = text(*value, "plan");
  const auto* state = text(*value, "state");
  const auto* owner = text(*value, "owner");
  const auto* reason = text(*value, "reason");
  const auto* attempt = number(*value, "attempt");
  const auto* deaths = number(*value, "deaths");
  const auto* waiting = value->find("waiting");
  const auto* input = value->find("input");
  const auto* steps = value->find("steps");
  if (!pipeline || !version || !plan || !state || !owner || !reason || !attempt || !deaths || !waiting ||
      !waiting->boolean() || !input || !input->map() || !steps || !steps->list() || *attempt < 1 ||
      *attempt > most_counted || *deaths < 0 || *deaths > most_counted) {
    return corrupt(record);
  }
  const auto place = std::find(state_names.begin(), state_names.end(), *state);
  if (place == state_names.end()) return corrupt(record);
  Run run{*pipeline,
          *version,
          *plan,
          static_cast<RunState>(place - state_names.begin()),
          *reason,
          *input,
          {},
          static_cast<int>(*attempt),
          *waiting->boolean(),
          static_cast<int>(*deaths),
          *owner};
  for (const auto& item : *steps->list()) {
    const auto* id = text(item, "id");
    const auto* result = item.find("result");
    if (id == nullptr || (result == nullptr && item.find("skipped") == nullptr)) return corrupt(record);
    run.steps.push_back({*id, result == nullptr, result == nullptr ? Value() : *result});
  }
  return run;
}

RunView view_of(const Run& run, std::string partition, std::string key, std::optional<Timestamp> due) {
  return {std::move(partition), std::move(key), run.state, run.reason, run.steps, run.attempt, due};
}

Result<Value> complete_input(const CompiledPlan& plan, Value input) {
  const auto refuse = [&](std::string_view name, std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("pipeline \"{}\": the input \"{}\" {}", plan.definition.id, name, why));
  };
  if (input.map() == nullptr) {
    return fail(ErrorCode::invalid_argument, fmt::format("pipeline \"{}\": the input must be a map, it is {}",
                                                         plan.definition.id, to_string(input.kind())));
  }
  Map complete = std::move(*input.map());
  for (const auto& wanted : plan.definition.inputs) {
    const auto* given = complete.find(wanted.name);
    if (given == nullptr || given->is_null()) {
      if (wanted.required) return refuse(wanted.name, "is missing");
      complete.set(wanted.name, {});
    } else if (given->kind() != wanted.kind) {
      return refuse(wanted.name,
                    fmt::format("is {}, it must be {}", to_string(given->kind()), to_string(wanted.kind)));
    } else if (!is_storable(*given)) {
      return refuse(
          wanted.name,
          "cannot be stored: its text must be UTF-8, its doubles finite, and it must not nest deep");
    }
  }
  if (complete.size() == plan.definition.inputs.size()) return Value(std::move(complete));
  for (const auto& [name, value] : complete) {
    const bool known =
        std::any_of(plan.definition.inputs.begin(), plan.definition.inputs.end(),
                    [&, &wanted = name](const PipelineInput& candidate) { return candidate.name == wanted; });
    if (!known) return refuse(name, "is not one the pipeline has");
  }
  return Value(std::move(complete));
}

Run begin_run(const CompiledPlan& plan, std::string_view sha256, Value input) {
  Run run;
  run.pipeline = plan.definition.id;
  run.version = plan.definition.version;
  run.plan = sha256.substr(0, plan_digits);
  run.input = std::move(input);
  run.steps.reserve(plan.steps.size());
  advance(run, plan);
  return run;
}

Result<Value> arguments_of(const Run& run, const CompiledPlan& plan) {
  const auto& step = plan.steps[run.steps.size()];
  const StepNames names(run);
  Map arguments;
  arguments.reserve(step.arguments.size());
  for (const auto& [name, expression] : step.arguments) {
    auto value = expression.evaluate(names);
    if (!value) {
      auto error = std::move(value).error();
      error.message =
          fmt::format("step \"{}\", argument \"{}\": {}", step.definition->id, name, error.message);
      return fail(std::move(error));
    }
    const auto field =
        std::find_if(step.entry->spec.arguments.begin(), step.entry->spec.arguments.end(),
                     [&, &wanted = name](const StepField& candidate) { return candidate.name == wanted; });
    if (value->is_null() ? field->required : value->kind() != field->kind) {
      return fail(ErrorCode::wrong_kind,
                  fmt::format("step \"{}\", argument \"{}\" is {}, {} wants {}", step.definition->id, name,
                              to_string(value->kind()), step.entry->spec.name, to_string(field->kind)));
    }
    arguments.set(name, *std::move(value));
  }
  return Value(std::move(arguments));
}

Move after_outcome(Run& run, const CompiledPlan& plan, StepOutcome outcome, double chance) {
  const auto& step = plan.steps[run.steps.size()];
  if (auto* done = std::get_if<Done>(&outcome)) {
    if (!is_storable(done->result)) return without_result(run, plan, "text that is no UTF-8, or too deep");
    run.steps.push_back({step.definition->id, false, std::move(done->result)});
    run.reason.clear();
    return advance(run, plan);
  }
  if (const auto* retry = std::get_if<Retry>(&outcome)) {
    return try_again(run, step.definition->retry, retry->reason, retry->after, chance);
  }
  if (const auto* unknown = std::get_if<Unknown>(&outcome)) {
    // A step without effects leaves nothing to be in doubt about: it is merely tried again.
    const bool pure = step.entry->spec.effect == Effect::pure;
    const std::string reason = unknown->reason.empty() ? "the step gave no outcome" : unknown->reason;
    return try_again(run, step.definition->retry, pure ? reason : "unknown: " + reason, std::nullopt, chance);
  }
  if (const auto* park = std::get_if<Park>(&outcome)) {
    run.waiting = true;
    return {Move::Kind::wait, std::clamp(park->again_in, Duration::zero(), Duration(limits::duration_us))};
  }
  const auto& reject = std::get<Reject>(outcome);
  run.state = RunState::failed;
  run.reason = bounded(fmt::format("{}: {}", reject.code, reject.message));
  return {Move::Kind::ended};
}

Move drop_result(Run& run, const CompiledPlan& plan) {
  while (!run.steps.empty() && run.steps.back().skipped) run.steps.pop_back();
  if (!run.steps.empty()) run.steps.pop_back();
  return without_result(run, plan, "the record would be larger than a record may be");
}

Move give_up(Run& run, std::string reason) {
  run.state = RunState::needs_attention;
  run.reason = bounded(std::move(reason));
  run.waiting = false;
  return {Move::Kind::ended};
}

bool fits(const Run& run, const CompiledPlan& plan) noexcept {
  return run.state == RunState::running && run.steps.size() < plan.steps.size();
}

Move take_over(Run& run, const CompiledPlan& plan) {
  if (run.waiting) {
    run.waiting = false;
    return {Move::Kind::call};
  }
  ++run.deaths;
  if (run.deaths >= most_deaths) {
    return give_up(run,
                   fmt::format("worker_died {} times at step \"{}\"; see whether the step kills its process",
                               run.deaths, plan.steps[run.steps.size()].definition->id));
  }
  ++run.attempt;
  return {Move::Kind::call};
}

Duration backoff(const RetryPolicy& policy, int attempt, double chance) {
  const double grown = static_cast<double>(policy.first.count()) * std::pow(policy.factor, attempt - 1);
  const double delay = std::min(grown, static_cast<double>(policy.cap.count()));
  return Duration(static_cast<std::int64_t>(policy.jitter ? delay * chance : delay));
}

}  // namespace onceward::pipeline_detail
