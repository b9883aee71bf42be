// Events that take back what other events contributed: whole, in parts, early, after the reward.
#include "support.hpp"

#include <onceward/testing/recorded_journal.hpp>

#include "support/catch.hpp"

#include <limits>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

Event reversal(Shop& shop, const Event& of, std::optional<std::int64_t> amount = {}) {
  auto event = shop.event({}, "2024-03-10T13:00:00Z", of.user, "refunded");
  event.reverses = of.id;
  event.amount = amount;
  return event;
}

/// A stage that can be taken back.
std::string fragile(int target, int points) {
  return "<stage target='" + std::to_string(target) +
         "' pipeline='grant' take-back='take'><arg name='points' value='" + std::to_string(points) +
         "'/></stage>";
}

const std::string spend = "<task id='spend'><on event='paid' add='event.n'/>" + stage(100, 1) + "</task>";

}  // namespace

TEST_CASE("a refund takes back exactly what its event contributed [task-58]") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(3, 1) + "</task>");
  shop.report(shop.event());
  const auto second = shop.event();
  shop.report(second);
  const auto receipt = shop.report(reversal(shop, second));
  CHECK(receipt.contributions == std::vector<Contribution>{{"buy", "-", -1}});
  CHECK(shop.progress("buy", "-") == 1);
  // The same event cannot be taken back twice, whoever asks.
  CHECK(shop.report(reversal(shop, second)).contributions.empty());
  CHECK(shop.progress("buy", "-") == 1);
}

TEST_CASE("a part of a sum is taken back, once for each refund [task-63]") {
  Shop shop(spend);
  const auto order = shop.event({{"n", 90}});
  shop.report(order);
  const auto part = reversal(shop, order, 30);
  shop.report(part);
  CHECK(shop.progress("spend", "-") == 60);
  CHECK(shop.report(part).duplicate);
  CHECK(shop.progress("spend", "-") == 60);
  auto other = part;
  other.amount = 31;
  CHECK(shop.center->report(other).error().code == ErrorCode::conflict);
  shop.report(reversal(shop, order, 1000));  // no more than is left
  CHECK(shop.progress("spend", "-") == 0);
  shop.report(reversal(shop, order));
  CHECK(shop.progress("spend", "-") == 0);
}

TEST_CASE("what merely counted stays until all of its event is taken back") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(9, 1) + "</task>" + spend);
  const auto order = shop.event({{"n", 50}});
  shop.report(order);
  shop.report(reversal(shop, order, 20));
  CHECK(shop.progress("buy", "-") == 1);
  CHECK(shop.progress("spend", "-") == 30);
  shop.report(reversal(shop, order));
  CHECK(shop.progress("buy", "-") == 0);
  CHECK(shop.progress("spend", "-") == 0);
}

TEST_CASE("a refund that comes first leaves nothing for its event to contribute [task-62]") {
  Shop shop(spend);
  const auto order = shop.event({{"n", 90}});
  shop.report(reversal(shop, order));
  const auto receipt = shop.report(order);
  CHECK(receipt.contributions.empty());
  CHECK(shop.progress("spend", "-") == 0);
  CHECK(shop.report(order).duplicate);
  const auto other = shop.event({{"n", 90}});
  shop.report(reversal(shop, other, 30));
  CHECK(shop.report(other).contributions == std::vector<Contribution>{{"spend", "-", 60}});
  shop.report(reversal(shop, other, 10));
  CHECK(shop.progress("spend", "-") == 50);
}

TEST_CASE("an order and its refunds in one call, in any order") {
  Shop shop(spend);
  const auto order = shop.event({{"n", 90}});
  const auto early = reversal(shop, order, 5);
  const auto late = reversal(shop, order, 10);
  for (const auto& answer : shop.center->report_many(std::vector<Event>{early, order, late, order}))
    REQUIRE(answer.has_value());
  CHECK(shop.progress("spend", "-") == 75);
}

TEST_CASE("distinct values are counted by their events: the last one taken back takes the value [task-9]") {
  Shop shop("<task id='sku'><on event='paid' distinct='event.sku'/>" + stage(5, 1) + "</task>");
  const auto first = shop.event({{"sku", "a"}});
  const auto second = shop.event({{"sku", "a"}});
  shop.report(first);
  shop.report(second);
  shop.report(reversal(shop, first));
  CHECK(shop.progress("sku", "-") == 1);
  shop.report(reversal(shop, second));
  CHECK(shop.progress("sku", "-") == 0);
}

