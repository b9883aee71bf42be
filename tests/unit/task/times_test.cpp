// Deadlines, graces, a user's own cycles, streaks that forgive.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;
using Lines = std::vector<std::string>;

TEST_CASE("a late event counts inside the grace, and is told to be late after it [task-30] [task-31]") {
  testing::RecordedJournal journal;
  Shop shop("<task id='day' period='day' late='2h'><on event='paid'/>" + stage(9, 1) + "</task>", "UTC",
            &journal);
  shop.clock.set(at("2024-03-11T01:59:59Z"));
  CHECK(shop.report(shop.event({}, "2024-03-10T23:00:00Z")).contributions.at(0).cycle == "D:2024-03-10");
  shop.clock.set(at("2024-03-11T02:00:00Z"));
  const auto late = shop.event({}, "2024-03-10T23:30:00Z");
  CHECK(shop.report(late).skipped == std::vector<Skipped>{{"day", "D:2024-03-10", "late"}});
  CHECK(shop.report(late).skipped.size() == 1);
  CHECK(shop.progress("day", "D:2024-03-10") == 1);
  CHECK(journal.lines().back().reason == "late");
  shop.center->work().value();
  CHECK(shop.view("day", "D:2024-03-10").status == Status::expired);
}

TEST_CASE("the cycle is chosen by the event's time, not by the node's clock [task-29]") {
  Shop shop("<task id='day' period='day'><on event='paid'/>" + stage(9, 1) + "</task>");
  shop.clock.set(at("2024-03-11T00:04:00Z"));  // five minutes ahead
  CHECK(shop.report(shop.event({}, "2024-03-10T23:59:00Z")).contributions.at(0).cycle == "D:2024-03-10");
}

TEST_CASE("one freeze forgives one missed day of a streak; two missed begin it anew [task-32]") {
  Shop shop("<task id='habit'><on event='in' streak='day' freeze='1'/>" + stage(7, 1) + "</task>");
  const auto on = [&](int day) {
    auto event = shop.event({}, "2024-03-01T10:00:00Z", "ann", "in");
    event.at += std::chrono::days(day - 1);
    return shop.report(event);
  };
  for (int day = 1; day <= 4; ++day) on(day);
  for (int day = 6; day <= 7; ++day) on(day);  // missed the fifth
  CHECK(shop.view("habit", "-").run == 6);
  CHECK(on(8).grants.size() == 1);
  on(10);  // missed the ninth: the freeze is used up
  CHECK(shop.view("habit", "-").run == 1);
  on(13);  // missed two
  CHECK(shop.view("habit", "-").run == 1);
  CHECK(shop.progress("habit", "-") == 7);
}

TEST_CASE("one more day never makes a streak shorter, whichever way it is told") {
  Shop shop("<task id='t' collect='manual'><on event='in' streak='day' freeze='1'/>" + stage(4, 10) +
            "</task>");
  const auto in = [&](const char* day) {
    shop.report(shop.event({}, "2024-03-" + std::string(day) + "T12:00:00Z", "ann", "in"));
  };
  for (const auto* day : {"03", "05", "06", "07"}) in(day);
  CHECK(shop.view("t", "-").progress == 4);
  CHECK(shop.view("t", "-").status == Status::completed);
  in("01");
  CHECK(shop.view("t", "-").progress == 4);
  CHECK(shop.view("t", "-").run == 3);  // told in order the second was frozen, and the fourth missed
  CHECK(shop.view("t", "-").status == Status::completed);
  in("09");  // the freeze goes to either gap: 3 to 7, or 5 to 9
  CHECK(shop.view("t", "-").progress == 4);
  CHECK(shop.view("t", "-").run == 4);
  in("04");
  CHECK(shop.view("t", "-").progress == 6);  // 3 to 9 without the 8th
}

