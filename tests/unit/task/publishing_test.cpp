// Sheets in the hands of merchants and the platform: nobody and no crash leaves what cannot be published.
#include "desk.hpp"

#include "support/catch.hpp"

using namespace task_test;
using testing::FaultyStorage;
using Lines = std::vector<std::string>;

TEST_CASE("a process that dies while a version goes online leaves the old one or the new one") {
  bool finished = false;
  for (std::size_t skip = 0; !finished; ++skip) {
    Desk desk;
    desk.online("t", "1", 3);
    desk.approved("t", "2", 1);
    desk.shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                                 ErrorCode::unavailable, 1000, skip);
    finished = desk.admin->put_online(desk.mia, "t", "2").has_value();
    desk.shop.storage.heal();
    desk.restart();
    INFO("died after " << skip << " commits");
    desk.admin->refresh("shop").value();
    const bool second = desk.states() == Lines{"t/1 offline", "t/2 online"};
    CHECK((second || desk.states() == Lines{"t/1 online", "t/2 approved"}));
    CHECK(desk.shop.report(desk.shop.event()).grants.size() == (second ? 1U : 0U));
    CHECK(second == (skip > 0));
    REQUIRE(skip < 8);
  }
}

TEST_CASE("a scheduled version goes online though the process died halfway") {
  for (std::size_t skip = 0; skip < 5; ++skip) {
    Desk desk;
    desk.online("t", "1", 3);
    desk.approved("t", "2", 1);
    desk.admin->schedule(desk.mia, "t", "2", desk.shop.clock.now() + std::chrono::hours(1)).value();
    desk.shop.clock.advance(std::chrono::hours(2));
    desk.shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before,
                                 ErrorCode::unavailable, 1000, skip);
    (void)desk.admin->work();
    desk.shop.storage.heal();
    desk.restart();
    INFO("died after " << skip << " commits");
    desk.admin->work().value();
    desk.admin->refresh("shop").value();
    CHECK(desk.shop.report(desk.shop.event()).grants.size() == 1);
  }
}

TEST_CASE("every act that holds has its audit line, wherever its answer is lost") {
  for (std::size_t skip = 0; skip < 12; ++skip) {
    Desk desk;
    desk.shop.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::after,
                                 ErrorCode::in_doubt, 1000, skip);
    const auto acts = [&] {
      (void)desk.admin->draft(desk.mia, Desk::sheet("t", "1", 1));
      (void)desk.admin->submit(desk.mia, "t", "1");
      (void)desk.admin->approve(desk.pat, "t", "1");
      (void)desk.admin->put_online(desk.mia, "t", "1");
    };
    acts();
    desk.shop.storage.heal();
    desk.restart();
    (void)desk.admin->refresh("shop");
    acts();
    INFO("died at commit " << skip);
    CHECK(desk.states() == Lines{"t/1 online"});
    CHECK(desk.admin->audit("shop").value().size() == 4);
    CHECK(desk.shop.report(desk.shop.event()).grants.size() == 1);
  }
}

TEST_CASE("a task that others come after is not stopped under them, and nothing is changed") {
  Desk desk;
  desk.online("first", "1", 1);
  desk.online("second", "1", 1, "first");
  for (const bool pause : {true, false}) {
    const auto stopped = pause ? desk.admin->pause(desk.mia, "first", "1", "fraud")
                               : desk.admin->take_offline(desk.mia, "first", "1", "fraud");
    CHECK(stopped.error().code == ErrorCode::invalid_argument);
    CHECK(stopped.error().message.find("second") != std::string::npos);
  }
  CHECK(desk.states() == Lines{"first/1 online", "second/1 online"});
  desk.restart();
  desk.admin->refresh("shop").value();
  CHECK(desk.shop.report(desk.shop.event()).contributions.size() == 1);
  desk.admin->take_offline(desk.mia, "second", "1", "fraud").value();
  desk.admin->take_offline(desk.mia, "first", "1", "fraud").value();
  CHECK(desk.shop.report(desk.shop.event()).contributions.empty());
}

