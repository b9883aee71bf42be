// What an outcome, a lost worker or an operator makes of a run.
#include "pipeline/run_state.hpp"
#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace onceward::pipeline_detail {
namespace {

std::string bounded(std::string reason) { return readable(std::move(reason), most_reason_bytes); }

/// The policy for an answer, and which of its own this answer is: a rule counts the answers with its code,
/// the step's policy the others.
struct Try {
  const RetryPolicy& policy;
  int number;
};
Try count_try(const Call& call, std::string_view code) {
  const auto& written = *call.node->definition;
  auto& place = *call.place;
  if (call.kind == Call::Kind::undo) return {written.undo.retry, place.attempt};
  const auto rule = std::find_if(written.rules.begin(), written.rules.end(),
                                 [&](const RetryRule& r) { return !code.empty() && r.code == code; });
  if (rule == written.rules.end()) {
    const int others = std::accumulate(place.ruled.begin(), place.ruled.end(), 0);
    return {written.retry, std::max(place.attempt - others, 1)};
  }
  const auto at = static_cast<std::size_t>(rule - written.rules.begin());
  if (place.ruled.size() <= at) place.ruled.resize(at + 1);
  return {rule->policy, ++place.ruled[at]};
}

/// A step without effects leaves nothing to be in doubt about, and one whose rows were rolled back neither.
bool is_certain(const Call& call) noexcept { return call.node->entry->spec.effect != Effect::idempotent; }

Duration bounded(Duration delay) {
  return std::clamp(delay, Duration::zero(), Duration(limits::duration_us));
}

void wait(const Call& call, Duration delay) {
  call.place->due = Instant::after(bounded(delay));
  call.place->status = call.kind == Call::Kind::undo ? Status::undo_waiting : Status::waiting;
}

/// No attempt is left, or no time. What certainly did not take place has failed; what may have is for people.
void exhausted(Run& run, const Call& call, std::string reason) {
  auto& place = *call.place;
  if (call.kind == Call::Kind::undo) {
    wait(call, Duration::zero());
    give_up(run, fmt::format("undo_failed at step \"{}\": {}; it was undone after: {}", call.path,
                             readable(std::move(reason), most_cause_bytes), run.cause));
    return;
  }
  if (place.in_doubt) {
    wait(call, Duration::zero());
    give_up(run, std::move(reason));
    return;
  }
  place.status = Status::failed;
  place.value =
      Map{{"code", "retry_exhausted"}, {"message", bounded(std::move(reason))}, {"step", call.path}};
}

/// Gives up, with true, where the step's total time is over before it could be asked for again.
bool out_of_time(Run& run, const Call& call, Duration delay, Timestamp now, std::string_view reason) {
  const auto& place = *call.place;
  const auto total = call.node->definition->total;
  if (call.kind != Call::Kind::act || total <= Duration::zero()) return false;
  const Duration used =
      place.since.relative ? Duration::zero() : Duration(now.time_since_epoch().count() - place.since.us);
  if (used + delay <= total) return false;
  exhausted(
      run, call,
      fmt::format("retry_exhausted: its total time is over after {} attempts: {}", place.attempt, reason));
  return true;
}

void try_again(Run& run, const Call& call, std::string reason, const std::optional<Duration>& after,
               std::string_view code, double chance, Timestamp now) {
  auto& place = *call.place;
  const auto [policy, number] = count_try(call, code);
  reason = bounded(std::move(reason));
  if (!run.undoing) run.reason = reason;
  if (number >= policy.attempts)
    return exhausted(run, call, fmt::format("retry_exhausted after {} attempts: {}", place.attempt, reason));
  const auto delay = after ? bounded(*after) : backoff(policy, number, chance);
  if (out_of_time(run, call, delay, now, reason)) return;
  ++place.attempt;
  wait(call, delay);
}

void apply_done(Run& run, const Call& call, Value result) {
  auto& place = *call.place;
  if (call.kind == Call::Kind::undo) {
    place.status = Status::undone;
    place.in_doubt = false;
    return;
  }
  place.status = Status::done;
  place.in_doubt = false;
  place.due = {};
  std::erase_if(run.forgotten, [&](const Forgotten& f) { return f.place.id == call.path; });
  run.reason.clear();
  if (is_storable(result)) {
    place.value = std::move(result);
    return;
  }
  give_up(run, fmt::format(
                   "result_unstorable: step \"{}\" took effect, its result cannot be stored: text that is no "
                   "UTF-8, or too deep",
                   call.path));
}

template <class Each>
void each(Place& place, const Each& work) {
  work(place);
  for (auto& child : place.children) each(child, work);
}

}  // namespace

bool ended(Status status) noexcept {
  switch (status) {
    case Status::done:
    case Status::skipped:
    case Status::failed:
    case Status::cancelled:
    case Status::undone: return true;
    default: return false;
  }
}

