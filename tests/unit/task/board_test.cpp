// The board: where the plain instances of a user stand together.
#include "support.hpp"
#include "task/board.hpp"

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "support/catch.hpp"

using namespace task_test;
using testing::FaultyStorage;

namespace {

std::string adds(std::string_view id, std::string_view more, std::string_view version = "1") {
  return "<task id='" + std::string(id) + "' version='" + std::string(version) + "' " + std::string(more) +
         "><on event='paid' add='event.n'/>" + stage(100, 10) + "</task>";
}

std::string distinct(std::string_view id, std::string_view version) {
  return "<task id='" + std::string(id) + "' version='" + std::string(version) +
         "'><on event='paid' distinct='event.n'/>" + stage(100, 10) + "</task>";
}

std::vector<std::string> keys_of(Storage& storage) {
  std::vector<std::string> keys;
  const auto page = storage.scan("shop/user/ann", "", "", limits::page_records).value();
  for (const auto& record : page.records) keys.push_back(record.key);
  return keys;
}

/// The places an instance stands in.
int places_of(Storage& storage, std::string_view name) {
  const auto key = std::string(task_detail::instance_prefix).append(name);
  const int own = read_one(storage, "shop/user/ann", key).value() ? 1 : 0;
  const auto board = read_one(storage, "shop/user/ann", task_detail::board_key).value();
  if (!board) return own;
  std::pmr::vector<task_detail::BoardEntry> entries;
  task_detail::decode_board(*board, entries).value();
  return own + (task_detail::find_on(entries, name) == nullptr ? 0 : 1);
}

Timestamp day(int number) { return at("2024-01-01T12:00:00Z") + std::chrono::days(number); }

std::string cycle_of_day(int number) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(day(number)));
  return fmt::format("D:{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

}  // namespace

TEST_CASE("an event writes two records however many tasks it counts for") {
  Shop shop(adds("a", "") + adds("b", "") + adds("c", "period='day'"));
  shop.report(shop.event({{"n", 3}}));
  CHECK(keys_of(*shop.memory) == std::vector<std::string>{"board", "event/e1"});
  shop.report(shop.event({{"n", 4}}));
  CHECK(keys_of(*shop.memory) == std::vector<std::string>{"board", "event/e1", "event/e2"});
  CHECK(shop.progress("a", "-") == 7);
  CHECK(shop.progress("c", "D:2024-03-10") == 7);
  const auto page = shop.center->list({"shop", "ann", at("2024-03-10T12:00:00Z")}).value();
  REQUIRE(page.entries.size() == 3);
  for (const auto& entry : page.entries) CHECK(entry.view.value().progress == 7);
}

TEST_CASE("a board that is full lets go what was written longest ago, and all of it is found") {
  Shop shop(adds("daily", "period='day'") + adds("once", ""));
  std::vector<Event> events;
  for (int i = 0; i < 200; ++i) {
    events.push_back(shop.event({{"n", i + 1}}));
    events.back().at = day(i);
  }
  SECTION("one by one") {
    for (const auto& event : events) shop.report(event);
  }
  SECTION("in one batch") {
    for (const auto& answer : shop.center->report_many(events)) CHECK(answer.has_value());
  }
  const auto board = read_one(*shop.memory, "shop/user/ann", "board").value().value();
  std::pmr::vector<task_detail::BoardEntry> entries;
  task_detail::decode_board(board, entries).value();
  CHECK(entries.size() <= task_detail::most_on_board);
  CHECK(entries.size() >= task_detail::left_on_board);
  CHECK(shop.progress("once", "-") == 200 * 201 / 2);
  for (int i = 0; i < 200; ++i) {
    const auto cycle = cycle_of_day(i);
    CHECK(shop.progress("daily", cycle) == i + 1);
    CHECK(places_of(*shop.memory, "daily/" + cycle) == 1);
  }
  // What left goes on where it stands.
  auto late = shop.event({{"n", 1000}});
  late.at = day(0);
  CHECK(shop.report(late).contributions.size() == 2);
  CHECK(shop.progress("daily", "D:2024-01-01") == 1001);
  CHECK(places_of(*shop.memory, "daily/D:2024-01-01") == 1);
}

