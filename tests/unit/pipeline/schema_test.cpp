// docs/pipeline.xsd and the parser say the same of what a <pipeline> document may hold.
#include <onceward/pipeline/plan.hpp>

#include "schema_files.hpp"

#include "support/catch.hpp"

#include <fmt/format.h>
#include <pugixml.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <sstream>

using namespace onceward;
using namespace onceward::pipeline_test;
namespace fs = std::filesystem;

namespace {

using Words = std::set<std::string>;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.is_open());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What the schema says of one type of element.
struct ElementType {
  std::map<std::string, std::string> attributes{};  ///< name to the type of its value
  Words required{};
  std::map<std::string, std::string> children{};  ///< element to its type
};

class Schema {
 public:
  Schema() {
    REQUIRE(document_.load_file((source_folder / "docs/pipeline.xsd").c_str()));
    for (const auto type : root().children("xs:complexType"))
      gather(type, types_[type.attribute("name").value()]);
  }
  [[nodiscard]] const ElementType& type(const std::string& name) const { return types_.at(name); }
  [[nodiscard]] std::size_t size() const { return types_.size(); }
  /// The words of an enumerated type; empty where it is none.
  [[nodiscard]] Words words_of(const std::string& simple_type) const {
    Words words;
    const auto type = root().find_child_by_attribute("xs:simpleType", "name", simple_type.c_str());
    for (const auto word : type.child("xs:restriction").children("xs:enumeration"))
      words.insert(word.attribute("value").value());
    return words;
  }

 private:
  [[nodiscard]] pugi::xml_node root() const { return document_.child("xs:schema"); }
  void gather(pugi::xml_node node, ElementType& type) const {
    for (const auto child : node.children()) {
      const std::string kind = child.name();
      const auto* reference = child.attribute("ref").value();
      if (kind == "xs:attribute") {
        type.attributes[child.attribute("name").value()] = child.attribute("type").value();
        if (child.attribute("use").value() == std::string("required"))
          type.required.insert(child.attribute("name").value());
      } else if (kind == "xs:element") {
        type.children[child.attribute("name").value()] = child.attribute("type").value();
      } else if (kind == "xs:group" || kind == "xs:attributeGroup") {
        const auto group = root().find_child_by_attribute(kind.c_str(), "name", reference);
        REQUIRE(group);
        gather(group, type);
      } else {
        gather(child, type);
      }
    }
  }

  pugi::xml_document document_;
  std::map<std::string, ElementType> types_;
};

/// One way to each type of element: the elements from the root to it.
std::map<std::string, std::vector<std::string>> ways_to_types(const Schema& schema) {
  std::map<std::string, std::vector<std::string>> ways{{"pipeline", {"pipeline"}}};
  std::vector<std::string> open{"pipeline"};
  while (!open.empty()) {
    const auto name = open.back();
    open.pop_back();
    for (const auto& [element, type] : schema.type(name).children) {
      auto way = ways.at(name);
      way.push_back(element);
      if (ways.try_emplace(type, std::move(way)).second) open.push_back(type);
    }
  }
  return ways;
}

/// A document that consists of these elements, the last one with `attributes` and `inside`.
std::string document(const std::vector<std::string>& way, const std::string& attributes,
                     const std::string& inside) {
  std::string text;
  for (std::size_t i = 0; i < way.size(); ++i)
    text += "<" + way[i] + (i + 1 == way.size() ? attributes : std::string()) + ">";
  text += inside;
  for (auto name = way.rbegin(); name != way.rend(); ++name) text += "</" + *name + ">";
  return text;
}

std::vector<Diagnostic> mistakes_of(const std::string& text) {
  std::vector<Diagnostic> diagnostics;
  (void)parse_pipeline_xml(text, "probe.xml", &diagnostics);
  return diagnostics;
}
bool says(const std::vector<Diagnostic>& diagnostics, std::string_view code, const std::string& message) {
  return std::any_of(diagnostics.begin(), diagnostics.end(), [&](const Diagnostic& one) {
    return one.code == code && one.message.find(message) != std::string::npos;
  });
}

/// Every word the parser could know: all short texts of its source, and those of the schema.
Words every_word(const Schema& schema) {
  Words words;
  const auto source = text_of(source_folder / "src/pipeline/pipeline_xml.cpp");
  const std::regex literal("\"([a-z][a-z-]*)\"");
  for (std::sregex_iterator at(source.begin(), source.end(), literal), end; at != end; ++at)
    words.insert((*at)[1]);
  for (const auto& [name, way] : ways_to_types(schema)) {
    for (const auto& [attribute, type] : schema.type(name).attributes) words.insert(attribute);
    for (const auto& [element, type] : schema.type(name).children) words.insert(element);
  }
  return words;
}

