#include "checker.hpp"

#include "scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace chaos {

using onceward::RunState;

namespace {

/// What one run did to the books.
struct Page {
  std::map<std::string, std::vector<const Effect*>> done;
  std::map<std::string, std::vector<const Effect*>> undone;
};

class Check {
 public:
  Check(const Outcome& outcome, const Page& page, std::vector<Violation>& violations)
      : run_(name_of(outcome.number).key),
        number_(outcome.number),
        view_(*outcome.view),
        page_(page),
        expected_(expected_of(outcome.number)),
        violations_(violations) {}

  void all() {
    if (!may_end_as(number_, view_.state))
      add("outcome", fmt::format("is {}: {}", to_string(view_.state), view_.reason));
    for (const auto& [path, effects] : page_.done) once(path, effects, "took effect");
    for (const auto& [path, effects] : page_.undone) once(path, effects, "was undone");
    effects();
    undos();
    order();
    record();
  }

 private:
  void add(std::string rule, std::string what) {
    violations_.push_back({std::move(rule), run_, std::move(what)});
  }
  void once(const std::string& path, const std::vector<const Effect*>& effects, std::string_view what) {
    if (effects.size() > 1) add("once", fmt::format("{} {} {} times", path, what, effects.size()));
  }
  [[nodiscard]] const Effect* done(const std::string& path) const {
    const auto found = page_.done.find(path);
    return found == page_.done.end() ? nullptr : found->second.front();
  }
  [[nodiscard]] const Expected* expected(const std::string& path) const {
    const auto found =
        std::find_if(expected_.begin(), expected_.end(), [&](const Expected& e) { return e.path == path; });
    return found == expected_.end() ? nullptr : &*found;
  }

  void effects() {
    // A run that was cancelled may have stopped anywhere.
    const bool whole = view_.state != RunState::cancelled;
    for (const auto& wanted : expected_) {
      const auto* effect = done(wanted.path);
      if (effect == nullptr) {
        if (wanted.surely && whole) add("missing", wanted.path + " took no effect");
        continue;
      }
      if (effect->amount != wanted.amount)
        add("amount", fmt::format("{} is of {}, not of {}", wanted.path, effect->amount, wanted.amount));
      const auto* source = wanted.reference.empty() ? nullptr : done(wanted.reference);
      const std::int64_t reference = source == nullptr ? 0 : source->receipt;
      if (effect->reference != reference)
        add("amount", fmt::format("{} names receipt {}, not {}", wanted.path, effect->reference, reference));
    }
    for (const auto& [path, _] : page_.done) {
      if (expected(path) == nullptr) add("unexpected", path + " took effect");
    }
    if (whole) races();
  }

  void races() {
    std::map<std::string, std::size_t> won;
    for (const auto& one : expected_) {
      if (!one.race.empty()) won[one.race] += done(one.path) != nullptr ? 1U : 0U;
    }
    for (const auto& [race, count] : won) {
      if (count < winners_of(race))
        add("missing", fmt::format("{} branches of {} took effect, not {}", count, race, winners_of(race)));
    }
  }

  /// Undone is what took effect in a run that went backward; nothing else, and in the run's record too.
  void undos() {
    const bool back = view_.state != RunState::succeeded && recovers_backward(number_);
    std::set<std::string> in_books;
    for (const auto& [path, effects] : page_.undone) {
      in_books.insert(path);
      if (!back) add("undo", path + " was undone in a run that takes nothing back");
      const bool took_place = done(path) != nullptr;
      if (effects.front()->nothing == took_place)
        add("undo", path + (took_place ? " took effect after its undo" : " was undone without an effect"));
    }
    for (const auto& [path, _] : page_.done) {
      if (back && !in_books.contains(path)) add("undo", path + " was not undone");
    }
    const std::set<std::string> in_record(view_.undone.begin(), view_.undone.end());
    if (in_record != in_books)
      add("undo",
          fmt::format("the record says {} are undone, the books {}", in_record.size(), in_books.size()));
  }