void apply(Run& run, const Call& call, StepOutcome outcome, double chance, Timestamp now) {
  if (run.state != RunState::running) {
    // Another call of this round ended it; what this one says is recorded all the same.
    if (auto* done = std::get_if<Done>(&outcome); done != nullptr && is_storable(done->result)) {
      call.place->status = call.kind == Call::Kind::undo ? Status::undone : Status::done;
      call.place->in_doubt = false;
      if (call.kind != Call::Kind::undo) call.place->value = std::move(done->result);
    } else {
      call.place->in_doubt = call.place->in_doubt || std::holds_alternative<Unknown>(outcome);
      wait(call, Duration::zero());
    }
    return;
  }
  if (auto* done = std::get_if<Done>(&outcome)) return apply_done(run, call, std::move(done->result));
  if (const auto* retry = std::get_if<Retry>(&outcome)) {
    // What an earlier call did, whose answer was lost, this answer does not tell.
    return try_again(run, call, retry->reason, retry->after, retry->code, chance, now);
  }
  if (const auto* unknown = std::get_if<Unknown>(&outcome)) {
    const bool certain = is_certain(call);
    if (!certain) (call.kind == Call::Kind::act ? call.place->in_doubt : call.place->undo_doubt) = true;
    const std::string reason = unknown->reason.empty() ? "the step gave no outcome" : unknown->reason;
    return try_again(run, call, certain ? reason : "unknown: " + reason, std::nullopt, "unknown", chance,
                     now);
  }
  if (const auto* park = std::get_if<Park>(&outcome)) {
    // Its effect may be under way: it is asked for again.
    if (!is_certain(call))
      (call.kind == Call::Kind::act ? call.place->in_doubt : call.place->undo_doubt) = true;
    const auto delay = bounded(park->again_in);
    if (!out_of_time(run, call, delay, now, "the step is parked")) wait(call, delay);
    return;
  }
  const auto& reject = std::get<Reject>(outcome);
  if (call.kind == Call::Kind::undo)
    return exhausted(run, call, bounded(fmt::format("{}: {}", reject.code, reject.message)));
  auto& place = *call.place;
  place.status = Status::failed;
  place.in_doubt = false;
  place.value =
      Map{{"code", bounded(reject.code)}, {"message", bounded(reject.message)}, {"step", call.path}};
}

void apply(Run& run, const Call& call, Verification found) {
  auto& place = *call.place;
  if (auto* done = std::get_if<Done>(&found)) return apply_done(run, call, std::move(done->result));
  if (std::holds_alternative<NotDone>(found)) {
    // Its downstream forgot the token and says that nothing happened: the call is as good as the first.
    place.in_doubt = false;
    place.started = {};
    place.due = Instant::after({});
    place.status = Status::waiting;
    return;
  }
  wait(call, Duration::zero());
  give_up(run, fmt::format("in_doubt: step \"{}\" was called longer ago than its downstream remembers ({})",
                           call.path, std::get<Unknown>(found).reason));
}

void release(const Call& call, bool called, std::string reason, Run& run) {
  if (called && !is_certain(call))
    (call.kind == Call::Kind::act ? call.place->in_doubt : call.place->undo_doubt) = true;
  if (!reason.empty() && !run.undoing) run.reason = bounded(std::move(reason));
  wait(call, Duration::zero());
}

Run begin_run(const CompiledPlan& plan, std::string_view sha256, Value input) {
  Run run;
  run.pipeline = plan.definition.id;
  run.version = plan.definition.version;
  run.plan = sha256.substr(0, plan_digits);
  run.input = std::move(input);
  run.root.status = Status::open;
  run.begun = Instant::after({});
  if (plan.definition.deadline > Duration::zero()) run.deadline = Instant::after(plan.definition.deadline);
  return run;
}

Move give_up(Run& run, std::string reason) {
  run.state = RunState::needs_attention;
  run.reason = bounded(std::move(reason));
  end_cancels(run);
  return {};
}

namespace {

bool called_anything(const Place& place) noexcept {
  return place.digest != 0 || std::any_of(place.children.begin(), place.children.end(), called_anything);
}

/// What has begun and called nothing yet begins again later: the items of a foreach take their room again
/// then. So do values that were set since the last write, and what ended by them. True where anything does.
bool forget_begun(const Node& node, Place& place) {
  const bool fresh = place.over.relative;  // ended since the last write
  const bool is_value = node.kind == StepKind::set || node.kind == StepKind::result;
  if (place.role == Role::step && !called_anything(place) &&
      (is_value ? fresh : !ended(place.status) && place.status != Status::fresh)) {
    place = Place{place.id, place.role};
    return true;
  }
  bool any = false;
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    auto& child = place.children[i];
    any = forget_begun(node.children[node_of(child, i)], child) || any;
  }
  if (any && fresh && place.status == Status::done) {
    place.status = Status::open;
    place.over = {};
    if (place.role != Role::item && place.role != Role::callee) place.value = {};
  }
  return any;
}

}  // namespace

