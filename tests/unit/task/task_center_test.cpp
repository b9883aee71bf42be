#include "support.hpp"

#include "support/catch.hpp"

#include <atomic>
#include <limits>
#include <thread>

using namespace task_test;
using Lines = std::vector<std::string>;

TEST_CASE("a target is reached exactly at its event, and rewarded in the receipt [task-6] [task-13]") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(3, 10) + "</task>");
  CHECK(shop.report(shop.event()).grants.empty());
  CHECK(shop.report(shop.event()).grants.empty());
  const auto third = shop.report(shop.event());
  REQUIRE(third.grants.size() == 1);
  CHECK(third.grants[0].state == RunState::succeeded);
  CHECK(shop.report(shop.event()).grants.empty());
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("one event may reach several stages, in one receipt [task-7]") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(1, 1) + stage(3, 3) + stage(5, 5) +
            "</task>");
  CHECK(shop.report(shop.event({{"n", 5}})).grants.size() == 3);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=1", "ann/buy/-/2=3", "ann/buy/-/3=5"});
}

TEST_CASE("distinct counts values, not events, and tells 1 from '1' [task-9]") {
  Shop shop("<task id='sku'><on event='paid' distinct='event.sku'/>" + stage(3, 1) + "</task>");
  shop.report(shop.event({{"sku", "1"}}));
  shop.report(shop.event({{"sku", "1"}}));
  CHECK(shop.progress("sku", "-") == 1);
  shop.report(shop.event({{"sku", 1}}));
  CHECK(shop.progress("sku", "-") == 2);
  CHECK(shop.report(shop.event({{"sku", std::string(5000, 'x')}})).grants.size() == 1);
}

TEST_CASE("a streak counts consecutive days in whatever order they arrive [task-33]") {
  Shop shop("<task id='habit'><on event='paid' streak='day'/>" + stage(3, 1) + "</task>");
  shop.report(shop.event({}, "2024-03-12T10:00:00Z"));
  shop.report(shop.event({}, "2024-03-10T10:00:00Z"));
  shop.report(shop.event({}, "2024-03-10T11:00:00Z"));
  CHECK(shop.progress("habit", "-") == 1);
  CHECK(shop.report(shop.event({}, "2024-03-11T10:00:00Z")).grants.size() == 1);
  shop.report(shop.event({}, "2024-03-14T10:00:00Z"));
  CHECK(shop.progress("habit", "-") == 3);
}

TEST_CASE("several rules add up, and refunds take away") {
  Shop shop(
      "<task id='spend'><on event='paid' add='event.pence' when='event.pence &gt;= 10'/>"
      "<on event='refunded' add='-event.pence'/>" +
      stage(100, 1) + "</task>");
  shop.report(shop.event({{"pence", 60}}));
  shop.report(shop.event({{"pence", 9}}));
  shop.report(shop.event({{"pence", 30}}, "2024-03-10T12:00:00Z", "ann", "refunded"));
  CHECK(shop.progress("spend", "-") == 30);
  CHECK(shop.report(shop.event({{"pence", 70}})).grants.size() == 1);
  shop.report(shop.event({{"pence", 100}}, "2024-03-10T12:00:00Z", "ann", "refunded"));
  CHECK(shop.report(shop.event({{"pence", 100}})).grants.empty());  // once reached it stays reached
}

TEST_CASE("the window is closed at its end and open at its start, by event time [task-29]") {
  Shop shop(
      "<task id='w' period='day' starts='2024-03-10T00:00:00Z' ends='2024-03-11T00:00:00Z'><on event='paid'/>" +
      stage(9, 1) + "</task>");
  shop.clock.set(at("2024-06-01T00:00:00Z"));  // whenever it is reported
  shop.report(shop.event({}, "2024-03-09T23:59:59.999999Z"));
  shop.report(shop.event({}, "2024-03-10T00:00:00Z"));
  shop.report(shop.event({}, "2024-03-10T23:59:59.999999Z"));
  shop.report(shop.event({}, "2024-03-11T00:00:00Z"));
  CHECK(shop.progress("w", "D:2024-03-10") == 2);
  CHECK(shop.progress("w", "D:2024-03-09") == 0);
  CHECK(shop.progress("w", "D:2024-03-11") == 0);
}

