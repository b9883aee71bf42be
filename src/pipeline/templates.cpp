#include <onceward/pipeline/templates.hpp>

#include "pipeline/template_record.hpp"
#include "pipeline/template_writer.hpp"

#include <fmt/format.h>

namespace onceward {

using pipeline_detail::check_by;
using pipeline_detail::TemplateLoader;
using pipeline_detail::TemplateMove;
using pipeline_detail::TemplateRecord;
using pipeline_detail::TemplateWriter;

namespace {

Unexpected no_template(std::string_view id) {
  return fail(ErrorCode::not_found, fmt::format("there is no template \"{}\"", id));
}

/// A version of a template that is there and in use.
Result<void> check_usable(const std::optional<TemplateRecord>& record, std::string_view id,
                          std::string_view version) {
  const auto* known = record ? record->find(version) : nullptr;
  if (known == nullptr)
    return fail(
        ErrorCode::not_found,
        fmt::format("there is no version \"{}\" of the template \"{}\"; publish it first", version, id));
  if (known->retired)
    return fail(ErrorCode::wrong_state,
                fmt::format("the version \"{}\" of the template \"{}\" is retired", version, id));
  return {};
}

std::string shown(std::string_view version) {
  return version.empty() ? "none" : fmt::format("\"{}\"", version);
}

}  // namespace

Templates::Templates(Storage& storage, const StepRegistry& registry, TemplatesOptions options)
    : storage_(storage),
      registry_(registry),
      options_(std::move(options)),
      partition_(pipeline_detail::templates_partition(options_.tenant)) {}

Result<Templates::Compiled> Templates::compile(std::string_view xml, std::string_view file,
                                               std::vector<Diagnostic>* diagnostics) {
  if (xml.size() > limits::value_bytes)
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: the text has {} bytes, at most {} can be stored", file, xml.size(),
                            limits::value_bytes));
  TemplateLoader loader(storage_, partition_, registry_, options_.code, false);
  auto plan = loader.compile(xml, file, diagnostics);
  if (!plan) return fail(std::move(plan).error());
  const auto& definition = plan->definition();
  Compiled compiled{*plan, {definition.id, definition.version, plan->sha256()}};
  auto& report = compiled.report;
  auto stored = read_one(storage_, partition_, pipeline_detail::template_key(report.id));
  if (!stored) return fail(std::move(stored).error());
  report.fresh = true;
  if (!*stored) return compiled;
  const auto record = pipeline_detail::decode_template(**stored);
  if (!record) return fail(record.error());
  const auto* known = record->find(report.version);
  report.fresh = known == nullptr;
  if (known != nullptr && known->sha256 != report.sha256)
    return fail(
        ErrorCode::conflict,
        fmt::format("the version \"{}\" of the template \"{}\" is there with another content; a version "
                    "never changes: give the changed one another version",
                    report.version, report.id));
  if (record->active.empty() || record->active == report.version) return compiled;
  TemplateLoader of_active(storage_, partition_, registry_, options_.code, true);
  const auto active = of_active.load(report.id, record->active);
  // Where the active one does not compile here any more, there is nothing to compare with.
  if (!active && active.error().code != ErrorCode::invalid_argument) return fail(active.error());
  if (!active) return compiled;
  report.against = record->active;
  report.changes = difference(*active, *plan);
  return compiled;
}

Result<PublishReport> Templates::check(std::string_view xml, std::string_view file,
                                       std::vector<Diagnostic>* diagnostics) {
  auto compiled = compile(xml, file, diagnostics);
  if (!compiled) return fail(std::move(compiled).error());
  return std::move(compiled->report);
}

