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

TEST_CASE("the same key is for the same cycle, also the day after [task-2]") {
  Shop shop("<task id='t' period='day' claim='manual' collect='manual'><on event='paid'/>" + stage(1, 10) +
            "</task><task id='c' period='day' complete='manual'><on event='paid'/>" + stage(2, 10) +
            "</task>");
  const auto claim = shop.request("t");
  const auto complete = shop.request("c");
  const auto abandon = shop.request("t");
  const auto collect = shop.request("t");
  const auto ask = [&] {
    return std::vector{shop.center->claim(claim).value(), shop.center->complete(complete).value(), [&] {
                         auto event = shop.event();
                         event.at = shop.clock.now();
                         shop.report(event);
                         return shop.center->collect(collect).value();
                       }()};
  };
  const auto first = ask();
  shop.clock.advance(std::chrono::hours(24));
  const auto again = ask();
  for (std::size_t i = 0; i < first.size(); ++i) {
    INFO("request " << i);
    CHECK(first[i].outcome == Outcome_::done);
    CHECK(again[i].replayed);
    CHECK(again[i].cycle == first[i].cycle);
    REQUIRE(again[i].view.has_value());
    CHECK(again[i].view->cycle == first[i].cycle);
  }
  CHECK(shop.granted->list().size() == 2);
}

TEST_CASE("a task that migrates goes on with its new version from the next request on") {
  const auto v = [](std::string version, int target) {
    return "<task id='t' version='" + version + "' on-update='migrate' complete='manual'><on event='paid'/>" +
           stage(target, 10) + "</task>";
  };
  Shop shop(v("1", 5));
  shop.report(shop.event());
  shop.center->publish(shop.campaign(v("2", 3))).value();
  const auto reply = shop.center->complete(shop.request("t")).value();
  CHECK(reply.view->version == "2");
  CHECK(reply.view->progress == 3);
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("times outside the calendar are refused in requests and pages as in events") {
  for (const auto* period : {"period='day'", "period='week'", "period='month'", "period='rolling' every='7d'",
                             "period='fixed' every='7d' starts='2024-01-01T00:00:00Z'"}) {
    Shop shop("<task id='t' " + std::string(period) + " claim='manual'><on event='paid'/>" + stage(1, 10) +
              "</task>");
    for (const auto when :
         {Timestamp::max(), Timestamp::min(), at("1899-12-31T23:59:59Z"), at("2100-01-01T00:00:00Z")}) {
      auto request = shop.request("t");
      request.at = when;
      INFO(period << " at " << when.time_since_epoch().count());
      CHECK(shop.center->claim(request).error().code == ErrorCode::invalid_argument);
      CHECK(shop.center->explain(request).error().code == ErrorCode::invalid_argument);
      CHECK(shop.center->list({"shop", "ann", when}).error().code == ErrorCode::invalid_argument);
    }
    auto request = shop.request("t");
    request.at = at("2099-12-31T23:59:59Z");
    CHECK(shop.center->claim(request).has_value());
  }
}

TEST_CASE("an event's id and a request's key never meet") {
  Shop shop("<task id='t' complete='manual'><on event='paid'/>" + stage(1, 10) + "</task>");
  auto event = shop.event();
  event.id = "complete:r1";
  CHECK(shop.center->report(event).error().code == ErrorCode::invalid_argument);
  CHECK(shop.center->report_async(event).error().code == ErrorCode::invalid_argument);
  CHECK(shop.center->complete({"shop", "ann", "t", "r1"}).value().outcome == Outcome_::done);
}

TEST_CASE("a user's rolling cycles begin with the first event that counts, also within one report_many") {
  Shop shop("<task id='t' period='rolling' every='72h' late='1h'><on event='paid'/>" + stage(9, 1) +
            "</task>");
  shop.clock.set(at("2024-03-10T12:00:00Z"));
  const Event events[] = {shop.event({}, "2024-03-06T18:00:00Z"), shop.event({}, "2024-03-10T11:00:00Z"),
                          shop.event({}, "2024-03-10T11:30:00Z")};
  const auto answers = shop.center->report_many(events);
  CHECK(answers[0].value().skipped.at(0).reason == "late");
  CHECK(answers[1].value().contributions.at(0).cycle == "R:2024-03-10T11:00:00Z");
  CHECK(answers[2].value().contributions.at(0).cycle == "R:2024-03-10T11:00:00Z");
}
