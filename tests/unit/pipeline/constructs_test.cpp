#include "works.hpp"

#include <onceward/expr/functions.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include "support/catch.hpp"

#include <algorithm>

using namespace onceward;
using namespace onceward::pipeline_test;

TEST_CASE("branches of a parallel are recorded one by one; after a crash only the others run [pipeline-11]") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::all, [](Branches& b) {
    book(b, {"a", "b", "c", "d", "e"});
  }));
  // Three are recorded; what the process does then no longer reaches the storage.
  works.storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && works.done.size() == 3)
      works.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                               1000);
  });
  Runner dying(works.storage, works.catalog, works.options);
  CHECK_FALSE(dying.start(plan, "p", "k", Map()));
  works.storage.on_call({});
  works.storage.heal();
  works.done.clear();
  CHECK(works.later(plan, 31s).state == RunState::succeeded);
  CHECK(works.done == Paths{"d", "e"});
}

TEST_CASE("a choose goes on with the branch it took, whatever would be chosen now [pipeline-39]") {
  Works works;
  bool vip = true;
  Functions functions;
  REQUIRE(functions.add("is_vip", [&vip](std::int64_t) { return vip; }));
  works.registry.offer(functions);
  const auto plan = works.plan(pipeline("r")
                                   .input("n", Value::Kind::integer)
                                   .choose("which",
                                           when("is_vip(n)",
                                                [](Body& b) {
                                                  book(b, {"gold", "more"});
                                                }),
                                           otherwise([](Body& b) { book(b, {"plain"}); }))
                                   .step("end", "book@1"));
  works.next["more"] = {Retry{"busy", 1s}};
  works.start(plan, Map{{"n", 1}});
  vip = false;
  CHECK(works.later(plan, 1s).state == RunState::succeeded);
  CHECK(works.done == Paths{"gold", "more", "more", "end"});
}

TEST_CASE("on-fail=cancel stops the siblings of a branch that rejects [pipeline-42]") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::all, [](Branches& b) {
    book(b, {"a", "b", "c", "d"});
  }));
  works.next["b"] = {Reject{"closed", "no account"}};
  const auto view = works.start(plan);
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "closed: no account");
  CHECK(works.done == Paths{"a", "b"});
}

TEST_CASE("on-fail=wait ends after all five with both errors [pipeline-43]") {
  Works works;
  const auto plan = works.plan(pipeline("r").parallel(
      "fan", Join::all,
      [](Branches& b) {
        book(b, {"a", "b", "c", "d", "e"});
      },
      OnFail::wait));
  works.next["b"] = {Reject{"closed", "no account"}};
  works.next["d"] = {Reject{"empty", "no stock"}};
  const auto view = works.start(plan);
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "closed: no account; empty: no stock");
  CHECK(works.done.size() == 5);
}

TEST_CASE("a quorum of two is enough, and one that is out of reach fails") {
  for (const int rejected : {1, 2}) {
    Works works;
    const auto plan = works.plan(pipeline("r").parallel(
        "fan", Join::quorum,
        [](Branches& b) {
          book(b, {"a", "b", "c"});
        },
        OnFail::cancel, 2));
    works.next["a"] = {Reject{"closed", ""}};
    if (rejected == 2) works.next["b"] = {Reject{"closed", ""}};
    CHECK(works.start(plan).state == (rejected == 1 ? RunState::succeeded : RunState::failed));
  }
}

TEST_CASE("a foreach runs its body for each item, under a path of its key [pipeline-44]") {
  Works works;
  const auto plan = works.plan(
      pipeline("r")
          .input("items", Value::Kind::list)
          .foreach ("each", {.items = "items", .variable = "item", .item_key = "item.key", .max = 3},
                    [](Body& b) {
                      b.step("pay", "book@1", {{"amount", "item.n"}})
                          .step("then", "book@1", {{"amount", "steps.pay.amount + 1"}});
                    })
          .step("end", "book@1", {{"amount", "steps.each.count"}}));
  const auto item = [](const char* key, int n) { return Value(Map{{"key", key}, {"n", n}}); };
  const auto view = works.start(plan, Map{{"items", List{item("a", 1), item("b/c", 2)}}});
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"each[a]/pay", "each[a]/then", "each[b%2Fc]/pay", "each[b%2Fc]/then", "end"});
  CHECK(std::any_of(view.steps.begin(), view.steps.end(), [](const StepRecord& s) {
    return s.id == "each[b%2Fc]/then" && *s.result.find("amount") == Value(3);
  }));
  CHECK(works.tokens.at("each[a]/pay") == step_token("onceward", "r", "p", "k", "each[a]/pay"));
  works.done.clear();
  CHECK(works.start(plan, Map{{"items", List{}}}, "empty").state == RunState::succeeded);
  CHECK(works.done == Paths{"end"});
  works.done.clear();
  const auto twice = works.start(plan, Map{{"items", List{item("a", 1), item("a", 2)}}}, "twice");
  CHECK(twice.state == RunState::failed);
  CHECK(twice.reason.find("duplicate_item") == 0);
  const auto many =
      works.start(plan, Map{{"items", List{item("a", 1), item("b", 1), item("c", 1), item("d", 1)}}}, "many");
  CHECK(many.state == RunState::failed);
  CHECK(many.reason.find("too_many_items") == 0);
  CHECK(works.done.empty());
}

