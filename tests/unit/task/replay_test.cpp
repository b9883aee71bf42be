// What operators push on: whose, which, how much of it, and who said so.
#include "support.hpp"

#include "support/catch.hpp"

#include <set>
#include <thread>

using namespace task_test;
using Lines = std::vector<std::string>;

namespace {

const std::string two = "<task id='t'><on event='paid'/>" + stage(1, 10) +
                        "</task><task id='u'><on event='came'/>" + stage(1, 20) + "</task>";

/// "<user>/<task> <state> <code>" of each, sorted.
Lines told(const std::vector<Replayed>& lines) {
  Lines found;
  for (const auto& line : lines)
    found.push_back(line.user + "/" + line.task + " " + std::string(to_string(line.state)) +
                    (line.why ? " " + line.why->code : ""));
  std::sort(found.begin(), found.end());
  return found;
}

ReplayRequest all() { return {.merchant = "shop", .actor = "ops", .reason = "the bank is back"}; }

/// So many users whose reward was refused.
void refuse(Shop& shop, int users, const std::string& type = "paid") {
  shop.granted->reject = true;
  std::vector<Event> events;
  for (int i = 0; i < users; ++i)
    events.push_back(shop.event({}, "2024-03-10T12:00:00Z", "u" + std::to_string(i), type));
  for (const auto& receipt : shop.center->report_many(events)) receipt.value();
  shop.granted->reject = false;
}

}  // namespace

TEST_CASE("all users of a merchant are pushed on page by page, each once, and no other merchant's") {
  Shop shop(two);
  shop.center->publish(shop.campaign(two, "UTC", "rival")).value();
  refuse(shop, 40);
  shop.granted->reject = true;
  shop.report({"rival", "e", "eve", "paid", at("2024-03-10T12:00:00Z")});
  shop.granted->reject = false;
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "fine"));
  auto request = all();
  request.page = 7;
  std::set<std::string> pushed;
  std::size_t calls = 0;
  do {
    const auto scans = shop.storage.calls(testing::FaultyStorage::Call::scan);
    const auto report = shop.center->replay(request).value();
    CHECK(shop.storage.calls(testing::FaultyStorage::Call::scan) - scans <= 7);
    for (const auto& line : report.pushed) CHECK(pushed.insert(line.user).second);
    CHECK(report.refused.empty());
    request.cursor = report.cursor;
    REQUIRE(++calls < 100);
  } while (!request.cursor.empty());
  CHECK(pushed.size() == 40);
  CHECK(calls > 5);
  shop.settle();
  CHECK(shop.granted->list().size() == 41);
  CHECK(shop.center->instance("rival", "eve", "t", "-").value()->status == Status::failed);
}

TEST_CASE("a limit ends a replay in the middle of a page, and the next one goes on behind it") {
  Shop shop("<task id='t' period='day'><on event='paid'/>" + stage(1, 10) + "</task>");
  shop.granted->reject = true;
  for (int day = 10; day < 20; ++day)
    shop.report(shop.event({}, "2024-03-" + std::to_string(day) + "T12:00:00Z"));
  shop.granted->reject = false;
  ReplayRequest request{.merchant = "shop", .user = "ann"};
  request.limit = 4;
  const auto first = shop.center->replay(request).value();
  CHECK(first.pushed.size() == 4);
  CHECK(first.looked_at == 4);
  request.limit.reset();
  request.cursor = first.cursor;
  const auto rest = shop.center->replay(request).value();
  CHECK(rest.pushed.size() == 6);
  CHECK(rest.cursor.empty());
  shop.settle();
  CHECK(shop.granted->list().size() == 10);
}