TEST_CASE("streaks of all sets of ten days only grow by one day more") {
  for (int freeze = 0; freeze < 3; ++freeze) {
    const auto longest = [&](unsigned days) {
      int best = 0;
      for (int first = 0; first < 10; ++first) {
        int missed = 0;
        int run = 0;
        for (int day = first; day < 10 && missed <= freeze; ++day) {
          if ((days >> day & 1U) == 0) {
            ++missed;
          } else if (++run > best && (days >> first & 1U) != 0) {
            best = run;
          }
        }
      }
      return best;
    };
    Shop shop("<task id='t'><on event='in' streak='day' freeze='" + std::to_string(freeze) + "'/>" +
              stage(100, 10) + "</task>");
    for (unsigned days = 1; days < 1024; ++days) {
      const auto user = "u" + std::to_string(days);
      // The later half first, so that days come before those that are known.
      for (int i = 0; i < 10; ++i) {
        const int day = (i + 5) % 10;
        if ((days >> day & 1U) != 0)
          shop.report(shop.event({}, "2024-03-" + std::to_string(10 + day) + "T12:00:00Z", user, "in"));
      }
      INFO("days " << days << ", freeze " << freeze);
      REQUIRE(shop.progress("t", "-", user) == longest(days));
    }
  }
}

TEST_CASE("a task in the user's zone counts the days of a streak in it, as it was when he began") {
  Shop shop("<task id='t' zone='user'><on event='in' streak='day'/>" + stage(3, 10) + "</task>");
  shop.profiles["ann"].timezone = "Asia/Shanghai";
  // 23:30 on the 10th and 00:30 on the 11th in Shanghai: two days; one in UTC.
  shop.report(shop.event({}, "2024-03-10T15:30:00Z", "ann", "in"));
  const auto second = shop.event({}, "2024-03-10T16:30:00Z", "ann", "in");
  shop.report(second);
  CHECK(shop.progress("t", "-") == 2);
  shop.profiles["ann"].timezone = "UTC";
  shop.report(shop.event({}, "2024-03-11T16:30:00Z", "ann", "in"));  // the 12th in Shanghai
  CHECK(shop.progress("t", "-") == 3);
  auto refund = shop.event({}, "2024-03-13T12:00:00Z", "ann", "out");
  refund.reverses = second.id;
  shop.report(refund);
  CHECK(shop.progress("t", "-") == 1);
}

TEST_CASE("an event in the grace of a day forgives the day before it") {
  Shop shop("<task id='habit'><on event='paid' streak='day' grace='3h'/>" + stage(9, 1) + "</task>");
  shop.report(shop.event({}, "2024-03-10T10:00:00Z"));
  shop.report(shop.event({}, "2024-03-12T02:59:59Z"));  // of the eleventh's late evening
  CHECK(shop.view("habit", "-").run == 2);
  shop.report(shop.event({}, "2024-03-14T03:00:00Z"));
  CHECK(shop.view("habit", "-").run == 1);
}

TEST_CASE("rolling cycles begin at the user's own start") {
  Shop shop("<task id='trial' period='rolling' every='7d'><on event='paid'/>" + stage(2, 1) + "</task>");
  shop.report(shop.event({}, "2024-03-10T11:20:00Z"));
  CHECK(shop.report(shop.event({}, "2024-03-17T11:19:59Z")).grants.at(0).cycle == "R:2024-03-10T11:20:00Z");
  CHECK(shop.report(shop.event({}, "2024-03-17T11:20:00Z")).contributions.at(0).cycle ==
        "R:2024-03-17T11:20:00Z");
  CHECK(shop.report(shop.event({}, "2024-03-10T11:19:00Z")).contributions.at(0).cycle ==
        "R:2024-03-03T11:20:00Z");
  const auto one_call = std::vector<Event>{shop.event({}, "2024-05-01T00:00:00Z", "bob"),
                                           shop.event({}, "2024-05-07T23:00:00Z", "bob")};
  CHECK(shop.center->report_many(one_call)[1]->grants.at(0).cycle == "R:2024-05-01T00:00:00Z");
}

