// Templates: publish, activate, canary, retire, and what two operators and lost answers do to them.
#include "unit/pipeline/templates_bench.hpp"

#include "support/catch.hpp"

#include <limits>
#include <thread>

using namespace onceward;
using namespace onceward::pipeline_test;
using Kind = TemplateChange::Kind;
using testing::FaultyStorage;

namespace {

std::vector<TemplateChange> difference_of(Bench& bench, const std::string& before, const std::string& after) {
  const auto plan = [&](const std::string& inside) {
    return compile_pipeline_xml("<pipeline id='p' " + inside + "</pipeline>", "p.xml", bench.registry)
        .value();
  };
  return difference(plan(before), plan(after));
}

}  // namespace

TEST_CASE("templates are published, activated and told, with actor and reason") {
  TemplateBench bench;
  const auto report = bench.templates.publish(text_of("reward", "1", 5), "reward.xml", ops).value();
  CHECK(report.id == "reward");
  CHECK(report.version == "1");
  CHECK(report.fresh);
  CHECK(report.against.empty());
  CHECK(bench.templates.find("reward").value()->active.empty());
  bench.templates.activate("reward", "1", "", ops).value();
  bench.clock.advance(1h);
  bench.release("reward", "2", 6, "1");

  const auto view = bench.templates.find("reward").value().value();
  CHECK(view.active == "2");
  REQUIRE(view.versions.size() == 2);
  CHECK(view.versions[0].sha256 == report.sha256);
  CHECK(bench.templates.text("reward", "1").value() == text_of("reward", "1", 5));
  CHECK(code_of(bench.templates.text("reward", "3")) == ErrorCode::not_found);
  CHECK_FALSE(bench.templates.find("other").value());
  CHECK(bench.templates.list().value().size() == 1);

  const auto acts = bench.templates.history("reward").value();
  REQUIRE(acts.size() == 4);
  CHECK(acts[1].act == "activate");
  CHECK(acts[3].before == "1");
  CHECK(acts[3].after == "2");
  CHECK(acts[3].number == 4);
  CHECK(acts[3].actor == "ops-ann");
  CHECK(acts[3].reason == "a test");
  CHECK(acts[3].at - acts[1].at == 1h);
  CHECK(bench.templates.history("reward", 3, 1).value().front().number == 4);
  const auto lines = bench.journal.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[3] == testing::RecordedJournal::Line{"pipeline", "templates", "template/reward/2", "activate",
                                                   "1", "2", "ops-ann", "a test"});
}

TEST_CASE("an act without actor or reason is refused") {
  TemplateBench bench;
  bench.publish("reward", "1", 5);
  CHECK(code_of(bench.templates.activate("reward", "1", "", {"", "why"})) == ErrorCode::invalid_argument);
  CHECK(code_of(bench.templates.activate("reward", "1", "", {"ann", ""})) == ErrorCode::invalid_argument);
  CHECK(code_of(bench.templates.publish(text_of("reward", "2", 1), "f", {"ann", "\xff"})) ==
        ErrorCode::invalid_argument);
  CHECK(acts_of(bench.templates, "reward").size() == 1);
}

TEST_CASE("a template with mistakes is refused with every line and column, and nothing is stored") {
  TemplateBench bench;
  std::vector<Diagnostic> diagnostics;
  const auto refused = bench.templates.publish(
      "<pipeline id='reward' version='1'>\n  <step id='a' use='credit@2'/>\n  <step id='b' use='credit@1' wehn='1'/>\n"
      "  <call id='c' pipeline='other'/>\n</pipeline>",
      "reward.xml", ops, &diagnostics);
  CHECK(code_of(refused) == ErrorCode::invalid_argument);
  CHECK(refused.error().message.find("reward.xml:2:3: unknown-step") != std::string::npos);
  REQUIRE(diagnostics.size() == 3);
  CHECK(diagnostics[1].code == "unknown-attribute");
  CHECK(diagnostics[1].line == 3);
  CHECK(diagnostics[2].code == "unknown-pipeline");
  CHECK_FALSE(bench.templates.find("reward").value());
  CHECK(bench.templates.check(text_of("reward", "1", 1), "f").value().fresh);
  CHECK_FALSE(bench.templates.find("reward").value());
  const auto large = "<!--" + std::string(limits::value_bytes, ' ') + "-->" + text_of("reward", "1", 1);
  CHECK(code_of(bench.templates.publish(large, "f", ops)) == ErrorCode::invalid_argument);
}

