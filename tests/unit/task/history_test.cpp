// Random histories of events and reversals, in random orders, against a model that keeps lists.
#include "support.hpp"

#include "support/catch.hpp"
#include "task/progress.hpp"

#include <random>
#include <set>

using namespace task_test;
using namespace onceward::task_detail;

namespace {

/// What was contributed and not taken back, as a list: progress is its sum.
struct Kept {
  std::int64_t amount;
  std::int64_t taken = 0;
  bool gone = false;
};

/// The longest run of consecutive numbers, where so many missing ones are forgiven: begun everywhere.
std::int64_t longest(const std::set<std::int64_t>& days, int freezes) {
  std::int64_t best = 0;
  for (auto first = days.begin(); first != days.end(); ++first) {
    std::int64_t length = 0;
    for (auto day = first; day != days.end() && *day - *first - length <= freezes; ++day) ++length;
    best = std::max(best, length);
  }
  return best;
}

}  // namespace

TEST_CASE("progress is the sum of what is contributed and not taken back: 100,000 histories") {
  const Zone zone = Zone::find("UTC").value();
  for (unsigned seed = 1; seed <= 100'000; ++seed) {
    std::mt19937 random(seed);
    TaskDefinition definition{"t"};
    definition.rules.push_back({"paid"});
    const auto kind = random() % 4;
    if (kind == 2) definition.rules[0].freeze = static_cast<int>(random() % 3);
    definition.stages.push_back({3, "p"});
    if (kind == 3) {
      definition.match = Match::all;
      definition.rules.push_back({"came"});
      definition.rules[0].needs = 5;
    }
    CompiledTask task{&definition, Calendar({}, zone)};
    task.measure = std::array{Measure::sum, Measure::distinct, Measure::streak, Measure::match}[kind];
    Instance instance{"1"};
    std::vector<std::pair<Contributed, Kept>> history;
    for (unsigned step = 0; step < 12; ++step) {
      if (history.empty() || random() % 3 != 0) {
        const auto value = static_cast<std::int64_t>(random() % 9) - (kind == 0 ? 4 : 0);
        Contributed contributed{
            value, {}, {kind == 3 ? static_cast<std::int64_t>(random() % 2) + 1 : 0, true, false}};
        if (kind == 1 || kind == 2) contributed = {0, Value(value), {}};
        REQUIRE(add(instance, task, contributed).value());
        history.emplace_back(contributed, Kept{value});
      } else {
        auto& [contributed, kept] = history[random() % history.size()];
        if (kept.gone) continue;
        const bool counted = !contributed.counted.is_null();
        const auto before = left_of(kept.amount, kept.taken);
        if (!counted && random() % 2 == 0) {
          kept.taken += static_cast<std::int64_t>(random() % 5) + 1;
        } else {
          kept.gone = true;
        }
        auto part = contributed;
        part.add = before - (kept.gone ? 0 : left_of(kept.amount, kept.taken));
        subtract(instance, task, part).value();
      }
    }
    std::int64_t expected = 0;
    std::int64_t sums[2] = {0, 0};
    std::set<std::int64_t> values;
    for (const auto& [contributed, kept] : history) {
      const auto left = kept.gone ? 0 : left_of(kept.amount, kept.taken);
      expected += left;
      if (contributed.taking.rule != 0) sums[contributed.taking.rule - 1] += left;
      if (!kept.gone) values.insert(kept.amount);
    }
    if (kind == 1) expected = static_cast<std::int64_t>(values.size());
    if (kind == 2) expected = longest(values, definition.rules[0].freeze);
    if (kind == 3) expected = (sums[0] >= 5 ? 1 : 0) + (sums[1] >= 1 ? 1 : 0);
    if (instance.progress != expected) {
      INFO("seed " << seed << ", kind " << kind);
      REQUIRE(instance.progress == expected);
    }
  }
}

