// Events that report_async stores.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;
using testing::FaultyStorage;

namespace {

std::string adds(std::string_view version, std::string_view what) {
  return "<task id='t' version='" + std::string(version) + "'><on event='paid' add='event." +
         std::string(what) + "'/>" + stage(1, 10) + "</task>";
}

}  // namespace

TEST_CASE("a stored event that was refused is applied once the task is mended and it is sent again") {
  Shop shop(adds("1", "n"));
  const auto event = shop.event({{"m", 1}});
  const auto ticket = shop.center->report_async(event).value();
  shop.center->work().value();
  CHECK(shop.center->receipt(ticket).error().code == ErrorCode::invalid_argument);
  shop.center->publish(shop.campaign(adds("2", "m"))).value();
  shop.settle();
  CHECK(shop.progress("t", "-") == 0);  // by nobody but who sends it again
  CHECK(shop.center->report_async(event).has_value());
  CHECK_FALSE(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.center->report_async(event).has_value());
  shop.settle();
  CHECK(shop.progress("t", "-") == 1);
  CHECK(shop.center->receipt(ticket).value().value().grants.size() == 1);
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("a stored event that was refused is mended under the same id, stored or reported") {
  Shop shop(adds("1", "n"));
  const auto event = shop.event({{"m", 1}});
  const auto ticket = shop.center->report_async(event).value();
  shop.center->work().value();
  auto mended = event;
  mended.attributes = Map{{"n", 1}};
  SECTION("stored") { CHECK(shop.center->report_async(mended).has_value()); }
  SECTION("reported") { CHECK(shop.center->report(mended).has_value()); }
  shop.settle();
  CHECK(shop.progress("t", "-") == 1);
  CHECK(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.center->report_async(event).error().code == ErrorCode::conflict);
  CHECK(shop.center->report_async(mended).has_value());
  shop.settle();
  CHECK(shop.progress("t", "-") == 1);
}

TEST_CASE("a stored event's id is taken: the same id with another content is a conflict [task-56]") {
  Shop shop(adds("1", "n"));
  const auto event = shop.event({{"n", 1}});
  const auto ticket = shop.center->report_async(event).value();
  auto other = event;
  other.attributes = Map{{"n", 50}};
  CHECK(shop.center->report(other).error().code == ErrorCode::conflict);
  CHECK(shop.center->report_async(other).error().code == ErrorCode::conflict);
  SECTION("applied by work") {}
  SECTION("applied by who reports the same one before") {
    const auto receipt = shop.report(event);
    CHECK_FALSE(receipt.duplicate);
    CHECK(receipt.grants.size() == 1);
  }
  shop.settle();
  CHECK(shop.progress("t", "-") == 1);
  CHECK(shop.report(event).duplicate);
  CHECK(shop.center->report(other).error().code == ErrorCode::conflict);
  CHECK(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
  CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
}

TEST_CASE("what is taken back while its event is stored contributes nothing") {
  Shop shop(adds("1", "n"));
  const auto event = shop.event({{"n", 5}});
  auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  refund.reverses = event.id;
  const auto ticket = shop.center->report_async(event).value();
  shop.report(refund);
  CHECK(shop.center->report_async(event).has_value());
  auto other = event;
  other.attributes = Map{{"n", 50}};
  CHECK(shop.center->report(other).error().code == ErrorCode::conflict);
  shop.settle();
  CHECK(shop.progress("t", "-") == 0);
  CHECK(shop.center->receipt(ticket).value().value().contributions.empty());
}

TEST_CASE("a crash at any write: a stored event is applied or refused once, and its id is held or free") {
  for (std::size_t skip = 0; skip < 6; ++skip) {
    INFO("died at commit " << skip);
    Shop shop(adds("1", "n"));
    const auto good = shop.event({{"n", 1}});
    const auto bad = shop.event({{"m", 1}}, "2024-03-10T12:00:00Z", "bob");
    shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt, 1,
                            skip);
    (void)shop.center->report_async(good);
    (void)shop.center->report_async(bad);
    (void)shop.center->work();
    shop.storage.heal();
    shop.restart();
    shop.center->publish(shop.campaign(adds("1", "n"))).value();
    const auto first = shop.center->report_async(good).value();
    const auto second = shop.center->report_async(bad).value();
    shop.settle();
    CHECK(shop.center->receipt(first).value().has_value());
    CHECK(shop.center->receipt(second).error().code == ErrorCode::invalid_argument);
    auto mended = bad;
    mended.attributes = Map{{"n", 1}};
    CHECK_FALSE(shop.report(mended).duplicate);
    shop.settle();
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "bob/t/-/1=10"});
  }
}

TEST_CASE("a refused event is kept with its reason for a while, and is gone then") {
  Shop shop(adds("1", "n") + "<task id='i'><on event='first' credit='event.inviter' add='event.n'/>" +
            stage(1, 10) + "</task>");
  const auto ticket = shop.center->report_async(shop.event({{"m", 1}})).value();
  shop.settle();
  const auto todos = [&](const char* user) {
    return shop.memory->scan(std::string("shop/user/") + user, "todo/", "", 10).value().records.size();
  };
  CHECK(todos("ann") == 1);
  shop.clock.advance(std::chrono::hours(24 * 29));
  CHECK(shop.center->receipt(ticket).error().code == ErrorCode::invalid_argument);
  shop.clock.advance(std::chrono::hours(48));
  CHECK(todos("ann") == 0);
  CHECK_FALSE(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.center->work().value().taken == 0);
}

TEST_CASE("a refused event that is sent again mended does not end with the refusal's time") {
  Shop shop(adds("1", "n"));
  const auto event = shop.event({{"m", 1}});
  shop.center->report_async(event).value();
  shop.center->work().value();
  auto mended = event;
  mended.attributes = Map{{"n", 1}};
  const auto ticket = shop.center->report_async(mended).value();
  shop.clock.advance(std::chrono::hours(24 * 365));  // nobody worked for a year
  shop.settle();
  CHECK(shop.center->receipt(ticket).value()->grants.size() == 1);
}