TEST_CASE("a version never gets another content, and the same content again is no act") {
  TemplateBench bench;
  bench.publish("reward", "1", 5);
  const auto again =
      bench.templates.publish("<!-- the same -->" + text_of("reward", "1", 5), "f", ops).value();
  CHECK_FALSE(again.fresh);
  CHECK(code_of(bench.templates.publish(text_of("reward", "1", 6), "f", ops)) == ErrorCode::conflict);
  CHECK(code_of(bench.templates.check(text_of("reward", "1", 6), "f")) == ErrorCode::conflict);
  CHECK(bench.templates.text("reward", "1").value() == text_of("reward", "1", 5));
  CHECK(acts_of(bench.templates, "reward").size() == 1);
}

TEST_CASE("the difference of two versions warns where tokens change") {
  Bench bench;
  const std::string step = "<step id='points' use='credit@1'><arg name='amount' value='1'/></step>";
  const std::string renamed = "<step id='grant' use='credit@1'><arg name='amount' value='1'/></step>";
  CHECK(difference_of(bench, ">" + step, ">" + step).empty());
  CHECK(difference_of(bench, ">" + step, ">" + renamed) ==
        std::vector<TemplateChange>{{Kind::renamed_step, "points", "points", "grant", true}});
  CHECK(difference_of(bench, ">" + step, ">" + step + "<step id='more' use='credit@1'/>") ==
        std::vector<TemplateChange>{{Kind::added_step, "more", "", "credit@1"}});
  CHECK(difference_of(bench, ">" + step + "<step id='more' use='credit@1'/>", ">" + step) ==
        std::vector<TemplateChange>{{Kind::removed_step, "more", "credit@1", ""}});
  bench.add("debit@1", [](StepContext&) { return Done{}; });
  CHECK(difference_of(bench, "><step id='a' use='credit@1'/>", "><step id='a' use='debit@1'/>") ==
        std::vector<TemplateChange>{{Kind::changed_use, "a", "credit@1", "debit@1"}});

  const std::string input = "<input><param name='u'/><param name='w'/></input>" + step;
  CHECK(difference_of(bench, "key='#{u}'>" + input, "key='#{w}'>" + input) ==
        std::vector<TemplateChange>{{Kind::changed_key, "", "#{u}", "#{w}", true}});
  CHECK(difference_of(bench, ">" + input, "serial-by='u'>" + input) ==
        std::vector<TemplateChange>{{Kind::changed_serial_by, "", "", "u"}});

  const auto each = [](const std::string& id, const std::string& key) {
    return "><input><param name='l' type='list'/></input><foreach id='" + id +
           "' items='l' var='x' item-key='" + key + "'><step id='s' use='credit@1'/></foreach>";
  };
  CHECK(difference_of(bench, each("e", "x.a"), each("e", "x.b")) ==
        std::vector<TemplateChange>{{Kind::changed_item_key, "e", "x.a", "x.b", true}});
  // The id of what stands around a step is part of its token too.
  CHECK(difference_of(bench, each("e", "x.a"), each("f", "x.a")) ==
        std::vector<TemplateChange>{{Kind::renamed_step, "e[]/s", "e[]/s", "f[]/s", true}});
  CHECK(describe(TemplateChange{Kind::renamed_step, "a", "a", "b", true}) ==
        "WARNING, tokens change: a: the step is renamed: \"a\" -> \"b\"");
  CHECK(describe(TemplateChange{Kind::changed_key, "", "", "#{u}", true}) ==
        "WARNING, tokens change: the key is another one: none -> \"#{u}\"");
}

TEST_CASE("a publication is compared with the active version") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  auto text = text_of("reward", "2", 1);
  text.replace(text.find("second"), 6, "latter");
  const auto report = bench.templates.publish(text, "f", ops).value();
  CHECK(report.against == "1");
  REQUIRE(report.changes.size() == 1);
  CHECK(report.changes[0].kind == Kind::renamed_step);
  CHECK(report.changes[0].changes_tokens);
}

