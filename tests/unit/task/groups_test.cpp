// What counts for somebody else: invites and groups; and what comes another way: stored events, imports,
// simulations, pages.
#include "support.hpp"

#include "support/catch.hpp"

#include <thread>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

const std::string invite =
    "<task id='invite'><on event='first.order' credit='event.inviter' distinct='user'/>" + stage(2, 50) +
    "</task>";
const std::string team =
    "<task id='team' group='event.team' members='3'><on event='joined' distinct='user'/>" + stage(3, 30) +
    "</task>";

Event invited(Shop& shop, std::string user, std::string inviter) {
  return shop.event({{"inviter", std::move(inviter)}}, "2024-03-10T12:00:00Z", std::move(user),
                    "first.order");
}
Event joined(Shop& shop, std::string user, std::string name = "red") {
  return shop.event({{"team", std::move(name)}}, "2024-03-10T12:00:00Z", std::move(user), "joined");
}

}  // namespace

TEST_CASE("an inviter is credited when those invited qualify, each once") {
  Shop shop(invite);
  shop.report(invited(shop, "bob", "ann"));
  CHECK(shop.progress("invite", "-") == 1);
  shop.report(invited(shop, "bob", "ann"));
  CHECK(shop.progress("invite", "-") == 1);
  const auto last = invited(shop, "cid", "ann");
  shop.report(last);
  CHECK(shop.report(last).duplicate);
  CHECK(shop.granted->list() == Lines{"ann/invite/-/1=50"});
  CHECK(shop.memory->scan("shop/user/cid", "todo/", "", 10).value().records.empty());
}

TEST_CASE("nobody invites himself [task-77]") {
  Shop shop(invite);
  CHECK(shop.report(invited(shop, "ann", "ann")).skipped ==
        std::vector<Skipped>{{"invite", "", "self_invite"}});
  CHECK(shop.progress("invite", "-") == 0);
}

TEST_CASE("an invite is taken back with its order, also when the refund comes first") {
  Shop shop(invite);
  const auto order = invited(shop, "bob", "ann");
  auto back = shop.event({}, "2024-03-10T12:00:00Z", "bob", "refunded");
  back.reverses = order.id;
  shop.report(order);
  shop.report(back);
  CHECK(shop.progress("invite", "-") == 0);
  const auto second = invited(shop, "cid", "ann");
  back = shop.event({}, "2024-03-10T12:00:00Z", "cid", "refunded");
  back.reverses = second.id;
  shop.report(back);
  shop.report(second);
  CHECK(shop.progress("invite", "-") == 0);
}

TEST_CASE("a crash at any write of an invite: the inviter is credited once") {
  using testing::FaultyStorage;
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (std::size_t skip = 0; skip < 4; ++skip) {
      INFO("commit " << skip);
      Shop shop(invite);
      shop.report(invited(shop, "bob", "ann"));
      const auto last = invited(shop, "cid", "ann");
      shop.storage.fail_calls(FaultyStorage::Call::commit, fault, ErrorCode::corrupt, 1, skip);
      shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                              1000, 0);
      (void)shop.center->report(last);
      shop.storage.heal();
      shop.restart();
      shop.center->publish(shop.campaign(invite)).value();
      shop.report(last);
      shop.settle();
      CHECK(shop.granted->list() == Lines{"ann/invite/-/1=50"});
      CHECK(shop.progress("invite", "-") == 2);
    }
  }
}

TEST_CASE(
    "a group of three: the third joins twice, is counted once, and each member is rewarded once [task-78]") {
  Shop shop(team);
  for (const auto* user : {"ann", "bob", "cid", "cid", "ann"}) shop.report(joined(shop, user));
  CHECK(shop.granted->list() == Lines{"ann/team/-/1=30", "bob/team/-/1=30", "cid/team/-/1=30"});
  const auto view = shop.center->group_instance("shop", "red", "team", "-").value().value();
  CHECK(view.progress == 3);
  CHECK(view.members == Lines{"ann", "bob", "cid"});
  shop.report(joined(shop, "dan"));  // the group is full
  shop.report(joined(shop, "dan", "blue"));
  CHECK(shop.granted->list().size() == 3);
}

