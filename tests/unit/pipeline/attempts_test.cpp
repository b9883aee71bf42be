// How often, and for how long, a step is asked for.
#include "works.hpp"

#include <onceward/pipeline/simulate.hpp>

#include "pipeline/run_state.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

RunView wait_for_end(Works& works, const Plan& plan, Duration step, int most) {
  auto view = works.later(plan, step);
  for (int i = 1; i < most && view.state == RunState::running; ++i) view = works.later(plan, step);
  return view;
}

}  // namespace

TEST_CASE("the total time of a step bounds parking too") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").retry(steady(3)).timeout({}, 10s));
  works.next["a"] = std::vector<StepOutcome>(20, Park{5s});
  works.start(plan);
  const auto view = wait_for_end(works, plan, 5s, 10);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("retry_exhausted: its total time is over") == 0);
  CHECK(works.done.size() == 3);
}

TEST_CASE("a parked step without effects fails when its total time is over, and can be caught") {
  Works works;
  int looks = 0;
  works.add(
      "look@1",
      [&](StepContext&) -> StepOutcome {
        ++looks;
        return Park{Duration::max()};
      },
      Effect::pure);
  const auto plan = works.plan(pipeline("r").attempt(
      "t", [](Body& b) { b.step("look", "look@1").timeout({}, 10s); },
      {on_error("retry_exhausted", [](Body& b) { book(b, {"mend"}); })}));
  CHECK(works.start(plan).state == RunState::succeeded);
  CHECK(looks == 1);
  CHECK(works.done == Paths{"mend"});
}
