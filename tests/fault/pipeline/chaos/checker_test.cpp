// The checker and the books, on histories made by hand.
#include "checker.hpp"
#include "scenario.hpp"

#include "support/catch.hpp"

#include <algorithm>
#include <set>

using namespace chaos;
using onceward::Map;
using onceward::RunState;

namespace {

constexpr int succeeding = 1;  // plain, no item of the foreach but one, nothing caught
constexpr int failing = 23;    // all is done, then undone

Request request(int number, const Expected& step, std::int64_t reference) {
  return {.token = "do/" + name_of(number).key + "/" + step.path,
          .run = name_of(number).key,
          .path = step.path,
          .amount = step.amount,
          .reference = reference};
}
Request undo_of(const Request& done, std::int64_t receipt) {
  return {.undo = true,
          .token = "un" + done.token,
          .done_token = done.token,
          .run = done.run,
          .path = done.path,
          .reference = receipt};
}

/// A run without any fault: what the books and the record say of it.
struct History {
  Books books;
  Outcome outcome;

  explicit History(int number) {
    outcome = {number, onceward::RunView{}};
    auto& view = *outcome.view;
    std::map<std::string, std::int64_t> receipts;
    std::vector<Request> done;
    for (const auto& step : expected_of(number)) {
      done.push_back(request(number, step, step.reference.empty() ? 0 : receipts.at(step.reference)));
      receipts[step.path] = books.take(done.back()).receipt;
    }
    const bool back = mode_of(number) == Mode::fails;
    view.state = back ? RunState::failed : RunState::succeeded;
    for (auto last = done.rbegin(); last != done.rend(); ++last) {
      if (back) {
        books.take(undo_of(*last, receipts.at(last->path)));
        view.undone.push_back(last->path);
      } else {
        view.steps.push_back({last->path, false, Map{{"receipt", receipts.at(last->path)}}});
      }
    }
  }
  [[nodiscard]] std::set<std::string> rules(const std::vector<Effect>& effects) const {
    std::set<std::string> rules;
    for (const auto& violation : check({outcome}, effects)) rules.insert(violation.rule);
    return rules;
  }
  [[nodiscard]] std::set<std::string> rules() const { return rules(books.effects()); }
};

using Rules = std::set<std::string>;

}  // namespace

TEST_CASE("the checker has nothing to say of runs without a fault") {
  CHECK(mode_of(succeeding) == Mode::succeeds);
  CHECK(mode_of(failing) == Mode::fails);
  CHECK(History(succeeding).rules().empty());
  CHECK(History(failing).rules().empty());
}

TEST_CASE("the checker finds an effect that took place twice, and one that is missing") {
  const History history(succeeding);
  auto effects = history.books.effects();
  auto again = effects.front();
  again.token = "another";
  effects.push_back(again);
  CHECK(history.rules(effects).contains("once"));
  effects = history.books.effects();
  effects.erase(effects.begin());
  CHECK(history.rules(effects).contains("missing"));
  CHECK(history.rules(effects).contains("record"));
}

TEST_CASE(
    "the checker finds an effect of another amount, in another order, or of a step that was not to run") {
  const History history(succeeding);
  auto effects = history.books.effects();
  ++effects.front().amount;
  CHECK(history.rules(effects) == Rules{"amount"});
  effects = history.books.effects();
  std::swap(effects.front().receipt, effects.back().receipt);
  CHECK(history.rules(effects).contains("order"));
  effects = history.books.effects();
  effects.front().path = "gold";
  CHECK(history.rules(effects).contains("unexpected"));
}