Result<PublishReport> Templates::publish(std::string_view xml, std::string_view file, const Operator& by,
                                         std::vector<Diagnostic>* diagnostics) {
  if (auto fine = check_by(by); !fine) return fail(std::move(fine).error());
  auto compiled = compile(xml, file, diagnostics);
  if (!compiled) return fail(std::move(compiled).error());
  auto& report = compiled->report;
  const auto published =
      TemplateWriter(storage_, options_.journal, partition_, report.id, by)
          .write([&](const std::optional<TemplateRecord>& found) -> Result<std::optional<TemplateMove>> {
            const auto* known = found ? found->find(report.version) : nullptr;
            report.fresh = known == nullptr;
            if (known != nullptr && known->sha256 != report.sha256)
              return fail(
                  ErrorCode::conflict,
                  fmt::format("the version \"{}\" of the template \"{}\" was published meanwhile with "
                              "another content",
                              report.version, report.id));
            if (known != nullptr) return std::optional<TemplateMove>();
            TemplateMove change{found.value_or(TemplateRecord{}),
                                {.act = "publish", .version = report.version}};
            change.record.id = report.id;
            if (change.record.versions.size() >= pipeline_detail::most_versions)
              return fail(ErrorCode::exhausted,
                          fmt::format("the template \"{}\" has {} versions, and no more "
                                      "may be",
                                      report.id, pipeline_detail::most_versions));
            change.record.versions.push_back({report.version, report.sha256});
            change.act.after = report.sha256;
            change.more.push_back(
                Operation::insert(pipeline_detail::version_key(report.id, report.version), std::string(xml)));
            return std::optional(std::move(change));
          });
  if (!published) return fail(published.error());
  return std::move(report);
}

Result<PublishReport> Templates::publish(const PipelineDefinition& definition, const Operator& by) {
  return publish(to_xml(definition), definition.id, by);
}

Result<void> Templates::compiles_here(std::string_view id, std::string_view version) {
  auto plan = TemplateLoader(storage_, partition_, registry_, options_.code, true).load(id, version);
  if (!plan) return fail(std::move(plan).error());
  return {};
}

Result<void> Templates::activate(std::string_view id, std::string_view version, std::string_view expected,
                                 const Operator& by) {
  if (auto compiles = compiles_here(id, version); !compiles) return compiles;
  return TemplateWriter(storage_, options_.journal, partition_, id, by)
      .write([&](const std::optional<TemplateRecord>& found) -> Result<std::optional<TemplateMove>> {
        if (auto usable = check_usable(found, id, version); !usable) return fail(std::move(usable).error());
        if (found->active == version && found->canary.empty()) return std::optional<TemplateMove>();
        if (found->active != expected)
          return fail(ErrorCode::conflict,
                      fmt::format("of the template \"{}\" the version {} is active, not {}; look again", id,
                                  shown(found->active), shown(expected)));
        if (!found->canary.empty() && found->canary != version)
          return fail(
              ErrorCode::wrong_state,
              fmt::format("a canary of the version \"{}\" of the template \"{}\" goes on; end it first",
                          found->canary, id));
        TemplateMove change{*found,
                            {.act = "activate", .version = std::string(version), .before = found->active}};
        change.act.after = version;
        if (found->active != version) change.record.previous = found->active;
        change.record.active = version;
        change.record.canary.clear();
        change.record.canary_percent = 0;
        return std::optional(std::move(change));
      });
}

Result<void> Templates::canary(std::string_view id, std::string_view version, int percent, int expected,
                               const Operator& by) {
  if (percent < 0 || percent > 100)
    return fail(ErrorCode::invalid_argument, fmt::format("{} is no percentage: 0 to 100", percent));
  if (percent > 0) {
    if (auto compiles = compiles_here(id, version); !compiles) return compiles;
  }
  return TemplateWriter(storage_, options_.journal, partition_, id, by)
      .write([&](const std::optional<TemplateRecord>& found) -> Result<std::optional<TemplateMove>> {
        if (auto usable = check_usable(found, id, version); !usable) return fail(std::move(usable).error());
        const int now = found->canary == version ? found->canary_percent : 0;
        if (now == percent) return std::optional<TemplateMove>();
        if (!found->canary.empty() && found->canary != version)
          return fail(
              ErrorCode::wrong_state,
              fmt::format("a canary of the version \"{}\" of the template \"{}\" goes on; end it first",
                          found->canary, id));
        if (found->active.empty() || found->active == version)
          return fail(
              ErrorCode::wrong_state,
              fmt::format("of the template \"{}\" {}; a canary is of another version than the active one", id,
                          found->active.empty() ? "no version is active" : "this version is active"));
        if (now != expected)
          return fail(
              ErrorCode::conflict,
              fmt::format("the version \"{}\" of the template \"{}\" has {} percent of the keys, not {}; "
                          "look again",
                          version, id, now, expected));
        TemplateMove change{
            *found, {.act = "canary", .version = std::string(version), .before = std::to_string(now)}};
        change.act.after = std::to_string(percent);
        change.record.canary = percent == 0 ? "" : version;
        change.record.canary_percent = percent;
        return std::optional(std::move(change));
      });
}

