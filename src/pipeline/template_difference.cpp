// What two versions of a pipeline do differently, and whether tokens change with it.
#include <onceward/pipeline/template_difference.hpp>

#include "pipeline/compiled_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace onceward {
namespace {

using pipeline_detail::Node;
using Kind = TemplateChange::Kind;

/// The constructs of a plan that its tokens are made of, by path.
struct Parts {
  std::map<std::string, const StepDefinition*> steps;
  std::map<std::string, std::string> item_keys;  ///< of foreach
};

void gather(const Node& node, const std::string& prefix, Parts& parts) {
  auto below = prefix;
  const auto path = prefix + std::string(node.id());
  if (node.kind == StepKind::step) parts.steps.emplace(path, node.definition);
  if (node.kind == StepKind::call) below = path + "/";
  if (node.kind == StepKind::foreach) {
    below = path + "[]/";
    parts.item_keys.emplace(path, node.definition->item_key);
  }
  for (const auto& child : node.children) gather(child, below, parts);
}

bool do_the_same(const StepDefinition& a, const StepDefinition& b) {
  return a.uses == b.uses && a.arguments == b.arguments;
}

void compare_steps(Parts& before, Parts& after, std::vector<TemplateChange>& changes) {
  std::vector<std::string> removed;
  std::vector<std::string> added;
  for (const auto& [path, step] : before.steps) {
    const auto same = after.steps.find(path);
    if (same == after.steps.end()) {
      removed.push_back(path);
    } else if (same->second->uses != step->uses) {
      changes.push_back({Kind::changed_use, path, step->uses, same->second->uses});
    }
  }
  for (const auto& [path, step] : after.steps) {
    if (!before.steps.contains(path)) added.push_back(path);
  }
  for (const auto& path : removed) {
    const auto twin = std::find_if(added.begin(), added.end(), [&](const std::string& other) {
      return do_the_same(*before.steps.at(path), *after.steps.at(other));
    });
    if (twin == added.end()) {
      changes.push_back({Kind::removed_step, path, before.steps.at(path)->uses});
      continue;
    }
    changes.push_back({Kind::renamed_step, path, path, *twin, true});
    added.erase(twin);
  }
  for (const auto& path : added) changes.push_back({Kind::added_step, path, {}, after.steps.at(path)->uses});
}

std::string_view what(Kind kind) {
  static constexpr std::array<std::string_view, 7> words = {"a step more",
                                                            "a step less",
                                                            "the step is renamed",
                                                            "another step is used",
                                                            "the key is another one",
                                                            "serial-by is another one",
                                                            "the item key is another one"};
  return words[static_cast<std::size_t>(kind)];
}

}  // namespace

std::vector<TemplateChange> difference(const Plan& before, const Plan& after) {
  std::vector<TemplateChange> changes;
  const auto& old = before.definition();
  const auto& fresh = after.definition();
  if (old.key != fresh.key) changes.push_back({Kind::changed_key, {}, old.key, fresh.key, true});
  if (old.serial_by != fresh.serial_by)
    changes.push_back({Kind::changed_serial_by, {}, old.serial_by, fresh.serial_by});
  Parts from;
  Parts to;
  gather(before.compiled().root, {}, from);
  gather(after.compiled().root, {}, to);
  for (const auto& [path, key] : from.item_keys) {
    const auto same = to.item_keys.find(path);
    if (same != to.item_keys.end() && same->second != key)
      changes.push_back({Kind::changed_item_key, path, key, same->second, true});
  }
  compare_steps(from, to, changes);
  std::stable_sort(changes.begin(), changes.end(),
                   [](const TemplateChange& a, const TemplateChange& b) { return a.path < b.path; });
  return changes;
}

std::string describe(const TemplateChange& change) {
  const auto quoted = [](const std::string& text) { return text.empty() ? "none" : "\"" + text + "\""; };
  return fmt::format("{}{}{}{}: {} -> {}", change.changes_tokens ? "WARNING, tokens change: " : "",
                     change.path, change.path.empty() ? "" : ": ", what(change.kind), quoted(change.before),
                     quoted(change.after));
}

}  // namespace onceward
