#include "bench.hpp"

#include "support/catch.hpp"

#include <chrono>
#include <random>
#include <tuple>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

using Place = std::tuple<std::string, int, int>;

std::vector<Place> places(const std::vector<Diagnostic>& diagnostics) {
  std::vector<Place> all;
  for (const auto& diagnostic : diagnostics)
    all.emplace_back(diagnostic.code, diagnostic.line, diagnostic.column);
  return all;
}

/// The mistakes of a text that is refused.
std::vector<Place> refused(std::string_view text) {
  std::vector<Diagnostic> diagnostics;
  const auto parsed = parse_pipeline_xml(text, "p.xml", &diagnostics);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == ErrorCode::invalid_argument);
  CHECK(parsed.error().message == describe(diagnostics, "p.xml"));
  return places(diagnostics);
}

std::string random_text(std::mt19937& random, std::size_t most) {
  static const std::vector<std::string> pieces = {
      "a",     "Z",     "0",   " ",  "  ",   "\n",       "\t",
      "\r",    "\r\n",  "<",   ">",  "&",    "\"",       "'",
      "&amp;", "&#10;", "]]>", "--", "<!--", "\xc3\xa4", "\xf0\x9f\x98\x80",
      "%",     "\\"};
  std::string text = "x";
  for (auto n = random() % most; n > 0; --n) text += pieces[random() % pieces.size()];
  return text;
}

