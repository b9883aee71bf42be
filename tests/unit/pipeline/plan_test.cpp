#include "bench.hpp"

#include <onceward/expr/functions.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <stdexcept>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

StepOutcome no_effect(StepContext&) { return Done{}; }

std::unique_ptr<Step> step_of(std::string name, std::vector<StepField> arguments = {}) {
  return std::make_unique<FunctionStep>(StepSpec{.name = std::move(name), .arguments = std::move(arguments)},
                                        no_effect);
}

StepRegistry registry_of_two() {
  StepRegistry registry;
  registry
      .add(step_of("grant-points@1", {{"user", Value::Kind::string},
                                      {"amount", Value::Kind::integer},
                                      {"note", Value::Kind::string, false}}))
      .value();
  registry.add(step_of("send-mail@2", {{"user", Value::Kind::string}})).value();
  return registry;
}

PipelineBuilder grant() {
  return pipeline("grant")
      .input("user", Value::Kind::string)
      .input("n", Value::Kind::integer)
      .step("points", "grant-points@1", {{"user", "user"}, {"amount", "n"}});
}

/// The codes of all mistakes of a definition, in order.
std::vector<std::string> mistakes(const PipelineBuilder& builder) {
  const auto registry = registry_of_two();
  std::vector<Diagnostic> diagnostics;
  const auto plan = Plan::compile(builder.definition(), registry, &diagnostics);
  CHECK(plan.has_value() == diagnostics.empty());
  std::vector<std::string> codes;
  for (const auto& diagnostic : diagnostics) codes.push_back(diagnostic.code);
  return codes;
}

using Codes = std::vector<std::string>;

}  // namespace

TEST_CASE("each mistake of a definition has its code") {
  CHECK(mistakes(grant()).empty());
  CHECK(mistakes(pipeline("empty")) == Codes{"bad-steps"});
  CHECK(mistakes(pipeline("No Id").step("a", "send-mail@2", {{"user", "'x'"}})) == Codes{"bad-id"});
  CHECK(mistakes(pipeline("p", "").step("a", "send-mail@2", {{"user", "'x'"}})) == Codes{"bad-id"});
  CHECK(mistakes(grant().step("B", "send-mail@2", {{"user", "user"}})) == Codes{"bad-id"});
  CHECK(mistakes(grant().step("points", "send-mail@2", {{"user", "user"}})) == Codes{"duplicate-step"});
  CHECK(mistakes(grant().step("b", "send-mail@1", {{"user", "user"}})) == Codes{"unknown-step"});
  CHECK(mistakes(grant().step("b", "send-mail@2")) == Codes{"missing-argument"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "user"}, {"usr", "user"}})) ==
        Codes{"unknown-argument"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "user"}, {"user", "user"}})) ==
        Codes{"duplicate-argument"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "user +"}})) == Codes{"bad-expression"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "users"}})) == Codes{"unknown-name"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "n"}})) == Codes{"wrong-kind"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "7"}})) == Codes{"wrong-kind"});
  CHECK(mistakes(grant().step("b", "send-mail@2", {{"user", "null"}})) == Codes{"wrong-kind"});
  CHECK(mistakes(grant().when("1")) == Codes{"wrong-kind"});
  CHECK(mistakes(grant().when("n >")) == Codes{"bad-expression"});
  CHECK(mistakes(grant().when("m > 1")) == Codes{"unknown-name"});
  CHECK(mistakes(grant().input("n", Value::Kind::integer)) == Codes{"duplicate-input"});
  CHECK(mistakes(grant().input("steps", Value::Kind::map)) == Codes{"bad-input"});
  CHECK(mistakes(grant().input("2nd", Value::Kind::map)) == Codes{"bad-input"});
  CHECK(mistakes(grant().input("none", Value::Kind::null)) == Codes{"bad-input"});
  for (const RetryPolicy& bad :
       {RetryPolicy{.attempts = 0}, RetryPolicy{.attempts = 1001}, RetryPolicy{.first = 0s},
        RetryPolicy{.first = 2s, .cap = 1s}, RetryPolicy{.factor = 0.5}, RetryPolicy{.factor = 11},
        RetryPolicy{.factor = std::numeric_limits<double>::quiet_NaN()}}) {
    CHECK(mistakes(grant().retry(bad)) == Codes{"bad-retry"});
  }
}

