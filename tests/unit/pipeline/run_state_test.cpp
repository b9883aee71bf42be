#include "bench.hpp"
#include "pipeline/run_state.hpp"
#include "pipeline/storable.hpp"

#include "support/catch.hpp"

#include <random>

using namespace onceward;
using namespace onceward::pipeline_test;
using namespace onceward::pipeline_detail;

namespace {

/// A plan of these steps, and a run that stands at the first of them.
struct Machine {
  Bench bench;
  Plan plan;
  Run run;

  explicit Machine(PipelineBuilder builder)
      : plan(bench.plan(std::move(builder))), run(begin_run(plan.compiled(), plan.sha256(), Map())) {}
  Move after(const StepOutcome& outcome, double chance = 0.5) {
    return after_outcome(run, plan.compiled(), outcome, chance);
  }
};

PipelineBuilder two_steps(RetryPolicy retry) {
  return pipeline("two").step("a", "credit@1").retry(retry).step("b", "credit@1").retry(retry);
}

Value random_value(std::mt19937& random, int depth = 0) {
  switch (random() % (depth < 3 ? 7U : 5U)) {
    case 0: return {};
    case 1: return Value(random() % 2 == 0);
    case 2: return Value(static_cast<std::int64_t>((std::uint64_t{random()} << 32) | random()));
    case 3: return Value(static_cast<double>(random()) / 7);
    case 4:
      return Value(std::string(random() % 5, static_cast<char>('!' + random() % 60)) + "\"\\\n\x01\xc3\xa4");
    case 5: {
      List list;
      for (auto n = random() % 4; n > 0; --n) list.push_back(random_value(random, depth + 1));
      return list;
    }
    default: {
      Map map;
      for (auto n = random() % 4; n > 0; --n)
        map.set(std::string(1, static_cast<char>('a' + random() % 26)), random_value(random, depth + 1));
      return map;
    }
  }
}

Run random_run(std::mt19937& random) {
  Run run{"grant",
          "v2",
          "0123456789abcdef",
          static_cast<RunState>(random() % 4),
          "re\"ason\n",
          Map{{"n", random_value(random)}}};
  for (auto n = random() % 5; n > 0; --n) {
    const bool skipped = random() % 3 == 0;
    run.steps.push_back({"s" + std::to_string(n), skipped, skipped ? Value() : random_value(random)});
  }
  run.attempt = 1 + static_cast<int>(random() % 1000);
  run.waiting = random() % 2 == 0;
  run.deaths = static_cast<int>(random() % 5);
  run.owner = "0a1b.7";
  return run;
}

}  // namespace

TEST_CASE("the delay grows by the factor up to the cap, and jitter draws from all of it [pipeline-29]") {
  const RetryPolicy policy{.attempts = 10, .first = 100ms, .factor = 2, .cap = 1s, .jitter = false};
  const std::vector<Duration> expected = {100ms, 200ms, 400ms, 800ms, 1s, 1s};
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(backoff(policy, static_cast<int>(i) + 1, 0.3) == expected[i]);
  CHECK(backoff(policy, 1000, 0) == 1s);
  auto full = policy;
  full.jitter = true;
  CHECK(backoff(full, 2, 0) == 0us);
  CHECK(backoff(full, 2, 0.25) == 50ms);
  CHECK(backoff(full, 1000, 0.999) <= 1s);
  CHECK(backoff({.attempts = 1000, .first = 1us, .factor = 1, .cap = 1us, .jitter = false}, 1000, 0) == 1us);
}

TEST_CASE("there is no wait after the last attempt [pipeline-29]") {
  for (int attempts = 1; attempts <= 4; ++attempts) {
    Machine machine(two_steps(steady(attempts)));
    for (int attempt = 1; attempt < attempts; ++attempt) {
      CHECK(machine.run.attempt == attempt);
      CHECK(machine.after(Unknown{"lost"}).kind == Move::Kind::wait);
      CHECK(machine.run.waiting);
      CHECK(take_over(machine.run, machine.plan.compiled()).kind == Move::Kind::call);
    }
    CHECK(machine.after(Retry{"busy"}).kind == Move::Kind::ended);
    CHECK(machine.run.state == RunState::needs_attention);
  }
}

TEST_CASE("a finished step starts the next with fresh counts") {
  Machine machine(two_steps(steady(5)));
  REQUIRE(machine.after(Retry{"busy"}).kind == Move::Kind::wait);
  take_over(machine.run, machine.plan.compiled());
  take_over(machine.run, machine.plan.compiled());
  CHECK(machine.run.deaths == 1);
  CHECK(machine.run.attempt == 3);
  CHECK(machine.after(Done{7}).kind == Move::Kind::call);
  CHECK(machine.run.attempt == 1);
  CHECK(machine.run.deaths == 0);
  CHECK(machine.run.reason.empty());
  CHECK(machine.after(Done{}).kind == Move::Kind::ended);
  CHECK(machine.run.state == RunState::succeeded);
}

TEST_CASE("waits of a step are kept within what a storage takes") {
  Machine machine(two_steps(steady(9)));
  CHECK(machine.after(Retry{"", Duration(-5)}).wait == 0us);
  CHECK(machine.after(Retry{"", Duration::max()}).wait == Duration(limits::duration_us));
  CHECK(machine.after(Park{Duration::max()}).wait == Duration(limits::duration_us));
  CHECK(machine.after(Park{Duration(-1)}).wait == 0us);
}

