// The interpreter: walks the plan beside the run, begins what can begin, and says what to wait for.
#include <onceward/core/digest.hpp>
#include <onceward/core/timestamp.hpp>

#include "pipeline/names.hpp"
#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace onceward::pipeline_detail {
namespace {

enum class End : std::uint8_t { running, done, failed };

Value error_of(std::string_view code, std::string message, std::string_view step) {
  return Map{{"code", code}, {"message", readable(std::move(message), most_reason_bytes)}, {"step", step}};
}
std::string text_of(const Value& error, std::string_view name) {
  const auto* member = error.find(name);
  return member == nullptr || member->string() == nullptr ? std::string() : *member->string();
}
/// "code: message", as reasons begin.
std::string sentence(const Value& error) {
  return fmt::format("{}: {}", text_of(error, "code"), text_of(error, "message"));
}

bool any_in_doubt(const Place& place) noexcept {
  return (place.in_doubt && place.status != Status::done && place.status != Status::undone &&
          place.status != Status::skipped) ||
         std::any_of(place.children.begin(), place.children.end(),
                     [](const Place& child) { return any_in_doubt(child); });
}

/// Stops what has not ended; a call that was made and whose end is not known stays in doubt.
void cancel(Place& place) noexcept {
  if (ended(place.status)) return;
  for (auto& child : place.children) cancel(child);
  place.status = Status::cancelled;
}

/// The error of what failed. An item keeps its item and a callee its input: theirs lies in what failed
/// within.
const Value& error_in(const Place& place) noexcept {
  const bool keeps = place.role == Role::item || place.role == Role::callee;
  return keeps && !place.children.empty() ? error_in(place.children.back()) : place.value;
}

class Walk {
 public:
  Walk(Run& run, const CompiledPlan& plan, Timestamp now, std::size_t room, std::vector<Call>& calls)
      : run_(run),
        plan_(plan),
        now_(now),
        room_(room),
        calls_(calls),
        level_{&run.input, &plan.root, &run.root} {}

  Move go() {
    if (run_.state != RunState::running) return {};
    if (!run_.undoing) {
      if (const auto asked = take_cancel()) return *asked;
    }
    if (!run_.undoing) {
      const bool late = run_.deadline.set() && run_.deadline.reached(now_);
      End end = End::failed;
      if (late) {
        cancel(run_.root);
        run_.root.value = error_of("deadline", "the run's deadline has passed", "");
      } else {
        if (run_.root.status == Status::fresh) run_.root.status = Status::open;
        end = visit(plan_.root, run_.root);
      }
      if (attention_) return give_up(run_, *std::move(attention_));
      if (end == End::done) return finish(RunState::succeeded, {});
      if (end == End::failed) {
        if (auto move = failed()) return *move;
      }
      if (!run_.undoing) return pending();
    }
    const bool more = undo(plan_.root, run_.root);
    if (attention_) return give_up(run_, *std::move(attention_));
    if (more) return pending();
    return finish(run_.cancelled ? RunState::cancelled : RunState::failed, run_.reason);
  }

 private:
  Move finish(RunState state, std::string reason) {
    run_.state = state;
    run_.reason = std::move(reason);
    run_.requests.clear();
    return {};
  }

  Move pending() {
    if (!calls_.empty()) return {Move::Kind::call};
    if (run_.deadline.set()) note(run_.deadline);
    if (!earliest_) return {Move::Kind::await};
    return {Move::Kind::wait, std::clamp(*earliest_, Duration::zero(), Duration(limits::duration_us))};
  }
  void note(const Instant& due) {
    const Duration wait = due.relative ? Duration(due.us) : Duration(due.us) - now_.time_since_epoch();
    earliest_ = std::min(earliest_.value_or(wait), wait);
  }