TEST_CASE("a streak loses the day its only event was on") {
  Shop shop("<task id='habit'><on event='paid' streak='day'/>" + stage(9, 1) + "</task>");
  Event second;
  for (const auto* day : {"2024-03-10T10:00:00Z", "2024-03-11T10:00:00Z", "2024-03-12T10:00:00Z"}) {
    const auto event = shop.event({}, day);
    shop.report(event);
    if (event.id == "e2") second = event;
  }
  CHECK(shop.progress("habit", "-") == 3);
  shop.report(reversal(shop, second));
  CHECK(shop.progress("habit", "-") == 1);
}

TEST_CASE("a reward nobody collected is void, and its unit returns [task-59]") {
  Shop shop("<task id='buy' collect='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1'/></task>");
  const auto order = shop.event();
  CHECK(shop.report(order).grants.at(0).collectable);
  CHECK(shop.view("buy", "-").status == Status::completed);
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob")).grants.at(0).out_of_stock);
  const auto receipt = shop.report(reversal(shop, order));
  CHECK(receipt.grants.at(0).taken_back);
  CHECK(shop.view("buy", "-").status == Status::in_progress);
  CHECK(shop.view("buy", "-").grants.at(0).state == "voided");
  CHECK(read_one(*shop.memory, "shop/quota/buy", "count/-").value()->value == "0");
  // Somebody else may have it now; earned again it is another generation.
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z", "cid")).grants.at(0).collectable);
  const auto again = shop.report(shop.event());
  CHECK(again.grants.at(0).out_of_stock);
  CHECK(again.grants.at(0).generation == 2);
  CHECK(shop.granted->list().empty());
}

TEST_CASE("a reward is taken back once, and earned again as the next generation [task-60]") {
  testing::RecordedJournal journal;
  Shop shop("<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "</task>", "UTC",
            &journal);
  const auto order = shop.event();
  CHECK(shop.report(order).grants.at(0).state == RunState::succeeded);
  CHECK(shop.view("buy", "-").status == Status::rewarded);
  const auto refund = reversal(shop, order);
  const auto receipt = shop.report(refund);
  CHECK(receipt.grants.at(0).taken_back);
  CHECK(receipt.grants.at(0).state == RunState::succeeded);
  CHECK(shop.view("buy", "-").status == Status::revoked);
  CHECK(shop.report(refund).duplicate);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
  const auto again = shop.report(shop.event());
  CHECK(again.grants.at(0).generation == 2);
  CHECK(shop.view("buy", "-").status == Status::rewarded);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10", "ann/buy/-/1=10"});
  CHECK(shop.moves(journal) == Lines{"not_taken-claim-claimed", "claimed-event-rewarding",
                                     "rewarding-reward_done-rewarded", "rewarding-take_back-revoked",
                                     "revoked-take_back-revoked", "revoked-event-rewarding",
                                     "rewarding-reward_done-rewarded"});
}

TEST_CASE("on-refund keep leaves a reward alone, and says so [task-61]") {
  testing::RecordedJournal journal;
  Shop shop("<task id='buy'><on event='paid'/>" + stage(1, 10) + "</task>", "UTC", &journal);
  const auto order = shop.event();
  shop.report(order);
  const auto receipt = shop.report(reversal(shop, order));
  CHECK(receipt.grants.empty());
  CHECK(shop.view("buy", "-").status == Status::rewarded);
  CHECK(shop.progress("buy", "-") == 0);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
  CHECK(shop.moves(journal).back() == "rewarding-take_back-rewarding");
  CHECK(shop.report(shop.event()).grants.empty());
}