TEST_CASE("only what has the task, cycle, state, reason and time asked for is pushed on") {
  Shop shop(two + "<task id='w' collect='manual'><on event='won'/>" + stage(1, 5) + "</task>");
  const auto begun = shop.clock.now();
  refuse(shop, 1);
  shop.clock.advance(std::chrono::hours(1));
  shop.granted->fail_calls = 100;
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "u0", "came"));
  for (int i = 0; i < 60 && shop.view("u", "-", "u0").status == Status::rewarding; ++i) shop.settle();
  shop.granted->fail_calls = 0;
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "u0", "won"));
  shop.center->abandon(shop.request("w", "u0")).value();
  const auto dry = [&](auto change) {
    auto request = all();
    request.dry_run = true;
    change(request);
    const auto report = shop.center->replay(request).value();
    auto lines = told(report.pushed);
    for (auto& line : told(report.refused)) lines.push_back("not " + line);
    return lines;
  };
  CHECK(dry([](auto&) {}) == Lines{"u0/t failed", "u0/u terminated", "not u0/w terminated needs_force"});
  CHECK(dry([](auto& r) { r.force = true; }) == Lines{"u0/t failed", "u0/u terminated", "u0/w terminated"});
  CHECK(dry([](auto& r) {
          r.user = "u0";
          r.task = "u";
        }) == Lines{"u0/u terminated"});
  CHECK(dry([](auto& r) { r.user = "nobody"; }) == Lines{});
  CHECK(dry([](auto& r) { r.cycle = "D:2024-03-10"; }) == Lines{});
  CHECK(dry([](auto& r) { r.states = {Status::failed}; }) == Lines{"u0/t failed"});
  CHECK(dry([](auto& r) { r.code = "refused"; }) == Lines{"u0/t failed"});
  CHECK(dry([](auto& r) { r.code = "refuse"; }) == Lines{});
  CHECK(dry([](auto& r) { r.code = "retry_exhausted"; }) == Lines{"u0/u terminated"});
  CHECK(dry([](auto& r) { r.code = "abandoned"; }) == Lines{"not u0/w terminated needs_force"});
  CHECK(dry([&](auto& r) { r.stopped_until = begun + std::chrono::minutes(1); }) == Lines{"u0/t failed"});
  CHECK(dry([&](auto& r) {
          r.stopped_from = begun + std::chrono::minutes(1);
          r.states = {Status::terminated};
        }) == Lines{"u0/u terminated", "not u0/w terminated needs_force"});
  shop.settle();
  CHECK(shop.granted->list().empty());
}

TEST_CASE("a replay that nobody signs, or that asks for what there is not, is refused whole") {
  Shop shop(two);
  const auto refused = [&](auto change) {
    auto request = all();
    change(request);
    const auto report = shop.center->replay(request);
    return !report && report.error().code == ErrorCode::invalid_argument;
  };
  CHECK_FALSE(refused([](auto&) {}));
  CHECK(refused([](auto& r) { r.actor.clear(); }));
  CHECK(refused([](auto& r) { r.reason.clear(); }));
  CHECK(refused([](auto& r) {
    r.user = "ann";
    r.force = true;
    r.actor.clear();
  }));
  CHECK_FALSE(refused([](auto& r) {
    r.user = "ann";
    r.actor.clear();
  }));
  CHECK(refused([](auto& r) { r.actor = "\xff"; }));
  CHECK(refused([](auto& r) { r.states = {Status::rewarded}; }));
  CHECK(refused([](auto& r) { r.page = 0; }));
  CHECK(refused([](auto& r) { r.limit = 0; }));
  CHECK(refused([](auto& r) { r.cursor = "x"; }));
  CHECK(shop.center->replay({.merchant = "nobody", .user = "ann"}).error().code == ErrorCode::not_found);
}

TEST_CASE("who was pushed on is told to the journal with actor and reason, and the run keeps both") {
  testing::RecordedJournal journal;
  Shop shop(two + "<task id='s'><on event='paid'/>" + stage(1, 1) + stage(2, 2) + "</task>", "UTC", &journal);
  refuse(shop, 1);
  const auto before = journal.lines().size();
  auto request = all();
  request.dry_run = true;
  shop.center->replay(request).value();
  CHECK(journal.lines().size() == before);
  request.dry_run = false;
  CHECK(shop.center->replay(request).value().pushed.size() == 2);
  const auto lines = journal.lines();
  REQUIRE(lines.size() == before + 2);
  const auto line = lines[before];
  CHECK(line.subject == "instance/s/-");
  CHECK(line.trigger == "replay");
  CHECK(line.from == "in_progress");  // another stage is still to be reached
  CHECK(line.to == "in_progress");
  CHECK(line.actor == "ops");
  CHECK(line.reason == "the bank is back");
  CHECK(lines[before + 1].subject == "instance/t/-");
  CHECK(lines[before + 1].from == "failed");
  CHECK(lines[before + 1].to == "rewarding");
  const auto run = shop.runner->find("grant", "shop/user/u0", "shop/u0/t/-/1/1").value().value();
  REQUIRE(run.acts.size() == 1);
  CHECK(run.acts[0].act == "replay");
  CHECK(run.acts[0].actor == "ops");
  CHECK(run.acts[0].reason == "the bank is back");
  CHECK(run.acts[0].before == "failed");
}

