// Random campaigns of events, crashes and repetitions against a model of a few lines.
#include "support.hpp"

#include "support/catch.hpp"

#include <map>
#include <random>
#include <set>

using namespace task_test;

namespace {

struct Model {
  std::map<std::string, std::int64_t> sums;              ///< user/month -> net spend
  std::map<std::string, std::set<std::int64_t>> values;  ///< user -> distinct values
  std::set<std::string> grants;

  void apply(const Event& event) {
    const auto n = *event.attributes.find("n")->integer();
    const auto month = cycle_of(Period::month, Zone::find("Europe/London").value(), event.at);
    auto& sum = sums[event.user + "/" + month];
    sum += event.type == "paid" ? n : -n;
    if (sum >= 50) grants.insert(event.user + "/spend/" + month + "/1=5");
    if (sum >= 90) grants.insert(event.user + "/spend/" + month + "/2=9");
    if (event.type == "paid") values[event.user].insert(n % 7);
    if (values[event.user].size() >= 4) grants.insert(event.user + "/kinds/-/1=4");
  }
};

const std::string tasks =
    "<task id='spend' period='month'><on event='paid' add='event.n'/><on event='refunded' add='-event.n'/>" +
    stage(50, 5) + stage(90, 9) + "</task><task id='kinds'><on event='paid' distinct='event.n % 7'/>" +
    stage(4, 4) + "</task>";

}  // namespace

TEST_CASE("whatever is repeated, lost or killed, the grants are the model's") {
  using testing::FaultyStorage;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    Shop shop(tasks, "Europe/London");
    Model model;
    std::vector<Event> history;
    for (int round = 0; round < 60; ++round) {
      std::vector<Event> events;
      for (unsigned i = 0; i < 1 + random() % 12; ++i) {
        if (!history.empty() && random() % 4 == 0) {
          events.push_back(history[random() % history.size()]);  // again, whatever became of it
          continue;
        }
        auto event = shop.event({{"n", static_cast<int>(random() % 40)}}, "2024-03-25T00:00:00Z",
                                "u" + std::to_string(random() % 5), random() % 5 == 0 ? "refunded" : "paid");
        event.at += std::chrono::hours(random() % 400);
        events.push_back(event);
        history.push_back(event);
        model.apply(event);
      }
      if (random() % 3 == 0) {
        const auto fault = random() % 2 == 0 ? FaultyStorage::Fault::before : FaultyStorage::Fault::after;
        shop.storage.fail_calls(random() % 3 == 0 ? FaultyStorage::Call::read : FaultyStorage::Call::commit,
                                fault, ErrorCode::corrupt, 1 + random() % 3, random() % 3);
      }
      auto answers = shop.center->report_many(events);
      shop.storage.heal();
      if (random() % 4 == 0) {
        shop.restart();
        shop.center->publish(shop.campaign(tasks, "Europe/London")).value();
      }
      // In the order of the call: what failed is sent again before anything newer.
      bool failed = std::any_of(answers.begin(), answers.end(), [](const auto& answer) { return !answer; });
      if (failed) answers = shop.center->report_many(events);
      for (const auto& answer : answers) REQUIRE(answer.has_value());
      shop.clock.advance(std::chrono::seconds(random() % 40));
    }
    shop.clock.advance(std::chrono::hours(1));
    while (shop.center->work()->taken > 0) continue;
    const auto granted = shop.granted->list();
    CHECK(granted == std::vector<std::string>(model.grants.begin(), model.grants.end()));
    for (const auto& [where, sum] : model.sums) {
      const auto slash = where.find('/');
      CHECK(shop.progress("spend", where.substr(slash + 1), where.substr(0, slash)) == sum);
    }
  }
}