TEST_CASE("the same event again gives the same receipt and changes nothing [task-53]") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(2, 10) + "</task>");
  const auto event = shop.event({{"n", 2}});
  const auto first = shop.report(event);
  for (int i = 0; i < 3; ++i) {
    shop.restart();
    shop.center
        ->publish(shop.campaign("<task id='buy'><on event='paid' add='event.n'/>" + stage(2, 10) + "</task>"))
        .value();
    const auto again = shop.report(event);
    CHECK(again.duplicate);
    CHECK(again.contributions == first.contributions);
    CHECK(again.grants == first.grants);
  }
  CHECK(shop.progress("buy", "-") == 2);
  CHECK(shop.granted->calls() == 1);
}

TEST_CASE("the same id with another body is a conflict and applies nothing [task-56]") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(9, 10) + "</task>");
  auto event = shop.event({{"n", 1}});
  shop.report(event);
  for (auto change : {0, 1, 2}) {
    auto other = event;
    if (change == 0) other.attributes.set("n", 2);
    if (change == 1) other.type = "refunded";
    if (change == 2) other.at += std::chrono::microseconds(1);
    CHECK(shop.center->report(other).error().code == ErrorCode::conflict);
  }
  CHECK(shop.progress("buy", "-") == 1);
}

TEST_CASE("an event given twice in one call is applied once, in order with the others") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(2, 10) + "</task>");
  const auto a = shop.event();
  const auto b = shop.event();
  auto changed = a;
  changed.attributes.set("x", 1);
  const auto receipts = shop.center->report_many(std::vector<Event>{a, a, b, changed, b});
  CHECK_FALSE(receipts[0]->duplicate);
  CHECK(receipts[1]->duplicate);
  CHECK(receipts[2]->grants.size() == 1);
  CHECK(receipts[3].error().code == ErrorCode::conflict);
  CHECK(receipts[4]->duplicate);
  CHECK(receipts[4]->grants == receipts[2]->grants);
  CHECK(shop.progress("buy", "-") == 2);
}

TEST_CASE("two last events at once: one grant [task-35]") {
  for (int round = 0; round < 50; ++round) {
    Shop shop("<task id='buy'><on event='paid'/>" + stage(2, 10) + "</task>");
    shop.report(shop.event());
    std::atomic<int> grants = 0;
    std::vector<std::jthread> callers;
    for (int i = 0; i < 2; ++i) {
      callers.emplace_back([&, event = shop.event()] {
        grants += static_cast<int>(shop.center->report(event).value().grants.size());
      });
    }
    callers.clear();
    REQUIRE(grants == 1);
    REQUIRE(shop.progress("buy", "-") == 3);
    REQUIRE(shop.granted->list() == Lines{"ann/buy/-/1=10"});
  }
}

TEST_CASE("one event from 32 threads is applied once [task-36]") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(1, 10) + "</task>");
  const auto event = shop.event();
  std::atomic<int> applied = 0;
  std::atomic<int> known = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 32; ++i) {
    callers.emplace_back([&] {
      const auto receipt = shop.center->report(event);
      if (receipt) ++(receipt->duplicate ? known : applied);
    });
  }
  callers.clear();
  CHECK(applied == 1);
  CHECK(known == 31);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("10,000 events of one user from 8 threads: none lost, none twice [task-44]") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(10'000, 10) + "</task>");
  constexpr int threads = 8;
  constexpr int each = 1250;
  std::atomic<int> refused = 0;
  std::vector<std::jthread> callers;
  for (int t = 0; t < threads; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < each; i += 25) {
        std::vector<Event> events;
        for (int j = 0; j < 25; ++j) {
          events.push_back({"shop",
                            std::to_string(t * each + i + j),
                            "ann",
                            "paid",
                            at("2024-03-10T12:00:00Z"),
                            {{"n", 1}}});
        }
        // Where other callers were faster all the time the answer says so: send it again, as a service would.
        for (bool again = true; again;) {
          again = false;
          for (const auto& answer : shop.center->report_many(events)) {
            if (answer) continue;
            again = answer.error().code == ErrorCode::timeout;
            if (!again) ++refused;
          }
        }
      }
    });
  }
  callers.clear();
  CHECK(refused == 0);
  CHECK(shop.progress("buy", "-") == threads * each);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("a user's many events in one call keep their order across batches") {
  Shop shop("<task id='last'><on event='paid' add='event.n'/>" + stage(1000, 1) + "</task>");
  std::vector<Event> events;
  for (int i = 0; i < 1500; ++i) events.push_back(shop.event({{"n", i % 2 == 0 ? 1000 : -1000}}));
  int grants = 0;
  for (const auto& receipt : shop.center->report_many(events))
    grants += static_cast<int>(receipt->grants.size());
  CHECK(grants == 1);
  CHECK(shop.progress("last", "-") == 0);
}

