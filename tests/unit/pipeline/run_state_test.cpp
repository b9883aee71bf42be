#include "bench.hpp"
#include "pipeline/run_state.hpp"
#include "pipeline/storable.hpp"

#include "support/catch.hpp"

#include <random>

using namespace onceward;
using namespace onceward::pipeline_test;
using namespace onceward::pipeline_detail;

namespace {

/// A plan of these steps, and a run that is about to call the first of them.
struct Machine {
  Bench bench;
  Plan plan;
  Run run;
  std::vector<Call> calls;
  Move next;

  explicit Machine(PipelineBuilder builder)
      : plan(bench.plan(std::move(builder))), run(begin_run(plan.compiled(), plan.sha256(), Map())) {
    go();
  }
  Move go() {
    anchor(run, bench.clock.now());
    return next = advance(run, plan.compiled(), bench.clock.now(), 1, calls);
  }
  Move after(const StepOutcome& outcome, double chance = 0.5) {
    apply(run, calls.at(0), outcome, chance, bench.clock.now());
    return go();
  }
  /// A worker takes the run over when its wait is over, or when another one died.
  Move taken(Duration later = {}) {
    bench.clock.advance(later);
    take_over(run, plan.compiled());
    return go();
  }
  [[nodiscard]] const Place& place() const { return run.root.children.back(); }
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

Place random_place(std::mt19937& random, int depth) {
  Place place;
  place.id = "s" + std::to_string(random() % 9) + (random() % 5 == 0 ? "\"\xc3\xa4" : "");
  place.role = static_cast<Role>(random() % 5);
  place.status = static_cast<Status>(random() % 12);
  if (place.status != Status::skipped) place.value = random_value(random);
  const bool open = !ended(place.status);
  place.attempt = open || random() % 2 == 0 ? static_cast<int>(random() % 1000) : 0;
  if (!open && place.attempt == 1) place.attempt = 0;
  place.in_doubt = random() % 3 == 0;
  if (open || place.in_doubt)
    for (auto n = random() % 3; n > 0; --n) place.ruled.push_back(static_cast<int>(random() % 9));
  place.deaths = static_cast<int>(random() % 5);
  place.undo_doubt = random() % 3 == 0;
  if (open && random() % 2 == 0) place.since = {static_cast<std::int64_t>(1 + random()), random() % 2 == 0};
  place.digest = random() % 2 == 0 ? 0 : static_cast<std::int64_t>(1 + random());
  if (place.digest != 0 || random() % 2 == 0)
    place.started = {static_cast<std::int64_t>(random()), random() % 2 == 0};
  if (place.started == Instant{}) place.started = {5, true};
  if (open && random() % 2 == 0) place.due = {static_cast<std::int64_t>(1 + random()), random() % 2 == 0};
  for (auto n = depth > 3 ? 0 : random() % 3; n > 0; --n)
    place.children.push_back(random_place(random, depth + 1));
  return place;
}

Run random_run(std::mt19937& random) {
  Run run;
  run.pipeline = "grant";
  run.version = "v2";
  run.plan = "0123456789abcdef";
  run.state = static_cast<RunState>(random() % 5);
  run.reason = "re\"ason\n";
  run.input = Map{{"n", random_value(random)}};
  for (auto n = random() % 5; n > 0; --n) run.root.children.push_back(random_place(random, 0));
  run.root.status = run.state == RunState::running ? Status::open : Status::done;
  run.undoing = random() % 2 == 0;
  if (run.undoing) run.cause = "closed: no";
  run.cancelled = random() % 2 == 0;
  run.late = random() % 2 == 0;
  run.result = random_value(random);
  if (random() % 2 == 0) run.deadline = {static_cast<std::int64_t>(1 + random()), random() % 2 == 0};
  run.due_in = random() % 2 == 0 ? -1 : static_cast<std::int64_t>(random());
  run.owner = "0a1b.7";
  run.serial = static_cast<std::int64_t>(random());
  if (random() % 2 == 0) run.turn = "\"x\"";
  if (run.state == RunState::running && random() % 2 == 0)
    run.turn_revision = static_cast<std::int64_t>(random());
  for (auto n = random() % 3; n > 0; --n)
    run.requests.push_back({run.next_request++, "paid", std::to_string(n), random_value(random)});
  for (auto n = random() % 3; n > 0; --n) run.taken.push_back("paid/" + std::to_string(n));
  for (auto n = random() % 3; n > 0; --n)
    run.sent.push_back({"a/b", static_cast<std::int64_t>(random()), {7, false}});
  for (auto n = random() % 3; n > 0; --n)
    run.forgotten.push_back({random_place(random, 0), Map{{"n", random_value(random)}}});
  for (auto n = random() % 3; n > 0; --n)
    run.acts.push_back({"skip", "ann", "why", "a", "b", "c", Timestamp(Duration(random()))});
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
      CHECK(machine.place().attempt == attempt);
      CHECK(machine.after(Unknown{"lost"}).kind == Move::Kind::wait);
      CHECK(machine.place().status == Status::waiting);
      CHECK(machine.taken(1h).kind == Move::Kind::call);
    }
    CHECK(machine.after(Retry{"busy"}).kind == Move::Kind::ended);
    CHECK(machine.run.state == RunState::needs_attention);
  }
}

