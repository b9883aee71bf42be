// Every move is told to the journal, once, whoever makes it.
#include "support.hpp"

#include "support/catch.hpp"

#include <thread>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

/// "<subject> <from>-<trigger>-<to> <reason>" of the task room's lines.
Lines told(const testing::RecordedJournal& journal) {
  Lines lines;
  for (const auto& line : journal.lines()) {
    if (line.room != "task") continue;
    lines.push_back(line.subject.substr(line.subject.find('/') + 1) + " " + line.from + "-" + line.trigger +
                    "-" + line.to + (line.reason.empty() ? "" : " " + line.reason) +
                    (line.actor.empty() ? "" : " by " + line.actor));
  }
  return lines;
}

const std::string once = "<task id='t'><on event='paid'/>" + stage(1, 10) + "</task>";
const std::string back =
    "<task id='t' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' take-back='take'>"
    "<arg name='points' value='10'/></stage></task>";

Event refund(Shop& shop, const Event& order) {
  auto event = shop.event({}, "2024-03-10T13:00:00Z", "ann", "refunded");
  event.reverses = order.id;
  return event;
}

/// Waits for as long as a machine under load may need; false where it never comes.
template <class Predicate>
bool eventually(const Predicate& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

TEST_CASE("an event's reward: claimed, rewarding, rewarded, each told once; fed again nothing is told") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  const auto event = shop.event();
  shop.report(event);
  const Lines all{"t/- not_taken-claim-claimed", "t/- claimed-event-rewarding",
                  "t/- rewarding-reward_done-rewarded"};
  CHECK(told(journal) == all);
  shop.report(event);
  shop.settle();
  CHECK(told(journal) == all);
}

TEST_CASE("a reward that a runner's own workers drive to its end is told as well") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.granted->fail_calls = 1;
  shop.report(shop.event());
  CHECK(told(journal).size() == 2);
  shop.clock.advance(std::chrono::hours(1));
  shop.runner->start_workers();
  CHECK(eventually([&] { return told(journal).size() == 3; }));
  shop.runner->stop_workers();
  CHECK(told(journal).back() == "t/- rewarding-reward_done-rewarded");
}

TEST_CASE("refused and used-up rewards are told with the reason, and so is what pushes them on") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.granted->reject = true;
  shop.report(shop.event());
  CHECK(told(journal).back() == "t/- rewarding-reward_failed-failed refused: the account is closed");
  shop.granted->reject = false;
  SECTION("by the task centre") {
    shop.center->replay({.merchant = "shop", .user = "ann", .actor = "ops", .reason = "open again"}).value();
    CHECK(told(journal).back() == "t/- failed-replay-rewarding open again by ops");
  }
  SECTION("by an operator of the runner") {
    shop.runner->retry({"grant", "shop/user/ann", "shop/ann/t/-/1/1"}, {"ops", "open again"}).value();
    CHECK(told(journal).back() == "t/- failed-replay-rewarding open again by ops");
  }
  const auto lines = told(journal).size();
  shop.settle();
  CHECK(told(journal).size() == lines + 1);
  CHECK(told(journal).back() == "t/- rewarding-reward_done-rewarded");
}

TEST_CASE("attempts that are used up are told as terminated, found by work()") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.granted->unknown = true;
  shop.report(shop.event());
  for (int i = 0; i < 60 && shop.view("t", "-").status == Status::rewarding; ++i) shop.settle();
  const auto lines = told(journal);
  CHECK(lines.size() == 3);
  CHECK(lines.back().starts_with("t/- rewarding-reward_exhausted-terminated"));
}

TEST_CASE(
    "of several stages the last reward to arrive makes the instance rewarded; the others tell their stage") {
  testing::RecordedJournal journal;
  Shop shop("<task id='t'><on event='paid' add='event.n'/>" + stage(1, 10) + stage(2, 20) + stage(3, 30) +
                "</task>",
            "UTC", &journal);
  shop.report(shop.event({{"n", 1}}));
  CHECK(told(journal).back() == "t/- in_progress-reward_done-in_progress stage 1");
  shop.report(shop.event({{"n", 2}}));  // two stages at once
  shop.settle();
  const auto lines = told(journal);
  CHECK(std::count(lines.begin(), lines.end(), "t/- rewarding-reward_done-rewarded") == 1);
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.find("rewarding-reward_done-rewarding stage") != std::string::npos;
        }) == 1);
  CHECK(lines.size() == 6);
}