TEST_CASE("what cannot be taken back is owed") {
  Shop shop("<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "</task>");
  const auto order = shop.event();
  shop.report(order);
  shop.granted->reject_negative = true;  // the points are spent
  shop.report(reversal(shop, order));
  const auto view = shop.view("buy", "-");
  CHECK(view.status == Status::revoked);
  CHECK(view.grants.at(0).owed);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("a reward that is still on its way is taken back after it arrived, never before") {
  Shop shop("<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "</task>");
  const auto order = shop.event();
  shop.granted->fail_calls = 1;
  CHECK(shop.report(order).grants.at(0).state == RunState::running);
  shop.report(reversal(shop, order));
  CHECK(shop.granted->list().empty());
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
}

TEST_CASE("a reversal has to name another event, and cannot be reversed itself") {
  Shop shop(spend);
  const auto order = shop.event({{"n", 5}});
  shop.report(order);
  const auto refund = reversal(shop, order);
  shop.report(refund);
  CHECK(shop.center->report(reversal(shop, refund)).error().code == ErrorCode::wrong_state);
  auto itself = shop.event();
  itself.reverses = itself.id;
  CHECK(shop.center->report(itself).error().code == ErrorCode::invalid_argument);
  CHECK(shop.center->report(reversal(shop, order, 0)).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a crash at any write of a refund after the reward: taken back once, its unit returned once") {
  using testing::FaultyStorage;
  const auto task =
      "<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "<quota limit='5'/></task>";
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (std::size_t skip = 0; skip < 6; ++skip) {
      INFO("fault " << static_cast<int>(fault) << ", commit " << skip);
      Shop shop(task);
      const auto order = shop.event();
      shop.report(order);
      const auto dead = ErrorCode::corrupt;
      shop.storage.fail_calls(FaultyStorage::Call::commit, fault, dead, 1, skip);
      shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, dead, 1000, 0);
      const auto refund = reversal(shop, order);
      (void)shop.center->report(refund);
      shop.storage.heal();
      shop.restart();
      shop.center->publish(shop.campaign(task)).value();
      shop.report(refund);
      shop.settle();
      CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
      CHECK(read_one(*shop.memory, "shop/quota/buy", "count/-").value()->value == "0");
      CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
    }
  }
}

TEST_CASE("what never arrived is not taken back, and never arrives afterwards") {
  Shop shop("<task id='buy' on-refund='clawback'><on event='paid' add='event.n'/>" + fragile(10, 10) +
            fragile(20, 20) + "</task>");
  shop.granted->reject = true;
  const auto order = shop.event({{"n", 20}});
  shop.report(order);
  CHECK(shop.view("buy", "-").status == Status::failed);
  shop.granted->reject = false;
  CHECK(shop.report(reversal(shop, order)).grants.at(0).taken_back);
  shop.settle();
  CHECK(shop.granted->list() == Lines{});
  CHECK(shop.view("buy", "-").grants.at(0).state == "voided");
  CHECK(shop.view("buy", "-").grants.at(1).state == "voided");
  // Whoever pushes failed runs on finds none.
  CHECK(shop.center->replay({.merchant = "shop", .user = "ann"})->pushed.empty());
  CHECK(shop.runner->find("grant", "shop/user/ann", "shop/ann/buy/-/1/1").value()->state ==
        RunState::cancelled);
  shop.report(shop.event({{"n", 10}}));
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("a reward that arrived in part is taken back, and the rest of it never arrives") {
  const auto pay = [](std::string id, std::string user) {
    return "<step id='" + id + "' use='grant-points@1'><arg name='user' value='" + user +
           "'/><arg name='amount' value='points'/></step>";
  };
  Shop shop(
      "<task id='buy' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='two' take-back='take'>"
      "<arg name='points' value='10'/></stage></task><pipeline id='two'><input><param name='user'/>"
      "<param name='points' type='int'/></input>" +
      pay("first", "user") + pay("second", "user") + "</pipeline>");
  shop.granted->reject_from = 2;
  const auto order = shop.event();
  CHECK(shop.report(order).grants.at(0).state == RunState::failed);
  shop.granted->reject_from = 0;
  shop.report(reversal(shop, order));
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
  CHECK(shop.runner->find("two", "shop/user/ann", "shop/ann/buy/-/1/1").value()->state ==
        RunState::cancelled);
}

TEST_CASE("where nobody knows whether a reward arrived, it is pushed on first and taken back then") {
  Shop shop("<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "</task>");
  shop.granted->unknown = true;
  const auto order = shop.event();
  shop.report(order);
  for (int hour = 0; hour < 200 && shop.view("buy", "-").status == Status::rewarding; ++hour) shop.settle();
  REQUIRE(shop.view("buy", "-").grants.at(0).run == RunState::needs_attention);
  shop.report(reversal(shop, order));
  shop.settle();
  shop.clock.advance(std::chrono::hours(1));
  CHECK(shop.center->work().value().taken == 0);  // it waits, and nothing was done
  CHECK(shop.view("buy", "-").status == Status::revoked);
  CHECK(shop.view("buy", "-").grants.at(0).run == RunState::needs_attention);
  CHECK(shop.granted->list() == Lines{});
  shop.granted->unknown = false;
  CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "ann"})->pushed) == Lines{"buy/-"});
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
  CHECK(shop.view("buy", "-").grants.at(0).run == RunState::succeeded);
}