TEST_CASE("a finished step starts the next with fresh counts") {
  Machine machine(two_steps(steady(5)));
  REQUIRE(machine.after(Retry{"busy"}).kind == Move::Kind::wait);
  machine.taken(1h);
  machine.taken();
  CHECK(machine.place().deaths == 1);
  CHECK(machine.place().attempt == 3);
  CHECK(machine.after(Done{7}).kind == Move::Kind::call);
  CHECK(machine.place().attempt == 1);
  CHECK(machine.place().deaths == 0);
  CHECK(machine.run.reason.empty());
  CHECK(machine.after(Done{}).kind == Move::Kind::ended);
  CHECK(machine.run.state == RunState::succeeded);
}

TEST_CASE("waits of a step are kept within what a storage takes") {
  Machine machine(two_steps(steady(9)));
  const auto most = Duration(limits::duration_us);
  CHECK(machine.after(Retry{"", Duration::max()}).wait == most);
  machine.taken(most);
  CHECK(machine.after(Park{Duration::max()}).wait == most);
  machine.taken(most);
  CHECK(machine.after(Retry{"", Duration(-5)}).kind == Move::Kind::call);
  CHECK(machine.after(Park{Duration(-1)}).kind == Move::Kind::call);
}

TEST_CASE("five dead workers at one step are the most; waits between do not count") {
  Machine machine(two_steps(steady(20)));
  for (int death = 1; death < most_deaths; ++death) {
    CHECK(machine.taken().kind == Move::Kind::call);
    CHECK(machine.place().deaths == death);
    REQUIRE(machine.after(Retry{"busy"}).kind == Move::Kind::wait);
    CHECK(machine.taken(1h).kind == Move::Kind::call);
    CHECK(machine.place().deaths == death);
  }
  CHECK(machine.taken().kind == Move::Kind::ended);
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
    REQUIRE(decoded->root == run.root);
    REQUIRE(decoded->requests == run.requests);
    REQUIRE(decoded->cause == run.cause);
    REQUIRE(decoded->forgotten == run.forgotten);
    REQUIRE(decoded->acts == run.acts);
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
    for (const auto& place : decoded->root.children) {
      REQUIRE(place.attempt >= 0);
      REQUIRE(place.deaths >= 0);
      REQUIRE(place.deaths < 2'000'000);
    }
  }
  CHECK(corrupt > 10'000);
  for (const char* text : {"", "null", "[]", "{}", "{\"pipeline\":1}"}) {
    CHECK_FALSE(decode_run({.key = "run/grant/k", .value = text}));
  }
}

TEST_CASE("only a run that stands within its plan may go on") {
  Machine machine(two_steps(steady(2)));
  const auto& plan = machine.plan.compiled();
  CHECK(fits(machine.run, plan));
  machine.run.root.children.push_back(Place{"b"});
  CHECK(fits(machine.run, plan));
  machine.run.root.children.push_back(Place{"c"});
  CHECK_FALSE(fits(machine.run, plan));
  machine.run.root.children.resize(1);
  machine.run.root.children[0].id = "other";
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