  /// The root has failed. Empty where what is done is to be undone.
  std::optional<Move> failed() {
    const auto& error = run_.root.value;
    const auto code = text_of(error, "code");
    auto reason = code == "retry_exhausted" ? text_of(error, "message") : sentence(error);
    reason = readable(std::move(reason), most_reason_bytes);
    if (plan_.definition.recover == Recover::backward) {
      run_.undoing = true;
      run_.reason = std::move(reason);
      return std::nullopt;
    }
    if (code == "retry_exhausted") return give_up(run_, std::move(reason));
    if (any_in_doubt(run_.root))
      return give_up(run_, "in_doubt: a step that was stopped may have taken effect, after " + reason);
    return finish(RunState::failed, std::move(reason));
  }

  std::optional<Move> take_cancel() {
    const auto asked = std::find_if(run_.requests.begin(), run_.requests.end(),
                                    [](const Request& request) { return request.id == "cancel!"; });
    if (asked == run_.requests.end()) return std::nullopt;
    const auto mode = text_of(asked->payload, "mode");
    auto reason =
        readable(fmt::format("cancelled: {}", text_of(asked->payload, "reason")), most_reason_bytes);
    run_.acts.push_back({"cancel",
                         text_of(asked->payload, "actor"),
                         text_of(asked->payload, "reason"),
                         {},
                         "running",
                         mode,
                         now_});
    run_.requests.erase(asked);
    cancel(run_.root);
    run_.cancelled = true;
    if (mode == "compensate") {
      run_.undoing = true;
      run_.reason = std::move(reason);
      return std::nullopt;
    }
    if (mode == "graceful" && any_in_doubt(run_.root))
      return give_up(run_, "in_doubt: a step that was stopped may have taken effect, after " + reason);
    return finish(RunState::cancelled, std::move(reason));
  }

  End fail(Place& place, std::string_view code, std::string message) {
    place.status = Status::failed;
    place.value = error_of(code, std::move(message), path_ + place.id);
    return End::failed;
  }
  /// A definition that does not fit its data: nothing can be caught or retried.
  End stuck(std::string reason) {
    if (!attention_) attention_ = std::move(reason);
    return End::running;
  }
  End stuck(const Node& node, std::string_view what, const Error& error) {
    return stuck(fmt::format("step \"{}\", {}: {}", node.id(), what, describe(error)));
  }
  End done(Place& place, Value value = {}) {
    place.status = Status::done;
    place.value = std::move(value);
    return End::done;
  }
  Result<Value> evaluate(const Node& node, const Expression& expression) {
    const Names names(level_, within_, node.reads_steps);
    return expression.evaluate(names);
  }
  static Place& child(Place& place, std::string_view id, Role role) {
    auto& added = place.children.emplace_back();
    added.id = id;
    added.role = role;
    return added;
  }

