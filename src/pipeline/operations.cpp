// What operators do to a stored run.
#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"
#include "pipeline/runner_state.hpp"
#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using pipeline_detail::most_text;
using pipeline_detail::Node;
using pipeline_detail::Place;
using pipeline_detail::Role;
using pipeline_detail::Run;
using pipeline_detail::Status;
using pipeline_detail::wrong_state;

namespace {

constexpr std::size_t most_acts = 100;
constexpr std::size_t most_actor = 128;

/// The chain of places down to the one at `path`; empty where the run has not come there.
bool chain_to(Place& place, const std::string& prefix, std::string_view parent, std::string_view path,
              std::vector<Place*>& chain) {
  chain.push_back(&place);
  if (place.role == Role::step && !place.id.empty() && prefix + place.id == path) return true;
  auto below = prefix;
  if (place.role == Role::item) below += pipeline_detail::item_part(parent, place.id);
  if (place.role == Role::callee) below.append(parent).append("/");
  const bool inner = place.role == Role::branch || place.role == Role::closing;
  const auto name = inner ? std::string(parent) : place.id;
  for (auto& child : place.children) {
    if (chain_to(child, below, name, path, chain)) return true;
  }
  chain.pop_back();
  return false;
}

std::string shown(const Place& place) {
  std::string text;
  if (place.status == Status::done)
    place.value.append_json(text);
  else
    text = place.status == Status::skipped        ? "skipped"
           : pipeline_detail::ended(place.status) ? "ended"
                                                  : "open";
  return pipeline_detail::readable(std::move(text), most_text);
}

/// Forgets what came after the place that the chain leads to. Items and branches of a parallel stand beside
/// each other: what is beside it stays.
void cut_behind(Run& run, const Node& root, const std::vector<Place*>& chain) {
  const auto* node = &root;
  run.root.status = Status::open;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    auto& around = *chain[i];
    const auto at = static_cast<std::size_t>(chain[i + 1] - around.children.data());
    const bool beside = node->kind == StepKind::parallel || node->kind == StepKind::foreach;
    if (!beside) around.children.resize(at + 1);
    around.status = Status::open;
    if (around.role != Role::item && around.role != Role::callee) around.value = {};
    if (node->kind == StepKind::attempt && at > 0) around.value = around.children.front().value;
    node = &node->children[node_of(around.children[at], at)];
  }
}

/// The construct that the chain leads to.
const Node& construct_at(const Node& root, const std::vector<Place*>& chain) {
  const auto* node = &root;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    const auto at = static_cast<std::size_t>(chain[i + 1] - chain[i]->children.data());
    node = &node->children[node_of(*chain[i + 1], at)];
  }
  return *node;
}

/// Settles a place by hand: what is around it goes on.
void settle(Run& run, const std::vector<Place*>& chain, Status status, Value value) {
  auto& place = *chain.back();
  remember_tokens(run);
  place.children.clear();
  place.status = status;
  place.value = std::move(value);
  place.in_doubt = false;
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    if (chain[i]->status == Status::done) continue;
    chain[i]->status = Status::open;
    if (chain[i]->role != Role::item && chain[i]->role != Role::callee) chain[i]->value = {};
  }
  go_on(run);
}

/// What an operator did, before it is known who.
RunAct act_on(std::string act, std::string_view path, std::string before, std::string after = {}) {
  return {.act = std::move(act),
          .actor = {},
          .reason = {},
          .path = std::string(path),
          .before = std::move(before),
          .after = std::move(after)};
}

/// Its effect is not to be undone, or was taken back by hand.
Result<RunAct> skip_undo(Run& run, std::string_view path) {
  if (run.state != RunState::running && run.state != RunState::needs_attention)
    return wrong_state(run, "it has ended");
  auto* place = find_place(run, path);
  if (place == nullptr)
    return fail(ErrorCode::not_found, fmt::format("the run has not come to \"{}\"", path));
  auto act = act_on("skip", path, shown(*place), "skipped");
  if (!leave_undone(*place)) return wrong_state(run, fmt::format("nothing of \"{}\" is to be undone", path));
  resume_undo(run);
  return act;
}

