#include "support.hpp"

#include "support/catch.hpp"

#include <atomic>
#include <thread>

using namespace task_test;

namespace {

const std::string task = "<task id='first' period='month'><on event='paid'/>" + stage(1, 10) +
                         "<quota limit='3' per='month'/></task>";

}  // namespace

TEST_CASE("units go to the first in the order of the events; later ones are out of stock") {
  Shop shop(task);
  std::vector<Event> events;
  for (const auto* user : {"eve", "bob", "ann", "dan", "cid"})
    events.push_back(shop.event({}, "2024-03-10T12:00:00Z", user));
  const auto receipts = shop.center->report_many(events);
  for (std::size_t i = 0; i < receipts.size(); ++i) CHECK(receipts[i]->grants.at(0).out_of_stock == (i >= 3));
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/first/M:2024-03/1=10",
                                                         "bob/first/M:2024-03/1=10",
                                                         "eve/first/M:2024-03/1=10"});
  CHECK(shop.report(events[4]).grants.at(0).out_of_stock);
  CHECK_FALSE(shop.report(events[0]).grants.at(0).out_of_stock);
  CHECK_FALSE(shop.report(shop.event({}, "2024-04-01T00:00:00Z", "cid")).grants.at(0).out_of_stock);
}

TEST_CASE("an event whose reward cannot be made is refused under a quota too, and stands in nobody's way") {
  Shop shop(
      "<task id='first'><on event='paid'/><stage target='1' pipeline='grant'>"
      "<arg name='points' value='event.n'/></stage><quota limit='2'/></task>");
  const std::vector<Event> events = {shop.event({{"n", "ten"}}),
                                     shop.event({{"n", 10}}, "2024-03-10T12:00:00Z", "bob")};
  const auto answers = shop.center->report_many(events);
  CHECK_FALSE(answers[0].has_value());
  CHECK(shop.progress("first", "-") == 0);
  REQUIRE(answers[1].has_value());
  CHECK(answers[1]->grants.at(0).state == RunState::succeeded);
  CHECK(shop.center->work().has_value());
  CHECK(shop.granted->list() == std::vector<std::string>{"bob/first/-/1=10"});
}

TEST_CASE("one unit and 1,000 users from 8 threads: one is rewarded [task-37]") {
  Shop shop("<task id='only'><on event='paid'/>" + stage(1, 10) + "<quota limit='1'/></task>");
  std::atomic<int> out_of_stock = 0;
  std::vector<std::jthread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      std::vector<Event> events;
      for (int i = 0; i < 125; ++i) {
        const auto name = std::to_string(t * 125 + i);
        events.push_back({"shop", "e" + name, "u" + name, "paid", at("2024-03-10T12:00:00Z"), {}});
      }
      for (const auto& receipt : shop.center->report_many(events)) {
        if (receipt && receipt->grants.at(0).out_of_stock) ++out_of_stock;
      }
    });
  }
  callers.clear();
  CHECK(out_of_stock == 999);
  CHECK(shop.granted->list().size() == 1);
}

TEST_CASE(
    "a crash between any two writes loses no unit and takes none twice, by the event again or by work()") {
  using testing::FaultyStorage;
  for (const bool by_event : {true, false}) {
    for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
      for (std::size_t skip = 0; skip < 4; ++skip) {
        Shop shop(task);
        // A process that dies at one of its commits: from there on nothing of it reaches the storage.
        const auto dead = ErrorCode::corrupt;
        shop.storage.fail_calls(FaultyStorage::Call::commit, fault, dead, 1, skip);
        shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, dead, 1000, 0);
        const auto event = shop.event();
        (void)shop.center->report(event);
        shop.storage.heal();
        shop.restart();
        shop.center->publish(shop.campaign(task)).value();
        if (by_event || skip == 0) shop.report(event);
        shop.clock.advance(std::chrono::seconds(60));
        while (shop.center->work()->taken > 0) continue;
        CHECK(shop.granted->list() == std::vector<std::string>{"ann/first/M:2024-03/1=10"});
        const auto receipt = shop.report(event);
        CHECK(receipt.duplicate);
        CHECK_FALSE(receipt.grants.at(0).out_of_stock);
        CHECK(receipt.grants.at(0).state == RunState::succeeded);
        const auto units = shop.memory->scan("shop/quota/first", "unit/", "", 10).value();
        CHECK(units.records.size() == 1);
        CHECK(read_one(*shop.memory, "shop/quota/first", "count/M:2024-03").value()->value == "1");
      }
    }
  }
}
