// A kind of task and a reward step that the library knows nothing of, added from here alone.
#include "support.hpp"

#include <onceward/task/task_admin.hpp>

#include "support/catch.hpp"

using namespace task_test;

namespace {

/// "Walk so many steps": a kind of the platform's own.
class Walk final : public TaskType {
 public:
  [[nodiscard]] TaskTypeSpec spec() const override {
    return {.name = "walk@1",
            .fields = {{"steps", Value::Kind::integer, {}, true, 1000, 100'000},
                       {"points", Value::Kind::integer, 10, true, 1, 50},
                       {"event", Value::Kind::string, "walked", false}}};
  }
  [[nodiscard]] Result<TaskDefinition> make(const Map& fields) const override {
    TaskDefinition task{.id = "walk"};
    task.period = Period::day;
    task.rules.push_back({.event = *fields.find("event")->string(), .add = "event.steps"});
    task.stages.push_back({*fields.find("steps")->integer(),
                           "stamp",
                           {{"points", std::to_string(*fields.find("points")->integer())}}});
    return task;
  }
};

/// A reward of the platform's own.
class Stamp final : public Step {
 public:
  explicit Stamp(std::vector<std::string>& stamps) : stamps_(stamps) {}
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "stamp@1",
            .arguments = {{"user", Value::Kind::string}, {"points", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override {
    stamps_.push_back(step.arg<std::string>("user") + std::to_string(step.arg<int>("points")));
    return Done{};
  }

 private:
  std::vector<std::string>& stamps_;
};

PipelineDefinition stamp_pipeline() {
  PipelineBuilder builder = pipeline("stamp");
  builder.input("user", Value::Kind::string).input("points", Value::Kind::integer);
  builder.step("stamp", "stamp@1", {{"user", "user"}, {"points", "points"}});
  return builder.definition();
}

}  // namespace

TEST_CASE("a kind of task and a reward are added from outside the library") {
  Shop shop;
  std::vector<std::string> stamps;
  shop.registry.add(std::make_unique<Stamp>(stamps)).value();
  TaskTypes types;
  types.add(std::make_unique<Walk>()).value();
  CHECK(types.add(std::make_unique<Walk>()).error().code == ErrorCode::conflict);
  auto task = types.make("walk@1", Map{{"steps", 5000}}).value();
  const CampaignDefinition campaign{"shop", "UTC", {task}, {stamp_pipeline()}};
  shop.center->publish(Campaign::compile(campaign, shop.registry).value()).value();
  shop.report(shop.event({{"steps", 5000}}, "2024-03-10T12:00:00Z", "ann", "walked"));
  CHECK(stamps == std::vector<std::string>{"ann10"});
}

TEST_CASE("fields a merchant may not set, or not so, are told all at once") {
  TaskTypes types;
  types.add(std::make_unique<Walk>()).value();
  const auto wrong = types.make("walk@1", Map{{"points", 51}, {"event", "paid"}, {"color", "red"}});
  REQUIRE_FALSE(wrong.has_value());
  for (const auto* part : {"steps: the field is missing", "points: the field is 51",
                           "event: the field is set by", "color: the field is none"}) {
    CHECK(wrong.error().message.find(part) != std::string::npos);
  }
  CHECK(types.make("run@1", Map{}).error().code == ErrorCode::not_found);
}

namespace {

struct Office {
  Shop shop;
  std::vector<std::string> stamps;
  TaskTypes types;
  std::unique_ptr<TaskAdmin> admin;

