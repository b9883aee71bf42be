// Claims, collecting, giving up, and what operators do.
#include "support.hpp"

#include "support/catch.hpp"

#include <thread>

using namespace task_test;
using Lines = std::vector<std::string>;
using Outcome_ = Reply::Outcome;  // the library has an Outcome of its own

namespace {

const std::string manual = "<task id='buy' claim='manual'><on event='paid'/>" + stage(2, 10) + "</task>";

std::vector<std::string> codes(const std::vector<Cause>& causes) {
  std::vector<std::string> found;
  for (const auto& cause : causes) found.push_back(cause.code);
  return found;
}

}  // namespace

TEST_CASE("a task is claimed, and the reply names task and cycle [task-1]") {
  Shop shop("<task id='buy' claim='manual' period='day'><on event='paid'/>" + stage(2, 10) + "</task>");
  auto request = shop.request("buy");
  request.at = at("2024-03-10T12:00:00Z");
  const auto reply = shop.center->claim(request).value();
  CHECK(reply.outcome == Outcome_::done);
  CHECK_FALSE(reply.replayed);
  CHECK(reply.task == "buy");
  CHECK(reply.cycle == "D:2024-03-10");
  CHECK(reply.view.value().status == Status::claimed);
}

TEST_CASE("the same key gives the same reply, replayed; with another content it is a conflict [task-2]") {
  Shop shop(manual + "<task id='other' claim='manual'><on event='paid'/>" + stage(2, 10) + "</task>");
  const auto request = shop.request("buy");
  const auto first = shop.center->claim(request).value();
  const auto again = shop.center->claim(request).value();
  CHECK(again.replayed);
  CHECK(again.outcome == Outcome_::done);
  CHECK(again.cycle == first.cycle);
  CHECK(again.view == first.view);
  auto changed = request;
  changed.task = "other";
  CHECK(shop.center->claim(changed).error().code == ErrorCode::conflict);
  changed = request;
  changed.key.clear();
  CHECK(shop.center->claim(changed).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("another key for a task the user has: wrong_state with the view [task-3]") {
  Shop shop(manual);
  shop.center->claim(shop.request("buy")).value();
  shop.report(shop.event());
  const auto reply = shop.center->claim(shop.request("buy")).value();
  CHECK(reply.outcome == Outcome_::wrong_state);
  CHECK(reply.view.value().status == Status::in_progress);
  CHECK(reply.view.value().progress == 1);
}

TEST_CASE("an event before the claim is skipped with a reason and contributes nothing [task-5]") {
  Shop shop(manual);
  const auto receipt = shop.report(shop.event());
  CHECK(receipt.contributions.empty());
  CHECK(receipt.skipped == std::vector<Skipped>{{"buy", "-", "not_claimed"}});
  auto request = shop.request("buy");
  request.at = at("2024-03-10T13:00:00Z");
  shop.center->claim(request).value();
  CHECK(shop.report(shop.event()).skipped.at(0).reason == "not_claimed");  // it happened before the claim
  CHECK(shop.report(shop.event({}, "2024-03-10T14:00:00Z")).contributions.size() == 1);
}

TEST_CASE("with count-from cycle what happened before the claim counts at the claim") {
  Shop shop("<task id='buy' claim='manual' count-from='cycle'><on event='paid'/>" + stage(2, 10) + "</task>");
  shop.report(shop.event());
  CHECK_FALSE(shop.center->instance("shop", "ann", "buy", "-").value().has_value());
  shop.report(shop.event());
  CHECK(shop.granted->list().empty());
  const auto reply = shop.center->claim(shop.request("buy")).value();
  CHECK(reply.view.value().status == Status::rewarded);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
}

TEST_CASE("a stage is collected once; asked again the first reply is given [task-14]") {
  Shop shop("<task id='buy' collect='manual'><on event='paid'/>" + stage(1, 10) + stage(2, 20) + "</task>");
  shop.report(shop.event());
  shop.report(shop.event());
  CHECK(shop.view("buy", "-").status == Status::completed);
  CHECK(shop.granted->list().empty());
  auto request = shop.request("buy");
  request.stage = 1;
  const auto first = shop.center->collect(request).value();
  CHECK(first.outcome == Outcome_::done);
  CHECK(first.grants.at(0).state == RunState::succeeded);
  CHECK(first.view.value().status == Status::completed);
  request.key = "another";
  const auto again = shop.center->collect(request).value();
  CHECK(again.replayed);
  CHECK(again.grants == first.grants);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
  CHECK(shop.center->collect(shop.request("buy")).value().view.value().status == Status::rewarded);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10", "ann/buy/-/2=20"});
  CHECK(shop.granted->calls() == 2);
}

TEST_CASE("there is nothing to collect before a stage is reached") {
  Shop shop("<task id='buy' collect='manual'><on event='paid'/>" + stage(2, 10) + "</task>");
  CHECK(shop.center->collect(shop.request("buy")).value().outcome == Outcome_::wrong_state);
  shop.report(shop.event());
  CHECK(shop.center->collect(shop.request("buy")).value().outcome == Outcome_::wrong_state);
  CHECK(shop.center->collect({"shop", "ann", "nothing", "k"}).error().code == ErrorCode::not_found);
}

TEST_CASE("what comes first has to be rewarded; the refusal names it [task-11]") {
  Shop shop("<task id='first'><on event='paid'/>" + stage(1, 1) +
            "</task><task id='second' claim='manual' after='first'><on event='paid'/>" + stage(1, 2) +
            "</task><task id='third' after='first'><on event='came'/>" + stage(1, 3) + "</task>");
  const auto refused = shop.center->claim(shop.request("second")).value();
  CHECK(refused.outcome == Outcome_::not_eligible);
  CHECK(refused.causes.at(0).code == "prerequisite");
  CHECK(refused.causes.at(0).message.find("\"first\"") != std::string::npos);
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "came")).skipped.at(0).reason ==
        "not_eligible");
  shop.report(shop.event());
  CHECK(shop.center->claim(shop.request("second")).value().outcome == Outcome_::done);
  CHECK(shop.report(shop.event({}, "2024-03-10T12:00:00Z", "ann", "came")).grants.size() == 1);
}