  /// Stages follow each other, and are undone the other way round.
  void order() {
    for (const auto& [path, effects] : page_.done) {
      const auto* here = expected(path);
      for (const auto& [other, others] : page_.done) {
        const auto* there = expected(other);
        if (here == nullptr || there == nullptr || here->stage >= there->stage) continue;
        if (!here->race.empty() || !there->race.empty()) continue;
        if (effects.front()->receipt > others.front()->receipt)
          add("order", fmt::format("{} took effect before {}", other, path));
        const auto a = page_.undone.find(path);
        const auto b = page_.undone.find(other);
        if (a != page_.undone.end() && b != page_.undone.end() &&
            a->second.front()->receipt < b->second.front()->receipt)
          add("order", fmt::format("{} was undone before {}", path, other));
      }
    }
  }

  /// What the record keeps of a step is the downstream's first answer.
  void record() {
    std::set<std::string> kept;
    for (const auto& step : view_.steps) {
      const auto* receipt = step.result.find("receipt");
      if (step.skipped || receipt == nullptr || receipt->integer() == nullptr) continue;
      kept.insert(step.id);
      const auto* effect = done(step.id);
      if (effect == nullptr)
        add("record", step.id + " is done in the record, not in the books");
      else if (effect->receipt != *receipt->integer())
        add("record", fmt::format("{} has receipt {}, the books have {}", step.id, *receipt->integer(),
                                  effect->receipt));
    }
    for (const auto& [path, _] : page_.done) {
      const auto* wanted = expected(path);
      if (wanted != nullptr && !wanted->race.empty()) continue;
      if (!kept.contains(path) && !page_.undone.contains(path))
        add("record", path + " is not done in the record");
    }
  }

  std::string run_;
  int number_;
  const onceward::RunView& view_;
  const Page& page_;
  std::vector<Expected> expected_;
  std::vector<Violation>& violations_;
};

/// Of runs of one group, one has had all its effects before the next has its first.
void check_groups(const std::vector<Outcome>& outcomes, std::map<std::string, Page>& pages,
                  std::vector<Violation>& violations) {
  struct Span {
    std::int64_t first, last;
    std::string run;
  };
  std::map<std::string, std::vector<Span>> groups;
  for (const auto& outcome : outcomes) {
    const auto group = group_of(outcome.number);
    const auto run = name_of(outcome.number).key;
    if (group.empty() || pages[run].done.empty()) continue;
    Span span{INT64_MAX, 0, run};
    for (const auto& [path, effects] : pages[run].done) {
      span.first = std::min(span.first, effects.front()->receipt);
      span.last = std::max(span.last, effects.front()->receipt);
    }
    groups[group].push_back(span);
  }
  for (auto& [group, spans] : groups) {
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.first < b.first; });
    for (std::size_t i = 1; i < spans.size(); ++i) {
      if (spans[i].first < spans[i - 1].last)
        violations.push_back({"serial", spans[i].run, "began before " + spans[i - 1].run + " had ended"});
    }
  }
}

}  // namespace

std::vector<Violation> check(const std::vector<Outcome>& outcomes, const std::vector<Effect>& effects) {
  std::map<std::string, Page> pages;
  for (const auto& effect : effects) {
    auto& page = pages[effect.run];
    (effect.undo ? page.undone : page.done)[effect.path].push_back(&effect);
  }
  std::vector<Violation> violations;
  std::set<std::string> known;
  for (const auto& outcome : outcomes) {
    const auto run = name_of(outcome.number).key;
    known.insert(run);
    if (!outcome.view) {
      violations.push_back({"ended", run, "has no record"});
    } else if (outcome.view->state == RunState::running) {
      violations.push_back({"ended", run, "goes on: " + outcome.view->reason});
    } else {
      Check(outcome, pages[run], violations).all();
    }
  }
  check_groups(outcomes, pages, violations);
  for (const auto& [run, page] : pages) {
    if (!known.contains(run)) violations.push_back({"unexpected", run, "is not a run of this test"});
  }
  return violations;
}

}  // namespace chaos