Duration random_duration(std::mt19937& random) {
  static constexpr std::int64_t units[] = {1, 1'000, 1'000'000, 60'000'000, 3'600'000'000, 86'400'000'000};
  return Duration(units[random() % 6] * static_cast<int>(random() % 1000));
}

RetryPolicy random_policy(std::mt19937& random) {
  return {static_cast<int>(random() % 1000), random_duration(random), static_cast<double>(random()) / 1e8,
          random_duration(random), random() % 2 == 0};
}

std::vector<StepDefinition> random_body(std::mt19937& random, int depth);

/// A construct with everything its kind may have, by chance.
StepDefinition random_construct(std::mt19937& random, int depth) {
  const auto chance = [&] { return random() % 2 == 0; };
  StepDefinition step{random_text(random, 6)};
  step.kind = depth > 2 ? StepKind::step : static_cast<StepKind>(random() % 12);
  if (chance()) step.when = random_text(random, 20);
  const auto arguments = [&] {
    for (auto m = random() % 4; m > 0; --m)
      step.arguments.emplace_back(random_text(random, 5), random_text(random, 30));
  };
  switch (step.kind) {
    case StepKind::step:
      step.uses = random_text(random, 6);
      arguments();
      if (chance()) step.retry = random_policy(random);
      for (auto n = random() % 3; n > 0; --n)
        step.rules.push_back({random_text(random, 5), random_policy(random)});
      if (chance()) step.undo = {chance(), random_policy(random)};
      if (chance()) step.timeout = random_duration(random);
      if (chance()) step.total = random_duration(random);
      break;
    case StepKind::parallel:
      step.join = static_cast<Join>(random() % 3);
      step.quorum = static_cast<int>(random() % 3);
      step.on_fail = static_cast<OnFail>(random() % 2);
      step.body = random_body(random, depth + 1);
      break;
    case StepKind::sequence: step.body = random_body(random, depth + 1); break;
    case StepKind::choose:
      for (auto n = random() % 3; n > 0; --n)
        step.branches.push_back({random_text(random, 9), random_body(random, depth + 1)});
      if (chance()) step.branches.push_back({{}, random_body(random, depth + 1)});
      break;
    case StepKind::foreach:
      step.items = random_text(random, 9);
      step.variable = random_text(random, 9);
      step.item_key = random_text(random, 9);
      step.max = static_cast<int>(random() % 20'000);
      step.concurrency = static_cast<int>(random() % 9);
      step.on_fail = static_cast<OnFail>(random() % 2);
      step.body = random_body(random, depth + 1);
      break;
    case StepKind::attempt:
      step.body = random_body(random, depth + 1);
      for (auto n = random() % 3; n > 0; --n)
        step.branches.push_back({chance() ? random_text(random, 9) : "", random_body(random, depth + 1)});
      if (chance()) step.last = random_body(random, depth + 1);
      break;
    case StepKind::call:
      step.uses = random_text(random, 6);
      if (chance()) step.version = random_text(random, 6);
      arguments();
      break;
    case StepKind::wait:
      if (chance()) step.total = random_duration(random);
      if (chance()) step.value = random_text(random, 9);
      break;
    case StepKind::await:
      step.code = random_text(random, 9);
      if (chance()) step.total = random_duration(random);
      break;
    case StepKind::set:
    case StepKind::result: step.value = random_text(random, 9); break;
    case StepKind::fail:
      step.code = random_text(random, 9);
      if (chance()) step.value = random_text(random, 9);
      break;
  }
  return step;
}

std::vector<StepDefinition> random_body(std::mt19937& random, int depth) {
  std::vector<StepDefinition> body;
  for (auto n = random() % (depth == 0 ? 6U : 3U); n > 0; --n)
    body.push_back(random_construct(random, depth));
  return body;
}

PipelineDefinition random_definition(std::mt19937& random) {
  PipelineDefinition definition{random_text(random, 8), random_text(random, 4)};
  for (auto n = random() % 4; n > 0; --n) {
    definition.inputs.push_back(
        {random_text(random, 6), static_cast<Value::Kind>(1 + random() % 6), random() % 2 == 0});
  }
  if (random() % 2 == 0) definition.key = random_text(random, 9);
  if (random() % 2 == 0) definition.recover = Recover::backward;
  if (random() % 2 == 0) definition.deadline = random_duration(random);
  if (random() % 2 == 0) definition.serial_by = random_text(random, 9);
  definition.priority = static_cast<int>(random() % 10);
  definition.steps = random_body(random, 0);
  return definition;
}

}  // namespace

TEST_CASE("twelve mistakes of one file are reported at once, each with its place and code [pipeline-61]") {
  Bench bench;
  const std::string text = R"(<pipeline id="Grant" colour="red">
  <input>
    <param name="user" type="text"/>
    <param name="user"/>
  </input>
  <step id="points" use="credit@2">
    <arg name="amount" value="1 +"/>
  </step>
  <step id="points" use="credit@1" wehn="true">
    <arg name="amuont" value="1"/>
  </step>
  <step id="mail" use="credit@1" when="later">
    <retry attempts="0" first="5 s"/>
    <comment/>
  </step>
  <step use="credit@1"/>
</pipeline>
)";
  std::vector<Diagnostic> diagnostics;
  const auto plan = compile_pipeline_xml(text, "grant.xml", bench.registry, &diagnostics);
  REQUIRE_FALSE(plan);
  CHECK(places(diagnostics) == std::vector<Place>{{"bad-id", 1, 1},
                                                  {"duplicate-input", 1, 1},
                                                  {"unknown-attribute", 1, 22},
                                                  {"bad-value", 3, 24},
                                                  {"unknown-step", 6, 3},
                                                  {"bad-expression", 6, 3},
                                                  {"duplicate-step", 9, 3},
                                                  {"unknown-argument", 9, 3},
                                                  {"unknown-attribute", 9, 36},
                                                  {"bad-retry", 12, 3},
                                                  {"unknown-name", 12, 3},
                                                  {"bad-value", 13, 25},
                                                  {"unknown-element", 14, 5},
                                                  {"missing-attribute", 16, 3}});
  CHECK(plan.error().message.find(
            "grant.xml:9:36: unknown-attribute: <step> has no attribute \"wehn\" (did you mean when?)") !=
        std::string::npos);
}