/// Random definitions that need not compile: every construct, every attribute.
class Random {
 public:
  explicit Random(unsigned seed) : random_(seed) {}
  PipelineDefinition pipeline() {
    PipelineDefinition definition{id(), id()};
    definition.inputs = {{"user", static_cast<Value::Kind>(1 + below(6)), coin()}};
    if (coin()) definition.key = "#{user}";
    if (coin()) definition.recover = Recover::backward;
    if (coin()) definition.deadline = duration();
    if (coin()) definition.serial_by = "user";
    definition.priority = static_cast<int>(below(10));
    definition.steps = body(3);
    return definition;
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_()) % bound; }
  bool coin() { return below(2) == 0; }
  std::string id() { return "x-" + std::to_string(below(1000)); }
  Duration duration() { return Duration(1 + below(1'000'000)); }
  RetryPolicy policy() {
    return {static_cast<int>(1 + below(1000)), duration(), 1 + below(90) / 10.0, duration(), coin()};
  }
  std::vector<StepDefinition> body(unsigned depth) {
    std::vector<StepDefinition> steps;
    for (auto n = 1 + below(3); n > 0; --n) steps.push_back(construct(depth));
    return steps;
  }
  StepDefinition construct(unsigned depth) {
    StepDefinition step{id()};
    // Leaves alone, where it is deep enough.
    static constexpr StepKind leaves[] = {StepKind::step, StepKind::call,   StepKind::wait, StepKind::await,
                                          StepKind::set,  StepKind::result, StepKind::fail};
    step.kind = depth == 0 ? leaves[below(7)] : static_cast<StepKind>(below(12));
    if (coin()) step.when = "user != \"<&>\"";
    step.arguments = {};
    switch (step.kind) {
      case StepKind::step:
        step.uses = "credit@1";
        step.arguments = {{"amount", "1 + 1"}};
        if (coin()) step.retry = policy();
        if (coin()) step.rules = {{"busy", policy()}};
        if (coin()) step.undo = {coin(), policy()};
        if (coin()) step.timeout = duration();
        if (coin()) step.total = duration();
        break;
      case StepKind::call:
        step.uses = id();
        if (coin()) step.version = id();
        step.arguments = {{"amount", "1"}};
        break;
      case StepKind::parallel:
        step.join = static_cast<Join>(below(3));
        step.quorum = static_cast<int>(below(4));
        step.on_fail = static_cast<OnFail>(below(2));
        step.body = body(depth - 1);
        break;
      case StepKind::sequence: step.body = body(depth - 1); break;
      case StepKind::choose: step.branches = {{"user == 1", body(depth - 1)}, {"", body(depth - 1)}}; break;
      case StepKind::foreach:
        step.items = "list";
        step.variable = "item";
        step.item_key = "item.id";
        step.max = static_cast<int>(1 + below(10'000));
        step.concurrency = static_cast<int>(1 + below(1000));
        step.on_fail = static_cast<OnFail>(below(2));
        step.body = body(depth - 1);
        break;
      case StepKind::attempt:
        step.body = body(depth - 1);
        step.branches = {{"busy", body(depth - 1)}, {"", body(depth - 1)}};
        if (coin()) step.last = body(depth - 1);
        break;
      case StepKind::wait:
        if (coin())
          step.total = duration();
        else
          step.value = "user";
        break;
      case StepKind::await:
        step.code = "paid";
        if (coin()) step.total = duration();
        break;
      case StepKind::set: step.id = "name"; [[fallthrough]];
      case StepKind::result: step.value = "{1, 2}"; break;
      case StepKind::fail:
        step.code = "no";
        if (coin()) step.value = "'text'";
        break;
    }
    return step;
  }

  std::mt19937 random_;
};

/// The <pipeline> documents of a text: itself, or those within a campaign.
void add_documents(const std::string& text, std::vector<std::string>& documents) {
  pugi::xml_document document;
  if (!document.load_buffer(text.data(), text.size(), pugi::parse_full)) return;
  for (const auto found : document.select_nodes("//pipeline")) {
    std::ostringstream out;
    found.node().print(out, "", pugi::format_raw);
    documents.push_back(out.str());
  }
}

/// Every <pipeline> that a file of tests, examples or docs shows.
std::vector<std::string> all_documents() {
  std::vector<std::string> documents;
  const std::regex block("```xml\n([^`]*)```");
  for (const auto* folder : {"tests", "examples", "docs", "README.md"}) {
    std::vector<fs::path> files;
    if (fs::is_regular_file(source_folder / folder))
      files.push_back(source_folder / folder);
    else
      for (const auto& entry : fs::recursive_directory_iterator(source_folder / folder))
        files.push_back(entry.path());
    for (const auto& file : files) {
      if (file.extension() == ".xml") add_documents(text_of(file), documents);
      if (file.extension() != ".md") continue;
      const auto text = text_of(file);
      for (std::sregex_iterator at(text.begin(), text.end(), block), end; at != end; ++at)
        add_documents((*at)[1], documents);
    }
  }
  return documents;
}

}  // namespace

