// Merchants on one task centre have nothing to do with each other, whatever they call things.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

/// A merchant's campaign whose pipeline "grant", version 1, gives so many times the points.
Campaign campaign(const Shop& shop, const std::string& merchant, int times) {
  const auto pipeline = [&](const std::string& id, const std::string& sign) {
    return "<pipeline id='" + id + "'><input><param name='user'/><param name='points' type='int'/></input>" +
           "<step id='points' use='grant-points@1'><arg name='user' value='user'/>" +
           "<arg name='amount' value='" + sign + "points * " + std::to_string(times) +
           "'/></step></pipeline>";
  };
  const auto text =
      "<campaign merchant='" + merchant + "'><task id='t' on-refund='clawback'><on event='paid'/>" +
      "<stage target='1' pipeline='grant' take-back='take'><arg name='points' value='10'/></stage></task>" +
      pipeline("grant", "") + pipeline("take", "-") + "</campaign>";
  return Campaign::compile(parse_campaign_xml(text, "test.xml").value(), shop.registry).value();
}

Event paid(const std::string& merchant, const std::string& user) {
  return {merchant, "e-" + user, user, "paid", at("2024-03-10T12:00:00Z")};
}

}  // namespace

TEST_CASE(
    "two merchants' pipelines of one id and version are rewarded each with its own, also after a restart") {
  Shop shop;
  const auto publish = [&] {
    shop.center->publish(campaign(shop, "shop", 1)).value();
    shop.center->check(campaign(shop, "rival", 3)).value();
    shop.center->publish(campaign(shop, "rival", 3)).value();
  };
  publish();
  shop.report(paid("shop", "ann"));
  shop.report(paid("rival", "bob"));
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "bob/t/-/1=30"});
  // What waits is driven by another process, with a catalog of its own.
  shop.granted->fail_calls = 2;
  shop.report(paid("shop", "cid"));
  shop.report(paid("rival", "dan"));
  PlanCatalog catalog;
  Runner runner(shop.storage, catalog);
  TaskCenter other(shop.storage, catalog, runner);
  other.publish(campaign(shop, "rival", 3)).value();
  other.publish(campaign(shop, "shop", 1)).value();
  shop.clock.advance(std::chrono::hours(1));
  while (other.work().value().taken > 0) continue;
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "bob/t/-/1=30", "cid/t/-/1=10", "dan/t/-/1=30"});
  auto refund = paid("rival", "bob");
  refund.reverses = refund.id;
  refund.id = "r";
  shop.report(refund);
  shop.settle();
  CHECK(shop.granted->list() ==
        Lines{"ann/t/-/1=10", "bob/t/-/1=-30", "bob/t/-/1=30", "cid/t/-/1=10", "dan/t/-/1=30"});
}

TEST_CASE("a merchant's own pipeline keeps its content; the refusal names no other merchant") {
  Shop shop;
  shop.center->publish(campaign(shop, "rival", 3)).value();
  shop.center->publish(campaign(shop, "shop", 1)).value();
  for (const auto& refused :
       {shop.center->check(campaign(shop, "shop", 2)), shop.center->publish(campaign(shop, "shop", 2))}) {
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::conflict);
    CHECK(refused.error().message.find("rival") == std::string::npos);
  }
  shop.report(paid("shop", "ann"));
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
  CHECK_FALSE(shop.catalog.find("grant", "1").has_value());
  CHECK(shop.catalog.find_of("rival", "grant", "1")->sha256() !=
        shop.catalog.find_of("shop", "grant", "1")->sha256());
}
