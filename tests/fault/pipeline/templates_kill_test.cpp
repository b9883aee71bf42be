// kill -9 at every moment of an act on a template: it is there whole or not at all, and asked again it is
// there.
#include <onceward/pipeline/template_source.hpp>
#include <onceward/storage/sqlite.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include "support/catch.hpp"
#include "support/forked.hpp"
#include "support/temporary_folder.hpp"

#include <csignal>
#include <functional>
#include <memory>

using namespace onceward;

namespace {

const Operator ops{"ops-ann", "a test"};

class Credit final : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override { return {.name = "credit@1"}; }
  StepOutcome run(StepContext&) override { return Done{}; }
};

std::string text_of(const std::string& version) {
  return "<pipeline id='reward' version='" + version + "'><step id='a" + version +
         "' use='credit@1'/></pipeline>";
}

/// One process of the service, on a file.
struct Process {
  std::unique_ptr<Storage> sqlite;
  testing::FaultyStorage storage;
  StepRegistry registry{};
  PlanCatalog catalog{};
  Templates templates{*sqlite, registry};
  Templates watched{storage, registry};

  explicit Process(const std::string& file) : sqlite(sqlite::open(file).value()), storage(*sqlite) {
    registry.add(std::make_unique<Credit>()).value();
  }
};

struct ActUnderTest {
  std::string name;
  std::function<Result<void>(Templates&)> act;
  std::size_t lines;  ///< of the history, once it is done
  std::function<bool(const TemplateView&)> is_done;
};

Result<void> publish(Templates& templates, const std::string& version) {
  auto report = templates.publish(text_of(version), "f", ops);
  if (!report) return fail(std::move(report).error());
  return {};
}

std::vector<ActUnderTest> acts() {
  return {{"publish", [](Templates& t) { return publish(t, "2"); }, 3,
           [](const TemplateView& v) { return v.versions.size() == 2; }},
          {"activate", [](Templates& t) { return t.activate("reward", "2", "1", ops); }, 4,
           [](const TemplateView& v) { return v.active == "2"; }},
          {"canary", [](Templates& t) { return t.canary("reward", "1", 10, 0, ops); }, 5,
           [](const TemplateView& v) { return v.canary == "1" && v.canary_percent == 10; }},
          {"end of canary", [](Templates& t) { return t.canary("reward", "1", 0, 10, ops); }, 6,
           [](const TemplateView& v) { return v.canary.empty(); }},
          {"retire",
           [](Templates& t) {
             const std::vector<std::string> partitions{"u"};
             return t.retire("reward", "1", ops, partitions);
           },
           7, [](const TemplateView& v) { return v.versions[0].retired; }}};
}

/// The act in a process that kills itself at the moment of this number. True where it came so far.
bool killed_at(int number, const std::string& file, const ActUnderTest& act) {
  Forked child([&] {
    int moment = 0;
    Process process(file);
    process.storage.on_call([&](std::string_view) {
      if (++moment == number) std::raise(SIGKILL);
    });
    return act.act(process.watched) ? 0 : 1;
  });
  const int code = child.wait();
  CHECK((code == 0 || code == -1));
  return code == -1;
}

}  // namespace

TEST_CASE("a process killed at any moment of an act on a template leaves it done or not begun") {
  const TemporaryFolder folder;
  const auto file = folder.file("templates.db");
  {
    Process process(file);
    publish(process.templates, "1").value();
    process.templates.activate("reward", "1", "", ops).value();
  }
  for (const auto& act : acts()) {
    INFO(act.name);
    // A killed act that is done stays done, so each moment is looked at from the state before it or behind
    // it.
    int number = 1;
    int moments_before = 0;
    for (bool killed = true; killed; ++number) {
      killed = killed_at(number, file, act);
      Process after(file);
      const auto view = after.templates.find("reward").value().value();
      const auto lines = after.templates.history("reward").value();
      INFO("killed at moment " << number);
      // Record, history, text and notice are one.
      CHECK(lines.size() == (act.is_done(view) ? act.lines : act.lines - 1));
      for (const auto& version : view.versions)
        CHECK(after.templates.text("reward", version.version).value() == text_of(version.version));
      TemplateSource source(*after.sqlite, after.registry, after.catalog);
      source.reload().value();
      CHECK(source.status().faults.empty());
      CHECK(source.for_key("reward", "k"));
      if (!act.is_done(view)) ++moments_before;
    }
    CHECK(moments_before > 0);
    // Asked again by who does not know what came of it, it is there once.
    Process again(file);
    act.act(again.templates).value();
    CHECK(act.is_done(again.templates.find("reward").value().value()));
    CHECK(again.templates.history("reward").value().size() == act.lines);
  }
}