TEST_CASE("cycles follow the user's zone as it was when the user began") {
  Shop shop("<task id='day' period='day' zone='user'><on event='paid'/>" + stage(9, 1) + "</task>");
  shop.profiles["ann"].timezone = "Asia/Shanghai";
  CHECK(shop.report(shop.event({}, "2024-03-10T16:30:00Z")).contributions.at(0).cycle == "D:2024-03-11");
  shop.profiles["ann"].timezone = "America/New_York";  // moved
  CHECK(shop.report(shop.event({}, "2024-03-11T16:30:00Z")).contributions.at(0).cycle == "D:2024-03-12");
  CHECK(shop.report(shop.event({}, "2024-03-10T16:30:00Z", "bob")).contributions.at(0).cycle ==
        "D:2024-03-10");
  const auto page = shop.center->list({"shop", "ann", at("2024-03-11T16:30:00Z")}).value();
  CHECK(page.entries.at(0).cycle == "D:2024-03-12");
  CHECK(page.entries.at(0).view.value().progress == 1);
}

TEST_CASE("what is not completed in its time expires; what is not collected as well [task-29]") {
  Shop shop("<task id='quick' claim='manual' within='1h'><on event='paid'/>" + stage(2, 1) +
            "</task><task id='gift' collect='manual' collect-within='1d'><on event='came'/>" + stage(1, 1) +
            "<quota limit='1'/></task>");
  shop.clock.set(at("2024-03-10T12:00:00Z"));
  shop.center->claim(shop.request("quick")).value();
  shop.report(shop.event({}, "2024-03-10T12:30:00Z"));
  CHECK(shop.report(shop.event({}, "2024-03-10T13:00:00Z")).skipped.at(0).reason == "ended");
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "came"));
  shop.clock.set(at("2024-03-10T13:00:00Z"));
  shop.restart();  // the process that knew of them is gone
  shop.center
      ->publish(
          shop.campaign("<task id='quick' claim='manual' within='1h'><on event='paid'/>" + stage(2, 1) +
                        "</task><task id='gift' collect='manual' collect-within='1d'><on event='came'/>" +
                        stage(1, 1) + "<quota limit='1'/></task>"))
      .value();
  CHECK(shop.center->work().value().taken > 0);
  CHECK(shop.view("quick", "-").status == Status::expired);
  CHECK(shop.view("gift", "-").status == Status::completed);
  shop.clock.set(at("2024-03-11T12:00:00Z"));
  CHECK(shop.center->collect(shop.request("gift")).value().outcome == Reply::Outcome::late);
  shop.settle();
  CHECK(shop.view("gift", "-").status == Status::expired);
  CHECK(shop.view("gift", "-").reason == "not_collected");
  CHECK(read_one(*shop.memory, "shop/quota/gift", "count/-").value()->value == "0");
  CHECK(shop.granted->list().empty());
}

TEST_CASE("a new version that migrates takes its users along with what they have") {
  Shop shop("<task id='buy' version='1'><on event='paid'/>" + stage(5, 10) + "</task>");
  for (int i = 0; i < 3; ++i) shop.report(shop.event());
  shop.center
      ->publish(shop.campaign("<task id='buy' version='2' on-update='migrate'><on event='paid'/>" +
                              stage(4, 20) + "</task>"))
      .value();
  CHECK(shop.report(shop.event()).grants.size() == 1);
  CHECK(shop.view("buy", "-").version == "2");
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=20"});
}

TEST_CASE("a rule of an older version refuses the events of those alone who work on that version") {
  const auto v = [](std::string version, std::string attribute) {
    return "<task id='t' version='" + version + "'><on event='paid' add='event." + attribute + "'/>" +
           stage(9, 10) + "</task>";
  };
  Shop shop(v("1", "n"));
  shop.report(shop.event({{"n", 1}}));
  shop.center->publish(shop.campaign(v("2", "m"))).value();
  CHECK(shop.center->report(shop.event({{"m", 1}})).error().code == ErrorCode::unknown_name);
  shop.report(shop.event({{"m", 1}}, "2024-03-10T12:00:00Z", "bob"));
  CHECK(shop.progress("t", "-") == 1);
  CHECK(shop.progress("t", "-", "bob") == 1);
}

TEST_CASE("a user may take a task so often") {
  Shop shop("<task id='day' period='day' per-user='2'><on event='paid'/>" + stage(1, 1) + "</task>");
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z")).grants.size() == 1);
  CHECK(shop.report(shop.event({}, "2024-03-11T12:00:00Z")).grants.size() == 1);
  CHECK(shop.report(shop.event({}, "2024-03-12T12:00:00Z")).skipped.at(0).reason == "limit");
}

