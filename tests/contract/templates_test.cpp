// Templates, sources and the runs of several versions over every kind of storage.
#include <onceward/pipeline/template_source.hpp>
#include <onceward/storage/memory.hpp>
#if defined(ONCEWARD_TEST_SQLITE)
#include <onceward/storage/sqlite.hpp>
#endif
#if defined(ONCEWARD_TEST_MARIADB)
#include "support/mariadb_server.hpp"
#endif
#if defined(ONCEWARD_TEST_REDIS)
#include "support/redis_server.hpp"
#endif

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <array>
#include <atomic>
#include <thread>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

const Operator ops{"ops-ann", "a test"};

class Credit final : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "credit@1", .arguments = {{"amount", Value::Kind::integer}}};
  }
  StepOutcome run(StepContext& step) override { return Done{Map{{"amount", step.arg<int>("amount")}}}; }
};

std::string text_of(const std::string& version, int amount) {
  return "<pipeline id='reward' version='" + version +
         "'><await id='go' signal='go'/><step id='a' use='credit@1'><arg name='amount' value='" +
         std::to_string(amount) + "'/></step></pipeline>";
}

/// Two operators at once, each in a process of its own: of two who expect the same version one wins.
void check_two_operators(Storage& first, Storage& second, const StepRegistry& registry) {
  Templates ann(first, registry, {.tenant = "race"});
  Templates bob(second, registry, {.tenant = "race"});
  ann.publish(text_of("0", 0), "f", ops).value();
  ann.activate("reward", "0", "", ops).value();
  std::string active = "0";
  for (int round = 1; round <= 20; ++round) {
    const auto of_ann = "a" + std::to_string(round);
    const auto of_bob = "b" + std::to_string(round);
    std::atomic<int> won{0};
    const auto work = [&](Templates& templates, const std::string& version) {
      templates.publish(text_of(version, round), "f", ops).value();
      const auto activated = templates.activate("reward", version, active, ops);
      if (activated) ++won;
      if (!activated && activated.error().code != ErrorCode::conflict) won = 100;
    };
    {
      const std::jthread one([&] { work(ann, of_ann); });
      work(bob, of_bob);
    }
    CHECK(won == 1);
    active = ann.find("reward").value()->active;
    CHECK((active == of_ann || active == of_bob));
  }
  CHECK(bob.find("reward").value()->versions.size() == 41);
  const auto acts = bob.history("reward").value();
  REQUIRE(acts.size() == 62);
  for (std::size_t i = 0; i < acts.size(); ++i) CHECK(acts[i].number == static_cast<std::int64_t>(i + 1));
}

/// `second` is the same storage, as another process opened it.
void check_templates(Storage& first, Storage& second) {
  StepRegistry registry;
  registry.add(std::make_unique<Credit>()).value();
  Templates templates(first, registry);
  CHECK(templates.list().value().empty());
  PlanCatalog catalog;
  TemplateSource source(second, registry, catalog);
  source.reload().value();
  CHECK(source.for_key("reward", "k").error().code == ErrorCode::not_found);

  templates.publish(text_of("1", 1), "1.xml", ops).value();
  CHECK(templates.publish(text_of("1", 9), "1.xml", ops).error().code == ErrorCode::conflict);
  templates.activate("reward", "1", "", ops).value();
  source.reload().value();
  Runner runner(second, catalog);
  CHECK(runner.start(source.for_key("reward", "k1").value(), "u", "k1", Map()).value().state ==
        RunState::running);

  templates.publish(text_of("2", 2), "2.xml", ops).value();
  templates.canary("reward", "2", 50, 0, ops).value();
  source.reload().value();
  int early = 0;
  for (int i = 0; i < 200; ++i)
    early += source.for_key("reward", std::to_string(i)).value().definition().version == "2" ? 1 : 0;
  CHECK(early > 50);
  CHECK(early < 150);
  templates.activate("reward", "2", "1", ops).value();
  source.reload().value();
  CHECK(runner.start(source.for_key("reward", "k2").value(), "u", "k2", Map()).value().version == "2");

  // The runs of version 1 end as such, in a process that never saw it active.
  const std::vector<std::string> partitions{"u"};
  CHECK(templates.live_runs("reward", "1").value().count == 1);
  CHECK(templates.retire("reward", "1", ops, partitions).error().code == ErrorCode::wrong_state);
  PlanCatalog fresh;
  TemplateSource restarted(first, registry, fresh);
  Runner worker(first, fresh);
  for (const std::string key : {"k1", "k2"}) {
    worker.signal({"reward", "u", key}, "go").value();
    while (worker.find("reward", "u", key).value()->state == RunState::running) worker.work().value();
    const auto view = worker.find("reward", "u", key).value().value();
    CHECK(view.state == RunState::succeeded);
    CHECK(view.version == key.substr(1));
    CHECK(*view.steps.back().result.find("amount")->integer() == std::stoi(view.version));
  }
  templates.retire("reward", "1", ops).value();
  CHECK(templates.find("reward").value()->versions[0].retired);
  CHECK(templates.history("reward").value().size() == 6);
  CHECK(templates.text("reward", "1").value() == text_of("1", 1));
  check_two_operators(first, second, registry);
}

}  // namespace

TEST_CASE("templates over the memory storage") {
  const auto storage = open_memory().value();
  check_templates(*storage, *storage);
}

#if defined(ONCEWARD_TEST_SQLITE)
TEST_CASE("templates over SQLite, of two processes") {
  const TemporaryFolder folder;
  const auto first = sqlite::open(folder.file("t.db")).value();
  const auto second = sqlite::open(folder.file("t.db")).value();
  check_templates(*first, *second);
}
#endif

#if defined(ONCEWARD_TEST_REDIS)
TEST_CASE("templates over Redis, of two processes") {
  const RedisServer server;
  if (server.missing()) {
    WARN("skipped: there is no redis-server on this machine");
    return;
  }
  const auto first = redis::open(server.options()).value();
  const auto second = redis::open(server.options()).value();
  check_templates(*first, *second);
}
#endif

#if defined(ONCEWARD_TEST_MARIADB)
TEST_CASE("templates over MariaDB, of two processes") {
  const MariadbServer server;
  if (server.missing()) {
    WARN("skipped: there is no mariadbd on this machine");
    return;
  }
  REQUIRE(server.command("CREATE DATABASE templates"));
  auto options = server.options();
  options.database = "templates";
  const auto first = mariadb::open(options).value();
  const auto second = mariadb::open(options).value();
  check_templates(*first, *second);
}
#endif
