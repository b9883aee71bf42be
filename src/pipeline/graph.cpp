// A plan, and a run of it, in the DOT language.
#include <onceward/pipeline/timeline.hpp>

#include "pipeline/compiled_plan.hpp"
#include "pipeline/show.hpp"
#include "pipeline/stored_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace onceward {

using pipeline_detail::Node;
using pipeline_detail::Place;
using pipeline_detail::Status;

namespace {

constexpr std::size_t most_text = 80;  ///< of one text in a label

/// A text as it stands between the quotes of a DOT string.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : pipeline_detail::one_line(text, most_text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string_view colour_of(Status status) noexcept {
  switch (status) {
    case Status::fresh: return "white";
    case Status::active:
    case Status::open: return "lightblue";
    case Status::waiting:
    case Status::awaiting: return "lightyellow";
    case Status::done: return "palegreen";
    case Status::skipped: return "lightgrey";
    case Status::failed: return "salmon";
    case Status::cancelled: return "grey";
    case Status::undoing:
    case Status::undo_waiting: return "orange";
    case Status::undone: return "plum";
  }
  return "white";
}

class Graph {
 public:
  explicit Graph(bool with_run) : with_run_(with_run) {}

  std::string draw(std::string_view title, const Node& root, const Place* place) {
    text_ = "digraph plan {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n";
    text_ += fmt::format("  label=\"{}\";\n", escaped(title));
    Places places;
    if (place != nullptr) places.push_back(place);
    sequence(root, places);
    return std::move(text_) + "}\n";
  }

 private:
  using Places = std::vector<const Place*>;  ///< where this construct stands: several in a foreach
  struct Part {
    std::string entry;
    std::vector<std::string> exits;
  };

  static Places inside(const Places& places, std::size_t child) {
    Places found;
    for (const auto* place : places) {
      for (std::size_t i = 0; i < place->children.size(); ++i) {
        const auto& inner = place->children[i];
        if (pipeline_detail::node_of(inner, i) == child) found.push_back(&inner);
      }
    }
    return found;
  }

  /// A box; with a run, in the colour of its state.
  std::string box(std::string_view label, const Places& places, std::string_view shape = "box") {
    auto name = fmt::format("n{}", ++boxes_);
    auto shown = std::string(label);
    std::string_view colour = "white";
    if (with_run_) {
      std::map<Status, std::size_t> states;
      for (const auto* place : places) ++states[place->status];
      if (places.size() == 1) {
        shown += "\\n" + escaped(pipeline_detail::place_shown(*places.front()));
      } else {
        for (const auto& [status, count] : states) shown += fmt::format("\\n{} {}", count, to_string(status));
        if (places.empty()) shown += "\\nnot begun";
      }
      if (states.size() == 1) colour = colour_of(states.begin()->first);
      if (states.size() > 1) colour = colour_of(Status::open);
    }
    text_ += fmt::format("  {} [label=\"{}\", shape={}, fillcolor={}];\n", name, shown, shape, colour);
    return name;
  }
  void edge(const std::string& from, const std::string& to, std::string_view label = {},
            std::string_view style = "solid") {
    text_ += fmt::format("  {} -> {} [label=\"{}\", style={}];\n", from, to, escaped(label), style);
  }