TEST_CASE("the checker finds a race that too few of its branches won") {
  const History history(succeeding);
  for (const auto& [race, branches] : std::map<std::string, std::size_t>{{"any", 3}, {"quorum", 3}}) {
    auto effects = history.books.effects();
    auto view = *history.outcome.view;
    const auto of_race = [&](const std::string& path) {
      const auto all = expected_of(succeeding);
      return std::any_of(all.begin(), all.end(),
                         [&](const Expected& e) { return e.path == path && e.race == race; });
    };
    for (std::size_t left = branches; left + 1 > winners_of(race); --left) {
      CHECK(check({{succeeding, view}}, effects).empty());
      const auto gone = std::find_if(effects.begin(), effects.end(),
                                     [&](const Effect& effect) { return of_race(effect.path); });
      std::erase_if(view.steps, [&](const auto& step) { return step.id == gone->path; });
      effects.erase(gone);
    }
    const auto violations = check({{succeeding, view}}, effects);
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].rule == "missing");
  }
}

TEST_CASE("the checker finds an undo that is missing, twice, too early, or of a run that succeeded") {
  const History history(failing);
  auto effects = history.books.effects();
  effects.pop_back();
  CHECK(history.rules(effects) == Rules{"record", "undo"});
  effects = history.books.effects();
  effects.push_back(effects.back());
  CHECK(history.rules(effects) == Rules{"once"});
  effects = history.books.effects();
  std::swap(effects.back().receipt, effects[effects.size() / 2].receipt);
  CHECK(history.rules(effects).contains("order"));

  History succeeded(succeeding);
  effects = succeeded.books.effects();
  effects.push_back(effects.back());
  effects.back().undo = true;
  CHECK(succeeded.rules(effects) == Rules{"undo"});
}

TEST_CASE("the checker finds a run that goes on, ended otherwise, or has another result in its record") {
  History history(succeeding);
  history.outcome.view->steps.back().result = Map{{"receipt", 77}};
  CHECK(history.rules() == Rules{"record"});
  history.outcome.view->state = RunState::needs_attention;
  CHECK(history.rules().contains("outcome"));
  history.outcome.view->state = RunState::running;
  CHECK(history.rules() == Rules{"ended"});
  history.outcome.view.reset();
  CHECK(history.rules() == Rules{"ended"});
}

TEST_CASE("the checker finds runs of one group that overlap") {
  constexpr int one = 19;
  constexpr int other = 19 + 20 * 8;
  REQUIRE(group_of(one) == group_of(other));
  Books books;
  std::vector<Outcome> outcomes;
  std::vector<Request> requests;
  for (const int number : {one, other}) {
    outcomes.push_back({number, onceward::RunView{}});
    outcomes.back().view->state = RunState::succeeded;
    for (const auto& step : expected_of(number)) requests.push_back(request(number, step, 0));
  }
  for (const std::size_t at : {0U, 2U, 1U, 3U}) books.take(requests[at]);
  const auto violations = check(outcomes, books.effects());
  CHECK(std::any_of(violations.begin(), violations.end(),
                    [](const Violation& v) { return v.rule == "serial"; }));
}

TEST_CASE("the books have one effect for a token, and none for one whose undo came first") {
  Books books;
  const Request first{.token = "t1", .run = "r1", .path = "a", .amount = 5};
  CHECK(books.take(first).receipt == 1);
  CHECK(books.take(first).receipt == 1);
  CHECK(books.effects().size() == 1);
  auto changed = first;
  changed.amount = 6;
  CHECK(books.take(changed).kind == Answer::Kind::wrong);
  CHECK(books.complaints().size() == 1);
  const Request late{.token = "t2", .run = "r1", .path = "b", .amount = 5};
  CHECK(books.take(undo_of(late, 0)).kind == Answer::Kind::ok);
  CHECK(books.take(late).kind == Answer::Kind::rejected);
  CHECK(books.effects().back().nothing);
  CHECK(books.take(undo_of(first, 2)).kind == Answer::Kind::wrong);
}

TEST_CASE("a request crosses the socket as it is") {
  const Request request{true, "token", "done", "r1", "each[k%2F1]/pay", -7, 12, true};
  auto line = request.line();
  line.pop_back();
  const auto read = Request::parse(line);
  CHECK(read.line() == request.line());
  CHECK_THROWS_AS(Request::parse("do\tx"), std::invalid_argument);
  CHECK_THROWS_AS(Request::parse("do\tt\t\tr\tp\tfive\t0\t0"), std::invalid_argument);
}