TEST_CASE("members of groups are pushed on with all users, one line for each task") {
  Shop shop("<task id='team' group='event.team' members='2'><on event='joined' distinct='user'/>" +
            stage(1, 30) + stage(2, 40) + "</task>");
  shop.granted->reject = true;
  for (const auto* user : {"ann", "bob"})
    shop.report(shop.event({{"team", "red"}}, "2024-03-10T12:00:00Z", user, "joined"));
  shop.settle();
  shop.granted->reject = false;
  CHECK(told(shop.center->replay(all()).value().pushed) == Lines{"ann/team failed", "bob/team failed"});
  shop.settle();
  CHECK(shop.granted->list() ==
        Lines{"ann/team/-/1=30", "ann/team/-/2=40", "bob/team/-/1=30", "bob/team/-/2=40"});
}

TEST_CASE("a record that cannot be read is refused alone") {
  Shop shop(two);
  refuse(shop, 3);
  const auto key = run_record_key("grant", "shop/u1/t/-/1/1");
  const auto run = read_one(*shop.memory, "shop/user/u1", key).value().value();
  commit_one(*shop.memory, {"shop/user/u1", {Operation::replace(key, run.revision, "{}")}}).value();
  const auto report = shop.center->replay(all()).value();
  CHECK(told(report.pushed) == Lines{"u0/t failed", "u2/t failed"});
  CHECK(told(report.refused) == Lines{"u1/t failed corrupt"});
}

TEST_CASE("a replay killed at any of its writes, and called again, rewards everybody once") {
  using testing::FaultyStorage;
  for (const auto fault : {FaultyStorage::Fault::before, FaultyStorage::Fault::after}) {
    for (std::size_t skip = 0; skip < 5; ++skip) {
      Shop shop(two);
      refuse(shop, 5);
      shop.storage.fail_calls(FaultyStorage::Call::commit, fault, ErrorCode::corrupt, 1, skip);
      shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                              1000, 0);
      CHECK_FALSE(shop.center->replay(all()).has_value());
      shop.storage.heal();
      shop.restart();
      shop.center->publish(shop.campaign(two)).value();
      CHECK(shop.center->replay(all()).value().refused.empty());
      shop.settle();
      CHECK(shop.granted->list().size() == 5);
      CHECK(shop.granted->calls() == 10);
    }
  }
}

TEST_CASE("replays of the same users from several threads push each on once") {
  testing::RecordedJournal journal;
  Shop shop(two, "UTC", &journal);
  refuse(shop, 30);
  const auto before = journal.lines().size();
  {
    std::vector<std::jthread> operators;
    for (int i = 0; i < 4; ++i) operators.emplace_back([&] { shop.center->replay(all()).value(); });
  }
  CHECK(journal.lines().size() == before + 30);
  shop.settle();
  CHECK(shop.granted->list().size() == 30);
}

TEST_CASE("replay with a page and a limit of one sees everybody once, dry and not, and no other merchant") {
  const auto tasks = "<task id='t' period='day'><on event='paid'/>" + stage(1, 10) +
                     "</task><task id='c' on-refund='clawback'><on event='paid'/><stage target='1' "
                     "pipeline='grant' take-back='take'><arg name='points' value='10'/></stage></task>";
  Shop shop(tasks);
  for (const auto* other : {"shop2", "sho"}) shop.center->publish(shop.campaign(tasks, "UTC", other)).value();
  shop.granted->reject = true;
  for (int u = 0; u < 6; ++u) {
    for (int day = 10; day < 13; ++day)
      shop.report(shop.event({}, "2024-03-" + std::to_string(day) + "T12:00:00Z", "u/" + std::to_string(u)));
    for (const auto* other : {"shop2", "sho"}) {
      auto event = shop.event({}, "2024-03-10T12:00:00Z", "u/" + std::to_string(u));
      event.merchant = other;
      shop.report(event);
    }
  }
  shop.granted->reject = false;
  for (const bool dry : {true, false}) {
    ReplayRequest request{.merchant = "shop", .actor = "ops", .reason = "why", .dry_run = dry};
    request.page = 1;
    request.limit = 1;
    std::multiset<std::string> seen;
    int calls = 0;
    do {
      const auto report = shop.center->replay(request).value();
      for (const auto& line : report.pushed) seen.insert(line.user + "/" + line.task + "/" + line.cycle);
      CHECK(report.refused.empty());
      request.cursor = report.cursor;
      REQUIRE(++calls < 1000);
    } while (!request.cursor.empty());
    CHECK(seen.size() == 24);
    CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 24);
  }
  shop.settle();
  CHECK(shop.granted->list().size() == 24);
  CHECK(shop.center->instance("shop2", "u/0", "t", "D:2024-03-10").value()->status == Status::failed);
}
