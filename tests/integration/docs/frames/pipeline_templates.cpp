// The fragments of docs/pipeline-templates.md.
#include <onceward/pipeline/template_source.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include <cstdio>
#include <string>

using namespace onceward;
using namespace std::chrono_literals;

class GrantPoints : public Step {
 public:
  StepSpec spec() const override {
    return {.name = "grant-points@1", .arguments = {{"user", Value::Kind::string}}};
  }
  StepOutcome run(StepContext&) override { return Done{}; }
};

std::string text_of(const std::string& version) {
  return "<pipeline id='reward' version='" + version +
         "'><input><param name='user'/></input><step id='points' use='grant-points@1'><arg name='user' value='user'/>"
         "</step></pipeline>";
}

int main() {
  const auto storage = open_memory().value();
  testing::RecordedJournal journal;
  StepRegistry registry;
  registry.add(std::make_unique<GrantPoints>()).value();
  Templates before(*storage, registry, {.tenant = "gifts-uk"});
  before.publish(text_of("1"), "reward-1.xml", {"ann", "the first one"}).value();
  before.activate("reward", "1", "", {"ann", "the first one"}).value();
  const auto xml = text_of("2");
#include "templates_operator.inc"
#include "templates_service.inc"
  return run.state == RunState::succeeded && run.version == "2" && journal.lines().size() == 5 ? 0 : 1;
}