TEST_CASE("every cause of a refusal is told, and when it changes [task-76]") {
  Shop shop(
      "<task id='a'><on event='paid'/>" + stage(1, 1) +
      "</task><task id='b' claim='manual' after='a' per-user='1' period='day' starts='2024-04-01T00:00:00Z' "
      "audience='profile.level &gt;= 3'><on event='x'/>" +
      stage(1, 1) + "<quota limit='1' per='day' at='claim'/></task>");
  auto early = shop.request("b");
  early.at = at("2024-03-10T12:00:00Z");
  auto explained = shop.center->explain(early).value();
  CHECK(codes(explained.causes) == Lines{"not_started", "audience", "prerequisite"});
  CHECK(explained.causes.at(0).changes_at == at("2024-04-01T00:00:00Z"));
  shop.profiles["ann"].attributes = Map{{"level", 3}};
  shop.profiles["bob"].attributes = Map{{"level", 9}};
  shop.report(shop.event());
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob"));
  auto claim = shop.request("b");
  claim.at = at("2024-04-02T12:00:00Z");
  CHECK(shop.center->claim(claim).value().outcome == Outcome_::done);
  auto late = shop.request("b", "bob");
  late.at = claim.at;
  explained = shop.center->explain(late).value();
  CHECK(codes(explained.causes) == Lines{"out_of_stock"});
  CHECK(explained.causes.at(0).changes_at == at("2024-04-03T00:00:00Z"));
  claim.key = "next-day";
  claim.at = at("2024-04-03T12:00:00Z");
  CHECK(codes(shop.center->explain(claim).value().causes) == Lines{"limit"});
  CHECK(shop.center->claim(claim).value().outcome == Outcome_::not_eligible);
  CHECK(shop.center->explain(shop.request("b", "bob")).value().causes.empty() == false);
}