TEST_CASE("all-of is done once, in any order; any-of by whichever comes, once [task-10]") {
  Shop shop("<task id='all' match='all'><on event='a'/><on event='b' add='event.n' needs='10'/>" +
            stage(2, 1) + "</task><task id='any' match='any'><on event='a'/><on event='b'/>" + stage(1, 2) +
            "</task>");
  const auto at_noon = "2024-03-10T12:00:00Z";
  shop.report(shop.event({{"n", 6}}, at_noon, "ann", "b"));
  CHECK(shop.granted->list() == Lines{"ann/any/-/1=2"});
  shop.report(shop.event({{"n", 6}}, at_noon, "ann", "b"));
  CHECK(shop.progress("all", "-") == 1);
  shop.report(shop.event({}, at_noon, "ann", "a"));
  shop.report(shop.event({}, at_noon, "ann", "a"));
  CHECK(shop.granted->list() == Lines{"ann/all/-/1=1", "ann/any/-/1=2"});
}

TEST_CASE("a stored event is durable when it is answered, and applied by work() of any process") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(2, 10) + "</task>");
  const auto event = shop.event({{"n", 2}});
  const auto ticket = shop.center->report_async(event).value();
  CHECK_FALSE(shop.center->receipt(ticket).value().has_value());
  CHECK(shop.granted->list().empty());
  shop.center->report_async(event).value();  // the same again
  auto other = event;
  other.attributes.set("n", 3);
  CHECK(shop.center->report_async(other).error().code == ErrorCode::conflict);
  shop.restart();
  shop.center
      ->publish(shop.campaign("<task id='buy'><on event='paid' add='event.n'/>" + stage(2, 10) + "</task>"))
      .value();
  shop.center->work().value();
  const auto receipt = shop.center->receipt(ticket).value().value();
  CHECK(receipt.grants.at(0).state == RunState::succeeded);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
  shop.center->report_async(event).value();
  CHECK(shop.center->work().value().taken == 0);
  CHECK(shop.report(event).duplicate);
  auto bad = shop.event({{"n", "two"}});
  const auto refused = shop.center->report_async(bad).value();
  shop.center->work().value();
  CHECK(shop.center->receipt(refused).error().message.find("buy") != std::string::npos);
}

TEST_CASE("bad lines of an import are told by number, the others are applied, once however often [task-53]") {
  Shop shop("<task id='buy'><on event='paid' add='event.n'/>" + stage(100, 10) + "</task>");
  const std::string lines =
      "{\"id\":\"1\",\"user\":\"ann\",\"type\":\"paid\",\"at\":\"2024-03-10T12:00:00Z\",\"attributes\":{\"n\":5}}\n"
      "not json\n"
      "\n"
      "{\"id\":\"2\",\"user\":\"ann\",\"type\":\"paid\",\"at\":\"yesterday\",\"attributes\":{\"n\":5}}\r\n"
      "{\"id\":\"3\",\"user\":\"ann\",\"type\":\"paid\",\"at\":\"2024-03-10T12:00:00Z\",\"attributes\":{\"n\":\"x\"}}\n"
      "{\"id\":\"4\",\"user\":\"ann\",\"type\":\"refunded\",\"at\":\"2024-03-10T12:00:00Z\",\"reverses\":\"1\",\"amount\":2}";
  for (const bool again : {false, true}) {
    const auto report = shop.center->import("shop", lines).value();
    CHECK(report.applied == (again ? 0 : 2));
    CHECK(report.duplicates == (again ? 2 : 0));
    std::vector<std::size_t> bad;
    for (const auto& line : report.bad) bad.push_back(line.line);
    CHECK(bad == std::vector<std::size_t>{2, 4, 5});
    CHECK(shop.progress("buy", "-") == 3);
  }
}

