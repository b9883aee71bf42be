// Pipelines as templates in a storage: what an operator does with them, and what a service runs.
#include <onceward/pipeline/publish_directory.hpp>
#include <onceward/pipeline/template_source.hpp>
#include <onceward/storage/open.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace onceward;

constexpr auto usage = R"(usage: 06_templates STORAGE COMMAND
  publish FOLDER ACTOR REASON                       every *.xml file of the folder becomes a version
  activate ID VERSION EXPECTED ACTOR REASON         new runs get it; EXPECTED: the active one now, or -
  canary ID VERSION PERCENT EXPECTED ACTOR REASON   so many of 100 keys get it; EXPECTED: how many now
  retire ID VERSION ACTOR REASON                    nobody can activate it any more
  list                                              all templates with their versions
  history ID                                        what was done to one
  run ID USER                                       starts a run, as a service does
STORAGE is a URL, such as "sqlite:templates.db" or "redis://127.0.0.1:6379".
)";

using Words = std::vector<std::string>;

/// The one step of this example. Yours call a service, and pass step.token() to it.
class Print : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "print@1", .arguments = {{"text", Value::Kind::string}}};
  }
  StepOutcome run(StepContext& step) override {
    std::printf("%s\n", step.arg<std::string>("text").c_str());
    return Done{};
  }
};

/// A whole number, or -1, which no percentage is.
int number(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  return text.empty() || *end != '\0' || value < 0 || value > 100 ? -1 : static_cast<int>(value);
}

Result<void> publish(Templates& templates, const Words& words) {
  const auto files = publish_directory(templates, words[1], {words[2], words[3]});
  if (!files) return fail(files.error());
  bool refused = false;
  for (const auto& [file, report, diagnostics] : *files) {
    if (!report) {
      refused = true;
      std::printf("%s: refused\n%s\n", file.c_str(), report.error().message.c_str());
      continue;
    }
    std::printf("%s: %s/%s %s\n", file.c_str(), report->id.c_str(), report->version.c_str(),
                report->fresh ? "published" : "was there");
    for (const auto& change : report->changes) std::printf("  %s\n", describe(change).c_str());
  }
  if (refused) return fail(ErrorCode::invalid_argument, "not every file was published");
  return {};
}

Result<void> list(Templates& templates) {
  const auto all = templates.list();
  if (!all) return fail(all.error());
  for (const auto& one : *all) {
    std::printf("%s:", one.id.c_str());
    for (const auto& [version, sha256, retired] : one.versions) {
      std::printf(" %s%s", version.c_str(),
                  version == one.active ? " (active)"
                  : retired             ? " (retired)"
                                        : "");
      if (version == one.canary) std::printf(" (%d %% of the keys)", one.canary_percent);
    }
    std::printf("\n");
  }
  return {};
}

Result<void> history(Templates& templates, const std::string& id) {
  const auto acts = templates.history(id);
  if (!acts) return fail(acts.error());
  for (const auto& act : *acts)
    std::printf("%lld %s %s by %s: %s\n", static_cast<long long>(act.number), act.act.c_str(),
                act.version.c_str(), act.actor.c_str(), act.reason.c_str());
  return {};
}

Result<void> start(Storage& storage, const StepRegistry& registry, const Words& words) {
  PlanCatalog catalog;
  TemplateSource source(storage, registry, catalog);  // a service calls start(), to follow what operators do
  if (auto read = source.reload(); !read) return read;
  for (const auto& fault : source.status().faults)
    std::fprintf(stderr, "%s\n", describe(fault.error).c_str());
  const auto plan = source.for_key(words[1], words[2]);
  if (!plan) return fail(plan.error());
  Runner runner(storage, catalog);
  const auto run = runner.start(*plan, "users/" + words[2], Map{{"user", words[2]}});
  if (!run) return fail(run.error());
  std::printf("version %s: %s\n", run->version.c_str(), std::string(to_string(run->state)).c_str());
  return {};
}

/// False where the words are no command.
bool execute(Storage& storage, const Words& words, Result<void>& result) {
  StepRegistry registry;
  registry.add(std::make_unique<Print>()).value();
  Templates templates(storage, registry);
  const auto is = [&](const char* command, std::size_t arguments) {
    return words[0] == command && words.size() == arguments + 1;
  };
  if (is("publish", 3)) {
    result = publish(templates, words);
  } else if (is("activate", 5)) {
    result = templates.activate(words[1], words[2], words[3] == "-" ? "" : words[3], {words[4], words[5]});
  } else if (is("canary", 6)) {
    result = templates.canary(words[1], words[2], number(words[3]), number(words[4]), {words[5], words[6]});
  } else if (is("retire", 4)) {
    result = templates.retire(words[1], words[2], {words[3], words[4]});
  } else if (is("list", 0)) {
    result = list(templates);
  } else if (is("history", 1)) {
    result = history(templates, words[1]);
  } else if (is("run", 2)) {
    result = start(storage, registry, words);
  } else {
    return false;
  }
  return true;
}

int main(int argc, char** argv) {
  const Words words(argv + std::min(argc, 2), argv + argc);
  if (argc == 2 && std::string(argv[1]) == "--help") return std::fputs(usage, stdout) < 0 ? 1 : 0;
  if (words.empty()) return std::fputs(usage, stderr), 2;
  const auto storage = open_storage(argv[1]);
  if (!storage) return std::fprintf(stderr, "06_templates: %s\n", describe(storage.error()).c_str()), 2;
  Result<void> result;
  if (!execute(**storage, words, result)) return std::fputs(usage, stderr), 2;
  if (!result) return std::fprintf(stderr, "06_templates: %s\n", describe(result.error()).c_str()), 1;
  return 0;
}
