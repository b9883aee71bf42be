#pragma once
#include <onceward/pipeline/template_source.hpp>
#include <onceward/testing/recorded_journal.hpp>

#include "support/catch.hpp"
#include "unit/pipeline/bench.hpp"

#include <fmt/format.h>

namespace onceward::pipeline_test {

inline const Operator ops{"ops-ann", "a test"};

/// A pipeline whose two steps credit `amount`, with an hour between them.
inline std::string text_of(const std::string& id, const std::string& version, int amount) {
  return fmt::format(R"(<pipeline id="{}" version="{}">
  <step id="first" use="credit@1"><arg name="amount" value="{}"/></step>
  <wait id="pause" for="1h"/>
  <step id="second" use="credit@1"><arg name="amount" value="{}"/></step>
</pipeline>
)",
                     id, version, amount, amount);
}

/// A template store beside the steps of a Bench, as every process of a service has one.
struct TemplateBench : Bench {
  testing::RecordedJournal journal;
  Templates templates{storage, registry, {.journal = &journal}};

  void publish(const std::string& id, const std::string& version, int amount) {
    templates.publish(text_of(id, version, amount), version + ".xml", ops).value();
  }
  /// Published, and active in the place of `before`.
  void release(const std::string& id, const std::string& version, int amount, const std::string& before) {
    publish(id, version, amount);
    templates.activate(id, version, before, ops).value();
  }
};

template <class T>
ErrorCode code_of(const Result<T>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

inline std::vector<std::string> acts_of(Templates& templates, const std::string& id) {
  std::vector<std::string> acts;
  const auto history = templates.history(id).value();
  for (const auto& act : history)
    acts.push_back(fmt::format("{} {}: {} -> {}", act.act, act.version, act.before, act.after));
  return acts;
}

}  // namespace onceward::pipeline_test
