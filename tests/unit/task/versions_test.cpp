// Users go on with the version they began with: over new versions, restarts, and versions nobody knows here.
#include "support.hpp"

#include <onceward/task/task_admin.hpp>

#include "desk.hpp"
#include "support/catch.hpp"

#include <limits>

using namespace task_test;
using Lines = std::vector<std::string>;

TEST_CASE("a restart keeps users on the version they are pinned to [task-69]") {
  Desk desk;
  desk.online("t", "1", 3);
  desk.shop.report(desk.shop.event());
  desk.online("t", "2", 5);
  desk.shop.report(desk.shop.event());
  desk.restart();
  desk.admin->refresh("shop").value();
  desk.shop.report(desk.shop.event());
  CHECK(desk.shop.view("t", "-").version == "1");
  CHECK(desk.shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("a stored event of a user pinned to an older version is not lost over a restart") {
  Desk desk;
  desk.online("t", "1", 2);
  desk.shop.report(desk.shop.event());
  desk.online("t", "2", 5);
  const auto ticket = desk.shop.center->report_async(desk.shop.event()).value();
  desk.restart();
  desk.admin->refresh("shop").value();
  desk.shop.settle();
  CHECK(desk.shop.center->receipt(ticket).value()->grants.size() == 1);
  CHECK(desk.shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("what was earned of a task that is gone can be collected, refunded and ends after a restart") {
  const auto with =
      "<task id='t' collect='manual' collect-within='1h'><on event='paid'/>" + stage(1, 10) + "</task>";
  const auto without = "<task id='u'><on event='x'/>" + stage(1, 10) + "</task>";
  Shop shop(with);
  const auto order = shop.event();
  shop.report(order);
  shop.center->publish(shop.campaign(without)).value();
  shop.restart();
  shop.center->publish(shop.campaign(without)).value();
  SECTION("collected") {
    CHECK(shop.center->collect(shop.request("t"))->outcome == Reply::Outcome::done);
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
  }
  SECTION("refunded") {
    auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
    refund.reverses = order.id;
    CHECK(shop.report(refund).contributions.size() == 1);
    CHECK(shop.view("t", "-").progress == 0);
  }
  SECTION("left alone") {
    shop.clock.advance(std::chrono::hours(2));
    shop.settle();
    CHECK(shop.view("t", "-").status == Status::expired);
  }
  SECTION("it takes no events any more") {
    shop.report(shop.event());
    CHECK(shop.view("t", "-").progress == 1);
  }
}

TEST_CASE("a reward whose process died is issued after a restart without its task") {
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) + "<quota limit='1'/></task>");
  // The event's batch is durable, all that follows fails.
  shop.storage.fail_calls(testing::FaultyStorage::Call::commit, testing::FaultyStorage::Fault::before,
                          ErrorCode::unavailable, 1000, 1);
  (void)shop.center->report(shop.event());
  shop.storage.heal();
  shop.restart();
  shop.center->publish(shop.campaign("<task id='u'><on event='x'/>" + stage(1, 10) + "</task>")).value();
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
}

TEST_CASE("an older version is known with the pipelines it was last published with") {
  const auto both = [](std::string_view version) {
    return "<task id='t' version='" + std::string(version) + "'><on event='paid'/>" + stage(2, 10) +
           "</task>";
  };
  Shop shop(both("1"));
  shop.report(shop.event());
  shop.center->publish(shop.campaign(both("2"))).value();
  const auto stored = read_one(*shop.memory, "shop/definitions", "source/t/1").value();
  REQUIRE(stored);
  const auto alone = parse_campaign_xml(stored->value, "source").value();
  CHECK(alone.tasks.size() == 1);
  REQUIRE(alone.pipelines.size() == 1);
  CHECK(alone.pipelines[0].id == "grant");
  // Published again it is the same record.
  shop.center->publish(shop.campaign(both("1"))).value();
  CHECK(read_one(*shop.memory, "shop/definitions", "source/t/1").value()->revision == stored->revision);
}

namespace {

/// Another process has published version 2 of `t`, and ann began with it; `old` knows version 1 alone.
struct TwoProcesses {
  Shop shop{"<task id='t'><on event='paid'/>" + stage(5, 10) + "</task><task id='o'><on event='paid'/>" +
            stage(2, 10) + "</task>"};
  Runner runner{shop.storage, shop.catalog};
  TaskCenter old{shop.storage, shop.catalog, runner, {.lease = std::chrono::milliseconds(200)}};

  TwoProcesses() {
    old.publish(shop.campaign("<task id='t'><on event='paid'/>" + stage(5, 10) +
                              "</task><task id='o'><on event='paid'/>" + stage(2, 10) + "</task>"))
        .value();
    shop.center
        ->publish(shop.campaign("<task id='t' version='2'><on event='paid' add='event.n'/>" + stage(4, 10) +
                                "</task><task id='o'><on event='paid'/>" + stage(2, 10) + "</task>"))
        .value();
    shop.report(shop.event({{"n", 1}}));
  }
};

}  // namespace

TEST_CASE("a version that is not known here keeps no other task from counting, and its part waits for it") {
  TwoProcesses two;
  auto& shop = two.shop;
  const auto event = shop.event({{"n", 3}});
  const auto receipt = two.old.report(event).value();
  REQUIRE(receipt.contributions.size() == 1);
  CHECK(receipt.contributions[0].task == "o");
  REQUIRE(receipt.skipped.size() == 1);
  CHECK(receipt.skipped[0].reason == "not_published");
  CHECK(shop.granted->list() == Lines{"ann/o/-/1=10"});
  shop.clock.advance(std::chrono::minutes(1));
  CHECK(two.old.work().value().taken == 0);
  CHECK(shop.progress("t", "-") == 1);
  shop.settle();  // by the process that knows it
  CHECK(shop.progress("t", "-") == 4);
  CHECK(shop.granted->list() == Lines{"ann/o/-/1=10", "ann/t/-/1=10"});
  CHECK(two.old.report(event).value().duplicate);
  CHECK(shop.report(event).duplicate);
  shop.settle();
  CHECK(shop.progress("t", "-") == 4);
}

TEST_CASE("an event whose part would wait for its version is refused where it cannot be written down") {
  TwoProcesses two;
  const auto event = two.shop.event({{"n", 3}, {"x", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(two.old.report(event).error().code == ErrorCode::invalid_argument);
  two.shop.settle();
  CHECK(two.shop.progress("o", "-") == 1);
  CHECK(two.shop.progress("t", "-") == 1);
}

TEST_CASE("what waits for its version is taken back like the rest, whichever comes first") {
  TwoProcesses two;
  auto& shop = two.shop;
  const auto event = shop.event({{"n", 2}});
  auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  refund.reverses = event.id;
  two.old.report(event).value();
  SECTION("before it was applied") { two.old.report(refund).value(); }
  SECTION("after it was applied") {
    shop.settle();
    CHECK(shop.progress("t", "-") == 3);
    shop.report(refund);
  }
  shop.settle();
  CHECK(shop.progress("t", "-") == 1);
  CHECK(shop.progress("o", "-") == 1);
}

TEST_CASE("a stored event waits for a version that is not known here") {
  TwoProcesses two;
  auto& shop = two.shop;
  const auto ticket = two.old.report_async(shop.event({{"n", 3}})).value();
  two.old.work().value();
  CHECK(two.old.receipt(ticket).value().has_value());
  shop.settle();
  CHECK(shop.progress("t", "-") == 4);
}

TEST_CASE("a request to a version that is not known here is refused and told, not done halfway") {
  TwoProcesses two;
  CHECK(two.old.abandon(two.shop.request("t")).error().code == ErrorCode::not_found);
  auto refund = two.shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  refund.reverses = "e1";
  CHECK(two.old.report(refund).error().code == ErrorCode::not_found);
  const auto ticket = two.old.report_async(refund).value();
  two.old.work().value();
  CHECK_FALSE(two.old.receipt(ticket).value().has_value());  // it waits
  two.shop.settle();
  CHECK(two.shop.center->receipt(ticket).value().has_value());
  CHECK(two.shop.progress("t", "-") == 0);
  CHECK(two.shop.progress("o", "-") == 0);
}

TEST_CASE("a version whose step is gone is told to the journal, and the rest is published") {
  testing::RecordedJournal journal;
  Shop shop({}, "UTC", &journal);
  const auto text =
      "<campaign merchant='shop'><task id='t'><on event='paid'/>" + stage(5, 10) +
      "</task><pipeline id='grant'><input><param name='user'/><param name='points' type='int'/></input>"
      "<step id='points' use='gone@1'/></pipeline></campaign>";
  const auto stored = commit_one(*shop.memory, {"shop/definitions", {Operation::insert("source/t/0", text)}});
  REQUIRE(stored.value().applied());
  shop.center->publish(shop.campaign("<task id='t'><on event='paid'/>" + stage(1, 10) + "</task>")).value();
  CHECK(shop.report(shop.event()).grants.size() == 1);
  const auto lines = journal.lines();
  const auto told =
      std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.to == "unknown"; });
  REQUIRE(told != lines.end());
  CHECK(told->subject == "t/0");
  CHECK(told->reason.find("gone@1") != std::string::npos);
}

TEST_CASE("an older version that cannot compute an event refuses it to its own users alone") {
  Shop shop("<task id='t'><on event='paid' add='event.n'/>" + stage(5, 10) + "</task>");
  shop.report(shop.event({{"n", 1}}));
  const auto mended = "<task id='t' version='2'><on event='paid' add='event.m'/>" + stage(5, 10) + "</task>";
  shop.center->publish(shop.campaign(mended)).value();
  for (int process = 0; process < 2; ++process) {
    INFO("process " << process);
    CHECK(shop.report(shop.event({{"m", 5}}, "2024-03-10T12:00:00Z", "bob" + std::to_string(process)))
              .grants.size() == 1);
    const auto pinned = shop.center->report(shop.event({{"m", 5}}));
    REQUIRE_FALSE(pinned.has_value());
    CHECK(pinned.error().code == ErrorCode::unknown_name);
    CHECK(pinned.error().message.find("user \"ann\"") != std::string::npos);
    CHECK(shop.report(shop.event({{"n", 1}, {"m", 5}})).contributions.size() == 1);
    shop.restart();
    shop.center->publish(shop.campaign(mended)).value();
  }
  CHECK(shop.progress("t", "-") == 3);
}

namespace {

std::string version_of(std::string_view version, std::string_view rule, std::string_view stages,
                       std::string_view update = "migrate") {
  return "<task id='t' version='" + std::string(version) + "' on-update='" + std::string(update) +
         "' collect='manual'><on event='paid' " + std::string(rule) + "/>" + std::string(stages) + "</task>";
}

}  // namespace

TEST_CASE("a version that would take over users and cannot is refused when it is published") {
  const auto three = stage(1, 10) + stage(2, 10) + stage(3, 10);
  Shop shop(version_of("1", "distinct='event.c'", three));
  for (const auto* c : {"GB", "FR", "DE"}) shop.report(shop.event({{"c", c}}));
  CHECK(shop.center->collect(shop.request("t"))->outcome == Reply::Outcome::done);
  const auto refused = [&](const std::string& task) {
    const auto campaign = shop.campaign(task);
    CHECK(shop.center->check(campaign).error().code == ErrorCode::invalid_argument);
    const auto published = shop.center->publish(campaign);
    REQUIRE_FALSE(published.has_value());
    CHECK(published.error().code == ErrorCode::invalid_argument);
    return published.error().message;
  };
  for (int process = 0; process < 2; ++process) {
    INFO("process " << process);
    CHECK(refused(version_of("2", "distinct='event.c'", stage(1, 10))).find("more stages") !=
          std::string::npos);
    CHECK(refused(version_of("2", "streak='day' freeze='1'", three)).find("another measure") !=
          std::string::npos);
    CHECK(refused(version_of("2", "", three)).find("on-update=\"pin\"") != std::string::npos);
    // Nothing of it was stored: the version is free.
    CHECK_FALSE(read_one(*shop.memory, "shop/definitions", "task/t/2").value());
    shop.restart();  // which knows version 1 from the storage alone
  }
  shop.center->publish(shop.campaign(version_of("2", "distinct='event.c'", three + stage(4, 10)))).value();
  CHECK(shop.report(shop.event({{"c", "US"}})).grants.size() == 1);
  CHECK(shop.view("t", "-").version == "2");
  CHECK(shop.view("t", "-").grants.size() == 4);
}

TEST_CASE("an older version that comes back with more stages keeps its users from a version that has fewer") {
  Shop shop(version_of("2", "", stage(1, 10)));
  TaskCenter other(shop.storage, shop.catalog, *shop.runner);
  other.publish(shop.campaign(version_of("1", "", stage(1, 10) + stage(2, 10), "pin"))).value();
  for (int i = 0; i < 2; ++i) other.report(shop.event()).value();
  // The process with version 2 in force does not know what the other one has published since.
  CHECK(shop.report(shop.event()).skipped.at(0).reason == "not_published");
  CHECK(shop.center->abandon(shop.request("t")).error().code == ErrorCode::not_found);
  other.work().value();
  shop.clock.advance(std::chrono::minutes(1));
  other.work().value();
  CHECK(other.instance("shop", "ann", "t", "-").value()->progress == 3);
  CHECK(shop.view("t", "-").version == "1");
}

TEST_CASE("a streak of days does not become one of weeks") {
  Shop shop(version_of("1", "streak='day'", stage(2, 10)));
  const auto weeks = shop.center->publish(shop.campaign(version_of("2", "streak='week'", stage(2, 10))));
  CHECK_FALSE(weeks.has_value());
  shop.center->publish(shop.campaign(version_of("2", "streak='day' freeze='1'", stage(2, 10)))).value();
}

TEST_CASE("a reward is shown once over versions that collect by hand and by themselves") {
  const auto v = [](std::string_view version, std::string_view collect) {
    return "<task id='t' version='" + std::string(version) + "' on-update='migrate' collect='" +
           std::string(collect) + "'><on event='paid'/>" + stage(1, 10) + stage(3, 20) + "</task>";
  };
  SECTION("by hand, then by themselves") {
    Shop shop(v("1", "manual"));
    shop.report(shop.event());
    shop.center->publish(shop.campaign(v("2", "auto"))).value();
    shop.report(shop.event());
    auto grants = shop.view("t", "-").grants;
    REQUIRE(grants.size() == 1);
    CHECK(grants[0].state == "earned");
    shop.report(shop.event());
    grants = shop.view("t", "-").grants;
    REQUIRE(grants.size() == 2);
    CHECK(grants[0].state == "earned");
    CHECK(grants[1].state == "granted");
    CHECK(shop.view("t", "-").status == Status::completed);
    CHECK(shop.center->collect(shop.request("t"))->outcome == Reply::Outcome::done);
    CHECK(shop.view("t", "-").status == Status::rewarded);
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "ann/t/-/2=20"});
  }
  SECTION("by themselves, then by hand") {
    Shop shop(v("1", "auto"));
    shop.report(shop.event());
    shop.center->publish(shop.campaign(v("2", "manual"))).value();
    for (int i = 0; i < 2; ++i) shop.report(shop.event());
    const auto grants = shop.view("t", "-").grants;
    REQUIRE(grants.size() == 2);
    CHECK(grants[0].state == "granted");
    CHECK(grants[0].run == RunState::succeeded);
    CHECK(grants[1].state == "earned");
    CHECK(shop.center->collect(shop.request("t"))->outcome == Reply::Outcome::done);
    CHECK(shop.view("t", "-").status == Status::rewarded);
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10", "ann/t/-/2=20"});
  }
  SECTION("void by a refund, then earned again by itself") {
    Shop shop(v("1", "manual"));
    const auto order = shop.event();
    shop.report(order);
    auto refund = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
    refund.reverses = order.id;
    shop.report(refund);
    shop.center->publish(shop.campaign(v("2", "auto"))).value();
    shop.report(shop.event());
    const auto grants = shop.view("t", "-").grants;
    REQUIRE(grants.size() == 1);
    CHECK(grants[0].state == "granted");
    CHECK(grants[0].generation == 2);
    CHECK(shop.granted->list() == Lines{"ann/t/-/1=10"});
  }
}

TEST_CASE("a campaign that is put in force again counts each event once") {
  Shop shop;
  const auto first = shop.campaign("<task id='t'><on event='paid'/>" + stage(9, 1) + "</task>");
  const auto second = shop.campaign("<task id='t' version='2'><on event='paid'/>" + stage(9, 1) + "</task>");
  shop.center->publish(first).value();
  shop.center->publish(first).value();
  CHECK(shop.report(shop.event()).contributions.size() == 1);
  shop.center->publish(second).value();
  shop.center->publish(first).value();
  CHECK(shop.report(shop.event()).contributions.size() == 1);
  CHECK(shop.progress("t", "-") == 2);
}

TEST_CASE("a receipt tells once why an event did not count, whatever versions there are") {
  Shop shop;
  const auto task = [](std::string_view version) {
    return "<task id='t' version='" + std::string(version) + "' on-update='migrate'><on event='paid'/>" +
           stage(9, 1) + "</task>";
  };
  shop.center->publish(shop.campaign(task("1"))).value();
  shop.report(shop.event());
  shop.center->abandon(shop.request("t")).value();
  shop.center->publish(shop.campaign(task("2"))).value();
  const auto receipt = shop.report(shop.event());
  CHECK(receipt.skipped == std::vector<Skipped>{{"t", "-", "ended"}});
  const std::string invite = "<on event='joined' distinct='user' credit='event.inviter'/>" + stage(3, 1);
  shop.center->publish(shop.campaign("<task id='i'>" + invite + "</task>")).value();
  shop.center->publish(shop.campaign("<task id='i' version='2'>" + invite + "</task>")).value();
  const auto own = shop.report(shop.event({{"inviter", "ann"}}, "2024-03-10T12:00:00Z", "ann", "joined"));
  CHECK(own.skipped == std::vector<Skipped>{{"i", "", "self_invite"}});
}

TEST_CASE("a version that asks for more takes no reward away, and voids none that waits") {
  const auto on_refund = GENERATE(as<std::string>(), "keep", "clawback");
  const auto collect = GENERATE(as<std::string>(), "auto", "manual");
  Shop shop;
  const auto task = [&](std::string_view version, int target) {
    return shop.campaign("<task id='t' version='" + std::string(version) + "' on-update='migrate' collect='" +
                         collect + "' on-refund='" + on_refund + "'><on event='paid'/><stage target='" +
                         std::to_string(target) + "' pipeline='grant'" +
                         (on_refund == "keep" ? "" : " take-back='take'") +
                         "><arg name='points' value='5'/></stage></task>");
  };
  shop.center->publish(task("1", 1)).value();
  const auto first = shop.event();
  shop.report(first);
  shop.center->publish(task("2", 9)).value();
  shop.report(shop.event());
  CHECK(shop.view("t", "-").version == "2");
  CHECK(shop.view("t", "-").reached == 1);
  if (collect == "manual") shop.center->collect(shop.request("t")).value();
  CHECK(shop.granted->list() == Lines{"ann/t/-/1=5"});
}

TEST_CASE("no operator's word rewards what a later version asks more for [task-51]") {
  Shop shop;
  const auto task = [&](std::string_view version, int target) {
    return shop.campaign("<task id='t' version='" + std::string(version) +
                         "' on-update='migrate' collect='manual'><on event='paid'/>" + stage(target, 5) +
                         "</task>");
  };
  shop.center->publish(task("1", 1)).value();
  shop.report(shop.event());
  shop.center->publish(task("2", 9)).value();
  auto request = shop.request("t");
  request.actor = "ops";
  request.reason = "risk";
  shop.center->withdraw(request).value();
  ReplayRequest replay{"shop", "ann"};
  replay.force = true;
  replay.actor = "ops";
  replay.reason = "goodwill";
  CHECK(Shop::names(shop.center->replay(replay).value().refused) == Lines{"t/-"});
  CHECK(shop.view("t", "-").status == Status::terminated);
  CHECK(shop.granted->list().empty());
}