/// What a step's spec says of its results.
Result<void> check_result(const Node& node, const Value& result) {
  if (node.kind != StepKind::step || node.entry->spec.results.empty()) return {};
  const auto refuse = [&](std::string_view what, Value::Kind is, Value::Kind wanted) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("step \"{}\": its {} is {}, {} gives {}", node.id(), what, to_string(is),
                            node.definition->uses, to_string(wanted)));
  };
  if (result.map() == nullptr) return refuse("result", result.kind(), Value::Kind::map);
  for (const auto& promised : node.entry->spec.results) {
    const auto* member = result.find(promised.name);
    const auto kind = member == nullptr ? Value::Kind::null : member->kind();
    if (kind != promised.kind && (promised.required || kind != Value::Kind::null))
      return refuse(fmt::format("result \"{}\"", promised.name), kind, promised.kind);
  }
  return {};
}

}  // namespace

bool pipeline_detail::in_hands(const Run& run) noexcept {
  const auto held = [](const auto& self, const Place& place) -> bool {
    return place.status == Status::active || place.status == Status::undoing ||
           std::any_of(place.children.begin(), place.children.end(),
                       [&](const Place& child) { return self(self, child); });
  };
  return run.state == RunState::running &&
         (held(held, run.root) ||
          std::any_of(run.forgotten.begin(), run.forgotten.end(),
                      [&](const auto& forgotten) { return held(held, forgotten.place); }));
}

Result<void> pipeline_detail::takes_act(const Run& run) {
  if (run.acts.size() < most_acts) return {};
  return fail(ErrorCode::exhausted,
              fmt::format("the run keeps {} acts of operators, and no more", most_acts));
}

Result<void> pipeline_detail::check_operator(const Operator& by) {
  if (by.actor.empty() || by.reason.empty())
    return fail(ErrorCode::invalid_argument, "an operator's act needs an actor and a reason");
  if (by.actor.size() > most_actor || !is_storable(Value(by.actor)))
    return fail(ErrorCode::invalid_argument,
                fmt::format("an operator's name must be UTF-8 of at most {} bytes", most_actor));
  return {};
}

Result<void> Runner::operate(const RunName& name, const Operator& by,
                             const std::function<Result<RunAct>(Run&, const Record&)>& change) {
  if (auto fine = pipeline_detail::check_operator(by); !fine) return fine;
  const auto record_key = run_record_key(name.pipeline, name.key);
  for (int tries = 0; tries < pipeline_detail::most_tries; ++tries) {
    const RecordRef ref{name.partition, record_key};
    const auto read = state_->storage.read(std::span(&ref, 1));
    if (!read) return fail(read.error());
    const auto& record = read->records[0];
    if (!record) return fail(ErrorCode::not_found, fmt::format("there is no run \"{}\"", record_key));
    auto run = pipeline_detail::decode_run(*record);
    if (!run) return fail(run.error());
    anchor(*run, *record);
    if (in_hands(*run)) return wrong_state(*run, "a worker is at it: try again, or cancel it");
    const auto before = *run;
    auto act = change(*run, *record);
    if (!act) return fail(act.error());
    // What ends it is always taken.
    if (auto takes = takes_act(*run); !takes && run->state != RunState::cancelled) return takes;
    const auto plan = state_->catalog.find(run->pipeline, run->version, run->plan);
    auto kept = keep_effects(before, *run, plan ? &plan->compiled() : nullptr);
    if (!kept) return kept;
    act->actor = by.actor;
    act->reason = pipeline_detail::readable(by.reason, most_text);
    act->at = read->now;
    run->acts.push_back(*act);
    run->owner = state_->driver.new_owner();
    run->serial = 0;
    const bool goes_on = run->state == RunState::running;
    run->due_in = goes_on ? 0 : -1;
    const auto timing = goes_on
                            ? Timing{.due_in = Duration::zero()}
                            : Timing{.expires_in = pipeline_detail::kept_for(run->state, state_->options)};
    stamp(*run);
    auto value = encode(*run);
    if (value.size() > pipeline_detail::room_of(*run))
      return fail(ErrorCode::limit_exceeded, "the run's record would be larger than a record may be");
    const auto written = commit_one(
        state_->storage,
        {name.partition, {Operation::replace(record_key, record->revision, std::move(value), timing)}});
    if (!written) return fail(written.error());
    if (!written->applied()) continue;
    if (state_->options.journal != nullptr) {
      state_->options.journal->write(
          {.room = "pipeline",
           .partition = name.partition,
           .subject = record_key,
           .trigger = act->act,
           .from = act->before.empty() ? to_string(before.state) : std::string_view(act->before),
           .to = act->after.empty() ? to_string(run->state) : std::string_view(act->after),
           .actor = act->actor,
           .reason = act->reason});
    }
    const RunMove move{name, before.state, run->state, act->actor, act->reason};
    if (move.from != move.to) state_->tell_observers({&move, 1});
    return {};
  }
  return fail(ErrorCode::conflict, "others write the run all the time; nothing was done");
}