TEST_CASE("five dead workers at one step are the most; waits between do not count") {
  Machine machine(two_steps(steady(20)));
  const auto& plan = machine.plan.compiled();
  for (int death = 1; death < most_deaths; ++death) {
    CHECK(take_over(machine.run, plan).kind == Move::Kind::call);
    CHECK(machine.run.deaths == death);
    REQUIRE(machine.after(Retry{"busy"}).kind == Move::Kind::wait);
    CHECK(take_over(machine.run, plan).kind == Move::Kind::call);
    CHECK(machine.run.deaths == death);
  }
  CHECK(take_over(machine.run, plan).kind == Move::Kind::ended);
  CHECK(machine.run.state == RunState::needs_attention);
}

TEST_CASE("a run reads back from its record as it was") {
  std::mt19937 random(20260101);
  for (int i = 0; i < 2000; ++i) {
    const Run run = random_run(random);
    const std::string bytes = encode(run);
    const auto decoded = decode_run({.key = "run/grant/k", .value = bytes});
    REQUIRE(decoded);
    REQUIRE(encode(*decoded) == bytes);
    REQUIRE(decoded->input == run.input);
    REQUIRE(decoded->steps.size() == run.steps.size());
    for (std::size_t n = 0; n < run.steps.size(); ++n) {
      REQUIRE(decoded->steps[n].skipped == run.steps[n].skipped);
      REQUIRE(decoded->steps[n].result == run.steps[n].result);
    }
  }
}

TEST_CASE("broken bytes are corrupt, or a run whose counts are within bounds") {
  std::mt19937 random(7);
  int corrupt = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = encode(random_run(random));
    for (auto n = 1 + random() % 4; n > 0; --n) {
      const auto at = random() % bytes.size();
      switch (random() % 3) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes.erase(at, 1 + random() % 20); break;
        default: bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 20)); break;
      }
      if (bytes.empty()) break;
    }
    const auto decoded = decode_run({.key = "run/grant/k", .value = bytes});
    if (!decoded) {
      ++corrupt;
      REQUIRE(decoded.error().code == ErrorCode::corrupt);
      continue;
    }
    REQUIRE(decoded->attempt >= 1);
    REQUIRE(decoded->deaths >= 0);
    REQUIRE(decoded->deaths < 2'000'000);
  }
  CHECK(corrupt > 10'000);
  for (const char* text : {"", "null", "[]", "{}", "{\"pipeline\":1}"}) {
    CHECK_FALSE(decode_run({.key = "run/grant/k", .value = text}));
  }
}

TEST_CASE("only a running run within its plan may go on") {
  Machine machine(two_steps(steady(2)));
  const auto& plan = machine.plan.compiled();
  CHECK(fits(machine.run, plan));
  machine.run.steps.resize(2);
  CHECK_FALSE(fits(machine.run, plan));
  machine.run.steps.resize(1);
  machine.run.state = RunState::failed;
  CHECK_FALSE(fits(machine.run, plan));
}

TEST_CASE("text is cut between characters and told from other bytes") {
  CHECK(readable("a\xc3\xa4", 3) == "a\xc3\xa4");
  CHECK(readable("a\xc3\xa4", 2) == "a");
  CHECK(readable("\xc3", 9) == "?");
  CHECK(readable("\xf0\x9f\x98\x80!", 4) == "\xf0\x9f\x98\x80");
  CHECK(readable("\xf0\x9f\x98\x80!", 3).empty());
  for (const char* bad :
       {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\xff", "\x80", "\xe2\x82"}) {
    CHECK_FALSE(is_storable(Value(bad)));
    CHECK(is_storable(Value(readable(bad, 100))));
  }
  CHECK_FALSE(is_storable(Value(std::numeric_limits<double>::infinity())));
  CHECK_FALSE(is_storable(Value(Map{{"\xff", 1}})));
  Value nested;
  for (std::size_t i = 0; i < most_stored_depth; ++i) nested = List{std::move(nested)};
  CHECK(is_storable(nested));
  CHECK_FALSE(is_storable(Value(List{nested})));
}

TEST_CASE("a step's token depends on what it names and on nothing else") {
  const auto token = step_token("shop", "grant", "gifts/ann", "k", "points");
  CHECK(token.size() == 32);
  CHECK(token == step_token("shop", "grant", "gifts/ann", "k", "points"));
  CHECK(token != step_token("mall", "grant", "gifts/ann", "k", "points"));
  CHECK(token != step_token("shop", "other", "gifts/ann", "k", "points"));
  CHECK(token != step_token("shop", "grant", "gifts/bob", "k", "points"));
  CHECK(token != step_token("shop", "grant", "gifts/ann", "k2", "points"));
  CHECK(token != step_token("shop", "grant", "gifts/ann", "k", "coupon"));
  // Parts never run into each other.
  CHECK(step_token("a", "bc", "d", "e", "f") != step_token("ab", "c", "d", "e", "f"));
  CHECK(step_token("", "a", "b", "c", "d") != step_token("a", "", "b", "c", "d"));
}