TEST_CASE("every element and attribute of the parser is in the schema, and the other way round") {
  const Schema schema;
  const auto ways = ways_to_types(schema);
  CHECK(ways.size() == schema.size());  // no type that nothing leads to
  const auto words = every_word(schema);
  CHECK(words.size() > 50);
  std::size_t known = 0;
  for (const auto& [name, way] : ways) {
    const auto& type = schema.type(name);
    const auto& element = way.back();
    const auto bare = mistakes_of(document(way, "", ""));
    for (const auto& word : words) {
      INFO(element << " and " << word);
      const auto with = mistakes_of(document(way, " " + word + "='1'", ""));
      const auto no_attribute = fmt::format("<{}> has no attribute \"{}\"", element, word);
      CHECK(says(with, "unknown-attribute", no_attribute) == !type.attributes.contains(word));
      const auto needed = fmt::format("<{}> needs \"{}\"", element, word);
      CHECK(says(bare, "missing-attribute", needed) == type.required.contains(word));
      const auto within = mistakes_of(document(way, "", "<" + word + "/>"));
      const auto no_element = fmt::format("<{}> has no element <{}>", element, word);
      CHECK(says(within, "unknown-element", no_element) == !type.children.contains(word));
      known += type.attributes.count(word) + type.children.count(word);
    }
  }
  CHECK(known > 150);
}

TEST_CASE("every word of the schema is one the parser takes, and no other") {
  const Schema schema;
  std::size_t enumerated = 0;
  for (const auto& [name, way] : ways_to_types(schema)) {
    for (const auto& [attribute, type] : schema.type(name).attributes) {
      const auto refused = [&](const std::string& value) {
        const auto mistakes = mistakes_of(document(way, " " + attribute + "='" + value + "'", ""));
        return says(mistakes, "bad-value", fmt::format("{}=\"{}\" of <{}>", attribute, value, way.back()));
      };
      INFO(way.back() << " " << attribute);
      if (type == "duration" || type == "time") {
        CHECK_FALSE(refused("20ms"));
        CHECK(refused("20"));
      }
      const auto words = schema.words_of(type);
      for (const auto& word : words) CHECK_FALSE(refused(word));
      if (!words.empty()) {
        CHECK(refused("nonsense"));
        ++enumerated;
      }
    }
  }
  CHECK(enumerated >= 9);
}

TEST_CASE("every pipeline of the tests, the examples and the pages is valid by the schema") {
  const auto documents = all_documents();
  CHECK(documents.size() >= 5);
  const TemporaryFolder folder;
  std::vector<std::string> files;
  std::vector<std::string> with_namespace;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    auto text = documents[i];
    const std::string space = " xmlns=\"urn:onceward:1\"";
    if (const auto at = text.find(space); at != std::string::npos) text.erase(at, space.size());
    files.push_back(write(folder, fmt::format("{}.xml", i), text));
    with_namespace.push_back(
        write(folder, fmt::format("{}-urn.xml", i), text.replace(0, 9, "<pipeline xmlns='urn:onceward:1'")));
  }
  const auto valid = validates("pipeline.xsd", files);
  if (!valid) {
    WARN("skipped: there is no xmllint on this machine (Debian: libxml2-utils)");
    return;
  }
  if (!*valid) FAIL_CHECK(text_of("xmllint.log"));
  if (!*validates("pipeline-urn.xsd", with_namespace)) FAIL_CHECK(text_of("xmllint.log"));
}

TEST_CASE("what to_xml writes of any definition is valid by the schema, and what the parser refuses is not") {
  const TemporaryFolder folder;
  std::vector<std::string> files;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const auto definition = Random(seed).pipeline();
    const auto text = to_xml(definition);
    REQUIRE(parse_pipeline_xml(text, "f").value() == definition);
    files.push_back(write(folder, fmt::format("{}.xml", seed), text));
  }
  const auto valid = validates("pipeline.xsd", files);
  if (!valid) {
    WARN("skipped: there is no xmllint on this machine (Debian: libxml2-utils)");
    return;
  }
  if (!*valid) FAIL_CHECK(text_of("xmllint.log"));
  for (const std::string bad :
       {"<pipeline/>", "<pipeline id='a'><stp id='b' use='c@1'/></pipeline>",
        "<pipeline id='a'><step id='b' use='c@1' wehn='1'/></pipeline>",
        "<pipeline id='a' recover='sideways'><step id='b' use='c@1'/></pipeline>",
        "<pipeline id='a'><wait id='b' for='20'/></pipeline>", "<pipeline id='a'>text</pipeline>",
        "<pipeline id='a'><choose id='b'><step id='c' use='d@1'/></choose></pipeline>",
        "<pipeline id='a'><step id='b' use='c@1' when=' '/></pipeline>"}) {
    INFO(bad);
    CHECK_FALSE(mistakes_of(bad).empty());
    CHECK(validates("pipeline.xsd", {write(folder, "bad.xml", bad)}) == false);
  }
}