TEST_CASE("a skipped step is null to what comes after it, wherever it stands [pipeline-46]") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .step("x", "book@1")
                                   .when("1 > 2")
                                   .step("y", "book@1", {{"amount", "steps.x?.amount ?: 7"}}));
  const auto view = works.start(plan);
  CHECK(view.steps.at(0).skipped);
  CHECK(*view.steps.at(1).result.find("amount") == Value(7));
}

TEST_CASE("a caught error goes on, finally runs in both cases, and an uncaught one fails") {
  Works works;
  const auto plan = works.plan(pipeline("r").attempt(
      "try", [](Body& b) { book(b, {"a"}); },
      {on_error("closed",
                [](Body& b) {
                  b.step("mend", "book@1", {{"amount", "error.code == 'closed' ? 1 : 2"}});
                })},
      [](Body& b) { book(b, {"last"}); }));
  works.next["a"] = {Reject{"closed", ""}};
  CHECK(works.start(plan, Map(), "caught").state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "mend", "last"});
  works.done.clear();
  works.next["a"] = {Reject{"other", ""}};
  const auto view = works.start(plan, Map(), "uncaught");
  CHECK(view.state == RunState::failed);
  CHECK(view.reason.find("other") == 0);
  CHECK(works.done == Paths{"a", "last"});
}

TEST_CASE("a called pipeline is part of the plan that calls it, and gives its result") {
  Works works;
  const auto inner = works.plan(pipeline("inner")
                                    .input("n", Value::Kind::integer)
                                    .step("pay", "book@1", {{"amount", "n"}})
                                    .result("steps.pay.amount * 2"));
  const auto outer = pipeline("outer")
                         .call("sub", "inner", {{"n", "20"}})
                         .step("end", "book@1", {{"amount", "steps.sub"}})
                         .compile(works.registry, &works.catalog)
                         .value();
  REQUIRE(works.catalog.add(outer));
  const auto view = works.start(outer);
  INFO(view.reason);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"sub/pay", "end"});
  CHECK(*view.steps.back().result.find("amount") == Value(40));
}

TEST_CASE("backward recovery undoes what is done, last first, once each, with its result [pipeline-47]") {
  Works works;
  auto builder = pipeline("r").recover(Recover::backward);
  for (const char* id : {"a", "b", "c"}) builder.step(id, "book@1", {{"amount", "7"}});
  const auto plan = works.plan(builder);
  works.next["c"] = {Reject{"closed", "no"}};
  const auto view = works.start(plan);
  CHECK(view.state == RunState::failed);
  CHECK(view.reason == "closed: no");
  CHECK(works.undone == Paths{"b{\"amount\":7}", "a{\"amount\":7}"});
  CHECK(works.later(plan, 1h).undone.size() == 2);
  CHECK(works.undone.size() == 2);
}

TEST_CASE("a call whose answer was lost stays in doubt when the next one says: not now") {
  Works works;
  const auto plan =
      works.plan(pipeline("r").recover(Recover::backward).parallel("fan", Join::all, [](Branches& b) {
        book(b, {"a", "b"});
      }));
  works.next["a"] = {Unknown{"lost"}, Retry{"down", 1h}};
  works.next["b"] = {Retry{"busy", 1min}, Reject{"closed", "no"}};
  works.start(plan);
  works.later(plan, 10s);
  CHECK(works.later(plan, 1min).state == RunState::failed);
  CHECK(works.undone == Paths{"anull"});
}