TEST_CASE("a template calls published versions that are not retired, and plans made in code") {
  TemplateBench bench;
  const std::string calls =
      "<pipeline id='outer' version='{}'><call id='c' pipeline='inner' version='1'/></pipeline>";
  const auto outer = [&](const std::string& version) {
    return bench.templates.publish(fmt::format(fmt::runtime(calls), version), "f", ops);
  };
  CHECK(code_of(outer("1")) == ErrorCode::invalid_argument);
  bench.publish("inner", "1", 1);
  outer("1").value();
  bench.templates.activate("outer", "1", "", ops).value();
  bench.templates.retire("inner", "1", ops).value();
  CHECK(code_of(outer("2")) == ErrorCode::invalid_argument);
  // Who called it goes on: the text of a retired version stays.
  TemplateSource source(bench.storage, bench.registry, bench.catalog);
  source.reload().value();
  CHECK(source.status().faults.empty());
  CHECK(source.for_key("outer", "k").value().token_paths() ==
        std::vector<std::string>{"c/first", "c/second"});

  PlanCatalog code;
  code.add(pipeline("helper").step("s", "credit@1").compile(bench.registry).value()).value();
  Templates with_code(bench.storage, bench.registry, {.code = &code});
  with_code.publish("<pipeline id='p'><call id='c' pipeline='helper'/></pipeline>", "f", ops).value();
  CHECK(code_of(bench.templates.check("<pipeline id='q'><call id='c' pipeline='helper'/></pipeline>", "f")) ==
        ErrorCode::invalid_argument);
}

TEST_CASE("a row by hand that calls itself is refused in bounded depth") {
  TemplateBench bench;
  bench.storage
      .commit(std::array{
          Batch{"templates",
                {Operation::insert("version/loop/1",
                                   "<pipeline id='loop'><call id='c' pipeline='loop'/></pipeline>")}}})
      .value();
  CHECK(code_of(bench.templates.publish("<pipeline id='p'><call id='c' pipeline='loop'/></pipeline>", "f",
                                        ops)) == ErrorCode::corrupt);
}

TEST_CASE("activate expects the active version: operators never overwrite one another") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  bench.publish("reward", "2", 2);
  bench.publish("reward", "3", 3);
  CHECK(code_of(bench.templates.activate("reward", "4", "1", ops)) == ErrorCode::not_found);
  CHECK(code_of(bench.templates.activate("other", "1", "", ops)) == ErrorCode::not_found);
  bench.templates.activate("reward", "2", "1", ops).value();
  CHECK(code_of(bench.templates.activate("reward", "3", "1", ops)) == ErrorCode::conflict);
  // Asked again, as after a lost answer, it is as it was asked for.
  bench.templates.activate("reward", "2", "1", ops).value();
  CHECK(acts_of(bench.templates, "reward").size() == 5);
  bench.templates.activate("reward", "1", "2", ops).value();
  CHECK(bench.templates.find("reward").value()->active == "1");
}

TEST_CASE("of two operators who act between one another's read and write one is told") {
  TemplateBench bench;
  bench.release("reward", "1", 1, "");
  bench.publish("reward", "2", 2);
  bench.publish("reward", "3", 3);
  Templates rival(*bench.memory, bench.registry);
  bool acted = false;
  bench.storage.on_call([&](std::string_view point) {
    if (point == "commit.before" && !std::exchange(acted, true))
      rival.activate("reward", "3", "1", ops).value();
  });
  CHECK(code_of(bench.templates.activate("reward", "2", "1", ops)) == ErrorCode::conflict);
  bench.storage.on_call({});
  REQUIRE(acted);
  CHECK(bench.templates.find("reward").value()->active == "3");
  CHECK(bench.journal.lines().size() == 4);  // the refused act is none
}

TEST_CASE("operators on many threads: every act is judged on what stands, and the history has no gap") {
  TemplateBench bench;
  bench.release("reward", "0", 1, "");
  constexpr int operators = 4;
  constexpr int rounds = 10;
  std::atomic<int> won{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < operators; ++i) {
      threads.emplace_back([&, i] {
        const Operator me{"ops-" + std::to_string(i), "a race"};
        for (int round = 0; round < rounds; ++round) {
          const auto version = fmt::format("{}-{}", i, round);
          bench.templates.publish(text_of("reward", version, i), "f", me).value();
          const auto active = bench.templates.find("reward").value()->active;
          if (bench.templates.activate("reward", version, active, me)) ++won;
        }
      });
    }
  }
  const auto acts = bench.templates.history("reward").value();
  REQUIRE(acts.size() == static_cast<std::size_t>(2 + operators * rounds + won));
  std::string active;
  for (std::size_t i = 0; i < acts.size(); ++i) {
    CHECK(acts[i].number == static_cast<std::int64_t>(i + 1));
    if (acts[i].act != "activate") continue;
    CHECK(acts[i].before == active);
    active = acts[i].after;
  }
  CHECK(bench.templates.find("reward").value()->active == active);
  CHECK(bench.templates.find("reward").value()->versions.size() == 1 + operators * rounds);
}