TEST_CASE("two versions approved together do not go online in a circle") {
  Desk desk;
  desk.online("a", "1", 1);
  desk.online("b", "1", 1);
  desk.approved("a", "2", 1, "b");
  desk.approved("b", "2", 1, "a");
  SECTION("one after the other") {
    desk.admin->put_online(desk.mia, "a", "2").value();
    const auto circle = desk.admin->put_online(desk.mia, "b", "2");
    CHECK(circle.error().code == ErrorCode::invalid_argument);
    CHECK(circle.error().message.find("bad-order") != std::string::npos);
  }
  SECTION("at once") {
    bool raced = false;
    desk.shop.storage.on_call([&](std::string_view point) {
      if (point != "commit.before" || raced) return;
      raced = true;
      TaskAdmin other(*desk.shop.memory, *desk.shop.center, desk.shop.registry, desk.types);
      other.set_up(desk.setup);
      other.put_online(desk.pat, "a", "2").value();
    });
    CHECK(desk.admin->put_online(desk.mia, "b", "2").error().code == ErrorCode::conflict);
    desk.shop.storage.on_call({});
    CHECK(raced);
  }
  CHECK(desk.states() == Lines{"a/1 offline", "a/2 online", "b/1 online", "b/2 approved"});
  desk.restart();
  desk.admin->refresh("shop").value();
}

TEST_CASE("a scheduled version that cannot go online keeps no other from it, and is told") {
  Desk desk;
  desk.online("a", "1", 1);
  desk.approved("b", "1", 1, "a");
  desk.approved("c", "1", 1);
  for (const auto* task : {"b", "c"})
    desk.admin->schedule(desk.mia, task, "1", desk.shop.clock.now() + std::chrono::hours(1)).value();
  desk.admin->take_offline(desk.mia, "a", "1", "over").value();
  desk.shop.clock.advance(std::chrono::hours(2));
  CHECK(desk.admin->work().error().message.find("unknown-task") != std::string::npos);
  CHECK(desk.states() == Lines{"a/1 offline", "b/1 scheduled", "c/1 online"});
  desk.admin->put_online(desk.mia, "a", "1").value();
  CHECK(desk.admin->work().value() == 1);
  CHECK(desk.states() == Lines{"a/1 online", "b/1 online", "c/1 online"});
}

TEST_CASE("a version that takes over users and cannot never goes online") {
  Desk desk;
  const auto two = "<task id='t'><on event='paid'/>" + stage(1, 10) + stage(2, 10) + "</task>";
  desk.shop.center->publish(desk.shop.campaign(two)).value();
  desk.types.add(std::make_unique<Migrating>()).value();
  auto sheet = Desk::sheet("t", "2", 1);
  sheet.type = "migrating@1";
  desk.admin->draft(desk.mia, sheet).value();
  const auto refused = desk.admin->submit(desk.mia, "t", "2");
  CHECK(refused.error().message.find("more stages") != std::string::npos);
  CHECK(desk.states() == Lines{"t/2 draft"});
}

TEST_CASE(
    "a merchant set up in another zone is published as before; what is submitted then is in the new one") {
  Desk desk;
  desk.online("t", "1", 3);
  desk.setup.timezone = "Asia/Shanghai";
  desk.restart();
  desk.admin->refresh("shop").value();
  CHECK(desk.shop.report(desk.shop.event()).contributions.size() == 1);
  desk.online("u", "1", 3);
  const auto stands = [&](const char* key) {
    return Value::from_json(read_one(*desk.shop.memory, "shop/definitions", key).value()->value).value();
  };
  CHECK(*stands("task/t/1").find("timezone")->string() == "UTC");
  CHECK(*stands("task/u/1").find("timezone")->string() == "Asia/Shanghai");
}

TEST_CASE("a task's own zone decides its days and its quota") {
  Shop shop("<task id='t' period='day' timezone='Asia/Shanghai'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' per='day'/></task><task id='u' period='day'><on event='paid'/>" + stage(9, 10) +
            "</task>");
  // The 10th in London, the 11th in Shanghai.
  const auto receipt = shop.report(shop.event({}, "2024-03-10T20:00:00Z"));
  CHECK(receipt.contributions.at(0).cycle == "D:2024-03-11");
  CHECK(receipt.contributions.at(1).cycle == "D:2024-03-10");
  CHECK(read_one(*shop.memory, "shop/quota/t", "count/D:2024-03-11").value()->value == "1");
}