Move drop_results(Run& run, const CompiledPlan& plan, std::span<const std::string> paths) {
  stamp(run);
  for (std::size_t i = 0; i < run.root.children.size(); ++i) {
    auto& child = run.root.children[i];
    forget_begun(plan.root.children[node_of(child, i)], child);
  }
  run.root.status = Status::open;
  run.result = {};
  if (encode(run).size() + most_reason_bytes <= limits::value_bytes)
    return give_up(run, std::string(record_full));
  for (const auto& path : paths) {
    auto* place = find_place(run, path);
    if (place != nullptr && place->status == Status::done) place->value = {};
  }
  return give_up(
      run, fmt::format("result_unstorable: step \"{}\" took effect, its result cannot be stored: the record "
                       "would be larger than a record may be",
                       paths.empty() ? "" : paths.back()));
}

Place* find_place(Run& run, std::string_view path) {
  Place* found = nullptr;
  each_place(run, [&](const std::string& at, const Place& place) {
    if (at == path) found = const_cast<Place*>(&place);  // of a run that is not const
  });
  if (found != nullptr && found->status != Status::fresh) return found;
  const auto kept = std::find_if(run.forgotten.begin(), run.forgotten.end(),
                                 [&](const Forgotten& forgotten) { return forgotten.place.id == path; });
  return kept == run.forgotten.end() ? found : &kept->place;
}

bool adopt_requests(Run& run, const Run& found) {
  for (const auto& request : found.requests) {
    if (request.number >= run.next_request) run.requests.push_back(request);
  }
  const bool news = found.next_request > run.next_request;
  run.next_request = std::max(run.next_request, found.next_request);
  if (run.state != RunState::running) end_cancels(run);
  return news;
}

namespace {

/// The same beside the plan, which the run fits.
template <class Each>
void each(Place& place, const Node& node, const Each& work) {
  work(place, node);
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    auto& child = place.children[i];
    each(child, node.children[node_of(child, i)], work);
  }
}

}  // namespace

void take_over(Run& run, const CompiledPlan& plan) {
  std::string deadly;
  int deaths = 0;
  const auto look = [&](Place& place, const Node& node) {
    if (place.status != Status::active && place.status != Status::undoing) return;
    // A step without effects leaves nothing to be in doubt about, and one whose rows are rolled back neither.
    if (node.entry->spec.effect == Effect::idempotent)
      (place.status == Status::active ? place.in_doubt : place.undo_doubt) = true;
    place.status = place.status == Status::active ? Status::waiting : Status::undo_waiting;
    place.due = Instant::after({});
    ++place.attempt;
    if (++place.deaths > deaths) {
      deaths = place.deaths;
      deadly = place.id;
    }
  };
  each(run.root, plan.root, look);
  for (auto& forgotten : run.forgotten) look(forgotten.place, *step_at(plan.root, forgotten.place.id));
  if (deaths < most_deaths) return;
  give_up(run, fmt::format("worker_died {} times at step \"{}\"; see whether the step kills its process",
                           deaths, deadly));
}

int deaths_of(const Run& run) noexcept {
  int deaths = 0;
  const auto look = [&](const auto& self, const Place& place) -> void {
    if (!ended(place.status)) deaths = std::max(deaths, place.deaths);
    for (const auto& child : place.children) self(self, child);
  };
  look(look, run.root);
  for (const auto& forgotten : run.forgotten) look(look, forgotten.place);
  return deaths;
}

double random_chance() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

Duration backoff(const RetryPolicy& policy, int attempt, double chance) {
  const double grown = static_cast<double>(policy.first.count()) * std::pow(policy.factor, attempt - 1);
  const double delay = std::min(grown, static_cast<double>(policy.cap.count()));
  return Duration(static_cast<std::int64_t>(policy.jitter ? delay * chance : delay));
}

std::optional<Duration> time_left(const Run& run, const Call& call, Timestamp now) noexcept {
  std::optional<Duration> left;
  const auto take = [&](Duration duration) {
    left = std::max(Duration::zero(), std::min(left.value_or(duration), duration));
  };
  const auto& written = *call.node->definition;
  const auto until = [&](const Instant& instant) {
    return instant.relative ? Duration(instant.us) : Duration(instant.us) - now.time_since_epoch();
  };
  if (written.timeout > Duration::zero()) take(written.timeout);
  if (written.total > Duration::zero() && call.kind == Call::Kind::act && call.place->since.set())
    take(until(call.place->since) + written.total);
  if (run.deadline.set() && !run.late && call.kind == Call::Kind::act) take(until(run.deadline));
  return left;
}

}  // namespace onceward::pipeline_detail
