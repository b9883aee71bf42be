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

TEST_CASE("a unit taken at the claim stays taken once a reward of it was issued") {
  const std::string refund = GENERATE("keep", "clawback");
  const auto steps = [&](int target) {
    return "<stage target='" + std::to_string(target) + "' pipeline='grant'" +
           (refund == "keep" ? "" : " take-back='take'") + "><arg name='points' value='10'/></stage>";
  };
  Shop shop("<task id='t' claim='manual' on-refund='" + refund + "'><on event='paid'/>" + steps(1) +
            steps(5) + "<quota limit='1' at='claim'/></task>");
  std::vector<Event> events;
  const auto claim = [&](const char* user) {
    if (shop.center->claim(shop.request("t", user))->outcome != Reply::Outcome::done) return;
    events.push_back(shop.event({}, "2024-03-10T12:00:00Z", user));
    events.back().at = shop.clock.now() + std::chrono::seconds(1);
    shop.report(events.back());
    shop.center->abandon(shop.request("t", user)).value();
    shop.settle();
  };
  for (const auto* user : {"ann", "bob", "cid", "dan"}) claim(user);
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10"});
  // Taken back, there is no reward for it any more.
  auto back = shop.event({}, "2024-03-10T12:00:00Z", "ann");
  back.reverses = events.front().id;
  shop.report(back);
  shop.settle();
  claim("eve");
  CHECK(shop.granted->list().size() == (refund == "keep" ? 1 : 3));
}

TEST_CASE("forced on, an abandoned instance takes a unit at the claim anew, or is refused") {
  using testing::FaultyStorage;
  const std::string tasks = "<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
                            "<quota limit='1' at='claim'/></task>";
  const ReplayRequest force{"shop", "ann", {}, {}, true, "ops", "asked"};
  Shop shop(tasks);
  shop.center->claim(shop.request("t", "ann")).value();
  shop.center->abandon(shop.request("t", "ann")).value();
  shop.settle();
  const auto pay = [&](const char* user) {
    auto event = shop.event({}, "2024-03-10T12:00:00Z", user);
    event.at = shop.clock.now() + std::chrono::seconds(1);
    shop.report(event);
  };
  SECTION("somebody else has it") {
    CHECK(shop.center->claim(shop.request("t", "bob"))->outcome == Reply::Outcome::done);
    const auto replayed = shop.center->replay(force).value();
    CHECK(replayed.pushed.empty());
    CHECK(Shop::names(replayed.refused) == std::vector<std::string>{"t/-"});
    pay("ann");
    pay("bob");
    CHECK(shop.granted->list() == std::vector<std::string>{"bob/t/-/1=10"});
  }
  SECTION("it is there, whatever dies on the way") {
    const auto fault = GENERATE(FaultyStorage::Fault::before, FaultyStorage::Fault::after);
    const std::size_t skip = GENERATE(0U, 1U, 2U, 3U);
    shop.storage.fail_calls(FaultyStorage::Call::commit, fault, ErrorCode::corrupt, 1, skip);
    shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                            1000, 0);
    (void)shop.center->replay(force);
    shop.storage.heal();
    shop.restart();
    shop.center->publish(shop.campaign(tasks)).value();
    shop.settle();
    shop.center->replay(force).value();
    CHECK(shop.view("t", "-").status == Status::in_progress);
    CHECK(read_one(*shop.memory, "shop/quota/t", "count/-").value()->value == "1");
    CHECK(shop.center->claim(shop.request("t", "bob"))->outcome == Reply::Outcome::out_of_stock);
    pay("ann");
    CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10"});
  }
}