TEST_CASE("an instance that gets more than a progress leaves the board, however often it is killed there") {
  Shop shop("<task id='t' collect='manual'><on event='paid' add='event.n'/>" + stage(2, 10) + "</task>" +
            adds("other", ""));
  shop.report(shop.event({{"n", 1}}));
  CHECK(keys_of(*shop.memory) == std::vector<std::string>{"board", "event/e1"});
  const auto last = shop.event({{"n", 1}});
  SECTION("undisturbed") {}
  SECTION("killed before its commit") {
    shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                            ErrorCode::unavailable);
    CHECK_FALSE(shop.center->report(last).has_value());
    CHECK(places_of(*shop.memory, "t/-") == 1);
    shop.restart();
    shop.center
        ->publish(shop.campaign("<task id='t' collect='manual'><on event='paid' add='event.n'/>" +
                                stage(2, 10) + "</task>" + adds("other", "")))
        .value();
  }
  SECTION("the answer of its commit is lost") {
    shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after, ErrorCode::in_doubt);
    CHECK_FALSE(shop.center->report(last).has_value());
    CHECK(places_of(*shop.memory, "t/-") == 1);
  }
  shop.report(last);
  CHECK(places_of(*shop.memory, "t/-") == 1);
  CHECK(read_one(*shop.memory, "shop/user/ann", "instance/t/-").value().has_value());
  CHECK(shop.view("t", "-").status == Status::completed);
  CHECK(shop.progress("other", "-") == 2);
  CHECK(shop.center->collect(shop.request("t")).value().outcome == Reply::Outcome::done);
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10"});
  CHECK(shop.view("t", "-").status == Status::rewarded);
}

TEST_CASE("two callers that begin one instance in two places at once: one of them begins it") {
  const bool first_is_plain = GENERATE(true, false);
  Shop shop(first_is_plain ? adds("t", "") : distinct("t", "2"));
  // Another process, with another version of the task, whose instances do not fit the board.
  StepRegistry registry;
  registry.add(std::make_unique<Granted>()).value();
  PlanCatalog catalog;
  Runner runner(*shop.memory, catalog);
  TaskCenter rival(*shop.memory, catalog, runner);
  const auto theirs = "<campaign merchant='shop' timezone='UTC'>" +
                      (first_is_plain ? distinct("t", "2") : adds("t", "")) +
                      "<pipeline id='grant'><input><param name='user'/><param name='points' type='int'/>"
                      "</input><step id='points' use='grant-points@1'><arg name='user' value='user'/>"
                      "<arg name='amount' value='points'/></step></pipeline></campaign>";
  rival.publish(Campaign::compile(parse_campaign_xml(theirs, "theirs.xml").value(), registry).value())
      .value();
  bool between = false;
  shop.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || between) return;
    between = true;
    rival.report(shop.event({{"n", 5}})).value();
  });
  (void)shop.center->report(shop.event({{"n", 3}}));
  CHECK(between);
  CHECK(places_of(*shop.memory, "t/-") == 1);
  const auto stands = rival.instance("shop", "ann", "t", "-").value().value();
  CHECK(stands.version == (first_is_plain ? "2" : "1"));
}

