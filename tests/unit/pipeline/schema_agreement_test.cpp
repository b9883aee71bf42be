// docs/pipeline.xsd and the library take the same documents.
#include <onceward/pipeline/plan.hpp>

#include "schema_files.hpp"

#include "support/catch.hpp"

#include <fmt/format.h>

#include <map>

using namespace onceward;
using namespace onceward::pipeline_test;

namespace {

struct Nothing final : Step {
  [[nodiscard]] StepSpec spec() const override { return {.name = "c@1"}; }
  StepOutcome run(StepContext&) override { return Done{}; }
};

/// Whether the library takes a document that calls no pipeline but "p" and no step but "c@1".
bool compiles(const std::string& text) {
  StepRegistry registry;
  registry.add(std::make_unique<Nothing>()).value();
  PlanCatalog callees;
  callees.add(pipeline("p").step("a", "c@1").compile(registry).value()).value();
  return compile_pipeline_xml(text, "probe.xml", registry, nullptr, &callees).has_value();
}

}  // namespace

TEST_CASE("the schema and the library take the same documents, and refuse the same") {
  const std::string step = "<step id='b' use='c@1'/>";
  const std::string urn = " xmlns='urn:onceward:1'";
  const auto with = [&](const std::string& inside) { return "<pipeline id='a'>" + inside + "</pipeline>"; };
  const auto retry = [&](const std::string& policy) {
    return with("<step id='b' use='c@1'><retry " + policy + "/></step>");
  };
  const auto wait = [&](const std::string& times) { return with("<wait id='b' " + times + "/>"); };
  const auto priority = [&](const std::string& text) {
    return "<pipeline id='a' priority='" + text + "'>" + step + "</pipeline>";
  };
  struct Document {
    std::string text;
    bool right;
    bool in_namespace = false;
  };
  std::vector<Document> documents = {
      {with(step), true},
      {with("<input/>" + step + "<input><param name='x'/></input>"), true},
      {with(""), false},
      {with("<input/>"), false},
      {with("<call id='b' pipeline='p' version='1'/>"), true},
      {with("<call id='b' pipeline='p' version=''/>"), false},
      {with("<!-- a - comment -->" + step + "<!---->"), true},
      {with("<!-- a -- comment -->" + step), false},
      {with("<!-- a comment --->" + step), false},
      {with("<!-->" + step + "<!-- -->"), false},
      {with(" \n&#32;" + step), true},
      {with("<![CDATA[ ]]>" + step), false},
      {with("<choose id='x'/>"), false},
      {with("<choose id='x'><otherwise>" + step + "</otherwise></choose>"), true},
      {with("<choose id='x'><when test='true'>" + step + "</when><when test='false'/></choose>"), true},
      {with("<choose id='x'><otherwise/><when test='true'>" + step + "</when></choose>"), false},
      {with("<parallel id='x'/>"), false},
      {with("<parallel id='x'>" + step + "</parallel>"), true},
      {with("<sequence id='x'/>"), true},
      {with("<foreach id='x' items='{1}' var='i' item-key='i'/>"), false},
      {with("<foreach id='x' items='{1}' var='i' item-key='i'>" + step + "</foreach>"), true},
      {with("<try id='x'/>"), false},
      {with("<try id='x'><catch>" + step + "</catch><finally/></try>"), false},
      {with("<try id='x'><catch/>" + step + "<finally/></try>"), true},
      {wait("for='1s'"), true},
      {wait("until='1'"), true},
      {wait(""), false},
      {wait("for='1s' until='1'"), false},
      {wait("for='0s' until='1'"), false},
      {wait("for='0s'"), false},
      {retry("attempts='5'"), true},
      {retry("attempts='+5'"), true},
      {retry("attempts=' 5\n'"), true},
      {retry("attempts='005'"), true},
      {retry("attempts='5.0'"), false},
      {retry("attempts='+-5'"), false},
      {retry("attempts='+'"), false},
      {retry("attempts='0'"), false},
      {retry("attempts='1001'"), false},
      {retry("factor='+2'"), true},
      {retry("factor=' 2 '"), true},
      {retry("factor='.2e1'"), true},
      {retry("factor='++2'"), false},
      {retry("factor='0x2'"), false},
      {retry("factor='NaN'"), false},
      {retry("factor='INF'"), false},
      {retry("factor='10.5'"), false},
      {retry("first='0s'"), false},
      {retry("first='1 s'"), false},
      {priority("+9"), true},
      {priority("-0"), true},
      {priority("10"), false},
      {"<pipeline id='a' xmlns=''><step id='b' use='c@1' xmlns=''/></pipeline>", true},
      {"<pipeline id='a'" + urn + "><step id='b' use='c@1'" + urn + "/></pipeline>", true, true},
      {"<pipeline id='a'" + urn + "><step id='b' use='c@1' xmlns=''/></pipeline>", false, true},
      {"<pipeline id='a'><step id='b' use='c@1'" + urn + "/></pipeline>", false},
      {"<pipeline id='a' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' "
       "xsi:noNamespaceSchemaLocation='pipeline.xsd'>" +
           step + "</pipeline>",
       true},
  };
  // A hundred years, in each unit, and one more.
  for (const auto& [unit, most] : std::map<std::string, std::int64_t>{{"d", 36'500},
                                                                      {"h", 876'000},
                                                                      {"m", 52'560'000},
                                                                      {"s", 3'153'600'000},
                                                                      {"ms", 3'153'600'000'000},
                                                                      {"us", 3'153'600'000'000'000}}) {
    REQUIRE(std::to_string(most).size() > 4);
    for (const auto value : {most, most - 1, most / 2, most / 10 * 9, std::int64_t{1}})
      documents.push_back({wait(fmt::format("for='{}{}'", value, unit)), true});
    documents.push_back({wait(fmt::format("for='00{}{}'", most, unit)), true});
    for (const auto value : {most + 1, most + most / 1000, most * 2, most * 10})
      documents.push_back({wait(fmt::format("for='{}{}'", value, unit)), false});
  }
  const TemporaryFolder folder;
  bool linted = false;
  for (const auto& [text, right, in_namespace] : documents) {
    INFO(text);
    CHECK(compiles(text) == right);
    const auto valid =
        validates(in_namespace ? "pipeline-urn.xsd" : "pipeline.xsd", {write(folder, "one.xml", text)});
    linted = valid.has_value();
    if (valid) CHECK(*valid == right);
  }
  if (!linted) WARN("half of it: there is no xmllint on this machine (Debian: libxml2-utils)");
}