TEST_CASE("one unit at the claim and 200 users from 8 threads: one has it [task-37]") {
  Shop shop("<task id='only' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='claim'/></task>");
  std::atomic<int> done = 0;
  std::atomic<int> out = 0;
  std::vector<std::jthread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto name = "u" + std::to_string(t * 25 + i);
        const auto reply = shop.center->claim({"shop", name, "only", "k"});
        if (reply && reply->outcome == Outcome_::done) ++done;
        if (reply && reply->outcome == Outcome_::out_of_stock) ++out;
      }
    });
  }
  callers.clear();
  CHECK(done == 1);
  CHECK(out == 199);
  CHECK(read_one(*shop.memory, "shop/quota/only", "count/-").value()->value == "1");
}

TEST_CASE(
    "a process dies with a unit in its hand: the unit returns, a late commit fails [task-38] [task-42]") {
  using testing::FaultyStorage;
  const auto task = "<task id='only' claim='manual'><on event='paid'/>" + stage(1, 10) +
                    "<quota limit='1' at='claim'/></task>";
  for (std::size_t skip = 0; skip < 3; ++skip) {
    INFO("commit " << skip);
    Shop shop(task);
    // The process stands still at one of its commits; meanwhile its lease passes and others do its todo.
    std::size_t commits = 0;
    bool lapsed = false;
    shop.storage.on_call([&](std::string_view point) {
      if (point != "commit.before" || lapsed || commits++ != skip) return;
      lapsed = true;
      Shop* other = &shop;
      Runner runner(*other->memory, other->catalog, {});
      TaskCenter center(*other->memory, other->catalog, runner);
      center.publish(other->campaign(task)).value();
      other->clock.advance(std::chrono::hours(1));
      while (center.work().value().taken > 0) continue;
    });
    const auto reply = shop.center->claim(shop.request("only"));
    shop.storage.on_call({});
    const bool has = reply && reply->outcome == Outcome_::done;
    const auto count = read_one(*shop.memory, "shop/quota/only", "count/-").value();
    CHECK((count ? count->value : "0") == (has ? "1" : "0"));
    CHECK(has == (skip != 2));  // before the batch it takes another unit
    CHECK(shop.view("only", "-").status == (has ? Status::claimed : Status::not_taken));
    if (has) continue;
    CHECK(shop.center->claim(shop.request("only", "bob")).value().outcome == Outcome_::done);
    CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
  }
}

TEST_CASE("a unit held for a user who does not complete returns after the hold") {
  Shop shop("<task id='only' claim='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='claim' hold='10m'/></task>");
  CHECK(shop.center->claim(shop.request("only")).value().outcome == Outcome_::done);
  CHECK(shop.center->claim(shop.request("only", "bob")).value().outcome == Outcome_::out_of_stock);
  shop.settle();
  CHECK(shop.view("only", "-").status == Status::expired);
  CHECK(shop.view("only", "-").reason == "not_completed");
  CHECK(shop.center->claim(shop.request("only", "bob")).value().outcome == Outcome_::done);
}

TEST_CASE("who gives up has nothing more; replay is refused but for an actor with a reason [task-51]") {
  Shop shop("<task id='buy' collect='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1'/></task>");
  shop.report(shop.event());
  const auto reply = shop.center->abandon(shop.request("buy")).value();
  CHECK(reply.view.value().status == Status::terminated);
  CHECK(reply.view.value().reason == "abandoned");
  CHECK(read_one(*shop.memory, "shop/quota/buy", "count/-").value()->value == "0");
  CHECK(shop.report(shop.event()).skipped.at(0).reason == "ended");
  CHECK(shop.center->collect(shop.request("buy")).value().outcome == Outcome_::wrong_state);
  ReplayRequest replay{"shop", "ann", "buy"};
  auto report = shop.center->replay(replay).value();
  CHECK(report.pushed.empty());
  CHECK(Shop::names(report.refused) == Lines{"buy/-"});
  replay.force = true;
  CHECK(shop.center->replay(replay).error().code == ErrorCode::invalid_argument);
  replay.actor = "op";
  replay.reason = "he called";
  CHECK(Shop::names(shop.center->replay(replay).value().pushed) == Lines{"buy/-"});
  shop.settle();
  CHECK(shop.view("buy", "-").status == Status::completed);
  CHECK(shop.center->collect(shop.request("buy")).value().grants.at(0).state == RunState::succeeded);
}