TEST_CASE("an expression reads inputs and earlier steps, no later one and not its own") {
  const auto mail = [](const std::string& user) {
    return grant().step("mail", "send-mail@2", {{"user", user}});
  };
  CHECK(mistakes(mail("steps.points.text")).empty());
  CHECK(mistakes(mail("steps.points?.text ?: user")).empty());
  CHECK(mistakes(mail("steps.mail.text")) == Codes{"unknown-name"});
  CHECK(mistakes(mail("steps.later.text")) == Codes{"unknown-name"});
  CHECK(mistakes(mail("steps.point.text")) == Codes{"unknown-name"});
  CHECK(mistakes(mail("points.text")) == Codes{"unknown-name"});
}

TEST_CASE("what no run comes to is a mistake") {
  const auto mail = [](const char* id) {
    return [id](Body& b) { b.step(id, "send-mail@2", {{"user", "user"}}); };
  };
  CHECK(
      mistakes(grant().attempt("t", mail("a"), {on_error("x", mail("b")), on_error("", mail("c"))})).empty());
  CHECK(mistakes(grant().attempt("t", mail("a"), {on_error("", mail("b")), on_error("x", mail("c"))})) ==
        Codes{"unreachable"});
  CHECK(mistakes(grant().attempt("t", mail("a"), {on_error("x", mail("b")), on_error("x", mail("c"))})) ==
        Codes{"unreachable"});
  CHECK(mistakes(grant().retry_on("busy", {}).retry_on("away", {})).empty());
  CHECK(mistakes(grant().retry_on("busy", {}).retry_on("busy", {.attempts = 3})) == Codes{"unreachable"});
  const auto fails = [&](Body& b) { mail("a")(b.fail("stop", "no")); };
  CHECK(mistakes(grant().fail("stop", "no")).empty());
  CHECK(mistakes(grant().fail("stop", "no").when("n > 1").step("a", "send-mail@2", {{"user", "user"}}))
            .empty());
  CHECK(mistakes(grant().fail("stop", "no").set("x", "1").set("y", "1")) == Codes{"unreachable"});
  CHECK(mistakes(grant().attempt("t", fails, {on_error("", mail("b"))})) == Codes{"unreachable"});
  CHECK(mistakes(grant().choose("c", when("n > 1", fails))) == Codes{"unreachable"});
  // Branches are side by side: one that fails is before no other.
  CHECK(mistakes(grant().parallel("p", Join::any, fails)).empty());
}

TEST_CASE("text that XML cannot hold is a mistake") {
  const auto mail = [](const std::string& user) {
    return grant().step("mail", "send-mail@2", {{"user", user}});
  };
  const auto nothing = [](Body& b) { b.set("x", "1"); };
  for (const std::string good : {"'a\nb\tc\r'", "'\x7f\xc2\x85'", "' <&>]]>\" '"})
    CHECK(mistakes(mail(good)).empty());
  for (const std::string bad : {"'\x01'", "'a\x1f'", "\v'a'", "'\xff'"}) {
    CHECK(mistakes(mail(bad)) == Codes{"bad-expression"});
    CHECK(mistakes(grant().when(bad + " == user")) == Codes{"bad-expression"});
    CHECK(mistakes(grant().key(bad)) == Codes{"bad-expression"});
    CHECK(mistakes(grant().retry_on(bad, {})) == Codes{"bad-value"});
    CHECK(mistakes(grant().attempt("t", nothing, {on_error(bad, {nothing})})) ==
          Codes{"bad-value", "duplicate-step"});
  }
}

TEST_CASE("a key template reads what is there and has a text form") {
  const auto keyed = [](const std::string& key) {
    return grant()
        .input("late", Value::Kind::string, false)
        .input("list", Value::Kind::list)
        .input("map", Value::Kind::map)
        .key(key);
  };
  CHECK(mistakes(keyed("#{user}:#{n}")).empty());
  CHECK(mistakes(keyed("#{late ?: 'never'}")).empty());
  CHECK(mistakes(keyed("#{map.id}")).empty());
  CHECK(mistakes(keyed("#{late}")) == Codes{"nullable"});
  CHECK(mistakes(keyed("#{late.length()}")) == Codes{"nullable"});
  CHECK(mistakes(keyed("#{list}")) == Codes{"wrong-kind"});
  CHECK(mistakes(keyed("#{map.id}-#{map}")) == Codes{"wrong-kind"});
  CHECK(mistakes(keyed("#{user + 1 > 2}")) == Codes{"wrong-kind"});
  CHECK(mistakes(keyed("#{users}#{late}")) == Codes{"unknown-name"});
}