TEST_CASE("a board is not what this version writes: the event is refused, and nothing is written") {
  Shop shop(adds("t", ""));
  const auto text = GENERATE(as<std::string>(), "", "{", "[]", R"({"t/-":["1",3,0,"in_progress"],)",
                             R"({"t/-":["1",3,0,"unheard"]})", R"({"t/-":["1",x,0,"in_progress"]})",
                             R"({"t/-":["1",3,0,"in_progress"]}})");
  const Batch damage{"shop/user/ann", {Operation::insert("board", text)}};
  shop.memory->commit({&damage, 1}).value();
  const auto answer = shop.center->report(shop.event({{"n", 1}}));
  CHECK(answer.error().code == ErrorCode::corrupt);
  CHECK(keys_of(*shop.memory) == std::vector<std::string>{"board"});
}

TEST_CASE("a replay that meets an instance leaving the board tells it once") {
  Shop shop(adds("t", ""));
  shop.report(shop.event({{"n", 1}}));
  int reads = 0;
  shop.storage.on_call([&](std::string_view point) {
    // After the replay's own look at the board.
    if (point == "read.after" && ++reads == 1) shop.center->abandon(shop.request("t")).value();
  });
  ReplayRequest request{.merchant = "shop", .user = "ann"};
  request.force = GENERATE(true, false);
  request.dry_run = GENERATE(true, false);
  request.actor = "mia";
  request.reason = "asked";
  const auto report = shop.center->replay(request).value();
  REQUIRE(reads > 1);
  CHECK(report.pushed.size() == (request.force ? 1 : 0));
  CHECK(report.refused.size() == (request.force ? 0 : 1));
  const bool goes_on = request.force && !request.dry_run;
  CHECK(shop.view("t", "-").status == (goes_on ? Status::in_progress : Status::terminated));
}

TEST_CASE("the largest event a batch takes can be taken back") {
  std::string tasks;
  for (int i = 0; i < 1000; ++i) tasks += adds("t" + std::to_string(i), "");
  Shop shop(tasks);
  const auto event = shop.event({{"n", 1}});
  CHECK(shop.report(event).contributions.size() == 1000);
  auto reversal = shop.event();
  reversal.reverses = event.id;
  CHECK(shop.report(reversal).contributions.size() == 1000);
  CHECK(shop.progress("t0", "-") == 0);
  CHECK(shop.progress("t999", "-") == 0);
}

TEST_CASE("many threads that report for one user wait for each other, and none is refused [task-44]") {
  std::string tasks;
  for (int i = 0; i < 32; ++i) {
    const auto id = std::to_string(i);
    tasks += "<task id='t" + id + "'><on event='e" + id + "'/>" + stage(1000, 1) + "</task>";
  }
  Shop shop(tasks);
  // As a storage that is far away: all have read before the first one writes.
  shop.storage.on_call([](std::string_view point) {
    if (point == "read.after") std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 32; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 30; ++i) {
          const auto name = std::to_string(t);
          const Event event{"shop", name + "-" + std::to_string(i), "ann", "e" + name,
                            at("2024-03-10T12:00:00Z")};
          if (!shop.center->report(event)) ++refused;
        }
      });
    }
  }
  CHECK(refused == 0);
  for (int i = 0; i < 32; ++i) CHECK(shop.progress("t" + std::to_string(i), "-") == 30);
}

TEST_CASE("a call of 1,024 refunds of different users is applied, however many tasks each counted for") {
  std::string tasks;
  for (int i = 0; i < 14; ++i) tasks += adds("t" + std::to_string(i), "");
  Shop shop(tasks);
  std::vector<Event> events;
  std::vector<Event> refunds;
  for (int i = 0; i < 1024; ++i) {
    events.push_back(shop.event({{"n", 1}}, "2024-03-10T12:00:00Z", "u" + std::to_string(i)));
    refunds.push_back(shop.event({}, "2024-03-10T12:00:00Z", events.back().user, "refunded"));
    refunds.back().reverses = events.back().id;
  }
  for (const auto& answer : shop.center->report_many(events)) REQUIRE(answer.has_value());
  for (const auto& answer : shop.center->report_many(refunds)) REQUIRE(answer.has_value());
  CHECK(shop.progress("t0", "-", "u0") == 0);
}