TEST_CASE("events and reversals in any order and any batches: progress is the model's [task-53] [task-62]") {
  // Tasks end meanwhile: given up, by their time, by a refused reward. What is taken back after that counts,
  // what comes after it does not, but where the reward was refused.
  const std::string tasks =
      "<task id='sum' collect='manual'><on event='paid' add='event.n'/>" + stage(20, 1) + stage(40, 2) +
      "</task><task id='count'><on event='paid'/>" + stage(5, 3) + "</task>" +
      "<task id='kinds'><on event='paid' distinct='event.n'/>" + stage(4, 4) + "</task>" +
      "<task id='timed' within='1h'><on event='paid' add='event.n'/>" + stage(1000, 5) + "</task>";
  for (unsigned seed = 1; seed <= 1500; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Shop shop(tasks);
    shop.clock.set(at("2024-03-10T12:00:00Z"));
    shop.granted->reject = seed % 3 == 0;
    std::vector<Event> all;
    std::map<std::string, Kept> model;
    for (unsigned i = 0; i < 12; ++i) {
      const auto n = static_cast<std::int64_t>(random() % 12) + 1;
      const auto order = shop.event({{"n", n}});
      all.push_back(order);
      model[order.id] = {n};
      for (unsigned k = 0; k < random() % 3; ++k) {
        auto back = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
        back.reverses = order.id;
        if (random() % 2 == 0) back.amount = static_cast<std::int64_t>(random() % 6) + 1;
        all.push_back(back);
        auto& kept = model[order.id];
        kept.gone = kept.gone || !back.amount;
        kept.taken += back.amount.value_or(0);
      }
    }
    for (unsigned twice = 0; twice < 10; ++twice) all.push_back(all[random() % all.size()]);
    std::shuffle(all.begin(), all.end(), random);
    const auto end = seed % 2 == 0 ? random() % all.size() : all.size();
    bool given_up = false;
    bool expired = false;
    std::set<std::string> before_end;  ///< the events that came in time
    for (std::size_t first = 0; first < all.size();) {
      const auto some = std::min<std::size_t>(1 + random() % 7, all.size() - first);
      for (const auto& answer : shop.center->report_many(std::span(all).subspan(first, some)))
        REQUIRE(answer.has_value());
      const bool ends = first <= end && end < first + some;
      for (std::size_t i = first; i < first + some && first <= end; ++i) before_end.insert(all[i].id);
      first += some;
      if (!ends) continue;
      given_up = shop.center->abandon(shop.request("sum")).value().outcome == Reply::Outcome::done;
      shop.clock.advance(std::chrono::hours(2));
      while (shop.center->work().value().taken > 0) continue;
      expired = shop.view("timed", "-").status == Status::expired;
    }
    std::int64_t sum = 0;
    std::int64_t timed = 0;
    std::int64_t count = 0;
    std::set<std::int64_t> kinds;
    for (const auto& [id, kept] : model) {
      if (kept.gone) continue;
      const auto left = left_of(kept.amount, kept.taken);
      if (!given_up || before_end.contains(id)) sum += left;
      if (!expired || before_end.contains(id)) timed += left;
      ++count;
      kinds.insert(kept.amount);
    }
    CHECK(shop.progress("sum", "-") == sum);
    CHECK(shop.progress("timed", "-") == timed);
    CHECK(shop.progress("count", "-") == count);
    CHECK(shop.progress("kinds", "-") == static_cast<std::int64_t>(kinds.size()));
    const auto view = shop.view("sum", "-");
    CHECK(view.status == (given_up                                     ? Status::terminated
                          : sum >= 40                                  ? Status::completed
                          : view.progress == 0 && view.version.empty() ? Status::not_taken
                                                                       : Status::in_progress));
    if (!given_up) CHECK(view.reached == (sum >= 40 ? 2 : sum >= 20 ? 1 : 0));
    if (given_up) CHECK(view.reached <= (sum >= 40 ? 2 : sum >= 20 ? 1 : 0));
    const auto rewarded = shop.view("count", "-");
    if (rewarded.reached == 1 && seed % 3 == 0) CHECK(rewarded.status == Status::failed);
    for (const auto& answer : shop.center->report_many(all)) CHECK(answer.value().duplicate);
    CHECK(shop.view("sum", "-") == view);
    CHECK(shop.view("count", "-") == rewarded);
  }
}