TEST_CASE("nobody completes a task that is over or not offered, also where it began before") {
  const auto other = "<task id='u'><on event='x'/>" + stage(5, 10) + "</task>";
  const auto both = "<task id='t' complete='manual' ends='2030-01-01T00:00:00Z'><on event='paid'/>" +
                    stage(5, 10) + "</task>";
  Shop shop(both + other);
  shop.report(shop.event());
  auto request = shop.request("t");
  SECTION("not offered, and offered again") {
    shop.center->publish(shop.campaign(other)).value();
    const auto reply = shop.center->complete(request).value();
    CHECK(reply.outcome == Reply::Outcome::wrong_state);
    CHECK(reply.view->progress == 1);
    CHECK(shop.granted->list().empty());
    shop.center->publish(shop.campaign(both + other)).value();
    CHECK(shop.center->complete(request)->outcome == Reply::Outcome::done);
    CHECK(shop.granted->list().size() == 1);
    // What was done is replayed, whatever became of the task.
    shop.center->publish(shop.campaign(other)).value();
    CHECK(shop.center->complete(request)->replayed);
  }
  SECTION("over") {
    request.at = at("2031-01-01T00:00:00Z");
    CHECK(shop.center->complete(request)->outcome == Reply::Outcome::wrong_state);
    CHECK(shop.granted->list().empty());
  }
}

TEST_CASE("an event in its time counts, whenever the timers were looked at") {
  Shop shop("<task id='t' within='1h'><on event='paid'/>" + stage(2, 10) + "</task>");
  const auto paid = [&](Timestamp time, std::string user) {
    auto event = shop.event({}, "2024-03-10T12:00:00Z", std::move(user));
    event.at = time;
    return shop.report(event);
  };
  // An import of what happened two days ago, with work() in between.
  const auto then = shop.clock.now() - std::chrono::hours(48);
  for (const auto* user : {"ann", "bob", "cid"}) paid(then, user);
  shop.center->work().value();
  CHECK(shop.view("t", "-").deadline == then + std::chrono::hours(1));
  paid(then + std::chrono::minutes(10), "ann");
  CHECK(paid(then + std::chrono::minutes(61), "bob").skipped.at(0).reason == "ended");
  shop.clock.advance(std::chrono::minutes(59));
  shop.center->work().value();
  CHECK(paid(then + std::chrono::minutes(59), "bob").grants.size() == 1);
  shop.clock.advance(std::chrono::minutes(2));
  shop.center->work().value();
  CHECK(shop.view("t", "-", "cid").status == Status::expired);
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10", "bob/t/-/1=10"});
}

TEST_CASE("a collect window ends where a refund puts the task back in progress [task-59]") {
  Shop shop("<task id='t' collect='manual' collect-within='24h'><on event='paid'/>" + stage(2, 7) +
            "</task>");
  shop.report(shop.event());
  const auto second = shop.event();
  shop.report(second);
  CHECK(shop.view("t", "-").collect_until.has_value());
  auto refund = shop.event({}, "2024-03-10T12:00:00Z", "ann", "refunded");
  refund.reverses = second.id;
  shop.report(refund);
  CHECK_FALSE(shop.view("t", "-").collect_until.has_value());
  shop.clock.advance(std::chrono::hours(25));
  shop.center->work().value();
  CHECK(shop.view("t", "-").status == Status::in_progress);
  shop.report(shop.event());
  CHECK(shop.center->collect(shop.request("t")).value().outcome == Reply::Outcome::done);
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=7"});
}

TEST_CASE("an event after the deadline counts for nobody, whether his reward waits or is issued") {
  const auto collect = GENERATE(as<std::string>(), "auto", "manual");
  Shop shop("<task id='t' within='1h' collect='" + collect + "'><on event='paid'/>" + stage(1, 10) +
            "</task>");
  const Event events[] = {shop.event(), shop.event({}, "2024-03-10T13:00:00Z")};
  const auto answers = shop.center->report_many(events);
  CHECK(answers[1].value().skipped == std::vector<Skipped>{{"t", "-", "ended"}});
  CHECK(shop.progress("t", "-") == 1);
}
