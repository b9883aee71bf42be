// The pipeline of examples/data/campaign.xml over the example's own steps, every call made twice.
#include "steps.hpp"

#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/task/event.hpp>
#include <onceward/testing/faulty_steps.hpp>

#include "support/catch.hpp"

#include <fstream>
#include <iterator>

using namespace onceward;

namespace {

/// The text of the campaign's <pipeline>.
std::string pipeline_text() {
  std::ifstream file(std::string(ONCEWARD_SOURCE_DIR) + "/examples/data/campaign.xml");
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  const std::string end = "</pipeline>";
  const auto from = all.find("<pipeline ");
  REQUIRE(from != std::string::npos);
  return all.substr(from, all.find(end, from) + end.size() - from);
}

/// What ten rewards leave in the books of the business.
std::vector<loyalty::Effect> books(bool twice) {
  loyalty::CrashPoints points({});
  const auto business = loyalty::Business::open(":memory:", points).value();
  StepRegistry steps;
  loyalty::add_steps(steps, *business).value();
  testing::RepeatedSteps repeated(steps);
  const auto plan =
      compile_pipeline_xml(pipeline_text(), "campaign.xml", twice ? repeated.registry() : steps).value();
  PlanCatalog catalog;
  catalog.add(plan).value();
  const auto storage = open_memory().value();
  Runner runner(*storage, catalog);
  for (int i = 0; i < 10; ++i) {
    const auto user = "u" + std::to_string(i);
    const GrantKey grant{
        .merchant = "gifts", .user = user, .task = "spend", .cycle = "M:2011-01", .stage = 1};
    const auto run = runner.start(
        plan, "gifts/user/" + user, to_run_key(grant),
        Map{{"user", user}, {"points", 100 + i}, {"coupon", i % 2 == 0 ? Value("GOLD") : Value()}});
    CHECK(run.value().state == RunState::succeeded);
  }
  CHECK(repeated.repeated() == (twice ? 15U : 0U));
  CHECK(repeated.differences().empty());
  std::vector<loyalty::Effect> effects;
  business
      ->each_sorted([&](const loyalty::Effect& effect) -> Result<void> {
        effects.push_back(effect);
        return {};
      })
      .value();
  return effects;
}

}  // namespace

TEST_CASE("the example's steps made twice leave the books as one pass does [pipeline-14]") {
  const auto once = books(false);
  CHECK(once.size() == 15);
  CHECK(books(true) == once);
}
