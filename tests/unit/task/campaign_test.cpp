#include "support.hpp"

#include <onceward/expr/functions.hpp>

#include "support/catch.hpp"

using namespace task_test;

namespace {

std::vector<Diagnostic> mistakes_of(std::string_view text) {
  std::vector<Diagnostic> found;
  CHECK_FALSE(parse_campaign_xml(text, "c.xml", &found).has_value());
  return found;
}

bool has(const std::vector<Diagnostic>& found, std::string_view code, int line, int column) {
  return std::any_of(found.begin(), found.end(), [&](const Diagnostic& d) {
    return d.code == code && d.line == line && d.column == column;
  });
}

}  // namespace

TEST_CASE("every mistake of a campaign's text is reported, each with its place [pipeline-61]") {
  const auto found = mistakes_of(
      "<campaign merchant='m' zone='UTC'>\n"
      "  <task id='a' perod='day' period='year'>\n"
      "    <on evnt='paid'/>\n"
      "    <stage target='many' pipeline='p'><arg nam='x' value='1'/></stage>\n"
      "    <quota limit='1' per='hour'/>\n"
      "    <quota limit='2'/>\n"
      "    <reward/>\n"
      "  </task>\n"
      "  <task id='b' starts='yesterday' on-refund='perhaps'/>\n"
      "  <pipeline id='p'><step id='s'/><input><param name='n' type='number'/></input></pipeline>\n"
      "</campaign>");
  CHECK(has(found, "unknown-attribute", 1, 24));
  CHECK(has(found, "unknown-attribute", 2, 16));
  CHECK(has(found, "bad-value", 2, 28));
  CHECK(has(found, "unknown-attribute", 3, 9));
  CHECK(has(found, "missing-attribute", 3, 5));
  CHECK(has(found, "bad-value", 4, 12));
  CHECK(has(found, "unknown-attribute", 4, 44));
  CHECK(has(found, "bad-value", 5, 22));
  CHECK(has(found, "duplicate-element", 6, 5));
  CHECK(has(found, "unknown-element", 7, 5));
  CHECK(has(found, "bad-value", 9, 16));
  CHECK(has(found, "bad-value", 9, 35));
  CHECK(has(found, "missing-attribute", 10, 20));
  CHECK(has(found, "bad-value", 10, 57));
  CHECK(std::any_of(found.begin(), found.end(),
                    [](const Diagnostic& d) { return d.hint == "did you mean period?"; }));
}

TEST_CASE("an expression that is there and empty is no absent one") {
  const auto found = mistakes_of(
      "<campaign merchant='m'><task id='a'>\n"
      "<on event='paid' when=''/>\n"
      "<on event='paid' add=' '/>\n"
      "<on event='paid' distinct=''/>\n"
      "</task><pipeline id='p'>\n"
      "<step id='s' use='grant-points@1' when='\n'/></pipeline></campaign>");
  CHECK(found.size() == 4);
  for (const int line : {2, 3, 4}) CHECK(has(found, "bad-value", line, 18));
  CHECK(has(found, "bad-value", 6, 35));
}

TEST_CASE("hostile XML is refused at once [pipeline-62]") {
  CHECK(mistakes_of("<!DOCTYPE x [<!ENTITY a 'b'>]><campaign merchant='m'/>").at(0).code == "declaration");
  CHECK(mistakes_of("<campaign merchant='m'>\n<!ENTITY a 'b'></campaign>").at(0).line == 2);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  CHECK(mistakes_of(deep).at(0).code == "too-deep");
  CHECK(mistakes_of(std::string(10'000'000, ' ')).at(0).code == "too-large");
  for (const auto* text : {"", "<", "<campaign", "<campaign merchant='m'", "<campaign>", "<campaign></task>",
                           "plain", "<campaign merchant='m'><!-- never closed", "<task/>", "\xff\xfe<"}) {
    INFO(text);
    CHECK_FALSE(mistakes_of(text).empty());
  }
}

TEST_CASE("every mistake of a campaign's meaning is reported, with its place") {
  Shop shop;
  const auto definition =
      parse_campaign_xml(
          "<campaign merchant='M!' timezone='UTC'>\n"
          "<task id='a'><on event='paid' add='event.n' distinct='event.n'/>\n"
          "<stage target='5' pipeline='none'/>\n"
          "<stage target='5' pipeline='p'><arg name='points' value=\"'ten'\"/></stage></task>\n"
          "<task id='a'><on event='paid' when='event.n &gt;'/>\n"
          "<stage target='1' pipeline='p'><arg name='nope' value='1'/></stage></task>\n"
          "<task id='c' starts='2024-01-02T00:00:00Z' ends='2024-01-01T00:00:00Z'>\n"
          "<on event='paid' when='user.vip'/><on event='x' streak='day'/></task>\n"
          "<task id='d'><on event='paid' add='event.pense'/>\n"
          "<stage target='1' pipeline='p'><arg name='points' value='1'/></stage></task>\n"
          "<pipeline id='p'><input><param name='user'/><param name='points' type='int'/></input>\n"
          "<step id='s' use='grant-point@1'><arg name='user' value='usr'/></step></pipeline>\n"
          "</campaign>",
          "c.xml")
          .value();
  std::vector<Diagnostic> found;
  const std::vector<std::string> attributes{"n", "pence"};
  const auto compiled = Campaign::compile(definition, shop.registry, "c.xml", attributes, &found);
  REQUIRE_FALSE(compiled.has_value());
  CHECK(compiled.error().code == ErrorCode::invalid_argument);
  CHECK(compiled.error().message.find("c.xml:9:14: unknown-attribute") != std::string::npos);
  const auto count = [&](std::string_view code) {
    return std::count_if(found.begin(), found.end(), [&](const Diagnostic& d) { return d.code == code; });
  };
  CHECK(count("bad-id") == 1);
  CHECK(count("duplicate-task") == 1);
  CHECK(count("mixed-measure") == 2);
  CHECK(count("unknown-pipeline") == 1);
  CHECK(count("bad-target") == 1);
  CHECK(count("bad-expression") == 1);
  CHECK(count("bad-window") == 1);
  CHECK(count("unknown-name") == 2);
  CHECK(count("bad-stages") == 1);
  CHECK(count("unknown-attribute") == 1);
  CHECK(has(found, "unknown-step", 12, 1));
}

