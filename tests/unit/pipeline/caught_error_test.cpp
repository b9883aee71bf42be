// Which error `error` is, in which catch.
#include "works.hpp"

#include "support/catch.hpp"

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

/// Works with a step that says its text, done and undone.
struct Sayings : Works {
  std::vector<std::string> said;

  class Say final : public Step {
   public:
    explicit Say(std::vector<std::string>& said) : said_(said) {}
    [[nodiscard]] StepSpec spec() const override {
      return {.name = "say@1", .arguments = {{"text", Value::Kind::string}}, .undo = true};
    }
    StepOutcome run(StepContext& step) override { return say("", step); }
    StepOutcome undo(StepContext& step) override { return say("undo ", step); }

   private:
    Done say(std::string what, StepContext& step) {
      said_.push_back(what.append(step.step_id()) + "=" + step.arg<std::string>("text"));
      return {};
    }
    std::vector<std::string>& said_;
  };
  Sayings() { registry.add(std::make_unique<Say>(said)).value(); }
};

void say(Body& body, const char* id) { body.step(id, "say@1", {{"text", "error.code"}}); }
BodyMaker failing(const char* id, const char* code) {
  return [=](Body& body) { body.fail(id, code); };
}

}  // namespace

TEST_CASE("in a catch within a catch error is the inner one, and behind it the outer one again") {
  Sayings works;
  const auto plan = works.plan(pipeline("r").attempt(
      "outer", failing("f1", "first"), {on_error("", [](Body& body) {
        say(body, "before");
        body.attempt("inner", failing("f2", "second"), {on_error("", [](Body& b) { say(b, "within"); })},
                     [](Body& b) { say(b, "last"); });
        say(body, "behind");
      })}));
  CHECK(works.start(plan).state == RunState::succeeded);
  CHECK(works.said == Paths{"before=first", "within=second", "last=first", "behind=first"});
}

TEST_CASE("the error of one branch is not seen in the catch of another") {
  Sayings works;
  const auto plan = works.plan(pipeline("r").parallel("fan", Join::all, [](Branches& b) {
    b.attempt("t1", failing("f1", "first"), {on_error("", [](Body& body) {
                body.wait("w", 1s);
                say(body, "say1");
              })});
    b.attempt("t2", failing("f2", "second"), {on_error("", [](Body& body) { say(body, "say2"); })});
  }));
  works.start(plan);
  works.later(plan, 2s);
  CHECK(works.said == Paths{"say2=second", "say1=first"});
}

TEST_CASE("a step in a catch is undone with the arguments it was done with, whatever failed behind it") {
  Sayings works;
  const auto plan =
      works.plan(pipeline("r")
                     .recover(Recover::backward)
                     .input("all", Value::Kind::list)
                     .foreach ("each", {.items = "all", .variable = "n", .item_key = "n"}, [](Body& item) {
                       item.attempt("t", failing("f1", "first"), {on_error("", [](Body& body) {
                                      say(body, "say");
                                      body.fail("f2", "second");
                                    })});
                     }));
  const auto view = works.start(plan, Map{{"all", List{1}}});
  CHECK(view.reason.find("second") == 0);
  CHECK(works.said == Paths{"each[1]/say=first", "undo each[1]/say=first"});
}

TEST_CASE("a step in doubt in a catch is asked for again with the arguments it had") {
  Sayings works;
  const auto plan = works.plan(pipeline("r").attempt(
      "t", failing("f1", "first"), {on_error("", [](Body& body) {
        body.parallel("fan", Join::any, [](Branches& b) {
          b.step("a", "book@1", {{"amount", "error.code == 'first' ? 1 : 2"}}).retry(steady(3));
          book(b, {"b"});
        });
      })}));
  works.next["a"] = {Unknown{"lost"}};
  works.start(plan);
  const auto view = works.later(plan, 1min);
  INFO(view.reason);
  CHECK(view.state == RunState::succeeded);
  CHECK(works.done == Paths{"a", "b", "a"});
}