TEST_CASE("a right file compiles to the plan of the same definition built in code") {
  Bench bench;
  const auto built = pipeline("grant", "v2")
                         .input("n", Value::Kind::integer)
                         .input("vip", Value::Kind::boolean, false)
                         .step("points", "credit@1", {{"amount", "n * 2"}})
                         .when("n > 1 && (vip ?: false)")
                         .retry({.attempts = 7, .first = 5s, .factor = 1.5, .cap = 2h, .jitter = false});
  const auto plan = built.compile(bench.registry).value();
  const auto read = compile_pipeline_xml(to_xml(built.definition()), "", bench.registry);
  REQUIRE(read);
  CHECK(read->sha256() == plan.sha256());
  CHECK(read->definition() == built.definition());
  const auto spaced = parse_pipeline_xml(
      "<?xml version='1.0'?>\n<!-- a comment <step> -->\n<pipeline xmlns='urn:onceward:1' id='p'>"
      "<step id='a' use='credit@1'><retry cap='1d' first='200us'/></step></pipeline>",
      "");
  REQUIRE(spaced);
  CHECK(spaced->version == "1");
  CHECK(spaced->steps.at(0).retry == RetryPolicy{.first = 200us, .cap = 24h});
  CHECK(spaced->steps.at(0).place.line == 3);
}

TEST_CASE("a definition written as XML reads back equal, for random definitions [pipeline-63]") {
  std::mt19937 random(63);
  for (int i = 0; i < 3000; ++i) {
    const auto definition = random_definition(random);
    const auto text = to_xml(definition);
    const auto read = parse_pipeline_xml(text, "");
    INFO(text);
    REQUIRE(read);
    REQUIRE(*read == definition);
    REQUIRE(to_xml(*read) == text);
  }
}

