// How a reward ended, told for as long as its instance is there; and what can never be done.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

void pass_years(Shop& shop) {
  shop.clock.advance(std::chrono::hours(24 * 800));
  shop.settle();
}

}  // namespace

TEST_CASE("the receipt of an old event says what became of its reward") {
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) +
            "</task><task id='u' collect='manual'><on event='paid'/>" + stage(1, 10) + "</task>");
  const auto event = shop.event();
  shop.report(event);
  shop.center->collect(shop.request("u")).value();
  pass_years(shop);
  const auto receipt = shop.report(event);
  for (const auto& grant : receipt.grants) CHECK(grant.state == RunState::succeeded);
  CHECK(shop.view("t", "-").status == Status::rewarded);
}

TEST_CASE("a reward that was refused is never called rewarded, and can still be pushed on") {
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) +
            "</task><task id='next' after='t'><on event='came'/>" + stage(1, 20) + "</task>");
  shop.granted->reject = true;
  const auto event = shop.event();
  shop.report(event);
  pass_years(shop);
  shop.granted->reject = false;
  CHECK(shop.view("t", "-").status == Status::failed);
  CHECK(shop.report(event).grants.at(0).state == RunState::failed);
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "came"));
  CHECK(shop.granted->list() == Lines{});
  CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "ann"})->pushed) == Lines{"t/-"});
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("a reward that an operator cancelled is not rewarded, and no replay says that it pushed it on") {
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) + "</task>");
  shop.granted->fail_calls = 1;
  shop.report(shop.event());
  shop.runner->cancel({"grant", "shop/user/ann", "shop/ann/t/-/1/1"}, Cancel::abandon, {"ops", "fraud"})
      .value();
  shop.settle();
  CHECK(shop.view("t", "-").status == Status::failed);
  const auto replayed = shop.center->replay({.merchant = "shop", .user = "ann"}).value();
  CHECK(replayed.pushed.empty());
  CHECK(Shop::names(replayed.refused) == Lines{"t/-"});
  CHECK(shop.granted->list() == Lines{});
}

TEST_CASE("a reward that can never be taken back is told, and stands in no other's way") {
  testing::RecordedJournal journal;
  const auto task = [](const std::string& id, const std::string& back) {
    return "<task id='" + id +
           "' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' take-back='" + back +
           "'><arg name='points' value='10'/></stage></task>";
  };
  Shop shop(task("bad", "wrong") + task("good", "take") +
                "<pipeline id='wrong'><input><param name='user'/><param name='points'/></input>"
                "<step id='points' use='grant-points@1'><arg name='user' value='user'/>"
                "<arg name='amount' value='-1'/></step></pipeline>",
            "UTC", &journal);
  const auto order = shop.event();
  shop.report(order);
  auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  refund.reverses = order.id;
  shop.report(refund);
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/bad/-/1=10", "ann/good/-/1=-10", "ann/good/-/1=10"});
  CHECK(shop.center->work().value().taken == 0);
  const auto lines = journal.lines();
  CHECK(std::any_of(lines.begin(), lines.end(), [](const auto& line) {
    return line.trigger == "work" && line.reason.find("points") != std::string::npos;
  }));
}

namespace {

const std::string clawback =
    "<task id='t' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' take-back='take'>"
    "<arg name='points' value='10'/></stage></task>";

Event refund_of(Shop& shop, const Event& order) {
  auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  refund.reverses = order.id;
  return refund;
}

}  // namespace

TEST_CASE("the receipt of an old refund, and the view, say what became of taking the reward back") {
  Shop shop(clawback);
  const auto order = shop.event();
  const auto refund = refund_of(shop, order);
  const auto state = [&] { return shop.report(refund).grants.at(0).state; };
  shop.report(order);
  SECTION("taken back") {
    shop.report(refund);
    CHECK(state() == RunState::succeeded);
    pass_years(shop);
    CHECK(state() == RunState::succeeded);
    CHECK(shop.view("t", "-").grants.at(0).run == RunState::succeeded);
    CHECK_FALSE(shop.view("t", "-").grants.at(0).owed);
    CHECK(shop.center->receipt({"shop", "ann", refund.id}).value()->grants.at(0).state ==
          RunState::succeeded);
  }
  SECTION("owed") {
    shop.granted->reject_negative = true;
    shop.report(refund);
    pass_years(shop);
    CHECK(state() == RunState::failed);
    CHECK(shop.view("t", "-").grants.at(0).owed);
  }
  SECTION("still to be made: the process died before it") {
    shop.storage.fail_calls(testing::FaultyStorage::Call::commit, testing::FaultyStorage::Fault::before,
                            ErrorCode::unavailable, 1000, 1);
    (void)shop.center->report(refund);
    shop.storage.heal();
    CHECK(state() == RunState::running);
    CHECK(shop.view("t", "-").grants.at(0).run == RunState::running);
    pass_years(shop);
    CHECK(state() == RunState::succeeded);
  }
}

TEST_CASE("the receipt of a refund says cancelled where there was nothing to take back") {
  SECTION("the reward had given nothing") {
    Shop shop(clawback);
    shop.granted->reject = true;
    const auto order = shop.event();
    shop.report(order);
    const auto refund = refund_of(shop, order);
    shop.report(refund);
    pass_years(shop);
    CHECK(shop.report(refund).grants.at(0).state == RunState::cancelled);
  }
  SECTION("it was never issued") {
    Shop shop("<task id='t' collect='manual'><on event='paid'/>" + stage(1, 10) + "</task>");
    const auto order = shop.event();
    shop.report(order);
    const auto refund = refund_of(shop, order);
    const auto first = shop.report(refund);
    CHECK(first.grants.at(0).state == RunState::cancelled);
    CHECK(shop.report(refund).grants == first.grants);
  }
}
