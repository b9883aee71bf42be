// The interpreter: constructs that contain others.
#include "pipeline/walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace onceward::pipeline_detail {
namespace {

std::string all_errors(const Place& place) {
  std::string all;
  for (const auto& branch : place.children) {
    if (branch.status != Status::failed) continue;
    const auto& error = error_in(branch);
    all += all.empty() ? text_of(error, "message") : "; " + sentence(error);
  }
  return all;
}

bool calls_within(const Place& place) noexcept {
  return place.status == Status::active || std::any_of(place.children.begin(), place.children.end(),
                                                       [](const Place& c) { return calls_within(c); });
}

/// What the last <result> of a pipeline gave; null where it came to none.
const Value* result_in(const Node& node, const Place& place) {
  if (node.kind == StepKind::result) return place.status == Status::done ? &place.value : nullptr;
  if (node.kind == StepKind::call) return nullptr;  // its results are its own
  for (std::size_t i = place.children.size(); i-- > 0;) {
    const auto& child = place.children[i];
    const auto* result = result_in(node.children[node_of(child, i)], child);
    if (result != nullptr) return result;
  }
  return nullptr;
}

}  // namespace

End Walk::visit_sequence(const Node& node, Place& place) {
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

End Walk::fail_with_branches(Place& place) {
  const auto first = std::find_if(place.children.begin(), place.children.end(),
                                  [](const Place& branch) { return branch.status == Status::failed; });
  const auto& begin = error_in(*first);
  auto error = error_of(text_of(begin, "code"), all_errors(place), text_of(begin, "step"));
  place.status = Status::failed;
  place.value = std::move(error);
  return End::failed;
}

End Walk::visit_parallel(const Node& node, Place& place) {
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
  if ((!settled && tally.running > 0) || calls_within(place)) return End::running;
  for (auto& branch : place.children) cancel(branch);
  return tally.done >= wanted ? done(place) : fail_with_branches(place);
}

End Walk::visit_choose(const Node& node, Place& place) {
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

End Walk::visit_inside(const Node& node, Place& place, Place& inside) {
  const auto branch = static_cast<std::size_t>(std::stoul(inside.id));
  const auto end = visit(node.children[branch], inside);
  if (end == End::running) return end;
  if (end == End::done) return done(place);
  place.status = Status::failed;
  place.value = error_in(inside);
  return end;
}

std::optional<std::vector<std::string>> Walk::item_keys(const Node& node, Place& place, const List& items) {
  std::vector<std::string> keys;
  std::set<std::string_view> seen;
  keys.reserve(items.size());  // what `seen` points to stays where it is
  Names names(level_, within_, node.reads_steps);
  for (const auto& item : items) {
    names.bind(node.definition->variable, item);
    const auto key = node.item_key->evaluate(names);
    if (!key) {
      stuck(node, "item-key", key.error());
      return std::nullopt;
    }
    auto& text = keys.emplace_back();
    if (key->string() != nullptr)
      text = *key->string();
    else if (key->integer() != nullptr)
      text = std::to_string(*key->integer());
    else if (key->boolean() != nullptr)
      text = *key->boolean() ? "true" : "false";
    if (text.empty() || text.size() > limits::key_bytes) {
      fail(place, "bad_item_key", fmt::format("an item of \"{}\" has no key, or too long a one", node.id()));
      return std::nullopt;
    }
    if (!seen.insert(text).second) {
      fail(place, "duplicate_item", fmt::format("\"{}\" has two items \"{}\"", node.id(), text));
      return std::nullopt;
    }
  }
  return keys;
}

/// Every item is looked at before the first one begins: what is wrong with one is known before any effect.
End Walk::begin_foreach(const Node& node, Place& place) {
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
  const auto keys = item_keys(node, place, *list);
  if (!keys) return place.status == Status::failed ? End::failed : End::running;
  place.children.reserve(list->size());
  for (std::size_t i = 0; i < list->size(); ++i) child(place, (*keys)[i], Role::item).value = (*list)[i];
  place.status = Status::open;
  return End::running;
}

End Walk::visit_foreach(const Node& node, Place& place) {
  if (place.status == Status::fresh) {
    const auto end = begin_foreach(node, place);
    if (place.status != Status::open) return end;
  }
  Tally tally;
  const auto most = static_cast<std::size_t>(node.definition->concurrency);
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    const auto& item = place.children[i];
    if (tally.running >= most) break;
    if (tally.failed > 0 && node.definition->on_fail == OnFail::cancel) break;
    if (ended(item.status)) {
      (item.status == Status::failed ? tally.failed : tally.done)++;
      continue;
    }
    auto end = End::running;
    go_into(node, place, i, [&](const Node& below, Place& inside) { end = visit(below, inside); });
    if (attention_) return End::running;
    (end == End::done ? tally.done : end == End::failed ? tally.failed : tally.running)++;
  }
  const bool stop = tally.failed > 0 && node.definition->on_fail == OnFail::cancel;
  if ((!stop && tally.running > 0) || calls_within(place)) return End::running;
  if (tally.failed == 0) return done(place, Map{{"count", static_cast<std::int64_t>(place.children.size())}});
  for (auto& item : place.children) cancel(item);
  return fail_with_branches(place);
}

End Walk::visit_attempt(const Node& node, Place& place) {
  const auto& written = *node.definition;
  if (place.status == Status::fresh) {
    place.status = Status::open;
    place.children.reserve(3);
    child(place, "0", Role::branch);
  }
  for (;;) {
    auto& last = place.children.back();
    auto end = End::running;
    go_into(node, place, place.children.size() - 1,
            [&](const Node& below, Place& inside) { end = visit(below, inside); });
    if (end == End::running) return end;
    const bool is_finally = last.role == Role::closing;
    if (end == End::failed && place.children.size() == 1) {
      place.value = error_in(last);
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
      child(place, std::to_string(written.branches.size() + 1), Role::closing);
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

bool Walk::close(const Node& node, Place& place) {
  if (ended(place.status)) return false;
  bool more = false;
  for (std::size_t i = 0; i < place.children.size(); ++i) {
    go_into(node, place, i, [&](const Node& below, Place& inside) {
      const bool goes_on =
          inside.role == Role::closing ? visit(below, inside) == End::running : close(below, inside);
      more = more || goes_on;
    });
    if (attention_) return true;
  }
  if (more) return true;
  const bool owes = node.kind == StepKind::attempt && !node.definition->last.empty() &&
                    !place.children.empty() && place.children.back().role != Role::closing;
  if (owes) {
    child(place, std::to_string(node.definition->branches.size() + 1), Role::closing);
    return close(node, place);
  }
  place.status = Status::cancelled;
  return false;
}

End Walk::visit_call(const Node& node, Place& place) {
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
  go_into(node, place, 0, [&](const Node& below, Place& inside) { end = visit(below, inside); });
  if (end == End::running) return end;
  if (end == End::done) {
    const auto* result = result_in(node.children[0], callee);
    return done(place, result == nullptr ? Value() : *result);
  }
  place.status = Status::failed;
  place.value = error_in(callee);
  return end;
}

}  // namespace onceward::pipeline_detail