TEST_CASE("a simulation with a later clock gives receipts and writes nothing [task-75]") {
  Shop shop("<task id='buy' period='month' late='1d'><on event='paid' add='event.n'/>" + stage(2, 10) +
            "<quota limit='1' per='month'/></task>");
  shop.clock.set(at("2024-03-10T12:00:00Z"));
  const auto before = shop.storage.calls(testing::FaultyStorage::Call::commit);
  const std::vector<Event> events = {
      shop.event({{"n", 1}}, "2024-04-10T12:00:00Z"), shop.event({{"n", 1}}, "2024-04-10T12:00:00Z"),
      shop.event({{"n", 2}}, "2024-04-10T12:00:00Z", "bob"), shop.event({{"n", 1}}, "2024-03-10T12:00:00Z")};
  const auto receipts = shop.center->simulate(events, at("2024-04-10T12:00:00Z"));
  CHECK(receipts[1]->grants.at(0).cycle == "M:2024-04");
  CHECK(receipts[2]->grants.at(0).out_of_stock);
  CHECK(receipts[3]->skipped.at(0).reason == "late");
  CHECK(shop.storage.calls(testing::FaultyStorage::Call::commit) == before);
  CHECK(shop.granted->calls() == 0);
  CHECK_FALSE(shop.report(events[0]).duplicate);
}

TEST_CASE("a page of 50 tasks is one round trip, with what the user has of each") {
  std::string tasks;
  for (int i = 100; i < 160; ++i) {
    tasks += "<task id='t" + std::to_string(i) + "' title='T' period='day'><on event='e" + std::to_string(i) +
             "'/>" + stage(1, 1) + stage(2, 1) + "</task>";
  }
  Shop shop(tasks);
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "e103"));
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "e104"));
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "e104"));
  const auto before = shop.storage.calls(testing::FaultyStorage::Call::read);
  ListRequest request{"shop", "ann", at("2024-03-10T20:00:00Z")};
  const auto page = shop.center->list(request).value();
  CHECK(shop.storage.calls(testing::FaultyStorage::Call::read) == before + 1);
  REQUIRE(page.entries.size() == 50);
  CHECK(page.entries[3].view.value().status == Status::in_progress);
  CHECK(page.entries[4].view.value().status == Status::rewarded);
  CHECK_FALSE(page.entries[5].view.has_value());
  request.cursor = page.cursor;
  const auto rest = shop.center->list(request).value();
  CHECK(rest.entries.size() == 10);
  CHECK(rest.cursor.empty());
  CHECK(rest.entries[0].task == "t150");
}

TEST_CASE("a group whose rewards are refused is not rewarded, and each member's is pushed on") {
  Shop shop("<task id='team' group='event.team' members='2'><on event='joined' distinct='user'/>" +
            stage(2, 30) + "</task>");
  shop.granted->reject = true;
  for (const auto* user : {"ann", "bob"}) shop.report(joined(shop, user));
  shop.settle();
  const auto status = [&] { return shop.center->group_instance("shop", "red", "team", "-")->value().status; };
  CHECK(status() == Status::failed);
  shop.granted->reject = false;
  CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "ann"})->pushed) == Lines{"team/-"});
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/team/-/1=30"});
  CHECK(status() == Status::failed);
  CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "bob", .task = "team"})->pushed) ==
        Lines{"team/-"});
  shop.settle();
  CHECK(status() == Status::rewarded);
  CHECK(shop.center->replay({.merchant = "shop", .user = "bob"})->pushed.empty());
}

TEST_CASE("a large group is rewarded also where one event reaches two stages, whatever dies on the way") {
  using testing::FaultyStorage;
  const auto big = "<task id='team' group='event.team' members='1000'><on event='joined' add='event.n'/>" +
                   stage(600, 1) + stage(601, 2) + "</task>";
  const std::size_t skip = GENERATE(1U, 2U, 3U);
  Shop shop(big);
  std::vector<Event> events;
  for (int i = 0; i < 599; ++i)
    events.push_back(
        shop.event({{"team", "red"}, {"n", 1}}, "2024-03-10T12:00:00Z", "u" + std::to_string(i), "joined"));
  for (const auto& answer : shop.center->report_many(events)) REQUIRE(answer.has_value());
  shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::corrupt, 1,
                          skip);
  shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt, 1000,
                          0);
  const auto last = shop.event({{"team", "red"}, {"n", 2}}, "2024-03-10T12:00:00Z", "u600", "joined");
  (void)shop.center->report(last);
  shop.storage.heal();
  shop.restart();
  shop.center->publish(shop.campaign(big)).value();
  shop.report(last);
  shop.settle();
  CHECK(shop.granted->list().size() == 1200);
  CHECK(shop.memory->scan("shop/group/red", "todo/", "", 10).value().records.empty());
}