TEST_CASE("an undo that a crash interrupts is resumed; those before it are not repeated [pipeline-9]") {
  Works works;
  auto builder = pipeline("r").recover(Recover::backward);
  for (const char* id : {"a", "b", "c", "d"}) builder.step(id, "book@1");
  const auto plan = works.plan(builder);
  works.next["d"] = {Reject{"closed", "no"}};
  works.storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && works.undone.size() == 1)
      works.storage.fail_calls(FaultyStorage::Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt,
                               1000);
  });
  Runner dying(works.storage, works.catalog, works.options);
  CHECK_FALSE(dying.start(plan, "p", "k", Map()));
  works.storage.on_call({});
  works.storage.heal();
  CHECK(works.later(plan, 31s).state == RunState::failed);
  CHECK(works.undone == Paths{"c{\"amount\":0}", "b{\"amount\":0}", "b{\"amount\":0}", "a{\"amount\":0}"});
}

TEST_CASE("an undo that fails for ever ends with both errors, and no loop [pipeline-49]") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .recover(Recover::backward)
                                   .step("a", "book@1")
                                   .undo({.retry = steady(3)})
                                   .step("b", "book@1"));
  works.next["b"] = {Reject{"closed", "no account"}};
  works.next_undo["a"] = {Retry{"down"}, Retry{"down"}, Retry{"down"}, Retry{"down"}};
  works.start(plan);
  for (int i = 0; i < 9; ++i) works.later(plan, 1h);
  const auto view = works.later(plan, 1h);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("down") != std::string::npos);
  CHECK(view.reason.find("closed: no account") != std::string::npos);
  CHECK(works.undone.size() == 3);
}

TEST_CASE("forward recovery undoes nothing through an hour of transient failures [pipeline-52]") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .step("a", "book@1")
                                   .step("b", "book@1")
                                   .retry({.attempts = 1000, .first = 10s, .cap = 1min, .jitter = false}));
  works.next["b"] = std::vector<StepOutcome>(60, Retry{"down"});
  auto view = works.start(plan);
  for (int minute = 0; minute < 61; ++minute) view = works.later(plan, 1min);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.undone.empty());
}

TEST_CASE("the run's deadline wins over a step's timeout [pipeline-36]") {
  Works works;
  std::optional<Duration> left;
  works.add("slow@1", [&](StepContext& step) -> StepOutcome {
    left = step.time_left();
    return Retry{"slow", 1min};
  });
  const auto plan = works.plan(pipeline("r").deadline(10s).step("a", "slow@1").timeout(1h));
  const auto view = works.start(plan);
  REQUIRE(left);
  CHECK(*left <= 10s);
  CHECK(view.due == works.clock.now() + 10s);
  const auto end = works.later(plan, 10s);
  CHECK(end.state == RunState::failed);
  CHECK(end.reason.find("deadline") == 0);
}

TEST_CASE("a signal before its await, and sent twice, is consumed once [pipeline-65]") {
  Works works;
  const auto plan = works.plan(pipeline("r")
                                   .step("a", "book@1")
                                   .await("paid", "paid")
                                   .step("b", "book@1", {{"amount", "steps.paid"}})
                                   .await("again", "paid"));
  works.next["a"] = {Retry{"busy", 1s}};
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  const RunName name{"r", "p", "k"};
  REQUIRE(runner.signal(name, "paid", 5));
  REQUIRE(runner.signal(name, "paid", 5));
  auto view = works.later(plan, 1s);
  CHECK(view.state == RunState::running);
  CHECK(view.awaits == Paths{"paid"});
  CHECK_FALSE(view.due.has_value());
  REQUIRE(runner.signal(name, "paid", 5));
  CHECK(works.later(plan, 1h).state == RunState::running);
  REQUIRE(runner.signal(name, "paid", 6, "second"));
  CHECK(works.later(plan, 0s).state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "a", "b"});
}

TEST_CASE("a signal sent while a worker has the run is not lost") {
  Works works;
  works.add("asks@1", [&](StepContext&) -> StepOutcome {
    Runner other(works.storage, works.catalog, works.options);
    CHECK(other.signal({"r", "p", "k"}, "go"));
    return Done{};
  });
  const auto plan = works.plan(pipeline("r").step("a", "asks@1").await("wait", "go").step("b", "book@1"));
  CHECK(works.start(plan).state == RunState::succeeded);
}

