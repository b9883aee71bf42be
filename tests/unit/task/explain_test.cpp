// Every cause of a refusal, and when it changes.
#include "desk.hpp"

#include "support/catch.hpp"

#include <date/date.h>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

/// "<code>", or "<code> <time>" where it changes by itself.
Lines causes(Shop& shop, const std::string& task, std::string_view time, const std::string& user = "ann",
             const std::string& cycle = {}) {
  Request request{"shop", user, task, ""};
  request.at = at(time);
  request.cycle = cycle;
  Lines found;
  const auto explained = shop.center->explain(request).value();
  for (const auto& cause : explained.causes)
    found.push_back(cause.code + (cause.changes_at
                                      ? " " + date::format("%FT%TZ", std::chrono::floor<std::chrono::seconds>(
                                                                         *cause.changes_at))
                                      : ""));
  return found;
}
std::string message(Shop& shop, const std::string& task, std::string_view time, std::string_view code) {
  Request request{"shop", "ann", task, ""};
  request.at = at(time);
  const auto explained = shop.center->explain(request).value();
  for (const auto& cause : explained.causes)
    if (cause.code == code) return cause.message;
  return {};
}

}  // namespace

TEST_CASE("a window says when it begins, and that nothing comes after its end [task-76]") {
  Shop shop(
      "<task id='t' period='day' claim='manual' starts='2024-03-10T06:00:00Z' ends='2024-03-12T00:00:00Z'>"
      "<on event='paid'/>" +
      stage(2, 1) + "</task>");
  CHECK(causes(shop, "t", "2024-03-10T05:00:00Z") == Lines{"not_started 2024-03-10T06:00:00Z"});
  CHECK(causes(shop, "t", "2024-03-10T06:00:00Z") == Lines{});
  CHECK(causes(shop, "t", "2024-03-12T00:00:00Z") == Lines{"ended"});
  CHECK(causes(shop, "t", "2024-03-10T12:00:00Z", "ann", "D:2024-03-11") ==
        Lines{"not_started 2024-03-11T00:00:00Z"});
  CHECK(causes(shop, "t", "2024-03-11T12:00:00Z", "ann", "D:2024-03-10") == Lines{"ended"});
}

TEST_CASE("what the user has is his until the next cycle; in the last one for good [task-76]") {
  Shop shop(
      "<task id='t' period='day' claim='manual' per-user='2' ends='2024-03-12T00:00:00Z'><on event='paid'/>" +
      stage(2, 1) + "</task>");
  const auto claim = [&](std::string_view time) {
    auto request = shop.request("t");
    request.at = at(time);
    CHECK(shop.center->claim(request).value().outcome == Reply::Outcome::done);
  };
  claim("2024-03-10T12:00:00Z");
  CHECK(causes(shop, "t", "2024-03-10T13:00:00Z") == Lines{"wrong_state 2024-03-11T00:00:00Z"});
  claim("2024-03-11T12:00:00Z");
  CHECK(causes(shop, "t", "2024-03-11T13:00:00Z") == Lines{"limit", "wrong_state"});
  CHECK(message(shop, "t", "2024-03-11T13:00:00Z", "limit").find("over all cycles") != std::string::npos);
}

TEST_CASE(
    "what comes first is named with where it stands; a cycle that is lost says when the next one begins") {
  Shop shop("<task id='first' period='day' complete='manual'><on event='paid'/>" + stage(2, 1) +
            "</task><task id='soon' starts='2024-03-20T00:00:00Z'><on event='paid'/>" + stage(1, 1) +
            "</task><task id='t' claim='manual' after='first soon'><on event='x'/>" + stage(1, 1) +
            "</task>");
  const auto noon = "2024-03-10T12:00:00Z";
  CHECK(causes(shop, "t", noon) == Lines{"prerequisite", "prerequisite 2024-03-20T00:00:00Z"});
  CHECK(message(shop, "t", noon, "prerequisite") == "\"first\" comes first: it is not taken");
  shop.report(shop.event());
  CHECK(message(shop, "t", noon, "prerequisite") == "\"first\" comes first: it is in_progress");
  auto abandon = shop.request("first");
  abandon.at = at(noon);
  shop.center->abandon(abandon).value();
  CHECK(message(shop, "t", noon, "prerequisite") == "\"first\" comes first: it is terminated");
  CHECK(causes(shop, "t", noon) ==
        Lines{"prerequisite 2024-03-11T00:00:00Z", "prerequisite 2024-03-20T00:00:00Z"});
  // Used-up attempts can be pushed on in this cycle.
  shop.granted->unknown = true;
  shop.report(shop.event({}, "2024-03-11T10:00:00Z"));
  shop.report(shop.event({}, "2024-03-11T11:00:00Z"));
  for (int i = 0; i < 60 && shop.view("first", "D:2024-03-11").status == Status::rewarding; ++i)
    shop.settle();
  CHECK(shop.view("first", "D:2024-03-11").status == Status::terminated);
  CHECK(causes(shop, "t", "2024-03-11T12:00:00Z") ==
        Lines{"prerequisite", "prerequisite 2024-03-20T00:00:00Z"});
}