  End visit(const Node& node, Place& place) {
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

  Result<Value> arguments_of(const Node& node) {
    const Names names(level_, within_, node.reads_steps);
    Map arguments;
    arguments.reserve(node.arguments.size());
    for (const auto& argument : node.arguments) {
      auto value = argument.expression.evaluate(names);
      if (!value) {
        auto error = std::move(value).error();
        error.message =
            fmt::format("step \"{}\", argument \"{}\": {}", node.id(), argument.name, error.message);
        return onceward::fail(std::move(error));
      }
      if (value->is_null() ? argument.required : value->kind() != argument.kind) {
        return onceward::fail(
            ErrorCode::wrong_kind,
            fmt::format("step \"{}\", argument \"{}\" is {}, {} wants {}", node.id(), argument.name,
                        to_string(value->kind()), node.definition->uses, to_string(argument.kind)));
      }
      arguments.set(argument.name, *std::move(value));
    }
    return Value(std::move(arguments));
  }

  /// One that an operator took back knows how its token was used before.
  void remember(Place& place, const std::string& path) {
    if (run_.sent.empty() || place.digest != 0) return;
    const auto sent =
        std::find_if(run_.sent.begin(), run_.sent.end(), [&](const Sent& s) { return s.path == path; });
    if (sent == run_.sent.end()) return;
    place.digest = sent->digest;
    place.started = sent->started;
    place.in_doubt = true;
  }

  End visit_step(const Node& node, Place& place) {
    if (place.status == Status::active) return End::running;
    if (place.status == Status::waiting && !place.due.reached(now_)) {
      note(place.due);
      return End::running;
    }
    if (room_ == 0) {
      note(Instant::after({}));
      return End::running;
    }
    auto arguments = arguments_of(node);
    if (!arguments) return stuck(describe(arguments.error()));
    auto path = path_ + place.id;
    remember(place, path);
    std::string json;
    arguments->append_json(json);
    auto digest = static_cast<std::int64_t>(stable_hash(json) >> 1);
    digest += digest == 0 ? 1 : 0;
    if (place.digest != 0 && place.digest != digest) {
      return stuck(
          fmt::format("arguments_changed: step \"{}\" was called with other arguments before; its token "
                      "names that effect, so it is not called again",
                      path));
    }
    const auto& spec = node.entry->spec;
    const bool forgotten = place.in_doubt && spec.effect != Effect::pure && place.started.set() &&
                           !place.started.relative &&
                           now_.time_since_epoch().count() - place.started.us > spec.dedup_window.count();
    if (place.attempt == 0) place.attempt = 1;
    if (!place.started.set()) place.started = Instant::after({});
    place.digest = digest;
    place.status = Status::active;
    place.due = {};
    --room_;
    calls_.push_back({forgotten ? Call::Kind::verify : Call::Kind::act, &node, &place, std::move(path),
                      *std::move(arguments)});
    return End::running;
  }

  End visit_sequence(const Node& node, Place& place) {
    place.status = Status::open;
    if (place.children.empty()) place.children.reserve(std::min<std::size_t>(node.children.size(), 8));
    for (;;) {
      if (!place.children.empty()) {
        const auto end = visit(node.children[place.children.size() - 1], place.children.back());
        if (end == End::running) return end;
        if (end == End::failed) {
          place.status = Status::failed;
          if (place.role != Role::item && place.role != Role::callee)
            place.value = error_in(place.children.back());
          return end;
        }
      }
      if (place.children.size() == node.children.size()) break;
      child(place, node.children[place.children.size()].id(), Role::step);
    }
    // An item, or the input of a called pipeline, stays: its undo may need it.
    place.status = Status::done;
    return End::done;
  }

  /// What several that run beside each other have come to.
  struct Tally {
    std::size_t done = 0, failed = 0, running = 0;
  };
  static std::string all_errors(const Place& place) {
    std::string all;
    for (const auto& branch : place.children) {
      if (branch.status != Status::failed) continue;
      const auto& error = error_in(branch);
      all += all.empty() ? text_of(error, "message") : "; " + sentence(error);
    }
    return all;
  }
  End fail_with_branches(Place& place) {
    const auto first = std::find_if(place.children.begin(), place.children.end(),
                                    [](const Place& branch) { return branch.status == Status::failed; });
    const auto& begin = error_in(*first);
    auto error = error_of(text_of(begin, "code"), all_errors(place), text_of(begin, "step"));
    place.status = Status::failed;
    place.value = std::move(error);
    return End::failed;
  }

  End visit_parallel(const Node& node, Place& place) {
    if (place.status == Status::fresh) {
      place.status = Status::open;
      place.children.reserve(node.children.size());
      for (const auto& branch : node.children) child(place, branch.id(), Role::step);
    }
    const auto& written = *node.definition;
    const auto count = node.children.size();
    const auto wanted = written.join == Join::all   ? count
                        : written.join == Join::any ? std::size_t{1}
                                                    : static_cast<std::size_t>(written.quorum);
    Tally tally;
    for (std::size_t i = 0; i < count; ++i) {
      const auto end = visit(node.children[i], place.children[i]);
      if (attention_) return End::running;
      (end == End::done ? tally.done : end == End::failed ? tally.failed : tally.running)++;
      const bool lost = tally.failed > count - wanted;
      // Calls that are under way end first: their outcome is worth knowing.
      if ((lost && written.on_fail == OnFail::cancel) || tally.done >= wanted) break;
    }
    const bool lost = tally.failed > count - wanted;
    const bool settled = tally.done >= wanted || (lost && written.on_fail == OnFail::cancel);
    if (!settled && tally.running > 0) return End::running;
    if (std::any_of(place.children.begin(), place.children.end(),
                    [&](const Place& c) { return calls_within(c); }))
      return End::running;
    for (auto& branch : place.children) cancel(branch);
    return tally.done >= wanted ? done(place) : fail_with_branches(place);
  }
  static bool calls_within(const Place& place) noexcept {
    return place.status == Status::active || std::any_of(place.children.begin(), place.children.end(),
                                                         [](const Place& c) { return calls_within(c); });
  }

  End visit_choose(const Node& node, Place& place) {
    if (place.status == Status::fresh) {
      std::size_t taken = node.children.size();
      const Names names(level_, within_, node.reads_steps);
      for (std::size_t i = 0; i < node.children.size() && taken == node.children.size(); ++i) {
        if (i >= node.tests.size()) {
          taken = i;  // otherwise
          break;
        }
        const auto holds = node.tests[i].test(names);
        if (!holds) return stuck(node, "test", holds.error());
        if (*holds) taken = i;
      }
      if (taken == node.children.size()) return done(place);
      place.status = Status::open;
      child(place, std::to_string(taken), Role::branch);
    }
    return visit_inside(node, place, place.children[0]);
  }
  /// The one branch that a construct goes with.
  End visit_inside(const Node& node, Place& place, Place& inside) {
    const auto branch = static_cast<std::size_t>(std::stoul(inside.id));
    const auto end = visit(node.children[branch], inside);
    if (end == End::running) return end;
    if (end == End::done) return done(place);
    place.status = Status::failed;
    place.value = error_in(inside);
    return end;
  }

  End begin_foreach(const Node& node, Place& place) {
    const auto items = evaluate(node, *node.value);
    if (!items) return stuck(node, "items", items.error());
    const auto* list = items->list();
    if (list == nullptr)
      return stuck(fmt::format("step \"{}\": items is {}, no list", node.id(), to_string(items->kind())));
    if (list->size() > static_cast<std::size_t>(node.definition->max)) {
      return fail(place, "too_many_items",
                  fmt::format("\"{}\" has {} items, at most {} are allowed", node.id(), list->size(),
                              node.definition->max));
    }
    std::set<std::string> keys;
    Names names(level_, within_, node.reads_steps);
    for (const auto& item : *list) {
      names.bind(node.definition->variable, item);
      const auto key = node.item_key->evaluate(names);
      if (!key) return stuck(node, "item-key", key.error());
      std::string text;
      if (key->string() != nullptr)
        text = *key->string();
      else if (key->integer() != nullptr)
        text = std::to_string(*key->integer());
      else if (key->boolean() != nullptr)
        text = *key->boolean() ? "true" : "false";
      if (text.empty() || text.size() > limits::key_bytes)
        return fail(place, "bad_item_key",
                    fmt::format("an item of \"{}\" has no key, or too long a one", node.id()));
      if (!keys.insert(text).second)
        return fail(place, "duplicate_item", fmt::format("\"{}\" has two items \"{}\"", node.id(), text));
    }
    place.children.reserve(list->size());
    for (const auto& item : *list) {
      names.bind(node.definition->variable, item);
      const auto key = node.item_key->evaluate(names);
      child(place,
            key->string() != nullptr    ? *key->string()
            : key->integer() != nullptr ? std::to_string(*key->integer())
                                        : std::string(*key->boolean() ? "true" : "false"),
            Role::item)
          .value = item;
    }
    place.status = Status::open;
    return End::running;
  }

  End visit_foreach(const Node& node, Place& place) {
    if (place.status == Status::fresh) {
      const auto end = begin_foreach(node, place);
      if (place.status != Status::open) return end;
    }
    Tally tally;
    const auto most = static_cast<std::size_t>(node.definition->concurrency);
    const auto before = path_.size();
    for (auto& item : place.children) {
      if (tally.running >= most) break;
      if (tally.failed > 0 && node.definition->on_fail == OnFail::cancel) break;
      path_ += item_part(node.id(), item.id);
      within_.push_back(&item);
      const auto end = visit(node.children[0], item);
      within_.pop_back();
      path_.resize(before);
      if (attention_) return End::running;
      (end == End::done ? tally.done : end == End::failed ? tally.failed : tally.running)++;
    }
    const bool stop = tally.failed > 0 && node.definition->on_fail == OnFail::cancel;
    if (!stop && tally.running > 0) return End::running;
    if (std::any_of(place.children.begin(), place.children.end(),
                    [&](const Place& c) { return calls_within(c); }))
      return End::running;
    if (tally.failed == 0)
      return done(place, Map{{"count", static_cast<std::int64_t>(place.children.size())}});
    for (auto& item : place.children) cancel(item);
    return fail_with_branches(place);
  }
  End visit_attempt(const Node& node, Place& place) {
    const auto& written = *node.definition;
    if (place.status == Status::fresh) {
      place.status = Status::open;
      place.children.reserve(3);
      child(place, "0", Role::branch);
    }
    for (;;) {
      auto& last = place.children.back();
      const auto number = static_cast<std::size_t>(std::stoul(last.id));
      const auto end = visit(node.children[number], last);
      if (end == End::running) return end;
      const bool is_finally = !written.last.empty() && number == written.branches.size() + 1;
      if (end == End::failed && number == 0) {
        place.value = error_in(last);  // caught or not: finally and the catch may read it
        const auto code = text_of(place.value, "code");
        const auto caught =
            std::find_if(written.branches.begin(), written.branches.end(),
                         [&](const BranchDefinition& b) { return b.test.empty() || b.test == code; });
        if (caught != written.branches.end()) {
          child(place, std::to_string(caught - written.branches.begin() + 1), Role::branch);
          continue;
        }
      }
      if (!is_finally && !written.last.empty()) {
        child(place, std::to_string(written.branches.size() + 1), Role::branch);
        continue;
      }
      // The last word: of finally if it failed, else of what came before it.
      const auto& decides = is_finally && end == End::done ? place.children[place.children.size() - 2] : last;
      if (decides.status != Status::failed) {
        place.status = Status::done;
        return End::done;
      }
      place.value = Value(error_in(decides));
      place.status = Status::failed;
      return End::failed;
    }
  }

  End visit_call(const Node& node, Place& place) {
    if (place.status == Status::fresh) {
      auto arguments = arguments_of(node);
      if (!arguments) return stuck(describe(arguments.error()));
      auto input = complete_input(*node.callee, *std::move(arguments));
      if (!input) return stuck(describe(input.error()));
      place.status = Status::open;
      child(place, "", Role::callee).value = *std::move(input);
    }
    auto& callee = place.children[0];
    auto end = End::running;
    inside_of(node, place, [&] { end = visit(node.children[0], callee); });
    if (end == End::running) return end;
    if (end == End::done) {
      auto result = std::exchange(call_result_, Value());
      return done(place, std::move(result));
    }
    place.status = Status::failed;
    place.value = error_in(callee);
    return end;
  }
  /// Runs `work` with the path and the names of a called pipeline.
  template <class Work>
  void inside_of(const Node& node, Place& place, const Work& work) {
    const auto before = path_.size();
    path_.append(node.id()).append("/");
    const auto outer =
        std::exchange(level_, Level{&place.children[0].value, &node.children[0], &place.children[0]});
    auto within = std::exchange(within_, {});
    work();
    within_ = std::move(within);
    level_ = outer;
    path_.resize(before);
  }

  End visit_wait(const Node& node, Place& place) {
    if (place.status == Status::fresh) {
      if (node.value) {
        const auto until = evaluate(node, *node.value);
        if (!until) return stuck(node, "until", until.error());
        std::optional<Timestamp> time;
        if (until->string() != nullptr)
          time = parse_timestamp(*until->string());
        else if (until->integer() != nullptr)
          time = Timestamp(Duration(*until->integer()));
        if (!time) return stuck(fmt::format("step \"{}\": until is no time", node.id()));
        place.due = {std::max<std::int64_t>(time->time_since_epoch().count(), 1), false};
      } else {
        place.due = Instant::after(node.definition->total);
      }
      place.status = Status::waiting;
    }
    if (place.due.reached(now_)) return done(place);
    note(place.due);
    return End::running;
  }

  End visit_await(const Node& node, Place& place) {
    const auto& name = node.definition->code;
    const auto sent = std::find_if(run_.requests.begin(), run_.requests.end(),
                                   [&](const Request& request) { return request.name == name; });
    if (sent != run_.requests.end()) {
      run_.taken.push_back(sent->name + "/" + sent->id);
      auto payload = std::move(sent->payload);
      run_.requests.erase(sent);
      return done(place, std::move(payload));
    }
    if (place.status == Status::fresh) {
      place.status = Status::awaiting;
      if (node.definition->total > Duration::zero()) place.due = Instant::after(node.definition->total);
    }
    if (!place.due.set()) return End::running;
    if (place.due.reached(now_))
      return fail(place, "timeout", fmt::format("the signal \"{}\" did not come", name));
    note(place.due);
    return End::running;
  }

  End visit_value(const Node& node, Place& place) {
    auto value = evaluate(node, *node.value);
    if (!value) return stuck(node, "value", value.error());
    if (!is_storable(*value)) return stuck(fmt::format("step \"{}\": its value cannot be stored", node.id()));
    if (node.kind == StepKind::result) {
      if (level_.place == &run_.root)
        run_.result = *value;
      else
        call_result_ = *value;
    }
    return done(place, *std::move(value));
  }

  /// Goes to the last effect that is not taken back yet; false where there is none.
  bool undo(const Node& node, Place& place) {
    if (place.status == Status::fresh || place.status == Status::skipped) return false;
    const auto number_of = [](const Place& child) { return static_cast<std::size_t>(std::stoul(child.id)); };
    const auto before = path_.size();
    for (std::size_t i = place.children.size(); i-- > 0;) {
      auto& inside = place.children[i];
      bool more = false;
      if (inside.role == Role::item) {
        path_ += item_part(node.id(), inside.id);
        within_.push_back(&inside);
        // Names are seen through constructs that are open.
        const auto status = std::exchange(place.status, Status::open);
        more = undo(node.children[0], inside);
        place.status = status;
        within_.pop_back();
        path_.resize(before);
      } else if (inside.role == Role::callee) {
        inside_of(node, place, [&] { more = undo(node.children[0], inside); });
      } else {
        more = undo(node.children[inside.role == Role::branch ? number_of(inside) : i], inside);
      }
      if (more || attention_) return true;
    }
    return node.kind == StepKind::step && undo_step(node, place);
  }

  bool undo_step(const Node& node, Place& place) {
    const auto& spec = node.entry->spec;
    if (spec.effect == Effect::pure || !spec.undo || node.definition->undo.skip) return false;
    if (place.status == Status::undone) return false;
    const bool begun = place.status == Status::undoing || place.status == Status::undo_waiting;
    if (!begun && place.status != Status::done && !place.in_doubt) return false;
    if (place.status == Status::undoing) return true;
    if (place.status == Status::undo_waiting && !place.due.reached(now_)) {
      note(place.due);
      return true;
    }
    auto arguments = arguments_of(node);
    if (!arguments) {
      stuck(describe(arguments.error()));
      return true;
    }
    if (!begun) {
      place.in_doubt = place.status != Status::done;
      place.attempt = 1;
      place.deaths = 0;
      if (place.in_doubt) place.value = {};
    }
    place.status = Status::undoing;
    place.due = {};
    calls_.push_back({Call::Kind::undo, &node, &place, path_ + place.id, *std::move(arguments)});
    return true;
  }

  Run& run_;
  const CompiledPlan& plan_;
  Timestamp now_;
  std::size_t room_;
  std::vector<Call>& calls_;
  Level level_;
  std::vector<const Place*> within_{};
  std::string path_{};
  std::optional<Duration> earliest_{};
  std::optional<std::string> attention_{};
  Value call_result_{};
};

}  // namespace

Move advance(Run& run, const CompiledPlan& plan, Timestamp now, std::size_t room, std::vector<Call>& calls) {
  calls.clear();
  return Walk(run, plan, now, room, calls).go();
}

}  // namespace onceward::pipeline_detail