Result<void> Templates::retire(std::string_view id, std::string_view version, const Operator& by,
                               std::span<const std::string> partitions) {
  bool counted = false;
  return TemplateWriter(storage_, options_.journal, partition_, id, by)
      .write([&](const std::optional<TemplateRecord>& found) -> Result<std::optional<TemplateMove>> {
        const auto* known = found ? found->find(version) : nullptr;
        if (known == nullptr) return fail(check_usable(found, id, version).error());
        if (known->retired) return std::optional<TemplateMove>();
        if (found->active == version || found->canary == version)
          return fail(ErrorCode::wrong_state,
                      fmt::format("the version \"{}\" of the template \"{}\" is {}; new runs get it", version,
                                  id, found->active == version ? "active" : "a canary"));
        // Counted once, after a look that showed that nobody begins runs of it.
        if (!std::exchange(counted, true)) {
          const auto live = live_runs(id, version, partitions);
          if (!live) return fail(live.error());
          if (live->count > 0)
            return fail(
                ErrorCode::wrong_state,
                fmt::format("{} runs of the version \"{}\" of the template \"{}\" are live, such as \"{}\" "
                            "in \"{}\"; let them end first",
                            live->count, version, id, live->examples[0].key, live->examples[0].partition));
        }
        TemplateMove change{*found,
                            {.act = "retire", .version = std::string(version), .before = "published"}};
        change.act.after = "retired";
        change.record.versions[static_cast<std::size_t>(known - found->versions.data())].retired = true;
        if (change.record.previous == version) change.record.previous.clear();
        return std::optional(std::move(change));
      });
}

Result<std::optional<TemplateView>> Templates::find(std::string_view id) {
  auto stored = read_one(storage_, partition_, pipeline_detail::template_key(id));
  if (!stored) return fail(std::move(stored).error());
  if (!*stored) return std::optional<TemplateView>();
  auto record = pipeline_detail::decode_template(**stored);
  if (!record) return fail(std::move(record).error());
  return std::optional<TemplateView>(*std::move(record));
}

Result<std::vector<TemplateView>> Templates::list() {
  std::vector<TemplateView> views;
  for (std::string cursor;;) {
    const auto page =
        storage_.scan(partition_, pipeline_detail::template_prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& stored : page->records) {
      auto record = pipeline_detail::decode_template(stored);
      if (!record) return fail(std::move(record).error());
      views.push_back(*std::move(record));
    }
    cursor = page->cursor;
    if (cursor.empty()) return views;
  }
}

Result<std::vector<TemplateAct>> Templates::history(std::string_view id, std::int64_t after,
                                                    std::size_t limit) {
  if (limit == 0 || limit > limits::page_records || after < 0)
    return fail(ErrorCode::invalid_argument,
                fmt::format("a page of a history has 1 to {} acts, after number 0 or a later one",
                            limits::page_records));
  auto stored = read_one(storage_, partition_, pipeline_detail::template_key(id));
  if (!stored) return fail(std::move(stored).error());
  if (!*stored) return no_template(id);
  const auto record = pipeline_detail::decode_template(**stored);
  if (!record) return fail(record.error());
  if (after >= record->acts) return std::vector<TemplateAct>();
  std::vector<std::string> keys;
  for (auto number = after + 1; number <= record->acts && keys.size() < limit; ++number)
    keys.push_back(pipeline_detail::act_key(id, number));
  std::vector<RecordRef> refs;
  for (const auto& key : keys) refs.push_back({partition_, key});
  std::vector<TemplateAct> acts;
  const auto lines = storage_.read(refs);
  if (!lines) return fail(lines.error());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!lines->records[i])
      return fail(ErrorCode::corrupt, fmt::format("the record \"{}\" is missing", keys[i]));
    auto act = pipeline_detail::decode_act(*lines->records[i]);
    if (!act) return fail(std::move(act).error());
    acts.push_back(*std::move(act));
  }
  return acts;
}

Result<std::string> Templates::text(std::string_view id, std::string_view version) {
  auto stored = read_one(storage_, partition_, pipeline_detail::version_key(id, version));
  if (!stored) return fail(std::move(stored).error());
  if (*stored) return std::move((*stored)->value);
  return fail(ErrorCode::not_found,
              fmt::format("there is no version \"{}\" of the template \"{}\"", version, id));
}

}  // namespace onceward