TEST_CASE("a wait of a day fires once, with restarts between [pipeline-66]") {
  Works works;
  const auto plan = works.plan(pipeline("r").wait("day", 24h).step("a", "book@1"));
  const auto view = works.start(plan);
  CHECK(view.due == works.clock.now() + 24h);
  for (int hour = 1; hour < 24; ++hour) CHECK(works.later(plan, 1h).state == RunState::running);
  CHECK(works.done.empty());
  CHECK(works.later(plan, 1h).state == RunState::succeeded);
  CHECK(works.done == Paths{"a"});
}

TEST_CASE(
    "after the dedup window the step is asked whether it took place, and never called blindly [pipeline-37]") {
  for (const int answer : {0, 1, 2}) {
    Works works;
    int calls = 0;
    class Asked final : public Step {
     public:
      Asked(int& calls, int answer) : calls_(calls), answer_(answer) {}
      [[nodiscard]] StepSpec spec() const override { return {.name = "asked@1", .dedup_window = 1h}; }
      StepOutcome run(StepContext&) override {
        if (++calls_ == 1) return Unknown{"lost"};
        return Done{};
      }
      Verification verify(StepContext&) override {
        if (answer_ == 0) return Done{Map{{"found", true}}};
        if (answer_ == 1) return NotDone{};
        return Unknown{"nobody knows"};
      }

     private:
      int& calls_;
      int answer_;
    };
    works.registry.add(std::make_unique<Asked>(calls, answer)).value();
    const auto plan = works.plan(pipeline("r").step("a", "asked@1").retry(steady(5)));
    works.start(plan);
    const auto view = works.later(plan, 2h);
    CHECK(view.state == (answer == 2 ? RunState::needs_attention : RunState::succeeded));
    CHECK(calls == (answer == 1 ? 2 : 1));
  }
}

TEST_CASE("a token is never used with other arguments [pipeline-38]") {
  Works works;
  std::int64_t amount = 1;
  Functions functions;
  REQUIRE(functions.add("price", [&amount](std::int64_t) { return amount; }));
  works.registry.offer(functions);
  const auto plan = works.plan(
      pipeline("r").input("n", Value::Kind::integer).step("a", "book@1", {{"amount", "price(n)"}}));
  works.next["a"] = {Unknown{"lost"}};
  works.start(plan, Map{{"n", 1}});
  amount = 2;
  const auto view = works.later(plan, 1h);
  CHECK(view.state == RunState::needs_attention);
  CHECK(view.reason.find("arguments_changed") == 0);
  CHECK(works.done.size() == 1);
}

TEST_CASE("operators' acts are kept in the run and told to the journal; tokens stay [pipeline-67]") {
  Works works;
  testing::RecordedJournal journal;
  works.options.journal = &journal;
  const auto plan = works.plan(pipeline("r")
                                   .step("a", "book@1")
                                   .step("b", "book@1")
                                   .step("c", "book@1", {{"amount", "steps.b?.amount ?: 9"}}));
  works.next["b"] = {Reject{"closed", "no"}};
  works.next["c"] = {Reject{"closed", "no"}};
  works.start(plan);
  Runner runner(works.storage, works.catalog, works.options);
  const RunName name{"r", "p", "k"};
  const Operator ann{"ann", "ticket 7"};
  CHECK_FALSE(runner.skip(name, "b", {"", ""}));
  CHECK_FALSE(runner.skip(name, "nothing", ann));
  REQUIRE(runner.skip(name, "b", ann));
  CHECK(works.later(plan, 0s).state == RunState::failed);
  REQUIRE(runner.set_result(name, "c", Map{{"amount", 3}}, ann));
  auto view = works.later(plan, 0s);
  CHECK(view.state == RunState::succeeded);
  REQUIRE(view.acts.size() == 2);
  CHECK(view.acts[0].act == "skip");
  CHECK(view.acts[0].actor == "ann");
  CHECK(view.acts[1].before == "ended");
  CHECK(view.acts[1].after == "{\"amount\":3}");
  const auto token = works.tokens.at("a");
  works.done.clear();
  REQUIRE(runner.rerun_from(name, "a", ann));
  view = works.later(plan, 0s);
  CHECK(works.tokens.at("a") == token);
  CHECK(works.done.front() == "a");
  CHECK(journal.lines().front().actor == "");
  CHECK(journal.lines().size() >= 3);
}

TEST_CASE("retry pushes on what failed, with fresh attempts") {
  Works works;
  const auto plan = works.plan(pipeline("r").step("a", "book@1").step("b", "book@1").retry(steady(1)));
  works.next["b"] = {Retry{"down"}};
  CHECK(works.start(plan).state == RunState::needs_attention);
  Runner runner(works.storage, works.catalog, works.options);
  REQUIRE(runner.retry({"r", "p", "k"}, {"ann", "it is up again"}));
  CHECK(works.later(plan, 0s).state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "b", "b"});
}

