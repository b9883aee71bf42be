// What operators and other systems ask of a stored run.
#include <onceward/pipeline/runner.hpp>

#include "pipeline/run_state.hpp"
#include "pipeline/runner_state.hpp"
#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using pipeline_detail::Place;
using pipeline_detail::Request;
using pipeline_detail::Role;
using pipeline_detail::Run;
using pipeline_detail::Status;
using pipeline_detail::wrong_state;

namespace {

constexpr int most_tries = 200;  // against workers and others that write the same run
constexpr std::size_t most_requests = 64;
constexpr std::size_t most_acts = 100;
constexpr std::size_t most_text = 256;
constexpr std::size_t most_actor = 128;

bool held(const Place& place) noexcept {
  return place.status == Status::active || place.status == Status::undoing ||
         std::any_of(place.children.begin(), place.children.end(),
                     [](const Place& child) { return held(child); });
}

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
void cut_behind(Run& run, const pipeline_detail::Node& root, const std::vector<Place*>& chain) {
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

}  // namespace

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
  for (int tries = 0; tries < most_tries; ++tries) {
    const RecordRef ref{name.partition, record_key};
    const auto read = state_->storage.read(std::span(&ref, 1));
    if (!read) return fail(read.error());
    const auto& record = read->records[0];
    if (!record) return fail(ErrorCode::not_found, fmt::format("there is no run \"{}\"", record_key));
    auto run = pipeline_detail::decode_run(*record);
    if (!run) return fail(run.error());
    anchor(*run, *record);
    if (held(run->root) && run->state == RunState::running)
      return wrong_state(*run, "a worker is at it: try again, or cancel it");
    if (run->acts.size() >= most_acts)
      return fail(ErrorCode::exhausted,
                  fmt::format("the run keeps {} acts of operators, and no more", most_acts));
    const auto before = run->state;
    auto act = change(*run, *record);
    if (!act) return fail(act.error());
    act->actor = by.actor;
    act->reason = pipeline_detail::readable(by.reason, most_text);
    act->at = read->now;
    run->acts.push_back(*act);
    run->owner = state_->driver.new_owner();
    run->serial = 0;
    run->due_in = 0;
    stamp(*run);
    auto value = encode(*run);
    if (value.size() > limits::value_bytes)
      return fail(ErrorCode::limit_exceeded, "the run's record would be larger than a record may be");
    const auto written = commit_one(
        state_->storage,
        {name.partition,
         {Operation::replace(record_key, record->revision, std::move(value), {.due_in = Duration::zero()})}});
    if (!written) return fail(written.error());
    if (!written->applied()) continue;
    if (state_->options.journal != nullptr) {
      state_->options.journal->write(
          {.room = "pipeline",
           .partition = name.partition,
           .subject = record_key,
           .trigger = act->act,
           .from = act->before.empty() ? to_string(before) : std::string_view(act->before),
           .to = act->after.empty() ? to_string(run->state) : std::string_view(act->after),
           .actor = act->actor,
           .reason = act->reason});
    }
    return {};
  }
  return fail(ErrorCode::conflict, "others write the run all the time; nothing was done");
}

Result<void> Runner::retry(const RunName& name, const Operator& by) {
  return operate(name, by, [](Run& run, const Record&) -> Result<RunAct> {
    RunAct act{
        .act = "retry", .actor = {}, .reason = {}, .path = {}, .before = std::string(to_string(run.state))};
    if (auto again = begin_again(run); !again) return fail(std::move(again).error());
    act.after = to_string(run.state);
    return act;
  });
}