TEST_CASE("the audience depends on the profile, a quota's units come back with its next period") {
  for (const auto& [per, next] : {std::pair{"day", " 2024-03-14T00:00:00Z"},
                                  {"week", " 2024-03-18T00:00:00Z"},
                                  {"month", " 2024-04-01T00:00:00Z"},
                                  {"once", ""}}) {
    Shop shop("<task id='t' period='day' claim='manual' audience='profile.level &gt; 1'><on event='paid'/>" +
              stage(1, 1) + "<quota limit='1' at='claim' per='" + per + "'/></task>");
    shop.profiles["bob"].attributes = Map{{"level", 2}};
    auto request = shop.request("t", "bob");
    request.at = at("2024-03-13T12:00:00Z");
    CHECK(shop.center->claim(request).value().outcome == Reply::Outcome::done);
    CHECK(causes(shop, "t", "2024-03-13T12:00:00Z") == Lines{"audience", std::string("out_of_stock") + next});
    CHECK(message(shop, "t", "2024-03-13T12:00:00Z", "audience").find("profile") != std::string::npos);
  }
}

TEST_CASE("a cycle whose grace is over is late: told by explain, refused by claim and complete [task-31]") {
  Shop shop("<task id='t' period='day' claim='manual' late='2h'><on event='paid'/>" + stage(2, 1) +
            "</task><task id='c' period='day' late='2h' complete='manual'><on event='x'/>" + stage(2, 1) +
            "</task>");
  shop.clock.set(at("2024-03-11T01:59:59Z"));
  CHECK(causes(shop, "t", "2024-03-10T23:00:00Z") == Lines{});
  shop.clock.set(at("2024-03-11T02:00:00Z"));
  CHECK(causes(shop, "t", "2024-03-10T23:00:00Z") == Lines{"late"});
  CHECK(causes(shop, "t", "2024-03-11T01:00:00Z") == Lines{});
  for (const auto* task : {"t", "c"}) {
    auto request = shop.request(task);
    request.at = at("2024-03-10T23:00:00Z");
    const auto reply = (*task == 't' ? shop.center->claim(request) : shop.center->complete(request)).value();
    CHECK(to_string(reply.outcome) == "late");
    CHECK(reply.causes.at(0).code == "late");
    CHECK(shop.view(task, "D:2024-03-10").status == Status::not_taken);
  }
  // Begun in time, the cycle is late all the same once its grace is over.
  auto request = shop.request("t", "bob");
  request.at = at("2024-03-11T23:00:00Z");
  shop.center->claim(request).value();
  shop.clock.set(at("2024-03-12T02:00:00Z"));
  CHECK(causes(shop, "t", "2024-03-11T23:30:00Z", "bob") ==
        Lines{"late", "wrong_state 2024-03-12T00:00:00Z"});
}

TEST_CASE("a task that is paused says so, one that is scheduled says when it goes online") {
  Desk desk;
  desk.online("t", "1", 2);
  desk.admin->pause(desk.mia, "t", "1", "stock").value();
  const auto now = "2024-03-10T12:00:00Z";
  CHECK(causes(desk.shop, "t", now) == Lines{"not_online"});
  CHECK(message(desk.shop, "t", now, "not_online") == "the merchant has paused it");
  desk.approved("t", "2", 3);
  desk.admin->schedule(desk.mia, "t", "2", at("2024-03-12T08:00:00Z")).value();
  CHECK(causes(desk.shop, "t", now) == Lines{"not_online 2024-03-12T08:00:00Z"});
  desk.admin->put_online(desk.mia, "t", "2").value();
  CHECK(causes(desk.shop, "t", now) == Lines{});
}