TEST_CASE("a hostile text is refused in bounded time and memory [pipeline-62]") {
  const auto started = std::chrono::steady_clock::now();
  CHECK(refused("<!DOCTYPE pipeline [<!ENTITY a \"b\">]>\n<pipeline id='p'/>") ==
        std::vector<Place>{{"declaration", 1, 1}});
  CHECK(refused("<pipeline id='p'>\n <!ENTITY lol 'lol'></pipeline>") ==
        std::vector<Place>{{"declaration", 2, 2}});
  std::string bomb = "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [\n<!ENTITY lol0 \"lol\">\n";
  for (int i = 1; i < 10; ++i) {
    bomb += "<!ENTITY lol" + std::to_string(i) + " \"";
    for (int n = 0; n < 10; ++n) bomb += "&lol" + std::to_string(i - 1) + ";";
    bomb += "\">\n";
  }
  CHECK(refused(bomb + "]>\n<pipeline id=\"&lol9;\"/>") == std::vector<Place>{{"declaration", 2, 1}});
  CHECK(refused("<pipeline id='" + std::string(10 << 20, 'x') + "'/>") ==
        std::vector<Place>{{"too-large", 0, 0}});
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  CHECK(refused("<pipeline id='p'>" + deep) ==
        std::vector<Place>{{"too-deep", 1, 18 + 3 * static_cast<int>(limits::xml_depth - 1)}});
  // Many mistakes in a file of the largest size: the report stays short.
  std::string many = "<pipeline id='p'>";
  while (many.size() < limits::xml_bytes - 100) many += "<x y='1'/>";
  CHECK(refused(many + "</pipeline>").size() == limits::diagnostics);
  std::string attributes = "<pipeline id='p'><step";
  for (int i = 0; attributes.size() < 200'000; ++i) attributes += " a" + std::to_string(i) + "='1'";
  CHECK(refused(attributes + "/></pipeline>").size() == limits::diagnostics);
  CHECK(std::chrono::steady_clock::now() - started < 30s);
}

TEST_CASE("a text that is no such document is refused where it stops being one") {
  CHECK(refused("") == std::vector<Place>{{"malformed", 1, 1}});
  CHECK(refused("<pipeline id='p'>\n  <step id='a' use='b'>\n</pipeline>").front() ==
        Place{"malformed", 3, 3});
  CHECK(std::get<0>(refused("<pipeline id='p'").front()) == "malformed");
  CHECK(std::get<0>(refused("<pipeline id='p'><![CDATA[").front()) == "malformed");
  CHECK(std::get<0>(refused("not XML at all").front()) == "malformed");
  CHECK(refused("\n <campaign/>") == std::vector<Place>{{"wrong-root", 2, 2}});
  CHECK(refused("<pipeline id='p' xmlns='urn:other'/>") == std::vector<Place>{{"wrong-namespace", 1, 18}});
  CHECK(refused("<pipeline id='p' id='q'/>") == std::vector<Place>{{"duplicate-attribute", 1, 1}});
  CHECK(refused("<pipeline id='p'>text</pipeline>") == std::vector<Place>{{"stray-text", 1, 1}});
  CHECK(refused("<pipeline id='p'><![CDATA[ ]]></pipeline>") == std::vector<Place>{{"stray-text", 1, 1}});
  CHECK(refused("<pipeline id='p'><call id='a' pipeline='b' version=''/></pipeline>") ==
        std::vector<Place>{{"missing-attribute", 1, 18}});
  CHECK(refused("<pipeline id='p'><wait id='a' for='0s'/></pipeline>") ==
        std::vector<Place>{{"bad-value", 1, 31}});
  CHECK(refused("<pipeline id='p'><step id='a' use='b'><retry/>\n<retry/></step></pipeline>") ==
        std::vector<Place>{{"duplicate-element", 2, 1}});
  for (const char* duration :
       {"5", "s", "5 s", "-5s", "5.5s", "99999999999999999999s", "40000d", "5sec", ""}) {
    const auto found = refused("<pipeline id='p'><step id='a' use='b'><retry first='" +
                               std::string(duration) + "'/></step></pipeline>");
    CHECK(found == std::vector<Place>{{"bad-value", 1, 46}});
  }
}

TEST_CASE("what no run comes to is told at its place") {
  Bench bench;
  std::vector<Diagnostic> diagnostics;
  CHECK_FALSE(compile_pipeline_xml(R"(<pipeline id="p"><try id="t">
  <step id="a" use="credit@1"><retry><on code="busy"/><on code="busy"/></retry></step>
  <catch><step id="b" use="credit@1"/></catch>
  <catch code="x"><fail id="f" code="x"/>
    <step id="c" use="credit@1"/></catch></try></pipeline>)",
                                   "", bench.registry, &diagnostics));
  CHECK(places(diagnostics) ==
        std::vector<Place>{{"unreachable", 2, 3}, {"unreachable", 4, 3}, {"unreachable", 5, 5}});
}

TEST_CASE("a document may say where its schema is") {
  const std::string xsi = " xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'";
  const auto with = [](const std::string& root, const std::string& inner = {}) {
    return "<pipeline id='p'" + root + ">\n<step id='a' use='b'" + inner + "/></pipeline>";
  };
  CHECK(parse_pipeline_xml(with(xsi + " xsi:noNamespaceSchemaLocation='pipeline.xsd'"), ""));
  CHECK(parse_pipeline_xml(with(" xmlns='urn:onceward:1' xsi:schemaLocation='urn:onceward:1 urn.xsd'" + xsi),
                           ""));
  CHECK(refused(with(" xmlns:xsi='urn:other'")) == std::vector<Place>{{"wrong-namespace", 1, 18}});
  // A prefix that means nothing, one of its own, and what belongs to the root alone.
  CHECK(refused(with(" xsi:schemaLocation='x'")) == std::vector<Place>{{"unknown-attribute", 1, 18}});
  CHECK(refused(with(xsi + " xsi:type='x'")).at(0) == Place{"unknown-attribute", 1, 72});
  CHECK(refused(with(" xmlns:mine='urn:mine'")) == std::vector<Place>{{"unknown-attribute", 1, 18}});
  CHECK(refused(with("", xsi)) == std::vector<Place>{{"unknown-attribute", 2, 22}});
}

