// Which runs of a template's version have not ended.
#include <onceward/pipeline/templates.hpp>
#include <onceward/storage/partitions.hpp>

#include "pipeline/run_state.hpp"

namespace onceward {
namespace {

constexpr std::size_t most_counted = 10'000;
constexpr std::size_t most_examples = 10;

bool is_live(RunState state) noexcept {
  return state == RunState::running || state == RunState::needs_attention;
}

/// Counts those of one partition, page by page.
Result<void> count(Storage& storage, const std::string& partition, std::string_view id,
                   std::string_view version, LiveRuns& live) {
  const auto prefix = run_record_key(id, "");
  for (std::string cursor;;) {
    const auto page = storage.scan(partition, prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& record : page->records) {
      const auto run = pipeline_detail::decode_run(record);
      if (!run) return fail(run.error());
      if (run->version != version || !is_live(run->state)) continue;
      if (live.examples.size() < most_examples)
        live.examples.push_back({std::string(id), partition, record.key.substr(prefix.size())});
      if (++live.count == most_counted) return {};
    }
    cursor = page->cursor;
    if (cursor.empty()) return {};
  }
}

}  // namespace

Result<LiveRuns> Templates::live_runs(std::string_view id, std::string_view version,
                                      std::span<const std::string> partitions) {
  LiveRuns live;
  for (const auto& partition : partitions) {
    if (auto counted = count(storage_, partition, id, version, live); !counted)
      return fail(std::move(counted).error());
    if (live.count == most_counted) return live;
  }
  if (!partitions.empty()) return live;
  const auto own = options_.tenant.empty() ? std::string() : options_.tenant + "/";
  for (std::string cursor;;) {
    const auto page = list_partitions(storage_, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& partition : page->partitions) {
      if (!partition.starts_with(own)) continue;
      if (auto counted = count(storage_, partition, id, version, live); !counted)
        return fail(std::move(counted).error());
      if (live.count == most_counted) return live;
    }
    cursor = page->cursor;
    if (cursor.empty()) return live;
  }
}

}  // namespace onceward
