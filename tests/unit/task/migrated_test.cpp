// Users who are taken over by a version that rewards through another pipeline.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

/// A version whose reward is given by another pipeline than the one before.
std::string given_by(const std::string& version, const std::string& pipeline, const std::string& more = "") {
  return "<task id='t' version='" + version + "' on-update='migrate'" + more +
         "><on event='paid'/><stage target='1' pipeline='" + pipeline +
         "' take-back='take'><arg name='points' value='10'/></stage>" + stage(3, 30) + "</task>" +
         "<pipeline id='gift'><input><param name='user'/><param name='points' type='int'/></input>"
         "<step id='points' use='grant-points@1'><arg name='user' value='user'/>"
         "<arg name='amount' value='points'/></step></pipeline>";
}

}  // namespace

TEST_CASE("who goes on with a version of another pipeline keeps what the first one gave, or failed to give") {
  const std::string refund_policy = GENERATE("keep", "clawback");
  const auto more = " on-refund='" + refund_policy + "'";
  const auto fits = [&](std::string text) {
    if (refund_policy == "keep") text.replace(text.find(" take-back='take'"), 17, "");
    if (refund_policy == "clawback") {
      const auto last = text.find("<stage target='3' pipeline='grant'");
      text.insert(last + 34, " take-back='take'");
    }
    return text;
  };
  const auto first = fits(given_by("1", "grant", more));
  const auto second = fits(given_by("2", "gift", more));
  Shop shop(first);
  shop.granted->reject = true;
  const auto order = shop.event();
  shop.report(order);
  shop.granted->reject = false;
  CHECK(shop.view("t", "-").grants.at(0).run == RunState::failed);
  shop.center->publish(shop.campaign(second)).value();
  shop.report(shop.event());
  REQUIRE(shop.view("t", "-").version == "2");
  CHECK(shop.view("t", "-").grants.at(0).run == RunState::failed);
  CHECK(shop.report(order).grants.at(0).state == RunState::failed);
  SECTION("pushed on") {
    CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "ann"})->pushed) == Lines{"t/-"});
    shop.settle();
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
    CHECK(shop.view("t", "-").grants.at(0).run == RunState::succeeded);
  }
  SECTION("taken back: it had given nothing") {
    if (refund_policy == "keep") return;
    for (const auto* id : {"e1", "e2"}) {
      auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
      refund.reverses = id;
      shop.report(refund);
    }
    shop.settle();
    CHECK(shop.granted->list() == Lines{});
    CHECK(shop.view("t", "-").grants.at(0).state == "voided");
  }
}