  Office() {
    shop.registry.add(std::make_unique<Stamp>(stamps)).value();
    types.add(std::make_unique<Walk>()).value();
    admin = std::make_unique<TaskAdmin>(shop.storage, *shop.center, shop.registry, types);
    admin->set_up({"shop", "UTC", {stamp_pipeline()}});
  }
  [[nodiscard]] TaskSheet sheet(std::string version, int steps) const {
    return {"walk", std::move(version), "walk@1", Map{{"steps", steps}}};
  }
  void online(const std::string& version, int steps) {
    admin->draft({"shop", "mia"}, sheet(version, steps)).value();
    admin->submit({"shop", "mia"}, "walk", version).value();
    admin->approve({"shop", "pat"}, "walk", version).value();
    admin->put_online({"shop", "mia"}, "walk", version).value();
  }
  std::size_t listed() {
    const auto page = shop.center->list({"shop", "ann"});
    return page ? page->entries.size() : 0;
  }
  Receipt walk(int steps, std::string user = "ann") {
    return shop.report(shop.event({{"steps", steps}}, "2024-03-10T12:00:00Z", std::move(user), "walked"));
  }
};

}  // namespace

TEST_CASE("an unapproved task is invisible, and its author does not approve it [task-68]") {
  Office office;
  auto& admin = *office.admin;
  admin.draft({"shop", "mia"}, office.sheet("1", 5000)).value();
  CHECK(office.listed() == 0);
  CHECK(admin.approve({"shop", "pat"}, "walk", "1").error().code == ErrorCode::wrong_state);
  admin.submit({"shop", "mia"}, "walk", "1").value();
  CHECK(admin.approve({"shop", "mia"}, "walk", "1").error().code == ErrorCode::invalid_argument);
  CHECK(admin.put_online({"shop", "mia"}, "walk", "1").error().code == ErrorCode::wrong_state);
  admin.approve({"shop", "pat"}, "walk", "1").value();
  CHECK(office.listed() == 0);
  admin.put_online({"shop", "mia"}, "walk", "1").value();
  CHECK(office.listed() == 1);
  CHECK(office.walk(5000).grants.size() == 1);
  std::vector<std::string> acts;
  const auto lines = admin.audit("shop").value();
  for (const auto& line : lines) acts.push_back(line.actor + ":" + line.act);
  std::sort(acts.begin(), acts.end());
  CHECK(acts == std::vector<std::string>{"mia:draft", "mia:online", "mia:submit", "pat:approve"});
}

TEST_CASE(
    "a submitted version never changes; its successor takes its place, and who began stays pinned [task-69]") {
  Office office;
  office.online("1", 5000);
  office.walk(4000);
  CHECK(office.admin->edit({"shop", "mia"}, office.sheet("1", 3000)).error().code == ErrorCode::wrong_state);
  CHECK(office.admin->draft({"shop", "mia"}, office.sheet("1", 3000)).error().code == ErrorCode::conflict);
  office.admin->clone({"shop", "mia"}, "walk", "1", "walk", "2").value();
  office.admin->edit({"shop", "mia"}, office.sheet("2", 3000)).value();
  office.admin->submit({"shop", "mia"}, "walk", "2").value();
  office.admin->approve({"shop", "pat"}, "walk", "2").value();
  office.admin->put_online({"shop", "mia"}, "walk", "2").value();
  CHECK(office.listed() == 1);
  CHECK(office.walk(500).grants.empty());
  CHECK(office.walk(3000, "bob").grants.size() == 1);
  CHECK(office.walk(500).grants.size() == 1);
  const auto sheets = office.admin->sheets("shop").value();
  for (const auto& sheet : sheets)
    CHECK(to_string(sheet.state) == (sheet.version == "2" ? "online" : "offline"));
}

TEST_CASE("paused and offline tasks take nothing; online again they go on") {
  Office office;
  office.online("1", 5000);
  office.walk(4000);
  office.admin->pause({"shop", "mia"}, "walk", "1", "stock count").value();
  CHECK(office.listed() == 0);
  CHECK(office.walk(1000).contributions.empty());
  office.admin->put_online({"shop", "mia"}, "walk", "1").value();
  CHECK(office.walk(1000).grants.size() == 1);
  office.admin->take_offline({"shop", "mia"}, "walk", "1", "over").value();
  office.admin->archive({"shop", "mia"}, "walk", "1").value();
  CHECK(office.admin->put_online({"shop", "mia"}, "walk", "1").error().code == ErrorCode::wrong_state);
}

TEST_CASE("a scheduled task goes online when its time has come, by any process") {
  Office office;
  office.admin->draft({"shop", "mia"}, office.sheet("1", 5000)).value();
  office.admin->submit({"shop", "mia"}, "walk", "1").value();
  office.admin->approve({"shop", "pat"}, "walk", "1").value();
  office.admin->schedule({"shop", "mia"}, "walk", "1", office.shop.clock.now() + std::chrono::hours(2))
      .value();
  CHECK(office.admin->work().value() == 0);
  office.shop.clock.advance(std::chrono::hours(2));
  CHECK(office.admin->work().value() == 1);
  CHECK(office.listed() == 1);
  CHECK(office.admin->work().value() == 0);
}

TEST_CASE("a bad task is refused with its path and reason, and the old one stays [task-74]") {
  Office office;
  office.online("1", 5000);
  office.admin->set_up({"shop", "UTC", {}});  // its pipeline is gone
  office.admin->draft({"shop", "mia"}, office.sheet("2", 3000)).value();
  const auto refused = office.admin->submit({"shop", "mia"}, "walk", "2");
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::invalid_argument);
  CHECK(refused.error().message.find("walk/2") != std::string::npos);
  CHECK(refused.error().message.find("unknown-pipeline") != std::string::npos);
  CHECK(office.walk(5000).grants.size() == 1);
}

TEST_CASE("merchants see and change only their own [task-71]") {
  Office office;
  office.admin->set_up({"rival", "UTC", {stamp_pipeline()}});
  office.admin->draft({"shop", "mia"}, office.sheet("1", 5000)).value();
  const auto refused = office.admin->submit({"rival", "eve"}, "walk", "1");
  CHECK(refused.error().code == ErrorCode::not_found);
  CHECK(refused.error().message.find("shop") == std::string::npos);
  CHECK(office.admin->sheets("rival").value().empty());
  CHECK(office.admin->audit("rival").value().empty());
  CHECK(office.admin->draft({"nobody", "eve"}, office.sheet("1", 5000)).error().code == ErrorCode::not_found);
}

TEST_CASE("of two actors at once one changes a sheet, the other is told") {
  Office office;
  office.admin->draft({"shop", "mia"}, office.sheet("1", 5000)).value();
  bool raced = false;
  office.shop.storage.on_call([&](std::string_view point) {
    if (point != "commit.before" || raced) return;
    raced = true;
    TaskAdmin other(*office.shop.memory, *office.shop.center, office.shop.registry, office.types);
    other.set_up({"shop", "UTC", {stamp_pipeline()}});
    other.archive({"shop", "pat"}, "walk", "1").value();
  });
  CHECK(office.admin->submit({"shop", "mia"}, "walk", "1").error().code == ErrorCode::conflict);
  office.shop.storage.on_call({});
  CHECK(to_string(office.admin->sheets("shop").value().at(0).state) == "archived");
}
