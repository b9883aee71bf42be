// The cookbook of docs/task-centre.md, compiled and played; and that the page shows what is tested here.
#include "support.hpp"

#include "support/catch.hpp"

#include <fstream>
#include <sstream>

using namespace task_test;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(std::string(ONCEWARD_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("the page of the task centre shows the tested cookbook and the table of moves") {
  const auto page = text_of("docs/task-centre.md");
  const auto cookbook = text_of("tests/unit/task/cookbook.xml");
  REQUIRE_FALSE(cookbook.empty());
  CHECK(page.find(cookbook) != std::string::npos);
  CHECK(page.find(moves_to_dot()) != std::string::npos);
}

TEST_CASE("the cookbook does what it says") {
  Shop shop;
  shop.center
      ->publish(compile_campaign_xml(text_of("tests/unit/task/cookbook.xml"), "cookbook.xml", shop.registry)
                    .value())
      .value();
  const auto send = [&](std::string type, Map attributes, std::string user = "ann", int day = 1) {
    Event event{"gifts-uk",
                "e" + std::to_string(++shop.next_id),
                std::move(user),
                std::move(type),
                at("2024-03-01T12:00:00Z") + std::chrono::days(day - 1),
                std::move(attributes)};
    shop.report(event);
    return event;
  };
  for (int day = 1; day <= 8; ++day) {
    if (day != 4) send("user.signed-in", {}, "ann", day);
  }
  send("order.paid", {{"amount_pence", 2000}});
  const auto order = send("order.paid", {{"amount_pence", 10000}});
  Event refund{"gifts-uk", "r1", "ann", "order.refunded", order.at};
  refund.reverses = order.id;
  shop.report(refund);
  for (const auto* friend_ : {"bob", "cid", "dan"})
    send("order.paid", {{"amount_pence", 1}, {"inviter", "ann"}}, friend_);
  shop.profiles["eve"].attributes = Map{{"has_birthday", true}};
  send("user.birthday", {}, "eve");
  const Request collect{"gifts-uk", "eve", "birthday", "k", "F:2024-01-01T00:00:00Z"};
  CHECK(shop.center->collect(collect).value().outcome == Reply::Outcome::done);
  CHECK(shop.granted->list() ==
        std::vector<std::string>{"ann/first-purchase/-/1=50", "ann/invite/-/1=300",
                                 "ann/sign-in/M:2024-03/1=70", "ann/spend/M:2024-03/1=-100",
                                 "ann/spend/M:2024-03/1=100", "eve/birthday/F:2024-01-01T00:00:00Z/1=20"});
}
