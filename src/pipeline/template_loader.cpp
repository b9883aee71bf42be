#include "pipeline/template_record.hpp"

#include <fmt/format.h>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t most_calls_deep = 24;
constexpr std::size_t texts_at_once = 32;  // each of up to 1 MiB

/// What a body calls, also within its constructs.
void gather_calls(const std::vector<StepDefinition>& body,
                  std::vector<std::pair<std::string, std::string>>& calls) {
  for (const auto& step : body) {
    if (step.kind == StepKind::call) calls.emplace_back(step.uses, step.version.empty() ? "1" : step.version);
    gather_calls(step.body, calls);
    gather_calls(step.last, calls);
    for (const auto& branch : step.branches) gather_calls(branch.body, calls);
  }
}

}  // namespace

Result<Plan> TemplateLoader::compile(std::string_view xml, std::string_view file,
                                     std::vector<Diagnostic>* diagnostics) {
  PlanCatalog callees;
  // What is wrong with the text is told by the compiler below, with all that is wrong with the rest.
  if (const auto definition = parse_pipeline_xml(xml, file)) {
    std::vector<std::pair<std::string, std::string>> calls;
    gather_calls(definition->steps, calls);
    for (const auto& [id, version] : calls) {
      if (callees.find(id, version)) continue;
      auto found = callee(id, version);
      if (!found) return fail(std::move(found).error());
      if (!*found) continue;
      if (auto added = callees.add(**std::move(found)); !added) return fail(std::move(added).error());
    }
  }
  return compile_pipeline_xml(xml, file, registry_, diagnostics, &callees);
}

Result<std::optional<Plan>> TemplateLoader::callee(std::string_view id, std::string_view version) {
  if (id.size() > limits::key_bytes / 4 || version.size() > limits::key_bytes / 4)
    return std::optional<Plan>();
  if (!retired_ && depth_ == 0) {
    auto stored = read_one(storage_, partition_, template_key(id));
    if (!stored) return fail(std::move(stored).error());
    if (*stored) {
      const auto record = decode_template(**stored);
      if (!record) return fail(record.error());
      const auto* known = record->find(version);
      if (known != nullptr && known->retired) return std::optional<Plan>();
    }
  }
  auto plan = load(id, version);
  if (plan) return std::optional(*std::move(plan));
  if (plan.error().code != ErrorCode::not_found) return fail(std::move(plan).error());
  return code_ == nullptr ? std::nullopt : code_->find(id, version);
}

Result<Plan> TemplateLoader::load(std::string_view id, std::string_view version,
                                  std::vector<Diagnostic>* diagnostics) {
  const Name name{id, version};
  if (const auto known = known_.find(name); known != known_.end()) return known->second;
  const auto file = fmt::format("{}/{}", id, version);
  // Of published versions none calls itself; a row that was written by hand may.
  if (depth_ == most_calls_deep)
    return fail(ErrorCode::corrupt,
                fmt::format("{}: pipelines call each other deeper than {}", file, depth_));
  if (!texts_.contains(name)) {
    if (auto read = fetch(std::span(&name, 1)); !read) return fail(std::move(read).error());
  }
  const auto text = texts_.extract(name);
  if (text.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("there is no version \"{}\" of the template \"{}\"", version, id));
  }
  ++depth_;
  auto plan = compile(text.mapped(), file, diagnostics);
  --depth_;
  if (!plan) return plan;
  const auto& definition = plan->definition();
  if (definition.id != id || definition.version != version) {
    return fail(ErrorCode::corrupt, fmt::format("the record \"{}\" holds the pipeline \"{}\" version \"{}\"",
                                                version_key(id, version), definition.id, definition.version));
  }
  know(*plan);
  return plan;
}

Result<void> TemplateLoader::fetch(std::span<const Name> names) {
  for (std::size_t first = 0; first < names.size(); first += texts_at_once) {
    const auto some = names.subspan(first, std::min(texts_at_once, names.size() - first));
    std::vector<std::string> keys;
    for (const auto& [id, version] : some) keys.push_back(version_key(id, version));
    std::vector<RecordRef> refs;
    for (const auto& key : keys) refs.push_back({partition_, key});
    auto read = storage_.read(refs);
    if (!read) return fail(std::move(read).error());
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (auto& record = read->records[i]) texts_.insert_or_assign(some[i], std::move(record->value));
    }
  }
  return {};
}

void TemplateLoader::know(const Plan& plan) {
  const auto& definition = plan.definition();
  known_.insert_or_assign({definition.id, definition.version}, plan);
}

}  // namespace onceward::pipeline_detail
