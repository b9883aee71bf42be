// Which cycle a request is for.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;
using Outcome_ = Reply::Outcome;

TEST_CASE("a request names no cycle the task does not have: a once task is rewarded once") {
  Shop shop("<task id='t' complete='manual'><on event='paid'/>" + stage(1, 10) + "</task>");
  for (const auto* cycle : {"", "-2", "bogus", "D:9999-99-99", "a/b", "x/t2/-"}) {
    auto request = shop.request("t");
    request.cycle = cycle;
    const auto reply = shop.center->complete(request);
    if (request.cycle.empty()) {
      CHECK(reply.value().outcome == Outcome_::done);
    } else {
      CHECK(reply.error().code == ErrorCode::invalid_argument);
    }
  }
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("a task is begun in the cycle of the time asked for, under no other name and in no other one") {
  Shop shop("<task id='t' period='day' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "</task><task id='c' period='day' complete='manual'><on event='paid'/>" + stage(2, 10) +
            "</task>");
  const auto asked = [&](std::string task, std::string cycle) {
    auto request = shop.request(task);
    request.at = at("2024-03-10T12:00:00Z");
    request.cycle = std::move(cycle);
    return request;
  };
  CHECK(shop.center->claim(asked("t", "x/y/z")).error().code == ErrorCode::invalid_argument);
  CHECK(shop.center->explain(asked("t", "W:2024-10")).error().code == ErrorCode::invalid_argument);
  const auto early = shop.center->claim(asked("t", "D:2024-03-11")).value();
  CHECK(early.outcome == Outcome_::not_eligible);
  CHECK(early.causes.at(0).code == "not_started");
  CHECK(early.causes.at(0).changes_at == at("2024-03-11T00:00:00Z"));
  CHECK(shop.center->claim(asked("t", "D:2024-03-09")).value().outcome == Outcome_::late);
  CHECK(shop.center->complete(asked("c", "D:2024-03-11")).value().outcome == Outcome_::not_eligible);
  CHECK(shop.center->claim(asked("t", "D:2024-03-10")).value().outcome == Outcome_::done);
  CHECK(shop.granted->list().empty());
}

TEST_CASE("what was begun yesterday is completed today by its cycle's name") {
  Shop shop("<task id='t' period='day' complete='manual'><on event='paid'/>" + stage(2, 10) + "</task>");
  shop.report(shop.event());
  auto request = shop.request("t");
  request.at = at("2024-03-11T12:00:00Z");
  request.cycle = "D:2024-03-10";
  CHECK(shop.center->complete(request).value().outcome == Outcome_::done);
  CHECK(shop.granted->list() == Lines{"ann/t/D:2024-03-10/1=10"});
}