TEST_CASE("what XML does not allow is refused, also where the parser would make something of it") {
  const auto step = [](std::string_view when) {
    return "<pipeline id='p'>\n<step id='a' use='b' when=\"" + std::string(when) + "\"/></pipeline>";
  };
  CHECK(parse_pipeline_xml(step("a &lt; 1 &amp;&amp; b == '&#xe9;&#10;&apos;'"), ""));
  CHECK(refused(step("a && b")) == std::vector<Place>{{"malformed", 2, 30}, {"malformed", 2, 31}});
  CHECK(refused(step("a < b")) == std::vector<Place>{{"malformed", 2, 30}});
  for (const char* reference :
       {"&copy;", "&lt", "&;", "&#0;", "&#1;", "&#xD800;", "&#x110000;", "&#;", "&#x;", "&#-1;", "&#1x;"}) {
    INFO(reference);
    CHECK(refused(step(reference)).front() == Place{"malformed", 2, 28});
  }
  CHECK(refused(step("caf\xe9")) == std::vector<Place>{{"malformed", 2, 31}});
  CHECK(refused(step("a\x01")) == std::vector<Place>{{"malformed", 2, 29}});
  CHECK(refused("\xff\xfe<\0p\0") == std::vector<Place>{{"malformed", 1, 1}});
  const std::string right = step("true");
  CHECK(parse_pipeline_xml("\xEF\xBB\xBF<?xml version='1.0'?>\n" + right + "\n<!-- the end -->\n", ""));
  CHECK(refused("\xEF\xBB\xBF<pipeline id='p' x='1'/>\n<a/>") ==
        std::vector<Place>{{"malformed", 2, 1}, {"unknown-attribute", 1, 18}});
  CHECK(refused("\xEF\xBB\xBF") == std::vector<Place>{{"malformed", 1, 1}});
  CHECK(refused(right + "\nmore") == std::vector<Place>{{"malformed", 3, 1}});
  CHECK(refused(right + "\n" + right + "\n" + right) == std::vector<Place>{{"malformed", 3, 1}});
  CHECK(refused("first\n" + right).front() == Place{"malformed", 1, 1});
  CHECK(refused("<pipeline id='p'><step id='a' use='b'/></pipeline><pipeline id='q'/>") ==
        std::vector<Place>{{"malformed", 1, 51}});
  CHECK(refused("<!-- a\n -- b -->" + right) == std::vector<Place>{{"malformed", 2, 2}});
  CHECK(refused("<!-- a --->" + right) == std::vector<Place>{{"malformed", 1, 8}});
  CHECK(parse_pipeline_xml("<!-- a - b - -->" + right, ""));
}

TEST_CASE("broken texts never do worse than being refused [pipeline-62]") {
  std::mt19937 random(62);
  const std::string right = to_xml(random_definition(random)) + to_xml(random_definition(random));
  for (int i = 0; i < 20'000; ++i) {
    std::string text = to_xml(random_definition(random));
    for (auto n = 1 + random() % 5; n > 0 && !text.empty(); --n) {
      const auto at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = "<>/='\"&!?-[] x\n\0\xff"[random() % 18]; break;
        case 1: text.erase(at, random() % 30); break;
        default: text.insert(at, right, random() % right.size(), random() % 30); break;
      }
    }
    std::vector<Diagnostic> diagnostics;
    const auto parsed = parse_pipeline_xml(text, "", &diagnostics);
    REQUIRE(parsed.has_value() == diagnostics.empty());
    for (const auto& diagnostic : diagnostics) {
      REQUIRE(diagnostic.line >= 1);
      REQUIRE(diagnostic.column >= 1);
    }
  }
}