TEST_CASE("every mistake of a definition is reported at once") {
  const auto broken = pipeline("grant")
                          .input("user", Value::Kind::string)
                          .input("user", Value::Kind::string)
                          .step("a", "grant-point@1", {{"user", "usr"}})
                          .when("(")
                          .retry({.attempts = 0})
                          .step("a", "grant-points@1", {{"amount", "user"}, {"amuont", "1"}});
  CHECK(mistakes(broken) == Codes{"duplicate-input", "bad-retry", "unknown-step", "bad-expression",
                                  "unknown-name", "duplicate-step", "wrong-kind", "unknown-argument",
                                  "missing-argument"});
}

TEST_CASE("pipelines call the functions their registry offers") {
  auto registry = registry_of_two();
  const auto definition =
      grant().step("more", "grant-points@1", {{"user", "user"}, {"amount", "twice(n)"}}).definition();
  CHECK_FALSE(Plan::compile(definition, registry));
  {
    Functions functions;
    REQUIRE(functions.add("twice", [](std::int64_t n) { return 2 * n; }));
    registry.offer(functions);
  }
  CHECK(Plan::compile(definition, registry));
  registry.offer({});
  CHECK_FALSE(Plan::compile(definition, registry));
}

TEST_CASE("messages name what is wrong and what is near") {
  const auto registry = registry_of_two();
  const auto hint_of = [&](const PipelineBuilder& builder) {
    std::vector<Diagnostic> diagnostics;
    const auto plan = Plan::compile(builder.definition(), registry, &diagnostics);
    REQUIRE(diagnostics.size() == 1);
    CHECK(plan.error().message == describe(diagnostics, {}));
    return diagnostics[0].hint;
  };
  CHECK(hint_of(grant().step("b", "send-mial@2", {{"user", "user"}})) == "did you mean send-mail@2?");
  CHECK(hint_of(grant().step("b", "entirely-other@9", {{"user", "user"}})).empty());
  CHECK(hint_of(grant().step("b", "send-mail@2", {{"user", "user"}, {"uesr", "user"}})) ==
        "did you mean user?");
  CHECK(hint_of(grant().step("b", std::string(100'000, 'x'))).empty());
  const std::vector<Diagnostic> two = {{"a-code", "It is wrong.", "mend it", 3, 7},
                                       {"b-code", "This too.", ""}};
  CHECK(describe(two, "x.xml") == "x.xml:3:7: a-code: It is wrong. (mend it)\nx.xml: b-code: This too.");
}

TEST_CASE("no more mistakes are reported than anybody reads") {
  auto many = pipeline("p");
  for (int i = 0; i < 500; ++i) many.step("S", "none@1", {{"x", "("}});
  CHECK(mistakes(many).size() == limits::diagnostics);
}

TEST_CASE("a plan's sha256 follows what it does, not how it was written") {
  const auto registry = registry_of_two();
  const auto sha = [&](const PipelineBuilder& builder) { return builder.compile(registry).value().sha256(); };
  const auto one = sha(grant());
  CHECK(one.size() == 64);
  CHECK(one == sha(grant()));
  CHECK(one == sha(pipeline("grant")
                       .input("user", Value::Kind::string)
                       .input("n", Value::Kind::integer)
                       .step("points", "grant-points@1", {{"amount", "n"}, {"user", "user"}})));
  auto moved = grant().definition();
  moved.place = {3, 4};
  moved.steps[0].place = {5, 6};
  CHECK(Plan::compile(moved, registry).value().sha256() == one);
  CHECK(sha(grant().when("n > 1")) != one);
  CHECK(sha(grant().retry({.attempts = 3})) != one);
  CHECK(sha(grant().input("more", Value::Kind::string, false)) != one);
  auto newer = grant().definition();
  newer.version = "2";
  CHECK(Plan::compile(newer, registry).value().sha256() != one);
}

TEST_CASE("a catalog keeps versions as they are") {
  const auto registry = registry_of_two();
  PlanCatalog catalog;
  const auto first = grant().compile(registry).value();
  CHECK(catalog.add(first));
  CHECK(catalog.add(grant().compile(registry).value()));
  const auto changed = catalog.add(grant().when("n > 1").compile(registry).value());
  REQUIRE_FALSE(changed);
  CHECK(changed.error().code == ErrorCode::conflict);
  CHECK(catalog.find("grant", "1", first.sha256()).has_value());
  CHECK(catalog.find("grant", "1", first.sha256().substr(0, 16)).has_value());
  CHECK_FALSE(catalog.find("grant", "1", "").has_value());
  CHECK_FALSE(catalog.find("grant", "1", "0000000000000000").has_value());
  CHECK_FALSE(catalog.find("grant", "2", first.sha256()).has_value());
}

TEST_CASE("plans of different owners share a name and nothing else; a run's sha256 finds each") {
  const auto registry = registry_of_two();
  PlanCatalog catalog;
  const auto first = grant().compile(registry).value();
  const auto other = grant().when("n > 1").compile(registry).value();
  CHECK(catalog.add(first, "ann"));
  CHECK(catalog.add(other, "bob"));
  CHECK(catalog.add(other, "bob"));
  CHECK(catalog.add(first, "bob").error().code == ErrorCode::conflict);
  for (const auto* plan : {&first, &other})
    CHECK(catalog.find("grant", "1", plan->sha256().substr(0, 16))->sha256() == plan->sha256());
  CHECK(catalog.find_of("ann", "grant", "1")->sha256() == first.sha256());
  CHECK(catalog.find_of("bob", "grant", "1")->sha256() == other.sha256());
  CHECK_FALSE(catalog.find_of("cid", "grant", "1").has_value());
  CHECK_FALSE(catalog.find("grant", "1").has_value());
}

TEST_CASE("a registry takes well-formed names once") {
  StepRegistry registry;
  for (const char* bad :
       {"", "grant", "grant@", "@1", "Grant@1", "grant points@1", "grant@one", "grant@1@2", "grant/x@1"}) {
    const auto added = registry.add(step_of(bad));
    REQUIRE_FALSE(added);
    CHECK(added.error().code == ErrorCode::invalid_argument);
  }
  CHECK_FALSE(registry.add(step_of(std::string(64, 'a') + "@1")));
  CHECK(registry.add(step_of("grant@1")));
  CHECK(registry.add(step_of("grant@2")));
  const auto twice = registry.add(step_of("grant@1"));
  REQUIRE_FALSE(twice);
  CHECK(twice.error().code == ErrorCode::conflict);
  CHECK(registry.names().size() == 2);
  CHECK(registry.find("grant@3") == nullptr);
}

TEST_CASE("arguments are read by kind and never converted") {
  const Value arguments =
      Map{{"flag", true}, {"n", 7}, {"big", std::int64_t{1} << 40}, {"x", 1.5}, {"text", "t"}, {"none", {}}};
  const StepContext step("p", "k", "s", "token", arguments, 1);
  CHECK(step.arg<bool>("flag"));
  CHECK(step.arg<int>("n") == 7);
  CHECK(step.arg<std::int64_t>("big") == std::int64_t{1} << 40);
  CHECK(step.arg<double>("x") == 1.5);
  CHECK(step.arg<std::string>("text") == "t");
  CHECK_FALSE(step.optional_arg<int>("none").has_value());
  CHECK_FALSE(step.optional_arg<int>("absent").has_value());
  CHECK_THROWS_AS(step.arg<int>("big"), std::invalid_argument);
  CHECK_THROWS_AS(step.arg<double>("n"), std::invalid_argument);
  CHECK_THROWS_AS(step.arg<std::string>("n"), std::invalid_argument);
  CHECK_THROWS_AS(step.arg<int>("none"), std::invalid_argument);
  CHECK_THROWS_AS(step.arg<int>("absent"), std::invalid_argument);
  CHECK_THROWS_AS(step.optional_arg<int>("text"), std::invalid_argument);
}

TEST_CASE("a builder without a step has none to qualify") {
  CHECK_THROWS_AS(pipeline("p").when("true"), std::logic_error);
  CHECK_THROWS_AS(pipeline("p").retry({}), std::logic_error);
}