  Part sequence(const Node& node, const Places& places) {
    Part whole;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      auto part = construct(node.children[i], inside(places, i));
      for (const auto& exit : whole.exits) edge(exit, part.entry);
      if (whole.entry.empty()) whole.entry = part.entry;
      whole.exits = std::move(part.exits);
    }
    if (whole.entry.empty()) whole.entry = box("nothing", {}), whole.exits = {whole.entry};
    return whole;
  }

  Part construct(const Node& node, const Places& places) {
    if (node.definition == nullptr) return sequence(node, places);
    auto part = of_its_kind(node, places);
    // Where its condition does not hold, it goes on from here.
    const bool goes_on = std::find(part.exits.begin(), part.exits.end(), part.entry) != part.exits.end();
    if (!node.definition->when.empty() && !goes_on) part.exits.push_back(part.entry);
    return part;
  }
  Part of_its_kind(const Node& node, const Places& places) {
    const auto& written = *node.definition;
    const auto id = escaped(written.id);
    switch (node.kind) {
      case StepKind::step: return leaf(node, fmt::format("{}\\n{}", id, escaped(written.uses)), places);
      case StepKind::wait:
        return leaf(node,
                    fmt::format("wait {}\\n{}", id,
                                written.value.empty() ? pipeline_detail::duration_shown(written.total)
                                                      : "until " + escaped(written.value)),
                    places);
      case StepKind::await:
        return leaf(node, fmt::format("await {}\\n{}", id, escaped(written.code)), places);
      case StepKind::set: return leaf(node, fmt::format("set {}\\n{}", id, escaped(written.value)), places);
      case StepKind::result: return leaf(node, fmt::format("result\\n{}", escaped(written.value)), places);
      case StepKind::fail:
        return {leaf(node, fmt::format("fail {}\\n{}", id, escaped(written.code)), places).entry, {}};
      case StepKind::sequence: {
        if (written.when.empty()) return sequence(node, places);
        Part whole{box(node, "sequence " + id, places, "diamond"), {}};
        add(whole, sequence(node, places), {});
        return whole;
      }
      case StepKind::parallel: return parallel(node, places);
      case StepKind::choose: return choose(node, places);
      case StepKind::foreach: return foreach (node, places);
      case StepKind::attempt: return attempt(node, places);
      case StepKind::call: {
        Part part{box(node, fmt::format("call {}\\n{}", id, escaped(written.uses)), places), {}};
        auto body = sequence(node.children[0], inside(places, 0));
        edge(part.entry, body.entry);
        part.exits = std::move(body.exits);
        return part;
      }
    }
    return leaf(node, id, places);
  }
  std::string box(const Node& node, std::string label, const Places& places, std::string_view shape = "box") {
    const auto& when = node.definition->when;
    if (!when.empty()) label += "\\nwhen " + escaped(when);
    return box(label, places, shape);
  }
  Part leaf(const Node& node, std::string label, const Places& places) {
    auto name = box(node, std::move(label), places);
    return {name, {name}};
  }
  void add(Part& whole, const Part& part, std::string_view label, std::string_view style = "solid") {
    edge(whole.entry, part.entry, label, style);
    whole.exits.insert(whole.exits.end(), part.exits.begin(), part.exits.end());
  }

  Part parallel(const Node& node, const Places& places) {
    static constexpr std::string_view joins[] = {"all", "any", "quorum"};
    Part whole{box(node,
                   fmt::format("parallel {}\\n{}", escaped(node.definition->id),
                               joins[static_cast<std::size_t>(node.definition->join)]),
                   places, "diamond"),
               {}};
    for (std::size_t i = 0; i < node.children.size(); ++i)
      add(whole, construct(node.children[i], inside(places, i)), {});
    return whole;
  }
  Part choose(const Node& node, const Places& places) {
    Part whole{box(node, "choose " + escaped(node.definition->id), places, "diamond"), {}};
    bool always = false;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const auto& test = node.definition->branches[i].test;
      always = always || test.empty();
      add(whole, sequence(node.children[i], inside(places, i)), test.empty() ? "otherwise" : test);
    }
    if (!always) whole.exits.push_back(whole.entry);
    return whole;
  }
  Part foreach (const Node& node, const Places& places) {
    const auto& written = *node.definition;
    Part whole{box(node,
                   fmt::format("foreach {}\\n{} in {}", escaped(written.id), escaped(written.variable),
                               escaped(written.items)),
                   places, "diamond"),
               {}};
    const auto body = sequence(node.children[0], inside(places, 0));
    add(whole, body, "each");
    for (const auto& exit : body.exits) edge(exit, whole.entry, "next", "dashed");
    whole.exits = {whole.entry};
    return whole;
  }
  Part attempt(const Node& node, const Places& places) {
    const auto& written = *node.definition;
    Part whole{box(node, "try " + escaped(written.id), places, "diamond"), {}};
    add(whole, sequence(node.children[0], inside(places, 0)), {});
    for (std::size_t i = 0; i < written.branches.size(); ++i) {
      const auto& code = written.branches[i].test;
      add(whole, sequence(node.children[i + 1], inside(places, i + 1)),
          code.empty() ? "catch" : "catch " + code, "dashed");
    }
    if (written.last.empty()) return whole;
    const auto at = written.branches.size() + 1;
    const auto last = sequence(node.children[at], inside(places, at));
    for (const auto& exit : whole.exits) edge(exit, last.entry, "finally");
    edge(whole.entry, last.entry, "finally", "dashed");  // of an error that no catch took, or that it made
    if (!whole.exits.empty()) whole.exits = last.exits;
    return whole;
  }

  bool with_run_;
  std::string text_{};
  std::size_t boxes_ = 0;
};

}  // namespace

std::string to_dot(const Plan& plan) {
  const auto& definition = plan.definition();
  return Graph(false).draw(fmt::format("{} {}", definition.id, definition.version), plan.compiled().root,
                           nullptr);
}

Result<std::string> run_to_dot(Storage& storage, const PlanCatalog& catalog, const RunName& name) {
  const auto stored = pipeline_detail::read_run(storage, name);
  if (!stored) return fail(stored.error());
  const auto& run = stored->run;
  const auto plan = catalog.find(run.pipeline, run.version, run.plan);
  if (!plan)
    return fail(ErrorCode::not_found,
                fmt::format("the plan {} {} of the run is not in the catalog", run.pipeline, run.version));
  if (!fits(run, plan->compiled()))
    return fail(ErrorCode::corrupt, fmt::format("the run \"{}\" does not fit its plan", stored->record.key));
  const auto title =
      fmt::format("{}: {}{}{}", name.key, to_string(run.state), run.reason.empty() ? "" : ": ", run.reason);
  return Graph(true).draw(title, plan->compiled().root, &run.root);
}

}  // namespace onceward
