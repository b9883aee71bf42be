#include <onceward/pipeline/health.hpp>

#include "pipeline/driver.hpp"
#include "pipeline/run_scan.hpp"
#include "pipeline/show.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward {

using pipeline_detail::Place;
using pipeline_detail::Run;

namespace {

constexpr std::size_t most_names = 1000;

bool any_awaits(const Place& place) noexcept {
  return place.status == pipeline_detail::Status::awaiting ||
         std::any_of(place.children.begin(), place.children.end(), any_awaits);
}

class Examination {
 public:
  Examination(const PlanCatalog& catalog, std::size_t names)
      : catalog_(catalog), names_(std::min(names, most_names)) {}

  void look_at(const std::string& partition, const Record& record, Timestamp now) {
    const auto run = pipeline_detail::decode_run(record);
    const auto head = run ? run_record_key(run->pipeline, "") : std::string();
    if (!run || !record.key.starts_with(head)) {
      ++health_.corrupt;
      if (health_.corrupt_records.size() < names_)
        health_.corrupt_records.push_back(fmt::format("{}: {}", partition, record.key));
      return;
    }
    ++health_.runs;
    ++health_.states[run->state];
    if (run->state != RunState::running) return;
    if (!catalog_.find(run->pipeline, run->version, run->plan))
      ++health_.unknown_plans[fmt::format("{} {}", run->pipeline, run->version)];
    if (record.due) {
      if (*record.due > now) return;
      ++health_.runnable;
      health_.oldest_runnable = std::max(health_.oldest_runnable, Duration(now - *record.due));
    } else if (any_awaits(run->root)) {
      ++health_.awaiting;
    } else {
      ++health_.stuck;
      if (health_.stuck_runs.size() < names_)
        health_.stuck_runs.push_back({run->pipeline, partition, record.key.substr(head.size())});
    }
  }
  [[nodiscard]] PipelineHealth result(bool whole) {
    health_.whole = whole;
    return std::move(health_);
  }

 private:
  const PlanCatalog& catalog_;
  std::size_t names_;
  PipelineHealth health_{};
};

}  // namespace

Result<PipelineHealth> check_health(Storage& storage, const PlanCatalog& catalog,
                                    const HealthOptions& options) {
  Examination examination(catalog, options.names);
  pipeline_detail::RunScan scan(storage, options.partitions, std::string(pipeline_detail::run_prefix),
                                limits::page_records);
  while (!options.stop.stop_requested()) {
    const auto page = scan.next();
    if (!page) return fail(page.error());
    if (scan.done()) return examination.result(true);
    for (const auto& record : page->records) examination.look_at(page->partition, record, page->now);
  }
  return examination.result(false);
}

std::string to_text(const PipelineHealth& health) {
  pipeline_detail::TextTable table({"what", "how many", ""});
  const auto row = [&](std::string what, std::size_t count, std::string note = {}) {
    table.add({std::move(what), std::to_string(count), std::move(note)});
  };
  row("runs", health.runs, health.whole ? "" : "the scan was ended early");
  for (const auto& [state, count] : health.states)
    row(std::string("  ") + std::string(to_string(state)), count);
  row("due", health.runnable,
      health.runnable == 0 ? ""
                           : "the oldest for " + pipeline_detail::duration_shown(health.oldest_runnable));
  row("awaiting a signal", health.awaiting);
  for (const auto& [plan, count] : health.unknown_plans) row("of an unknown plan", count, plan);
  row("stuck", health.stuck, health.stuck == 0 ? "" : "neither due nor awaiting a signal: a defect");
  for (const auto& run : health.stuck_runs)
    table.add({"", "", fmt::format("{}: {} {}", run.partition, run.pipeline, run.key)});
  row("corrupt records", health.corrupt);
  for (const auto& record : health.corrupt_records) table.add({"", "", record});
  return table.text();
}

}  // namespace onceward