TEST_CASE("a refund: revoked, and then what became of taking it back") {
  testing::RecordedJournal journal;
  Shop shop(back, "UTC", &journal);
  const auto order = shop.event();
  SECTION("taken back") {
    shop.report(order);
    shop.report(refund(shop, order));
    shop.settle();
    const auto lines = told(journal);
    REQUIRE(lines.size() == 5);
    CHECK(lines[3] == "t/- rewarding-take_back-revoked");  // as it is stored: its runs are not looked at
    CHECK(lines[4] == "t/- revoked-take_back-revoked stage 1: taken back");
  }
  SECTION("owed") {
    shop.report(order);
    shop.granted->reject_negative = true;
    shop.report(refund(shop, order));
    shop.settle();
    CHECK(told(journal).back() == "t/- revoked-take_back-revoked stage 1: owed: spent: the points are spent");
  }
  SECTION("it had given nothing") {
    shop.granted->reject = true;
    shop.report(order);
    shop.report(refund(shop, order));
    shop.settle();
    const auto lines = told(journal);
    REQUIRE(lines.size() == 5);
    CHECK(lines[3] == "t/- rewarding-take_back-revoked");
    CHECK(lines[4] == "t/- revoked-take_back-revoked stage 1: void, it had given nothing");
  }
}

TEST_CASE("a quota's decision is told: waiting for its unit, and out of stock at the end") {
  testing::RecordedJournal journal;
  Shop shop("<task id='t'><on event='paid'/>" + stage(1, 10) + "<quota limit='1'/></task>", "UTC", &journal);
  shop.report(shop.event());
  CHECK(told(journal).back() == "t/- rewarding-reward_done-rewarded");
  const auto before = told(journal).size();
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob"));
  CHECK(told(journal).size() == before + 3);
  CHECK(told(journal).back() == "t/- rewarding-reward_done-rewarded out_of_stock");
}

TEST_CASE("a quota's decision that moves a manual instance on is told") {
  testing::RecordedJournal journal;
  Shop shop("<task id='t' collect='manual'><on event='paid'/>" + stage(1, 10) + "<quota limit='1'/></task>",
            "UTC", &journal);
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob"));
  CHECK(told(journal).back() == "t/- claimed-event-completed");
  shop.report(shop.event());
  const auto lines = told(journal);
  CHECK(std::count(lines.begin(), lines.end(), "t/- completed-event-rewarding") == 1);
  CHECK(std::count(lines.begin(), lines.end(), "t/- rewarding-reward_done-rewarded out_of_stock") == 1);
}

TEST_CASE("requests, operators and deadlines are told with who asked and why") {
  testing::RecordedJournal journal;
  Shop shop("<task id='t' claim='manual' collect='manual' collect-within='1h'><on event='paid'/>" +
                stage(1, 10) + "</task><task id='d' complete='manual'><on event='x'/>" + stage(1, 1) +
                "</task>",
            "UTC", &journal);
  const auto by = [&](const char* task) {
    auto request = shop.request(task);
    request.actor = "desk";
    request.reason = "asked for";
    return request;
  };
  shop.center->claim(by("t")).value();
  CHECK(told(journal).back() == "t/- not_taken-claim-claimed asked for by desk");
  auto event = shop.event();
  event.at = shop.clock.now() + std::chrono::seconds(1);
  shop.report(event);
  CHECK(told(journal).back() == "t/- claimed-event-completed");
  shop.clock.advance(std::chrono::hours(2));
  shop.center->work().value();
  CHECK(told(journal).back() == "t/- completed-deadline-expired not_collected");
  shop.center->replay({"shop", "ann", "t", {}, true, "ops", "let him"}).value();
  CHECK(told(journal).back() == "t/- expired-replay-completed let him by ops");
  shop.center->collect(by("t")).value();
  shop.settle();
  const auto lines = told(journal);
  REQUIRE(lines.size() == 6);
  CHECK(lines[4] == "t/- completed-collect-rewarding asked for by desk");
  CHECK(lines[5] == "t/- rewarding-reward_done-rewarded");
  shop.center->complete(by("d")).value();
  const auto more = told(journal);
  REQUIRE(more.size() == 9);
  CHECK(more[7] == "d/- claimed-complete-rewarding asked for by desk");
  CHECK(more[8] == "d/- rewarding-reward_done-rewarded");
}