TEST_CASE("a cancelled run begins nothing more, and compensates where it is asked to") {
  for (const auto mode : {Cancel::graceful, Cancel::compensate, Cancel::abandon}) {
    Works works;
    const auto plan = works.plan(pipeline("r").step("a", "book@1").await("w", "go").step("b", "book@1"));
    works.start(plan);
    Runner runner(works.storage, works.catalog, works.options);
    REQUIRE(runner.cancel({"r", "p", "k"}, mode, {"ann", "wrong user"}));
    const auto view = works.later(plan, 0s);
    CHECK(view.state == RunState::cancelled);
    CHECK(view.acts.size() == 1);
    CHECK(works.done == Paths{"a"});
    CHECK(works.undone.size() == (mode == Cancel::compensate ? 1 : 0));
  }
}

TEST_CASE("runs of one serial-by value go one after another") {
  Works works;
  const auto plan = works.plan(
      pipeline("r").input("u", Value::Kind::string).serial_by("u").step("a", "book@1").step("b", "book@1"));
  works.next["a"] = {Retry{"busy", 5s}};
  CHECK(works.start(plan, Map{{"u", "ann"}}, "1").state == RunState::running);
  CHECK(works.start(plan, Map{{"u", "ann"}}, "2").state == RunState::running);
  CHECK(works.start(plan, Map{{"u", "bob"}}, "3").state == RunState::succeeded);
  CHECK(works.later(plan, 1s, "2").state == RunState::running);
  CHECK(works.done.size() == 3);
  CHECK(works.later(plan, 4s, "1").state == RunState::succeeded);
  CHECK(works.later(plan, 1s, "2").state == RunState::succeeded);
}

TEST_CASE("what may be null must be handled, or it does not compile") {
  Works works;
  const auto codes = [&](const PipelineBuilder& builder) {
    std::vector<Diagnostic> found;
    (void)Plan::compile(builder.definition(), works.registry, &found);
    std::vector<std::string> all;
    for (const auto& diagnostic : found) all.push_back(diagnostic.code);
    return all;
  };
  const auto base = [] {
    return pipeline("r")
        .input("n", Value::Kind::integer, false)
        .step("a", "book@1", {{"amount", "n"}})
        .when("n != null");
  };
  CHECK(codes(base().step("b", "book@1", {{"amount", "steps.a.amount"}})) == Paths{"nullable"});
  CHECK(codes(base().step("b", "book@1", {{"amount", "steps.a?.amount"}})).empty());
  CHECK(codes(base().step("b", "book@1", {{"amount", "n + 1"}})) == Paths{"nullable"});
  CHECK(codes(base().step("b", "book@1", {{"amount", "(n ?: 0) + 1"}})).empty());
  CHECK(codes(base().step("b", "book@1", {{"amount", "steps.aa.x"}})) == Paths{"unknown-name"});
  // A condition that says so handles it too.
  const auto with = [&](const char* when) {
    return codes(base().step("b", "book@1", {{"amount", "steps.a.amount + n"}}).when(when));
  };
  CHECK(with("steps.a?.amount != null && n != null").empty());
  CHECK(with("!(steps.a == null || n == null)").empty());
  CHECK(with("steps.a != null") == Paths{"nullable"});
  CHECK(with("steps.a != null || n != null") == Paths{"nullable"});
  CHECK(with("steps.a != null && (n == null || n > 3)") == Paths{"nullable"});
  CHECK(with("steps.a != null && n == null") == Paths{"nullable"});
  CHECK(codes(base().step("b", "book@1", {{"amount", "n == null ? 0 : n + 1"}})).empty());
  CHECK(codes(base().step("b", "book@1", {{"amount", "n != null ? 0 : n + 1"}})) == Paths{"nullable"});
  const auto chosen = [&](const char* test) {
    return codes(
        base().choose("c", when(test, [](Body& b) { b.step("d", "book@1"); }), otherwise([](Body& b) {
                        b.step("e", "book@1", {{"amount", "n + 1"}});
                      })));
  };
  CHECK(chosen("n == null").empty());
  CHECK(chosen("n != null") == Paths{"nullable"});
  CHECK(chosen("n != null && n > 3") == Paths{"nullable"});
}
