// What a dry replay says and does not do.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;

TEST_CASE("forced on for all users, dry and not, says the same of units that are gone") {
  Shop shop("<task id='t' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='claim' hold='1m'/></task>");
  shop.center->claim(shop.request("t", "ann")).value();
  shop.center->abandon(shop.request("t", "ann")).value();
  shop.center->claim(shop.request("t", "bob")).value();
  ReplayRequest request{.merchant = "shop", .force = true, .actor = "ops", .reason = "why", .dry_run = true};
  const auto dry = shop.center->replay(request).value();
  request.dry_run = false;
  const auto real = shop.center->replay(request).value();
  CHECK(real.refused.size() == 1);
  CHECK(dry.refused.size() == real.refused.size());
}
