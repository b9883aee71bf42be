// Campaigns as XML and in code: the same, both ways.
#include "support.hpp"

#include "support/catch.hpp"

using namespace task_test;

namespace {

TaskDefinition full_task() {
  TaskDefinition task{"t",
                      "7",
                      "A \"title\" & more",
                      Period::month,
                      at("2024-01-01T00:00:00.5Z"),
                      at("2025-01-01T00:00:00Z")};
  task.rules.push_back({"paid", "event.n > 1", "event.n"});
  task.stages.push_back({5, "grant", {{"points", "5"}}, "take"});
  task.stages.push_back({9, "grant", {{"points", "event.n"}}, "take"});
  task.quota = QuotaDefinition{3, Period::week, QuotaAt::claim, std::chrono::minutes(10)};
  task.claim = Mode::manual;
  task.collect = Mode::manual;
  task.on_refund = OnRefund::clawback;
  task.on_update = OnUpdate::migrate;
  task.day_starts = std::chrono::hours(4);
  task.month_day = 31;
  task.user_zone = true;
  task.timezone = "Asia/Shanghai";
  task.late = std::chrono::microseconds(1500);
  task.within = std::chrono::hours(48);
  task.collect_within = std::chrono::seconds(90);
  task.after = {"a", "b"};
  task.audience = "profile.level >= 3 && user != 'eve'";
  task.per_user = 4;
  return task;
}

}  // namespace

TEST_CASE("a campaign in code becomes XML and the same campaign again") {
  auto first = full_task();
  TaskDefinition second{.id = "u"};
  second.period = Period::rolling;
  second.every = std::chrono::hours(24 * 7);
  second.rules.push_back({.event = "in", .streak = Period::day, .freeze = 2, .grace = std::chrono::hours(3)});
  TaskDefinition third{.id = "v"};
  third.match = Match::all;
  third.complete = Mode::manual;
  third.count_from = CountFrom::cycle;
  third.rules.push_back({.event = "a", .needs = 4});
  third.rules.push_back({.event = "b", .distinct = "event.x", .credit = "event.inviter"});
  TaskDefinition fourth{.id = "w"};
  fourth.group = "event.team";
  fourth.members = 3;
  fourth.late = Duration::zero();
  const CampaignDefinition campaign{"shop", "Europe/London", {first, second, third, fourth}};
  const auto xml = to_xml(campaign);
  INFO(xml);
  const auto read = parse_campaign_xml(xml, "c.xml").value();
  CHECK(read == campaign);
  CHECK(to_xml(read) == xml);
}

TEST_CASE("what does not go together is told, all at once, with its place") {
  Shop shop;
  const auto text =
      "<campaign merchant='shop'>\n"
      "<task id='a' after='b' period='fixed'><on event='x' freeze='2'/><stage target='1' pipeline='p'/></task>\n"
      "<task id='b' after='a nothing'><on event='x' needs='3'/><stage target='1' pipeline='p'/></task>\n"
      "<task id='c' on-refund='clawback'><on event='x'/><stage target='1' pipeline='p'/>"
      "<quota limit='1' at='claim'/></task>\n"
      "<task id='d' match='all'><on event='x'/><stage target='2' pipeline='p'/></task>\n"
      "<task id='e' group='event.g' members='0' claim='manual'><on event='x'/><stage target='1' pipeline='p'/></task>\n"
      "<task id='f' complete='manual' collect-within='1d' audience='event.n'><on event='x'/>"
      "<stage target='1' pipeline='p'><arg name='points' value='event.n'/></stage></task>\n"
      "<pipeline id='p'><input><param name='points' type='int' required='false'/></input>"
      "<step id='s' use='grant-points@1'><arg name='user' value=\"'x'\"/><arg name='amount' value='1'/></step></pipeline>"
      "</campaign>";
  std::vector<Diagnostic> found;
  CHECK_FALSE(compile_campaign_xml(text, "c.xml", shop.registry, {}, &found).has_value());
  const auto has = [&](std::string_view code, int line) {
    INFO(code << " in line " << line);
    const bool there = std::any_of(found.begin(), found.end(),
                                   [&](const Diagnostic& d) { return d.code == code && d.line == line; });
    CHECK(there);
  };
  has("bad-period", 2);
  has("bad-streak", 2);
  has("bad-order", 3);
  has("unknown-task", 3);
  has("bad-needs", 3);
  has("bad-take-back", 4);
  has("bad-quota", 4);
  has("bad-target", 5);
  has("bad-group", 6);
  has("bad-value", 7);
  has("bad-argument", 7);
  has("unknown-name", 7);
}

TEST_CASE("a definition without the new parts is the version it was") {
  Shop shop("<task id='buy'><on event='paid'/>" + stage(2, 10) + "<quota limit='3'/></task>");
  const auto stored = read_one(*shop.memory, "shop/definitions", "task/buy/1").value();
  CHECK(stored->value ==
        "{\"period\":\"once\",\"quota\":[3,\"once\"],\"rules\":[[\"paid\",\"\",\"\",\"\",\"once\"]],"
        "\"stages\":[[2,\"grant\",{\"points\":\"10\"}]],\"timezone\":\"UTC\"}");
}
