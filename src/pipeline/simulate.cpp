#include <onceward/pipeline/runner.hpp>
#include <onceward/pipeline/simulate.hpp>

#include "pipeline/run_state.hpp"
#include "pipeline/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace onceward {

using pipeline_detail::Call;
using pipeline_detail::Move;
using pipeline_detail::Place;
using pipeline_detail::Run;

namespace {

Value stub_value(const StepField& field) {
  switch (field.kind) {
    case Value::Kind::boolean: return false;
    case Value::Kind::integer: return 0;
    case Value::Kind::real: return 0.0;
    case Value::Kind::string: return field.name;
    case Value::Kind::list: return List();
    case Value::Kind::map: return Map();
    case Value::Kind::null: break;
  }
  return {};
}

Value stub_result(const StepSpec& spec) {
  if (spec.results.empty()) return {};
  Map result;
  for (const auto& field : spec.results) result.set(field.name, stub_value(field));
  return result;
}

const StepStub* stub_of(const std::map<std::string, StepStub, std::less<>>& stubs, std::string_view path,
                        std::string_view name) {
  auto found = stubs.find(path);
  if (found == stubs.end()) found = stubs.find(name);
  return found == stubs.end() || !found->second ? nullptr : &found->second;
}

struct Said {
  std::string& text;
  void operator()(const Done&) const { text = "done"; }
  void operator()(const Retry& retry) const { text = "retry: " + retry.reason; }
  void operator()(const Reject& reject) const {
    text = fmt::format("reject: {}: {}", reject.code, reject.message);
  }
  void operator()(const Unknown& unknown) const { text = "unknown: " + unknown.reason; }
  void operator()(const Park& park) const {
    text = "park: " + pipeline_detail::duration_shown(park.again_in);
  }
};

class Simulator {
 public:
  Simulator(const Plan& plan, Run run, const SimulationOptions& options)
      : plan_(plan), options_(options), run_(std::move(run)), now_(options.start) {
    anchor(run_, now_);
    for (const auto& signal : options.signals) signals_.push_back(signal);
    std::stable_sort(signals_.begin(), signals_.end(),
                     [](const auto& a, const auto& b) { return a.at < b.at; });
  }

  Simulation go() {
    const auto give_up = std::chrono::steady_clock::now() + options_.patience;
    for (;;) {
      std::vector<Call> calls;
      deliver();
      const auto move = advance(run_, plan_.compiled(), now_, 1, calls);
      anchor(run_, now_);
      if (move.kind == Move::Kind::ended) return finish(SimulationEnd::ended);
      if (std::chrono::steady_clock::now() > give_up) return finish(SimulationEnd::impatient);
      if (move.kind == Move::Kind::call) {
        if (simulation_.calls.size() + calls.size() > options_.most_calls)
          return finish(SimulationEnd::too_many);
        for (const auto& call : calls) make(call);
      } else if (!wait(move)) {
        return finish(move.kind == Move::Kind::await ? SimulationEnd::waits : SimulationEnd::too_long);
      }
      if (now_ - options_.start > options_.longest) return finish(SimulationEnd::too_long);
    }
  }

 private:
  void deliver() {
    for (; next_ < signals_.size() && options_.start + signals_[next_].at <= now_; ++next_) {
      auto& request = run_.requests.emplace_back();
      request.number = run_.next_request++;
      request.name = signals_[next_].name;
      request.id = fmt::format("{}", request.number);
      request.payload = signals_[next_].payload;
    }
  }

  /// Passes the time until something may happen; false where nothing will.
  bool wait(const Move& move) {
    std::optional<Timestamp> next;
    if (move.kind == Move::Kind::wait) next = now_ + move.wait;
    if (next_ < signals_.size()) {
      const Timestamp signal = options_.start + signals_[next_].at;
      next = std::min(next.value_or(signal), signal);
    }
    if (!next || *next - options_.start > options_.longest) return false;
    now_ = std::max(now_, *next);
    return true;
  }