TEST_CASE("a reward that waits for its unit when its event is taken back is void, and nothing is taken") {
  using testing::FaultyStorage;
  const auto task =
      "<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "<quota limit='5'/></task>";
  Shop shop(task);
  const auto order = shop.event();
  // The event's batch is durable, everything after it fails: the process is gone.
  shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt, 1000,
                          1);
  (void)shop.center->report(order);
  shop.storage.heal();
  shop.restart();
  shop.center->publish(shop.campaign(task)).value();
  shop.report(reversal(shop, order));
  shop.settle();
  CHECK(shop.granted->list() == Lines{});
  CHECK(shop.view("buy", "-").grants.at(0).state == "voided");
  CHECK(read_one(*shop.memory, "shop/quota/buy", "count/-").value().has_value() == false);
}

TEST_CASE(
    "a crash at any write of a refund after the reward was refused: nothing is taken, its unit returns") {
  using testing::FaultyStorage;
  const auto task =
      "<task id='buy' on-refund='clawback'><on event='paid'/>" + fragile(1, 10) + "<quota limit='5'/></task>";
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (std::size_t skip = 0; skip < 5; ++skip) {
      INFO("fault " << static_cast<int>(fault) << ", commit " << skip);
      Shop shop(task);
      shop.granted->reject = true;
      const auto order = shop.event();
      shop.report(order);
      shop.granted->reject = false;
      const auto dead = ErrorCode::corrupt;
      shop.storage.fail_calls(FaultyStorage::Call::commit, fault, dead, 1, skip);
      shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, dead, 1000, 0);
      const auto refund = reversal(shop, order);
      (void)shop.center->report(refund);
      shop.storage.heal();
      shop.restart();
      shop.center->publish(shop.campaign(task)).value();
      shop.report(refund);
      shop.settle();
      CHECK(shop.granted->list() == Lines{});
      CHECK(shop.view("buy", "-").grants.at(0).state == "voided");
      CHECK(read_one(*shop.memory, "shop/quota/buy", "count/-").value()->value == "0");
      CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
    }
  }
}

TEST_CASE("a refund claws a reward back also after its instance was abandoned or has expired") {
  const std::string stages = fragile(10, 10) + fragile(100, 100) + "</task>";
  const bool abandoned = GENERATE(true, false);
  Shop shop("<task id='buy' within='1h' on-refund='clawback'><on event='paid' add='event.n'/>" + stages);
  auto order = shop.event({{"n", 10}});
  order.at = shop.clock.now();
  shop.report(order);
  if (abandoned) {
    CHECK(shop.center->abandon(shop.request("buy"))->outcome == Reply::Outcome::done);
  } else {
    shop.clock.advance(std::chrono::hours(2));
    shop.settle();
  }
  const auto ended = abandoned ? Status::terminated : Status::expired;
  CHECK(shop.view("buy", "-").status == ended);
  const auto refund = reversal(shop, order);
  CHECK(shop.report(refund).grants.at(0).taken_back);
  CHECK(shop.report(refund).duplicate);
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=-10", "ann/buy/-/1=10"});
  CHECK(shop.view("buy", "-").status == ended);
  CHECK(shop.view("buy", "-").reached == 0);
  // Forced on it earns the stage again, as the next generation.
  shop.center->replay({"shop", "ann", {}, {}, true, "ops", "asked"}).value();
  CHECK(shop.granted->list().size() == 2);
  CHECK(shop.report(shop.event({{"n", 10}})).grants.at(0).generation == 2);
  CHECK(shop.granted->list().size() == 3);
}

TEST_CASE("a refund far beyond what was bought is no error, however often") {
  Shop shop("<task id='t'><on event='paid' add='event.n'/>" + stage(100, 10) + "</task>");
  const auto order = shop.event({{"n", 10}});
  shop.report(order);
  for (int i = 0; i < 3; ++i) {
    auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
    refund.reverses = order.id;
    refund.amount = std::numeric_limits<std::int64_t>::max();
    CHECK(shop.report(refund).contributions.size() == (i == 0 ? 1U : 0U));
    CHECK(shop.progress("t", "-") == 0);
  }
}

