// The interpreter: where a run goes as a whole.
#include "pipeline/storable.hpp"
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::pipeline_detail {
namespace {

bool any_in_doubt(const Place& place) noexcept {
  return is_in_doubt(place) || std::any_of(place.children.begin(), place.children.end(), any_in_doubt);
}

/// The finally that failed, where no catch took its error; null: none did.
const Place* failed_finally(const Place& place) noexcept {
  if (place.status == Status::done) return nullptr;
  if (place.role == Role::closing && place.status == Status::failed) return &place;
  const bool attempt = !place.children.empty() && place.children.front().role == Role::branch;
  for (std::size_t i = attempt ? place.children.size() - 1 : 0; i < place.children.size(); ++i) {
    if (const auto* found = failed_finally(place.children[i])) return found;
  }
  return nullptr;
}

Value late_error(const Place& root) {
  constexpr std::string_view late = "the run's deadline has passed";
  const auto* failed = failed_finally(root);
  if (failed == nullptr) return error_of("deadline", std::string(late), "");
  const auto& error = error_in(*failed);
  return error_of(text_of(error, "code"), fmt::format("{}; {}", text_of(error, "message"), late),
                  text_of(error, "step"));
}

}  // namespace

bool is_in_doubt(const Place& place) noexcept {
  return place.in_doubt && place.status != Status::done && place.status != Status::undone &&
         place.status != Status::skipped;
}

Value error_of(std::string_view code, std::string message, std::string_view step) {
  return Map{{"code", code}, {"message", readable(std::move(message), most_reason_bytes)}, {"step", step}};
}
std::string text_of(const Value& error, std::string_view name) {
  const auto* member = error.find(name);
  return member == nullptr || member->string() == nullptr ? std::string() : *member->string();
}
std::string sentence(const Value& error) {
  return fmt::format("{}: {}", text_of(error, "code"), text_of(error, "message"));
}

void cancel(Place& place) noexcept {
  if (ended(place.status)) return;
  for (auto& child : place.children) cancel(child);
  const bool undoing = place.status == Status::undoing || place.status == Status::undo_waiting;
  place.status = undoing && !place.in_doubt ? Status::done : Status::cancelled;  // its effect stays
}

const Value& error_in(const Place& place) noexcept {
  const bool keeps = place.role == Role::item || place.role == Role::callee;
  return keeps && !place.children.empty() ? error_in(place.children.back()) : place.value;
}

Move Walk::go() {
  if (run_.state != RunState::running) return {};
  if (const auto asked = take_cancel()) return *asked;
  if (!run_.undoing) {
    run_.late = run_.late || (run_.deadline.set() && run_.deadline.reached(now_));
    End end = End::failed;
    if (run_.late) {
      if (close(plan_.root, run_.root)) end = End::running;
      run_.root.value = late_error(run_.root);
    } else {
      if (run_.root.status == Status::fresh) run_.root.status = Status::open;
      end = visit(plan_.root, run_.root);
    }
    if (attention_) return give_up(run_, *std::move(attention_));
    // A race that was decided, or an error that was caught, may have left a call in doubt.
    if (end == End::done && !(any_in_doubt(run_.root) && settle(plan_.root, run_.root))) return succeed();
    if (attention_) return give_up(run_, *std::move(attention_));
    if (end == End::failed) {
      if (auto move = failed()) return *move;
    }
    if (!run_.undoing) return pending();
  }
  const bool more = undo();
  if (attention_) return give_up(run_, *std::move(attention_));
  if (more) return pending();
  if (auto left = left_behind()) return give_up(run_, *std::move(left));
  return finish(run_.cancelled ? RunState::cancelled : RunState::failed, run_.cause);
}

Move Walk::succeed() {
  // What an operator took back is not settled by going another way.
  const auto left = std::find_if(run_.forgotten.begin(), run_.forgotten.end(),
                                 [](const Forgotten& forgotten) { return is_in_doubt(forgotten.place); });
  if (left == run_.forgotten.end()) return finish(RunState::succeeded, {});
  return give_up(run_, fmt::format("in_doubt: \"{}\", which an operator took back, may have taken effect",
                                   left->place.id));
}

Move Walk::finish(RunState state, std::string reason) {
  run_.state = state;
  run_.reason = std::move(reason);
  end_cancels(run_);
  // One that may be pushed on may await what was sent already.
  if (state == RunState::succeeded) run_.requests.clear();
  return {};
}

Move Walk::pending() {
  if (!calls_.empty()) return {Move::Kind::call};
  if (run_.deadline.set() && !run_.undoing && !run_.late) note(run_.deadline);
  if (!earliest_) return {Move::Kind::await};
  return {Move::Kind::wait, std::clamp(*earliest_, Duration::zero(), Duration(limits::duration_us)), blind_};
}

std::optional<Move> Walk::failed() {
  const auto& error = run_.root.value;
  const auto code = text_of(error, "code");
  auto reason = code == "retry_exhausted" ? text_of(error, "message") : sentence(error);
  reason = readable(std::move(reason), most_reason_bytes);
  if (plan_.definition.recover == Recover::backward) {
    begin_undo(run_, std::move(reason));
    return std::nullopt;
  }
  if (code == "retry_exhausted") return give_up(run_, std::move(reason));
  if (any_in_doubt(run_.root))
    return give_up(run_, "in_doubt: a step that was stopped may have taken effect, after " + reason);
  return finish(RunState::failed, std::move(reason));
}

std::optional<Move> Walk::take_cancel() {
  const auto asked = take_cancels(run_);
  if (!asked) return std::nullopt;
  const auto mode = text_of(asked->payload, "mode");
  if (run_.undoing && mode != "abandon") {
    tell_cancel(run_, *asked, "none: it is being undone");
    return std::nullopt;
  }
  tell_cancel(run_, *asked, mode);
  auto reason = readable(fmt::format("cancelled: {}", text_of(asked->payload, "reason")), most_reason_bytes);
  if (mode == "abandon") {
    abandon(run_, std::move(reason));
    return Move{};
  }
  cancel(run_.root);
  run_.cancelled = true;
  if (mode == "compensate") {
    begin_undo(run_, std::move(reason));
    return std::nullopt;
  }
  if (any_in_doubt(run_.root))
    return give_up(run_, "in_doubt: a step that was stopped may have taken effect, after " + reason);
  return finish(RunState::cancelled, std::move(reason));
}

Result<Value> Walk::evaluate(const Node& node, const Expression& expression) {
  const Names names(level_, within_, node.reads_steps);
  return expression.evaluate(names);
}

End Walk::visit(const Node& node, Place& place) {
  if (attention_) return End::running;
  if (place.status == Status::failed) return End::failed;
  if (ended(place.status)) return End::done;
  if (place.status == Status::fresh && node.when) {
    const Names names(level_, within_, node.reads_steps);
    const auto holds = node.when->test(names);
    if (!holds) return stuck(node, "when", holds.error());
    if (!*holds) {
      place.status = Status::skipped;
      return End::done;
    }
  }
  switch (node.kind) {
    case StepKind::step: return visit_step(node, place);
    case StepKind::sequence: return visit_sequence(node, place);
    case StepKind::parallel: return visit_parallel(node, place);
    case StepKind::choose: return visit_choose(node, place);
    case StepKind::foreach: return visit_foreach(node, place);
    case StepKind::attempt: return visit_attempt(node, place);
    case StepKind::call: return visit_call(node, place);
    case StepKind::wait: return visit_wait(node, place);
    case StepKind::await: return visit_await(node, place);
    case StepKind::set:
    case StepKind::result: return visit_value(node, place);
    case StepKind::fail: {
      std::string message;
      if (node.value) {
        const auto text = evaluate(node, *node.value);
        if (!text) return stuck(node, "message", text.error());
        if (text->string() != nullptr) message = *text->string();
      }
      return fail(place, node.definition->code, std::move(message));
    }
  }
  return End::done;
}

void Walk::note(const Instant& due) {
  const bool unknown = !due.relative && now_ == Timestamp{};
  blind_ = blind_ || unknown;
  const Duration wait = unknown        ? Duration::zero()
                        : due.relative ? Duration(due.us)
                                       : Duration(due.us) - now_.time_since_epoch();
  earliest_ = std::min(earliest_.value_or(wait), wait);
}

End Walk::fail(Place& place, std::string_view code, std::string message) {
  place.status = Status::failed;
  place.value = error_of(code, std::move(message), path_ + place.id);
  return End::failed;
}

End Walk::stuck(const Node& node, std::string_view what, const Error& error) {
  return stuck(fmt::format("step \"{}\", {}: {}", node.id(), what, describe(error)));
}

Move advance(Run& run, const CompiledPlan& plan, Timestamp now, std::size_t room, std::vector<Call>& calls) {
  calls.clear();
  return Walk(run, plan, now, room, calls).go();
}

}  // namespace onceward::pipeline_detail