TEST_CASE("forced on by two operators at once, an instance takes one unit, and keeps it") {
  Shop shop("<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='2' at='claim'/></task>");
  shop.center->claim(shop.request("t")).value();
  for (int round = 0; round < 50; ++round) {
    shop.center->abandon(shop.request("t")).value();
    shop.settle();
    std::vector<std::thread> operators;
    for (int i = 0; i < 2; ++i) {
      operators.emplace_back([&shop] {
        shop.center->replay({"shop", "ann", {}, {}, true, "ops", "asked"}).value();
      });
    }
    for (auto& one : operators) one.join();
    shop.settle();
    REQUIRE(shop.view("t", "-").status == Status::in_progress);
    REQUIRE(read_one(*shop.memory, "shop/quota/t", "count/-").value()->value == "1");
  }
}

TEST_CASE("a unit stays taken for a reward that a version gave which kept no record of it") {
  const auto version = [](const std::string& number, const std::string& more) {
    return "<task id='t' version='" + number + "' claim='manual' on-update='migrate'" + more +
           "><on event='paid'/>" + stage(1, 10) + stage(5, 50) + "<quota limit='1' at='claim'/></task>";
  };
  Shop shop(version("1", ""));
  shop.center->claim(shop.request("t")).value();
  auto event = shop.event();
  event.at = shop.clock.now() + std::chrono::seconds(1);
  shop.report(event);
  CHECK(shop.granted->list().size() == 1);
  shop.center->publish(shop.campaign(version("2", " collect='manual'"))).value();
  CHECK(shop.center->abandon(shop.request("t"))->outcome == Reply::Outcome::done);
  CHECK(shop.view("t", "-").version == "2");
  shop.settle();
  CHECK(shop.center->claim(shop.request("t", "bob"))->outcome == Reply::Outcome::out_of_stock);
}

TEST_CASE(
    "an automatic reward reached before the deadline is issued also where the process died before its unit") {
  const std::string tasks = "<task id='t' within='1h'><on event='paid'/>" + stage(1, 10) + stage(5, 50) +
                            "<quota limit='10'/></task>";
  const bool abandoned = GENERATE(true, false);
  Shop shop(tasks);
  auto event = shop.event();
  event.at = shop.clock.now();
  // The event's batch is durable, everything after it fails: the process is gone.
  shop.storage.fail_calls(testing::FaultyStorage::Call::commit, testing::FaultyStorage::Fault::before,
                          ErrorCode::unavailable, 1000, 1);
  (void)shop.center->report(event);
  shop.storage.heal();
  shop.restart();
  shop.center->publish(shop.campaign(tasks)).value();
  if (abandoned) CHECK(shop.center->abandon(shop.request("t"))->outcome == Reply::Outcome::done);
  shop.clock.advance(std::chrono::hours(2));
  shop.settle();
  CHECK(shop.view("t", "-").status == (abandoned ? Status::terminated : Status::expired));
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10"});
  CHECK(shop.memory->scan("shop/quota/t", "unit/", "", 10).value().records.size() == 1);
}

TEST_CASE("a unit whose time has passed is free for the next claim, also where no work() has returned it") {
  const std::string tasks = "<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
                            "<quota limit='1' at='claim' hold='10m'/></task>";
  using testing::FaultyStorage;
  Shop shop(tasks);
  const auto claim = [&](const char* user) {
    return std::string(to_string(shop.center->claim(shop.request("t", user)).value().outcome));
  };
  SECTION("its process died") {
    for (std::size_t skip = 0; skip < 3; ++skip) {
      Shop other(tasks);
      other.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::corrupt,
                               1, skip);
      other.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                               1000, 0);
      CHECK_FALSE(other.center->claim(other.request("t", "ann")).has_value());
      other.storage.heal();
      other.restart();
      other.center->publish(other.campaign(tasks)).value();
      const auto bob = [&] { return other.center->claim(other.request("t", "bob")).value().outcome; };
      // Until its lease has passed, the unit is the dead one's: of the third write he has the task.
      if (skip == 1) CHECK(bob() == Reply::Outcome::out_of_stock);
      other.clock.advance(std::chrono::seconds(1));
      CHECK((bob() == Reply::Outcome::done) == (skip != 2));
      CHECK(read_one(*other.memory, "shop/quota/t", "count/-").value()->value == "1");
    }
  }
  SECTION("its hold has passed") {
    CHECK(claim("ann") == "done");
    CHECK(claim("bob") == "out_of_stock");
    shop.clock.advance(std::chrono::minutes(10));
    CHECK(claim("bob") == "done");
    CHECK(shop.view("t", "-").status == Status::expired);
    CHECK(claim("cid") == "out_of_stock");
    CHECK(read_one(*shop.memory, "shop/quota/t", "count/-").value()->value == "1");
  }
}