Result<void> Runner::skip(const RunName& name, std::string_view path, const Operator& by) {
  return operate(name, by, [&](Run& run, const Record&) -> Result<RunAct> {
    std::vector<Place*> chain;
    if (!chain_to(run.root, {}, {}, path, chain))
      return fail(ErrorCode::not_found, fmt::format("the run has not come to \"{}\"", path));
    if (run.undoing) return wrong_state(run, "it is being undone");
    auto& place = *chain.back();
    if (place.status == Status::done || place.status == Status::skipped)
      return wrong_state(run, fmt::format("\"{}\" is done already", path));
    RunAct act{.act = "skip",
               .actor = {},
               .reason = {},
               .path = std::string(path),
               .before = shown(place),
               .after = "skipped"};
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
    if (run.undoing) return wrong_state(run, "it is being undone");
    RunAct act{.act = "set_result",
               .actor = {},
               .reason = {},
               .path = std::string(path),
               .before = shown(*chain.back())};
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
    RunAct act{.act = "rerun_from",
               .actor = {},
               .reason = {},
               .path = std::string(path),
               .before = shown(*chain.back()),
               .after = "open"};
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

Result<void> Runner::State::ask(const RunName& name, Request request) {
  const auto record_key = run_record_key(name.pipeline, name.key);
  for (int tries = 0; tries < most_tries; ++tries) {
    const RecordRef ref{name.partition, record_key};
    const auto read = storage.read(std::span(&ref, 1));
    if (!read) return fail(read.error());
    const auto& record = read->records[0];
    if (!record) return fail(ErrorCode::not_found, fmt::format("there is no run \"{}\"", record_key));
    auto run = pipeline_detail::decode_run(*record);
    if (!run) return fail(run.error());
    if (run->state != RunState::running) return wrong_state(*run, "it takes nothing any more");
    const bool known =
        std::any_of(run->requests.begin(), run->requests.end(),
                    [&](const Request& r) { return r.name == request.name && r.id == request.id; }) ||
        std::find(run->taken.begin(), run->taken.end(), request.name + "/" + request.id) != run->taken.end();
    if (known) return {};
    if (run->requests.size() >= most_requests)
      return fail(ErrorCode::exhausted,
                  fmt::format("{} signals wait for the run, and no more may", most_requests));
    anchor(*run, *record);
    request.number = run->next_request++;
    run->requests.push_back(request);
    // A run in a worker's hands stays there: the worker meets the request at its next write. Else it is
    // woken.
    const bool in_hands = held(run->root);
    const Duration due = in_hands && record->due
                             ? std::max(Duration::zero(), Duration(*record->due - read->now))
                             : Duration::zero();
    run->due_in = due.count();
    auto value = encode(*run);
    if (value.size() > limits::value_bytes)
      return fail(ErrorCode::limit_exceeded, "the run's record would be larger than a record may be");
    const auto written = commit_one(
        storage, {name.partition,
                  {Operation::replace(record_key, record->revision, std::move(value), {.due_in = due})}});
    if (!written) return fail(written.error());
    if (written->applied()) {
      wake.notify_all();
      return {};
    }
  }
  return fail(ErrorCode::conflict, "others write the run all the time; nothing was done");
}

Result<void> Runner::signal(const RunName& run, std::string_view name, const Value& payload,
                            std::string_view id) {
  const bool stored = pipeline_detail::is_storable(Value(name)) && pipeline_detail::is_storable(Value(id)) &&
                      pipeline_detail::is_storable(payload);
  if (name.empty() || name.size() > 64 || id.size() > 128 || !stored)
    return fail(ErrorCode::invalid_argument,
                "a signal needs a name of 1 to 64 bytes and an id of at most 128, both UTF-8, and a payload "
                "that can be stored");
  Request request;
  request.name = name;
  request.id = id;
  request.payload = payload;
  return state_->ask(run, std::move(request));
}

Result<void> Runner::cancel(const RunName& run, Cancel mode, const Operator& by) {
  if (auto fine = pipeline_detail::check_operator(by); !fine) return fine;
  static constexpr std::string_view modes[] = {"graceful", "compensate", "abandon"};
  Request request;
  request.id = "cancel!";
  request.payload = Map{{"mode", modes[static_cast<std::size_t>(mode)]},
                        {"actor", by.actor},
                        {"reason", pipeline_detail::readable(by.reason, most_text)}};
  auto asked = state_->ask(run, std::move(request));
  if (asked && state_->options.journal != nullptr) {
    const auto key = run_record_key(run.pipeline, run.key);
    state_->options.journal->write({.room = "pipeline",
                                    .partition = run.partition,
                                    .subject = key,
                                    .trigger = "cancel",
                                    .from = "running",
                                    .to = modes[static_cast<std::size_t>(mode)],
                                    .actor = by.actor,
                                    .reason = by.reason});
  }
  return asked;
}

}  // namespace onceward