TEST_CASE(
    "used-up attempts end as terminated, and replay rewards without repeating what was done [task-48] [task-50]") {
  testing::RecordedJournal journal;
  Shop shop("<task id='buy'><on event='paid'/>" + stage(1, 10) + "</task>", "UTC", &journal);
  shop.granted->fail_calls = 20;
  shop.report(shop.event());
  for (int i = 0; i < 60 && shop.view("buy", "-").status == Status::rewarding; ++i) shop.settle();
  const auto view = shop.view("buy", "-");
  CHECK(view.status == Status::terminated);
  CHECK(view.reason == "retry_exhausted");
  CHECK(shop.moves(journal).back() == "rewarding-reward_exhausted-terminated");
  CHECK(
      Shop::names(shop.center->replay({.merchant = "shop", .user = "ann", .dry_run = true}).value().pushed) ==
      Lines{"buy/-"});
  CHECK(shop.view("buy", "-").status == Status::terminated);
  CHECK(Shop::names(shop.center->replay({.merchant = "shop", .user = "ann"}).value().pushed) ==
        Lines{"buy/-"});
  shop.settle();
  CHECK(shop.view("buy", "-").status == Status::rewarded);
  CHECK(shop.granted->list() == Lines{"ann/buy/-/1=10"});
  CHECK(shop.center->replay({.merchant = "shop", .user = "ann"}).value().pushed.empty());
}

TEST_CASE("a refused reward is failed, and goes on when replayed") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(1, 10) + "</task>");
  shop.granted->reject = true;
  shop.report(shop.event());
  CHECK(shop.view("buy", "-").status == Status::failed);
  shop.granted->reject = false;
  shop.center->replay({.merchant = "shop", .user = "ann"}).value();
  shop.settle();
  CHECK(shop.view("buy", "-").status == Status::rewarded);
}

TEST_CASE("what may be completed by hand is, and can be taken back") {
  Shop shop("<task id='read' complete='manual'><on event='paid'/>" + stage(3, 10) + "</task>" +
            "<task id='buy'><on event='x'/>" + stage(1, 1) + "</task>");
  auto request = shop.request("read");
  const auto reply = shop.center->complete(request).value();
  CHECK(reply.outcome == Outcome_::done);
  CHECK(reply.view.value().status == Status::rewarded);
  CHECK(shop.center->complete(request).value().replayed);
  CHECK(shop.center->complete(shop.request("read")).value().outcome == Outcome_::wrong_state);
  CHECK(shop.center->complete(shop.request("buy")).value().outcome == Outcome_::wrong_state);
  CHECK(shop.progress("read", "-") == 3);
  auto back = shop.event();
  back.type = "undone";
  back.reverses = "complete:" + request.key;
  shop.report(back);
  CHECK(shop.progress("read", "-") == 0);
}

TEST_CASE("a completion that was taken back before it came completes nothing") {
  Shop shop("<task id='read' complete='manual'><on event='paid'/>" + stage(3, 10) + "</task>");
  const auto request = shop.request("read");
  auto back = shop.event({}, "2024-03-10T12:00:00Z", "ann", "undone");
  back.reverses = "complete:" + request.key;
  shop.report(back);
  CHECK(shop.center->complete(request).value().outcome == Outcome_::wrong_state);
  CHECK(shop.center->complete(request).value().outcome == Outcome_::wrong_state);
  CHECK(shop.granted->list().empty());
  CHECK(shop.center->complete(shop.request("read")).value().outcome == Outcome_::done);
}