TEST_CASE("a member's reward of a group is told to him") {
  testing::RecordedJournal journal;
  Shop shop("<task id='team' group='event.team' members='2'><on event='joined' distinct='user'/>" +
                stage(2, 30) + "</task>",
            "UTC", &journal);
  for (const auto* user : {"ann", "bob"})
    shop.report(shop.event({{"team", "red"}}, "2024-03-10T12:00:00Z", user, "joined"));
  shop.settle();
  std::vector<std::string> partitions;
  for (const auto& line : journal.lines())
    if (line.room == "task" && line.trigger == "reward_done") partitions.push_back(line.partition);
  std::sort(partitions.begin(), partitions.end());
  CHECK(partitions == Lines{"shop/user/ann", "shop/user/bob"});
}

TEST_CASE("a process that is killed before it tells loses the line, and no other line twice") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  const auto event = shop.event();
  shop.storage.fail_calls(testing::FaultyStorage::Call::commit, testing::FaultyStorage::Fault::before,
                          ErrorCode::corrupt, 1000, 1);  // the event is durable, nothing after it
  (void)shop.center->report(event);
  shop.storage.heal();
  shop.restart();
  shop.center->publish(shop.campaign(once)).value();
  shop.report(event);
  shop.settle();
  CHECK(told(journal) == Lines{"t/- not_taken-claim-claimed", "t/- claimed-event-rewarding",
                               "t/- rewarding-reward_done-rewarded"});
}

TEST_CASE("where an instance cannot be read as its reward ends, the end is told and the worker goes on") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.storage.fail_calls(testing::FaultyStorage::Call::read, testing::FaultyStorage::Fault::before,
                          ErrorCode::unavailable, 1000, 1);
  CHECK(shop.report(shop.event()).grants.at(0).state == RunState::succeeded);
  shop.storage.heal();
  CHECK(told(journal).back() == "t/- rewarding-reward_done-rewarding stage 1");
}

TEST_CASE("a task centre that is gone is told nothing more by the runner it shared") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.granted->fail_calls = 1;
  shop.report(shop.event());
  shop.center.reset();
  shop.clock.advance(std::chrono::hours(1));
  CHECK(shop.runner->work().value().ended == 1);
  CHECK(told(journal).size() == 2);
}

TEST_CASE("what a caller's transaction moved is told once by work() of a task centre with a journal") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  testing::RecordedJournal inside;
  TaskCenter stores(shop.storage, shop.catalog, *shop.runner, {.journal = &inside, .store_only = true});
  stores.publish(shop.campaign(once)).value();
  stores.report(shop.event()).value();
  stores.abandon({"shop", "ann", "t", "k"}).value();  // rewarding: refused, and nothing is told
  CHECK(told(inside).empty());
  CHECK(told(journal).empty());
  TaskCenter silent(shop.storage, shop.catalog, *shop.runner, {});
  silent.publish(shop.campaign(once)).value();
  (void)silent.work().value();
  shop.settle();
  CHECK(told(inside).empty());
  auto lines = told(journal);
  std::sort(lines.begin(), lines.end());
  CHECK(lines == Lines{"t/- claimed-event-rewarding", "t/- not_taken-claim-claimed",
                       "t/- rewarding-reward_done-rewarded"});
  CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
}