TEST_CASE("an act whose answer is lost is there once") {
  TemplateBench bench;
  using Call = FaultyStorage::Call;
  using Fault = FaultyStorage::Fault;
  for (const auto fault : {Fault::before, Fault::after}) {
    const std::string id = fault == Fault::before ? "before" : "after";
    bench.storage.fail_calls(Call::commit, fault, ErrorCode::in_doubt);
    bench.publish(id, "1", 1);
    bench.storage.fail_calls(Call::commit, fault, ErrorCode::in_doubt);
    bench.templates.activate(id, "1", "", ops).value();
    CHECK(acts_of(bench.templates, id).size() == 2);
  }
  CHECK(bench.journal.lines().size() == 4);
  // Where it cannot be read back the caller is told, and asks again.
  bench.publish("after", "2", 2);
  bench.storage.fail_calls(Call::commit, Fault::after, ErrorCode::in_doubt);
  bench.storage.fail_calls(Call::read, Fault::before, ErrorCode::unavailable, 1, 2);
  CHECK(code_of(bench.templates.activate("after", "2", "1", ops)) == ErrorCode::in_doubt);
  bench.storage.heal();
  bench.templates.activate("after", "2", "1", ops).value();
  CHECK(acts_of(bench.templates, "after").size() == 4);
}

TEST_CASE("there are bounds on templates, on versions, and on pages of a history") {
  TemplateBench bench;
  bench.publish("reward", "1", 1);
  const auto row = read_one(*bench.memory, "templates", "template/reward").value().value();
  auto value = Value::from_json(row.value).value();
  List versions;
  for (int i = 0; i < 1000; ++i) versions.push_back(List{"v" + std::to_string(i), "sha", false});
  value.map()->set("versions", std::move(versions));
  bench.memory
      ->commit(std::array{
          Batch{"templates",
                {Operation::replace(row.key, row.revision, value.to_json()), Operation::add("count", 9999)}}})
      .value();
  CHECK(code_of(bench.templates.publish(text_of("reward", "2", 1), "f", ops)) == ErrorCode::exhausted);
  CHECK(code_of(bench.templates.publish(text_of("another", "1", 1), "f", ops)) == ErrorCode::exhausted);
  CHECK_FALSE(bench.templates.find("another").value());
  CHECK(code_of(bench.templates.history("reward", 0, 0)) == ErrorCode::invalid_argument);
  CHECK(code_of(bench.templates.history("reward", 0, 1001)) == ErrorCode::invalid_argument);
  CHECK(code_of(bench.templates.history("reward", -1)) == ErrorCode::invalid_argument);
  CHECK(bench.templates.history("reward", std::numeric_limits<std::int64_t>::max()).value().empty());
  CHECK(code_of(bench.templates.history("another")) == ErrorCode::not_found);
}

TEST_CASE("a template's record that is not what this version writes is told, and not written over") {
  TemplateBench bench;
  bench.publish("reward", "1", 1);
  const auto row = read_one(*bench.memory, "templates", "template/reward").value().value();
  for (const std::string bad : {"", "{}", "[1]", R"({"id":"other"})"}) {
    const auto now = read_one(*bench.memory, "templates", row.key).value().value();
    bench.memory->commit(std::array{Batch{"templates", {Operation::replace(row.key, now.revision, bad)}}})
        .value();
    CHECK(code_of(bench.templates.find("reward")) == ErrorCode::corrupt);
    CHECK(code_of(bench.templates.list()) == ErrorCode::corrupt);
    CHECK(code_of(bench.templates.activate("reward", "1", "", ops)) == ErrorCode::corrupt);
    CHECK(code_of(bench.templates.publish(text_of("reward", "2", 1), "f", ops)) == ErrorCode::corrupt);
    CHECK(read_one(*bench.memory, "templates", row.key).value()->value == bad);
  }
}