  void make(const Call& call) {
    const auto token = [&](std::string_view act) {
      return step_token(options_.name_space, run_.pipeline, options_.partition, options_.key, call.path, act);
    };
    const auto& spec = call.node->entry->spec;
    const bool undo = call.kind == Call::Kind::undo;
    auto& shown = simulation_.calls.emplace_back();
    shown.at = now_ - options_.start;
    shown.path = call.path;
    shown.uses = spec.name;
    shown.undo = undo;
    shown.attempt = call.place->attempt;
    shown.token = token(undo ? "undo" : "do");
    shown.arguments = call.arguments;
    const auto left = time_left(run_, call, now_);
    now_ += options_.call_takes;
    if (call.kind == Call::Kind::verify) {
      shown.outcome = "verify: unknown";
      apply(run_, call, Unknown{"nothing is known in a simulation"});
      return;
    }
    StepOutcome outcome = Done{undo ? Value() : stub_result(spec)};
    if (const auto* stub = stub_of(undo ? options_.undos : options_.steps, call.path, spec.name)) {
      const auto done_token = undo ? token("do") : std::string();
      auto context = StepContext(run_.pipeline, options_.key, call.path, shown.token, call.arguments,
                                 call.place->attempt)
                         .with(left, done_token, undo ? &call.place->value : nullptr);
      try {
        outcome = (*stub)(context);
      } catch (const std::exception& thrown) {
        outcome = Unknown{thrown.what()};  // as a runner takes it
      }
    }
    std::visit(Said{shown.outcome}, outcome);
    if (const auto* done = std::get_if<Done>(&outcome)) shown.result = done->result;
    apply(run_, call, std::move(outcome), options_.jitter, now_);
    anchor(run_, now_);
  }

  static std::string way_shown(const Place& place) {
    auto text = pipeline_detail::place_shown(place);
    const bool branched =
        place.children.size() == 1 && place.children[0].role == pipeline_detail::Role::branch;
    return branched ? text + ", branch " + place.children[0].id : text;
  }

  Simulation finish(SimulationEnd end) {
    simulation_.end = end;
    simulation_.took = now_ - options_.start;
    simulation_.run = view_of(run_, options_.partition, options_.key, std::nullopt);
    each_place(run_, [&](const std::string& path, const Place& place) {
      simulation_.path.push_back(path + ": " + way_shown(place));
    });
    return std::move(simulation_);
  }

  const Plan& plan_;
  const SimulationOptions& options_;
  Run run_;
  Timestamp now_;
  std::vector<SimulatedSignal> signals_{};
  std::size_t next_ = 0;
  Simulation simulation_{};
};

std::string_view to_string(SimulationEnd end) noexcept {
  switch (end) {
    case SimulationEnd::ended: return "ended";
    case SimulationEnd::waits: return "waits for a signal that does not come";
    case SimulationEnd::too_long: return "stopped: it takes longer than the simulation may";
    case SimulationEnd::too_many: return "stopped: it makes more calls than the simulation may";
    case SimulationEnd::impatient: return "stopped: the simulation itself takes too long";
  }
  return "unknown";
}

}  // namespace

Result<Simulation> simulate(const Plan& plan, Value input, const SimulationOptions& options) {
  auto complete = pipeline_detail::complete_input(plan.definition(), std::move(input));
  if (!complete) return fail(std::move(complete).error());
  return Simulator(plan, pipeline_detail::begin_run(plan.compiled(), plan.sha256(), *std::move(complete)),
                   options)
      .go();
}

std::string to_text(const Simulation& simulation) {
  pipeline_detail::TextTable table({"after", "step", "act", "attempt", "token", "outcome"});
  for (const auto& call : simulation.calls) {
    table.add({pipeline_detail::duration_shown(call.at), call.path, call.undo ? "undo" : "do",
               std::to_string(call.attempt), call.token, call.outcome});
  }
  auto text = table.text();
  text +=
      fmt::format("{} after {}: {}{}{}\n", to_string(simulation.end),
                  pipeline_detail::duration_shown(simulation.took), onceward::to_string(simulation.run.state),
                  simulation.run.reason.empty() ? "" : ", ", simulation.run.reason);
  return text;
}

}  // namespace onceward