TEST_CASE("a constant of the wrong kind is a mistake of the campaign, not of the first event it meets") {
  Shop shop;
  const auto codes_of = [&](const std::string& rule) {
    std::vector<Diagnostic> found;
    (void)compile_campaign_xml(
        "<campaign merchant='m'><task id='a'>\n<on event='paid' " + rule +
            "/><stage target='1' pipeline='p'><arg name='points' value='1'/></stage></task>"
            "<pipeline id='p'><input><param name='user'/><param name='points' type='int'/></input>"
            "<step id='s' use='grant-points@1'><arg name='user' value='user'/>"
            "<arg name='amount' value='points'/></step></pipeline></campaign>",
        "c.xml", shop.registry, {}, &found);
    std::string codes;
    for (const auto& d : found) codes += d.code + ":" + std::to_string(d.line) + ' ';
    return codes;
  };
  for (const char* right :
       {"when='true'", "add='-5'", "distinct='1'", "distinct='true'", "distinct=\"'a'\""}) {
    INFO(right);
    CHECK(codes_of(right).empty());
  }
  for (const char* wrong :
       {"when='1'", "when='null'", "add='1.5'", "add='true'", "distinct='1.5'", "distinct='{}'"}) {
    INFO(wrong);
    CHECK(codes_of(wrong) == "wrong-kind:2 ");
  }
  CHECK(codes_of("add='1/0'") == "bad-expression:2 ");
  CHECK(codes_of("when='1/0 == 1'") == "bad-expression:2 ");
}

TEST_CASE("the mistakes of a campaign's text and of its meaning are reported together, each with its place") {
  Shop shop;
  const std::string_view text =
      "<?xml version='1.0'?>\n"
      "<campaign merchant='Gifts UK' timezone='Europe/Nowhere'>\n"
      "<task id='a' perod='day'><on event='paid' when='event.n &gt;'/>\n"
      "<stage target='1' pipeline='p'/><stage pipeline='p'/></task>\n"
      "<pipeline id='p'><input><param name='user'/></input><step id='s' use='grant-points@1'>\n"
      "<arg name='user' value='user'/><arg name='amount' value='1'/></step></pipeline>\n"
      "<pipeline id='p'><step id='s' use='grant-point@1'/></pipeline>\n"
      "</campaign>";
  std::vector<Diagnostic> found;
  const auto compiled = compile_campaign_xml(text, "c.xml", shop.registry, {}, &found);
  REQUIRE_FALSE(compiled.has_value());
  CHECK(compiled.error().message == describe(found, "c.xml"));
  std::vector<std::string> codes;
  for (const auto& d : found) {
    codes.push_back(d.code + ":" + std::to_string(d.line) + ":" + std::to_string(d.column));
  }
  CHECK(codes == std::vector<std::string>{"bad-id:2:1", "unknown-timezone:2:1", "unknown-attribute:3:14",
                                          "bad-expression:3:26", "missing-attribute:4:33",
                                          "duplicate-pipeline:7:1", "unknown-step:7:18"});
}

TEST_CASE("a run key names one grant and no other") {
  for (const GrantKey& grant :
       {GrantKey{"m", "u", "t", "-", 1, 1}, GrantKey{"m", "a/b/c", "t", "M:2024-01", 12, 3},
        GrantKey{"m", "/", "t", "-", 1, 1}, GrantKey{"m", "u/t", "t", "-", 1, 1}}) {
    CHECK(parse_run_key(to_run_key(grant)) == grant);
  }
  for (const auto* text : {"", "m", "m/u/t/c/1", "m/u/t/c/x/1", "m/u/t/c/0/1", "m/u/t/c/1/-1", "u/t/c/1/1"}) {
    CHECK_FALSE(parse_run_key(text).has_value());
  }
}

TEST_CASE("conditions of tasks call the functions the registry offers") {
  Shop shop;
  const auto count = [&] {
    std::vector<Diagnostic> found;
    (void)compile_campaign_xml(
        "<campaign merchant='m'><task id='a'>\n<on event='paid' when='is_big(event.amount)'/>\n"
        "</task></campaign>",
        "c.xml", shop.registry, {}, &found);
    return std::count_if(found.begin(), found.end(),
                         [](const Diagnostic& d) { return d.code == "bad-expression" && d.line == 2; });
  };
  CHECK(count() == 1);
  Functions functions;
  REQUIRE(functions.add("is_big", [](std::int64_t amount) { return amount > 100; }));
  shop.registry.offer(functions);
  CHECK(count() == 0);
}