Result<void> Runner::retry(const RunName& name, const Operator& by) {
  return operate(name, by, [](Run& run, const Record&) -> Result<RunAct> {
    auto act = act_on("retry", {}, std::string(to_string(run.state)));
    if (auto again = begin_again(run); !again) return fail(std::move(again).error());
    act.after = to_string(run.state);
    return act;
  });
}

Result<void> Runner::skip(const RunName& name, std::string_view path, const Operator& by) {
  return operate(name, by, [&](Run& run, const Record&) -> Result<RunAct> {
    if (run.undoing) return skip_undo(run, path);
    if (run.state == RunState::succeeded) return wrong_state(run, "there is nothing to skip");
    std::vector<Place*> chain;
    if (!chain_to(run.root, {}, {}, path, chain))
      return fail(ErrorCode::not_found, fmt::format("the run has not come to \"{}\"", path));
    auto& place = *chain.back();
    if (place.status == Status::done || place.status == Status::skipped)
      return wrong_state(run, fmt::format("\"{}\" is done already", path));
    auto act = act_on("skip", path, shown(place), "skipped");
    settle(run, chain, Status::skipped, {});
    return act;
  });
}

Result<void> Runner::set_result(const RunName& name, std::string_view path, const Value& result,
                                const Operator& by) {
  if (!pipeline_detail::is_storable(result))
    return fail(ErrorCode::invalid_argument, "the result cannot be stored");
  return operate(name, by, [&](Run& run, const Record&) -> Result<RunAct> {
    std::vector<Place*> chain;
    if (!chain_to(run.root, {}, {}, path, chain))
      return fail(ErrorCode::not_found, fmt::format("the run has not come to \"{}\"", path));
    if (run.state == RunState::succeeded) return wrong_state(run, "nothing reads its results any more");
    if (run.undoing) return wrong_state(run, "it is being undone; skip what is not to be undone");
    const auto plan = state_->catalog.find(run.pipeline, run.version, run.plan);
    if (!plan || !fits(run, plan->compiled()))
      return fail(ErrorCode::not_found, "the plan of the run is not in the catalog");
    if (auto fine = check_result(construct_at(plan->compiled().root, chain), result); !fine)
      return fail(std::move(fine).error());
    auto act = act_on("set_result", path, shown(*chain.back()));
    settle(run, chain, Status::done, result);
    act.after = shown(*chain.back());
    return act;
  });
}

Result<void> Runner::rerun_from(const RunName& name, std::string_view path, const Operator& by) {
  return operate(name, by, [&](Run& run, const Record&) -> Result<RunAct> {
    std::vector<Place*> chain;
    if (!chain_to(run.root, {}, {}, path, chain))
      return fail(ErrorCode::not_found, fmt::format("the run has not come to \"{}\"", path));
    if (run.undoing || any_undone(run.root)) return wrong_state(run, "it was undone");
    auto act = act_on("rerun_from", path, shown(*chain.back()), "open");
    const auto plan = state_->catalog.find(run.pipeline, run.version, run.plan);
    if (!plan || !fits(run, plan->compiled()))
      return fail(ErrorCode::not_found, "the plan of the run is not in the catalog");
    remember_tokens(run);
    cut_behind(run, plan->compiled().root, chain);
    auto& place = *chain.back();
    place = Place{place.id, place.role};
    go_on(run);
    run.result = {};
    return act;
  });
}

}  // namespace onceward