TEST_CASE("replay takes back what is owed of a reward that was earned again meanwhile [task-60]") {
  Shop shop(
      "<task id='t' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' "
      "take-back='take'><arg name='points' value='10'/></stage></task>");
  const auto first = shop.event();
  shop.report(first);
  shop.granted->reject_negative = true;
  auto refund = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
  refund.reverses = first.id;
  shop.report(refund);
  CHECK(shop.view("t", "-").grants.at(0).owed);
  shop.report(shop.event());
  shop.granted->reject_negative = false;
  CHECK(Shop::names(shop.center->replay({"shop", "ann"}).value().pushed) == std::vector<std::string>{"t/-"});
  shop.settle();
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=-10", "ann/t/-/1=10", "ann/t/-/1=10"});
  CHECK(shop.center->replay({"shop", "ann"}).value().pushed.empty());
}

TEST_CASE("a task that is finished by taking a refund back is rewarded, and says so [task-58]") {
  Shop shop(
      "<task id='t' on-refund='clawback'><on event='paid' add='event.n'/>"
      "<on event='back' add='-event.n'/><stage target='5' pipeline='grant' take-back='take'>"
      "<arg name='points' value='1'/></stage></task>");
  const auto undo = [&](const Event& event) {
    auto reversal = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
    reversal.reverses = event.id;
    return shop.report(reversal);
  };
  const auto take = [&](int n) {
    auto event = shop.event({{"n", n}}, "2024-03-10T12:00:00Z", "ann", "back");
    shop.report(event);
    return event;
  };
  const auto early = take(4);
  shop.report(shop.event({{"n", 5}}));
  CHECK(shop.view("t", "-").status == Status::in_progress);
  undo(early);
  CHECK(shop.view("t", "-").status == Status::rewarded);
  const auto late = take(2);
  CHECK(shop.view("t", "-").status == Status::revoked);
  undo(late);
  CHECK(shop.view("t", "-").status == Status::rewarded);
}

TEST_CASE("a task that was forced on and is finished by a refund can be collected [task-51]") {
  Shop shop(
      "<task id='t' collect='manual'><on event='paid' add='event.n'/><on event='back' add='-event.n'/>" +
      stage(5, 7) + "</task>");
  const auto undo = [&](const Event& event, std::optional<std::int64_t> amount) {
    auto reversal = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
    reversal.reverses = event.id;
    reversal.amount = amount;
    shop.report(reversal);
  };
  const auto paid = shop.event({{"n", 9}});
  const auto back = shop.event({{"n", 8}}, "2024-03-10T12:00:00Z", "ann", "back");
  shop.report(paid);
  shop.report(back);
  shop.center->abandon(shop.request("t")).value();
  undo(back, std::nullopt);
  ReplayRequest replay{"shop", "ann"};
  replay.force = true;
  replay.actor = "ops";
  replay.reason = "goodwill";
  shop.center->replay(replay).value();
  CHECK(shop.view("t", "-").reached == 0);
  undo(paid, 2);
  CHECK(shop.view("t", "-").status == Status::completed);
  CHECK(shop.center->collect(shop.request("t")).value().outcome == Reply::Outcome::done);
  CHECK(shop.view("t", "-").status == Status::rewarded);
}

TEST_CASE("what is owed is pushed on without force, also of an instance that was given up since [task-60]") {
  Shop shop(
      "<task id='t' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' "
      "take-back='take'><arg name='points' value='10'/></stage><stage target='2' pipeline='grant' "
      "take-back='take'><arg name='points' value='20'/></stage></task>");
  const auto first = shop.event();
  shop.report(first);
  shop.granted->reject_negative = true;
  auto refund = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
  refund.reverses = first.id;
  shop.report(refund);
  shop.center->abandon(shop.request("t")).value();
  CHECK(shop.view("t", "-").status == Status::terminated);
  shop.granted->reject_negative = false;
  CHECK(Shop::names(shop.center->replay({"shop", "ann"}).value().pushed) == std::vector<std::string>{"t/-"});
  shop.settle();
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=-10", "ann/t/-/1=10"});
  CHECK(shop.view("t", "-").status == Status::terminated);
  // Nothing is owed any more: now it is a matter of force.
  CHECK(Shop::names(shop.center->replay({"shop", "ann"}).value().refused) == std::vector<std::string>{"t/-"});
}