TEST_CASE("whoever wrote any of a draft does not approve it") {
  Desk desk;
  const Acting joe{"shop", "joe"};
  SECTION("edited by another one in between") {
    desk.admin->draft(desk.mia, Desk::sheet("t", "1", 100)).value();
    desk.admin->edit(joe, Desk::sheet("t", "1", 1)).value();
    desk.admin->submit(joe, "t", "1").value();
  }
  SECTION("cloned by another one") {
    desk.admin->draft(desk.mia, Desk::sheet("t", "0", 100)).value();
    desk.admin->clone(joe, "t", "0", "t", "1").value();
    desk.admin->submit(desk.mia, "t", "1").value();
  }
  SECTION("rejected, and edited by another one") {
    desk.approved("t", "1", 1);
    desk.admin->reject(desk.pat, "t", "1", "too cheap").value();
    CHECK(desk.admin->sheets("shop")->at(0).approver.empty());
    CHECK(desk.admin->put_online(desk.mia, "t", "1").error().code == ErrorCode::wrong_state);
    desk.admin->edit(joe, Desk::sheet("t", "1", 2)).value();
    CHECK(desk.admin->put_online(desk.mia, "t", "1").error().code == ErrorCode::wrong_state);
    desk.admin->submit(joe, "t", "1").value();
  }
  for (const auto& author : {desk.mia, joe})
    CHECK(desk.admin->approve(author, "t", "1").error().code == ErrorCode::invalid_argument);
  desk.admin->approve(desk.pat, "t", "1").value();
}

TEST_CASE("a sheet stored without its authors has the one it names") {
  Desk desk;
  desk.admin->draft(desk.mia, Desk::sheet("t", "1", 1)).value();
  const auto stored = read_one(*desk.shop.memory, "shop/drafts", "draft/t/1").value();
  auto text = stored->value;
  const std::string authors = "\"authors\":[\"mia\"],";
  REQUIRE(text.find(authors) != std::string::npos);
  text.erase(text.find(authors), authors.size());
  REQUIRE(commit_one(*desk.shop.memory,
                     {"shop/drafts", {Operation::replace("draft/t/1", stored->revision, text)}})
              .value()
              .applied());
  CHECK(desk.admin->sheets("shop")->at(0).authors == Lines{"mia"});
  desk.admin->submit(desk.mia, "t", "1").value();
  CHECK(desk.admin->approve(desk.mia, "t", "1").error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a sheet's id and version are checked when it is begun") {
  Desk desk;
  CHECK(desk.admin->draft(desk.mia, Desk::sheet("a/b", "c", 1)).error().code == ErrorCode::invalid_argument);
  CHECK(desk.admin->draft(desk.mia, Desk::sheet("a", "b/c", 1)).error().code == ErrorCode::invalid_argument);
  desk.admin->draft(desk.mia, Desk::sheet("a", "b", 1)).value();
  CHECK(desk.admin->clone(desk.mia, "a", "b", "a", "").error().code == ErrorCode::invalid_argument);
  CHECK(desk.states() == Lines{"a/b draft"});
}

TEST_CASE("two versions that are online, as they could be left once, are mended by taking one offline") {
  Desk desk;
  desk.online("t", "1", 1);
  desk.approved("t", "2", 1);
  const auto stored = read_one(*desk.shop.memory, "shop/drafts", "draft/t/2").value();
  auto text = stored->value;
  text.replace(text.find("approved"), 8, "online");
  REQUIRE(commit_one(*desk.shop.memory,
                     {"shop/drafts", {Operation::replace("draft/t/2", stored->revision, text)}})
              .value()
              .applied());
  CHECK(desk.admin->refresh("shop").error().message.find("duplicate-task") != std::string::npos);
  desk.admin->take_offline(desk.mia, "t", "1", "two at once").value();
  CHECK(desk.states() == Lines{"t/1 offline", "t/2 online"});
  CHECK(desk.shop.report(desk.shop.event()).grants.size() == 1);
}