TEST_CASE("of many who ask for units that are gone, one looks for what has lapsed") {
  Shop shop("<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='claim'/></task>");
  shop.center->claim(shop.request("t")).value();
  const auto before = shop.storage.calls(testing::FaultyStorage::Call::due);
  for (int i = 0; i < 100; ++i)
    CHECK(shop.center->claim(shop.request("t", "u" + std::to_string(i)))->outcome ==
          Reply::Outcome::out_of_stock);
  CHECK(shop.storage.calls(testing::FaultyStorage::Call::due) == before + 1);
}

TEST_CASE("a unit taken at the claim returns where nobody collected what it was for") {
  Shop shop("<task id='t' claim='manual' collect='manual' collect-within='1h'><on event='paid'/>" +
            stage(1, 10) + "<quota limit='1' at='claim'/></task>");
  const auto take = [&](const std::string& user) {
    return shop.center->claim(shop.request("t", user)).value().outcome;
  };
  CHECK(take("ann") == Reply::Outcome::done);
  auto paid = shop.event();
  paid.at = shop.clock.now();
  shop.report(paid);
  CHECK(shop.view("t", "-").status == Status::completed);
  CHECK(take("bob") == Reply::Outcome::out_of_stock);
  SECTION("given up") { shop.center->abandon(shop.request("t")).value(); }
  SECTION("its window passed") {
    shop.clock.advance(std::chrono::hours(2));
    shop.center->work().value();
  }
  CHECK(take("bob") == Reply::Outcome::done);
}

TEST_CASE("a claim finds a lapsed unit behind a page of other work that is due") {
  Shop shop("<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='claim'/></task>" + "<task id='other'><on event='paid' add='event.n'/>" +
            stage(100, 10) + "</task>");
  for (int i = 0; i < 1100; ++i)
    shop.center->report_async(shop.event({{"n", 1}}, "2024-03-10T12:00:00Z", "u" + std::to_string(i)))
        .value();
  shop.clock.advance(std::chrono::seconds(1));
  // The claim's process dies with the unit in hand.
  shop.storage.fail_calls(testing::FaultyStorage::Call::commit, testing::FaultyStorage::Fault::before,
                          ErrorCode::unavailable, 50, 2);
  CHECK_FALSE(shop.center->claim(shop.request("t", "dead")).has_value());
  shop.storage.heal();
  shop.clock.advance(std::chrono::minutes(1));
  CHECK(shop.center->claim(shop.request("t", "bob")).value().outcome == Reply::Outcome::done);
}

TEST_CASE("a claim that only stores takes a unit whose hold has passed") {
  const auto held = "<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
                    "<quota limit='1' at='claim' hold='1m'/></task>";
  Shop shop(held);
  TaskCenter stores(shop.storage, shop.catalog, *shop.runner, {.store_only = true});
  stores.publish(shop.campaign(held)).value();
  shop.center->claim(shop.request("t", "old")).value();
  shop.clock.advance(std::chrono::minutes(2));
  CHECK(stores.claim(shop.request("t", "bob")).value().outcome == Reply::Outcome::done);
  shop.settle();
  CHECK(stores.claim(shop.request("t", "cid")).value().outcome == Reply::Outcome::done);
  CHECK(stores.claim(shop.request("t", "dan")).value().outcome == Reply::Outcome::out_of_stock);
}