TEST_CASE("who took everything back is not rewarded with the group, and leaves his place to another") {
  Shop shop("<task id='team' group='event.team' members='2'><on event='paid' add='event.n'/>" +
            stage(100, 10) + stage(200, 20) + "</task>");
  const auto paid = [&](const char* user, int n) {
    const auto event = shop.event({{"team", "red"}, {"n", n}}, "2024-03-10T12:00:00Z", user);
    shop.report(event);
    return event;
  };
  const auto refund = [&](const Event& of, std::optional<std::int64_t> amount = {}) {
    auto event = shop.event({}, "2024-03-10T13:00:00Z", of.user, "refunded");
    event.reverses = of.id;
    event.amount = amount;
    shop.report(event);
  };
  const auto first = paid("eve", 50);
  const auto second = paid("eve", 10);
  refund(first);
  refund(second, 5);
  CHECK(shop.center->group_instance("shop", "red", "team", "-")->value().members == Lines{"eve"});
  refund(second, 5);
  const auto ann = paid("ann", 50);
  paid("bob", 50);
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/team/-/1=10", "bob/team/-/1=10"});
  // Once the group is rewarded the place is kept; the next stage is for those who still take part.
  refund(ann);
  paid("eve", 100);
  paid("bob", 200);
  shop.settle();
  CHECK(shop.granted->list() == Lines{"ann/team/-/1=10", "bob/team/-/1=10", "bob/team/-/2=20"});
}

TEST_CASE("the audience of an invite is the inviter's") {
  Shop shop(
      "<task id='invite' audience='profile.vip &amp;&amp; user != &quot;zoe&quot;'>"
      "<on event='first' credit='event.inviter'/>" +
      stage(1, 10) + "</task>");
  for (const auto* member : {"ann", "zoe"}) shop.profiles[member].attributes = Map{{"vip", true}};
  shop.profiles["bob"].attributes = Map{{"vip", false}};
  const auto invite = [&](const char* inviter, std::string user) {
    shop.report(shop.event({{"inviter", inviter}}, "2024-03-10T12:00:00Z", std::move(user), "first"));
  };
  SECTION("a member invites somebody who is none") {
    invite("ann", "bob");
    CHECK(shop.granted->list() == Lines{"ann/invite/-/1=10"});
  }
  SECTION("who is no member invites one") {
    invite("bob", "ann");
    CHECK(shop.granted->list() == Lines{});
  }
  SECTION("the name asked for is the inviter's as well") {
    invite("zoe", "ann");
    invite("ann", "zoe");
    CHECK(shop.granted->list() == Lines{"ann/invite/-/1=10"});
  }
}

TEST_CASE("an invite's cycle is a day of the inviter's zone") {
  Shop shop("<task id='invite' period='day' zone='user'><on event='first' credit='event.inviter'/>" +
            stage(1, 10) + "</task>");
  shop.profiles["ann"].timezone = "Asia/Shanghai";
  shop.profiles["bob"].timezone = "UTC";
  shop.report(shop.event({{"inviter", "ann"}}, "2024-03-10T16:30:00Z", "bob", "first"));
  CHECK(shop.granted->list() == Lines{"ann/invite/D:2024-03-11/1=10"});
}

TEST_CASE("an order without an inviter is no invite, and counts for all other tasks") {
  Shop shop(
      "<task id='invite'><on event='paid' when=\"event.containsKey('inviter') and event.inviter != null\" "
      "credit='event.inviter' distinct='user'/>" +
      stage(1, 10) + "</task><task id='t'><on event='paid'/>" + stage(1, 20) + "</task>");
  shop.report(shop.event({{"n", 1}}));
  shop.report(shop.event({{"inviter", Value()}}, "2024-03-10T12:00:00Z", "bob"));
  shop.report(shop.event({{"inviter", "ann"}}, "2024-03-10T12:00:00Z", "cid"));
  CHECK(shop.granted->list() == Lines{"ann/invite/-/1=10", "ann/t/-/1=20", "bob/t/-/1=20", "cid/t/-/1=20"});
}