TEST_CASE("an event that cannot be computed on applies nothing and can be mended") {
  Shop shop("<task id='a'><on event='paid'/>" + stage(9, 1) +
            "</task><task id='b'><on event='paid' add='event.n'/>" + stage(9, 1) + "</task>");
  auto event = shop.event();
  const auto refused = shop.center->report(event);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("task \"b\"") != std::string::npos);
  CHECK(shop.progress("a", "-") == 0);
  event.attributes.set("n", 3);
  CHECK(shop.report(event).contributions.size() == 2);
  auto overflow = shop.event({{"n", std::numeric_limits<std::int64_t>::max()}});
  CHECK(shop.center->report(overflow).error().code == ErrorCode::out_of_range);
  CHECK(shop.progress("b", "-") == 3);
}

TEST_CASE("what is wrong with an event is told, and the others of the call are applied") {
  Shop shop("<task id='a'><on event='paid'/>" + stage(9, 1) + "</task>");
  auto no_id = shop.event();
  no_id.id.clear();
  auto no_user = shop.event();
  no_user.user = std::string(129, 'u');
  auto no_time = shop.event();
  no_time.at = Timestamp::max();
  auto stranger = shop.event();
  stranger.merchant = "other";
  const auto answers =
      shop.center->report_many(std::vector<Event>{no_id, no_user, shop.event(), no_time, stranger});
  CHECK(answers[0].error().code == ErrorCode::invalid_argument);
  CHECK(answers[1].error().code == ErrorCode::invalid_argument);
  CHECK(answers[2].has_value());
  CHECK(answers[3].error().code == ErrorCode::invalid_argument);
  CHECK(answers[4].error().code == ErrorCode::not_found);
}

TEST_CASE("an event too large for a batch is refused alone, whether by its tasks or by its text") {
  std::string tasks = "<task id='small'><on event='few'/>" + stage(1, 1) + "</task><task id='text'>" +
                      "<on event='said' distinct='event.v'/>" + stage(1, 1) + "</task>";
  for (int i = 0; i < 600; ++i) {
    tasks += "<task id='t" + std::to_string(i) + "'><on event='paid'/>" + stage(1, 1) + "</task>";
  }
  Shop shop(tasks);
  const std::vector<Event> events = {
      shop.event(), shop.event({}, "2024-03-10T12:00:00Z", "bob", "few"),
      shop.event({{"v", std::string(limits::value_bytes, 'x')}}, "2024-03-10T12:00:00Z", "eve", "said"),
      shop.event({{"v", "x"}}, "2024-03-10T12:00:00Z", "eve", "said")};
  const auto answers = shop.center->report_many(events);
  for (const std::size_t large : {0U, 2U}) {
    REQUIRE_FALSE(answers[large].has_value());
    CHECK(answers[large].error().code == ErrorCode::limit_exceeded);
    CHECK(answers[large].error().message.find("\"" + events[large].id + "\"") != std::string::npos);
  }
  CHECK(answers[1].has_value());
  CHECK(answers[3].has_value());
  CHECK(shop.granted->list() == std::vector<std::string>{"bob/small/-/1=1", "eve/text/-/1=1"});
}

TEST_CASE("many users and tasks in one call need more records than one read or commit takes") {
  constexpr std::size_t users = 1024;
  std::string tasks;
  for (int i = 0; i < 17; ++i) {
    tasks += "<task id='t" + std::to_string(i) + "'><on event='paid'/>" + stage(1, 1) +
             "<quota limit='5000'/></task>";
  }
  Shop shop(tasks);
  std::vector<Event> events;
  for (std::size_t i = 0; i < users; ++i)
    events.push_back(shop.event({}, "2024-03-10T12:00:00Z", "u" + std::to_string(i)));
  for (const bool again : {false, true}) {
    std::size_t rewarded = 0;
    for (const auto& receipt : shop.center->report_many(events)) {
      REQUIRE(receipt.has_value());
      REQUIRE(receipt->duplicate == again);
      for (const auto& grant : receipt->grants) rewarded += grant.state == RunState::succeeded ? 1 : 0;
    }
    CHECK(rewarded == users * 17);
  }
  CHECK(shop.granted->list().size() == users * 17);
}