TEST_CASE("why a completion is refused is told also where it was taken back before it came") {
  Shop shop("<task id='read' complete='manual' ends='2024-03-01T00:00:00Z'><on event='paid'/>" +
            stage(3, 10) + "</task>");
  auto request = shop.request("read");
  request.at = at("2024-03-10T12:00:00Z");
  auto back = shop.event({}, "2024-03-10T12:00:00Z", "ann", "undone");
  back.reverses = "complete:" + request.key;
  shop.report(back);
  CHECK(shop.center->complete(request).value().outcome == Outcome_::late);
}

TEST_CASE("a merchant's key with another merchant's task: refused, and nothing of it told [task-71]") {
  Shop shop(manual);
  shop.center
      ->publish(shop.campaign(
          "<task id='secret' claim='manual'><on event='paid'/>" + stage(2, 10) + "</task>", "UTC", "rival"))
      .value();
  const auto refused = shop.center->claim({"shop", "ann", "secret", "k"});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::not_found);
  CHECK(refused.error().message.find("rival") == std::string::npos);
}

TEST_CASE("withdrawn by the merchant: only with an actor and a reason") {
  Shop shop(manual);
  shop.center->claim(shop.request("buy")).value();
  auto request = shop.request("buy");
  CHECK(shop.center->withdraw(request).error().code == ErrorCode::invalid_argument);
  request.actor = "risk";
  request.reason = "risk: stolen card";
  const auto reply = shop.center->withdraw(request).value();
  CHECK(reply.view.value().status == Status::terminated);
  CHECK(reply.view.value().reason == "risk: stolen card");
}

TEST_CASE("a quota at collection: whoever collects first has the unit") {
  Shop shop("<task id='buy' collect='manual'><on event='paid'/>" + stage(1, 10) +
            "<quota limit='1' at='collection'/></task>");
  shop.report(shop.event());
  shop.report(shop.event({}, "2024-03-10T12:00:00Z", "bob"));
  auto request = shop.request("buy", "bob");
  request.at = at("2024-03-11T12:00:00Z");
  CHECK(shop.center->collect(request).value().grants.at(0).state == RunState::succeeded);
  request.user = "ann";
  CHECK(shop.center->collect(request).value().grants.at(0).out_of_stock);
  CHECK(shop.granted->list() == Lines{"bob/buy/-/1=10"});
}

TEST_CASE("a claim asked for again at once is the same claim, also for the last unit") {
  for (const auto* quota : {"<quota limit='1' at='claim'/>", ""}) {
    for (int round = 0; round < 20; ++round) {
      Shop shop("<task id='t' claim='manual' per-user='1'><on event='paid'/>" + stage(1, 10) + quota +
                "</task>");
      const auto request = shop.request("t");
      std::vector<Result<Reply>> replies(16);
      {
        std::vector<std::jthread> callers;
        for (auto& reply : replies) callers.emplace_back([&] { reply = shop.center->claim(request); });
      }
      for (const auto& reply : replies) CHECK(to_string(reply.value().outcome) == "done");
      CHECK(std::count_if(replies.begin(), replies.end(),
                          [](const auto& reply) { return !reply->replayed; }) == 1);
      if (*quota != 0) CHECK(read_one(*shop.memory, "shop/quota/t", "count/-").value()->value == "1");
      CHECK(shop.memory->scan("shop/user/ann", "todo/", "", 10).value().records.empty());
    }
  }
}

TEST_CASE("a stage that history reached can be collected as soon as the task is claimed") {
  const auto quota = GENERATE(as<std::string>(), "", "<quota limit='5'/>");
  Shop shop("<task id='t' claim='manual' count-from='cycle' collect='manual'><on event='paid'/>" +
            stage(1, 5) + stage(3, 9) + quota + "</task>");
  shop.report(shop.event());
  shop.center->claim(shop.request("t")).value();
  CHECK(shop.view("t", "-").status == Status::claimed);
  CHECK(shop.center->collect(shop.request("t")).value().outcome == Reply::Outcome::done);
  CHECK(shop.view("t", "-").status == Status::in_progress);
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=5"});
}