TEST_CASE("a replay inside a caller's transaction is told once it is there") {
  testing::RecordedJournal journal;
  Shop shop(once, "UTC", &journal);
  shop.granted->reject = true;
  shop.report(shop.event());
  shop.granted->reject = false;
  TaskCenter stores(shop.storage, shop.catalog, *shop.runner, {.journal = &journal, .store_only = true});
  stores.publish(shop.campaign(once)).value();
  const auto before = told(journal).size();
  stores.replay({.merchant = "shop", .user = "ann", .actor = "ops", .reason = "why"}).value();
  CHECK(told(journal).size() == before);
  shop.settle();
  const auto lines = told(journal);
  CHECK(std::count(lines.begin(), lines.end(), "t/- failed-replay-rewarding why by ops") == 1);
}

namespace {

Event refund_of(Shop& shop, const Event& event) {
  auto refund = shop.event({}, "2024-03-10T12:00:00Z", event.user, "refunded");
  refund.reverses = event.id;
  return refund;
}

const std::string clawed =
    "<task id='t' on-refund='clawback'><on event='paid'/><stage target='1' pipeline='grant' "
    "take-back='take'><arg name='points' value='10'/></stage></task>";

}  // namespace

TEST_CASE("a debt that is pushed on moves no instance that was given up, and the journal does not say so") {
  testing::RecordedJournal journal;
  Shop shop(clawed, "UTC", &journal);
  const auto first = shop.event();
  shop.report(first);
  shop.granted->reject_negative = true;
  shop.report(refund_of(shop, first));
  shop.center->abandon(shop.request("t")).value();
  CHECK(shop.view("t", "-").status == Status::terminated);
  shop.granted->reject_negative = false;
  const auto before = Shop::moves(journal).size();
  REQUIRE(shop.center->replay({.merchant = "shop", .user = "ann"}).value().pushed.size() == 1);
  shop.settle();
  CHECK(shop.view("t", "-").status == Status::terminated);
  auto lines = Shop::moves(journal);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(before));
  CHECK(lines == Lines{"terminated-replay-terminated", "terminated-take_back-terminated"});
}

TEST_CASE("a debt of a reward that was earned again moves no instance, and the journal does not say so") {
  testing::RecordedJournal journal;
  Shop shop(clawed, "UTC", &journal);
  const auto first = shop.event();
  shop.report(first);
  shop.granted->reject_negative = true;
  shop.report(refund_of(shop, first));
  shop.report(shop.event());
  shop.granted->reject_negative = false;
  CHECK(shop.view("t", "-").status == Status::rewarded);
  const auto before = Shop::moves(journal).size();
  REQUIRE(shop.center->replay({.merchant = "shop", .user = "ann"}).value().pushed.size() == 1);
  shop.settle();
  CHECK(shop.view("t", "-").status == Status::rewarded);
  auto lines = Shop::moves(journal);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(before));
  CHECK(lines == Lines{"rewarding-replay-rewarding", "rewarding-take_back-rewarding"});
}

TEST_CASE(
    "a replay inside a transaction tells what it pushed on, also where another pushed on a part of it") {
  testing::RecordedJournal journal;
  const auto task = "<task id='t'><on event='paid'/>" + stage(1, 10) + stage(2, 20) + "</task>";
  Shop shop(task, "UTC", &journal);
  shop.granted->reject = true;
  shop.report(shop.event());
  shop.report(shop.event());
  shop.granted->reject = false;
  TaskCenter stores(shop.storage, shop.catalog, *shop.runner, {.journal = &journal, .store_only = true});
  stores.publish(shop.campaign(task)).value();
  bool between = false;
  shop.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || between) return;
    between = true;
    const auto runs = shop.memory->scan("shop/user/ann", "run/", "", 10).value();
    REQUIRE(runs.records.size() == 2);
    const Batch rival{
        "shop/user/ann",
        {Operation::replace(runs.records[0].key, runs.records[0].revision, runs.records[0].value)}};
    shop.memory->commit({&rival, 1}).value();
  });
  const auto report =
      stores.replay({.merchant = "shop", .user = "ann", .actor = "ops", .reason = "why"}).value();
  CHECK(between);
  CHECK(report.pushed.size() == 1);
  shop.storage.on_call({});
  shop.settle();
  const auto moves = Shop::moves(journal);
  CHECK(std::count(moves.begin(), moves.end(), "failed-replay-rewarding") == 1);
}