TEST_CASE("text that is no UTF-8 is refused before it makes a record that nobody can read") {
  Shop shop("<task id='d'><on event='paid' distinct='event.v'/>" + stage(2, 1) + "</task>" +
            "<task id='q'><on event='paid'/>" + stage(1, 5) + "<quota limit='9'/></task>");
  const std::string bad = "caf\xe9";
  const auto refused = [&](const Event& event) {
    const auto answer = shop.center->report(event);
    return !answer && answer.error().code == ErrorCode::invalid_argument;
  };
  CHECK(refused(shop.event({{"v", bad}})));
  CHECK(refused(shop.event({{"v", 1}}, "2024-03-10T12:00:00Z", bad)));
  auto event = shop.event({{"v", 1}});
  event.id = bad;
  CHECK(refused(event));
  shop.report(shop.event({{"v", 1}, {"unread", bad}}));
  const auto last = shop.event({{"v", 2}});
  CHECK(shop.report(last).grants.size() == 1);
  CHECK(shop.report(last).duplicate);
  CHECK(shop.center->work().has_value());
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/d/-/1=1", "ann/q/-/1=5"});
}

TEST_CASE("tenants never meet: equal users, events and tasks of two merchants [task-71]") {
  const auto task = "<task id='buy'><on event='paid'/>" + stage(2, 10) + "</task>";
  Shop shop(task);
  shop.center->publish(shop.campaign(task, "UTC", "rival")).value();
  auto event = shop.event();
  shop.report(event);
  event.merchant = "rival";
  CHECK_FALSE(shop.report(event).duplicate);
  CHECK(shop.progress("buy", "-") == 1);
  auto second = shop.event();
  CHECK(shop.report(second).grants.size() == 1);
  second.merchant = "rival";
  CHECK(shop.report(second).grants.size() == 1);
  CHECK(shop.granted->calls() == 2);
}

TEST_CASE(
    "a published version never changes; another version goes on for who began with it [task-69] [task-74]") {
  Shop shop("<task id='buy' version='1'><on event='paid'/>" + stage(5, 10) + "</task>");
  shop.report(shop.event());
  const auto changed =
      shop.campaign("<task id='buy' version='1'><on event='paid'/>" + stage(3, 10) + "</task>");
  CHECK(shop.center->publish(changed).error().code == ErrorCode::conflict);
  shop.center
      ->publish(shop.campaign("<task id='buy' version='2'><on event='paid'/>" + stage(3, 20) + "</task>"))
      .value();
  for (int i = 0; i < 3; ++i) CHECK(shop.report(shop.event()).grants.empty());
  CHECK(shop.report(shop.event()).grants.size() == 1);  // ann's fifth: she is pinned to version 1
  for (int i = 0; i < 2; ++i) shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob"));
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob")).grants.size() == 1);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10", "bob/buy/-/1=20"});
}

TEST_CASE("an instance of a version whose definition is gone is not counted silently, and later it is") {
  const auto first = "<task id='buy' version='1'><on event='paid'/>" + stage(5, 10) + "</task>";
  Shop shop(first);
  shop.report(shop.event());
  const auto source = read_one(*shop.memory, "shop/definitions", "source/buy/1").value();
  REQUIRE(commit_one(*shop.memory, {"shop/definitions", {Operation::remove(source->key, source->revision)}})
              .value()
              .applied());
  shop.restart();
  shop.center
      ->publish(shop.campaign("<task id='buy' version='2'><on event='paid'/>" + stage(3, 20) + "</task>"))
      .value();
  CHECK(shop.report(shop.event()).skipped.at(0).reason == "not_published");
  CHECK(shop.progress("buy", "-") == 1);
  shop.center->publish(shop.campaign(first)).value();
  shop.settle();
  CHECK(shop.progress("buy", "-") == 2);
}

TEST_CASE("lost replies and outages at every call: the event again finishes it, once [task-46] [task-47]") {
  using testing::FaultyStorage;
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (const auto call : {FaultyStorage::Call::commit, FaultyStorage::Call::read}) {
      for (std::size_t skip = 0; skip < 4; ++skip) {
        Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(2, 10) + stage(4, 20) +
                  "</task>");
        const auto code = fault == FaultyStorage::Fault::after ? ErrorCode::in_doubt : ErrorCode::unavailable;
        shop.storage.fail_calls(call, fault, code, 1, skip);
        const auto event = shop.event({{"n", 4}});
        auto receipt = shop.center->report(event);
        shop.storage.heal();
        if (!receipt) receipt = shop.center->report(event);
        REQUIRE(receipt.has_value());
        shop.clock.advance(std::chrono::seconds(60));
        while (shop.center->work()->taken > 0) continue;
        CHECK(shop.progress("buy", "-") == 4);
        CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10", "ann/buy/-/2=20"});
      }
    }
  }
}
