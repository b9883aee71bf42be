#include "run.hpp"

#include "feed.hpp"
#include "finish.hpp"
#include "ledger.hpp"
#include "steps.hpp"

#include <onceward/core/limits.hpp>
#include <onceward/storage/open.hpp>

#include <fmt/format.h>
#include <sys/resource.h>

#include <array>
#include <utility>

namespace loyalty {
namespace {

using onceward::Campaign;
using onceward::CampaignDefinition;
using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

/// The campaign as written, checked against the columns of the orders.
Result<CampaignDefinition> read_campaign(const std::string& path, const Orders& orders) {
  const auto text = read_text(path, onceward::limits::xml_bytes);
  if (!text) return fail(text.error());
  onceward::StepRegistry specs;
  if (auto added = add_step_specs(specs); !added) return fail(std::move(added).error());
  const auto compiled = onceward::compile_campaign_xml(*text, path, specs, orders.columns());
  if (!compiled) return fail(compiled.error());
  return compiled->definition();
}

/// That every file to be written can be, and is none of the others.
Result<void> check_files(const Options& options) {
  std::vector<std::pair<std::string, std::string>> written = {{"ledger", options.ledger}};
  if (options.business != ":memory:") written.emplace_back("business file", options.business);
  if (auto file = storage_file(options.storage); !file.empty())
    written.emplace_back("storage", std::move(file));
  const std::array<std::pair<std::string_view, const std::string&>, 2> read = {
      {{"campaign", options.campaign}, {"events", options.events}}};
  for (std::size_t i = 0; i < written.size(); ++i) {
    const auto& [what, path] = written[i];
    if (auto writable = check_writable(path, what); !writable) return writable;
    std::string_view other;
    for (const auto& [input, name] : read) {
      if (same_path(path, name)) other = input;
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (same_path(path, written[j].second)) other = written[j].first;
    }
    if (other.empty()) continue;
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} {} is also the {}; each needs a file of its own", what, path, other));
  }
  return {};
}

/// The two stores; `storage` is the one to use.
struct Stores {
  std::unique_ptr<Business> business{};
  std::unique_ptr<onceward::Storage> opened{};
  std::unique_ptr<onceward::Storage> crashing{};
  onceward::Storage* storage = nullptr;
};

/// A store that is there is opened before one that has to be created, so that a bad one leaves nothing
/// behind.
Result<Stores> open_stores(const Options& options, CrashPoints& points) {
  Stores stores;
  const auto open_business = [&]() -> Result<void> {
    auto business = Business::open(options.business, points);
    if (!business) return fail(std::move(business).error());
    stores.business = std::move(*business);
    return {};
  };
  const bool known = same_file(options.business, options.business);
  if (known) {
    if (auto opened = open_business(); !opened) return fail(std::move(opened).error());
  }
  auto storage = onceward::open_storage(options.storage);
  if (!storage) return fail(std::move(storage).error());
  stores.opened = std::move(*storage);
  if (!known) {
    if (auto opened = open_business(); !opened) return fail(std::move(opened).error());
  }
  stores.storage = stores.opened.get();
  if (options.crash.point) {
    stores.crashing = std::make_unique<CrashingStorage>(*stores.opened, points);
    stores.storage = stores.crashing.get();
  }
  return stores;
}

std::int64_t peak_rss_kib() noexcept {
  struct rusage usage {};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0;
}

struct Work {
  Tally tally{};
  Finished finished{};
};

Result<Work> report_and_finish(const Options& options, const Orders& orders, const RowMapper& mapper,
                               const Campaign& campaign, Stores& stores, CrashPoints& points,
                               Attention& attention, Progress& progress) {
  onceward::PlanCatalog catalog;
  onceward::Runner runner(*stores.storage, catalog, {.lease = options.lease});
  runner.on_attention(
      [&](const onceward::RunView& view) { attention.note(view.key, to_string(view.state), view.reason); });
  onceward::TaskCenter center(*stores.storage, catalog, runner, {.lease = options.lease});
  if (auto published = center.publish(campaign); !published) return fail(std::move(published).error());
  points.reached(CrashPoint::publish_after);
  BatchReporter reporter(center, attention, orders.file().name());
  auto tally = feed(orders, mapper, reporter, {options.threads, options.batch}, progress);
  if (!tally) return fail(std::move(tally).error());
  auto finished = finish_runs(center, attention, progress);
  if (!finished) return fail(std::move(finished).error());
  return Work{*tally, *finished};
}

Outcome outcome_of(const Work& work, const Attention& attention, double seconds) {
  const auto& [tally, finished] = work;
  Outcome outcome;
  outcome.summary = fmt::format(
      "events={} duplicates={} grants={} out_of_stock={} taken_over={} events_per_second={:.0f} "
      "seconds={:.3f} "
      "peak_rss_kib={}",
      tally.events, tally.duplicates, tally.grants, tally.out_of_stock, finished.taken,
      seconds > 0 ? static_cast<double>(tally.events) / seconds : 0, seconds, peak_rss_kib());
  outcome.attention = attention.lines();
  if (finished.unknown_plans != 0) {
    outcome.attention.push_back(
        fmt::format("{} rewards belong to pipelines that this campaign does not have; run "
                    "the campaign that has them",
                    finished.unknown_plans));
  }
  return outcome;
}

}  // namespace

Result<Outcome> run(const Options& options) {
  const auto started = std::chrono::steady_clock::now();
  Progress progress;
  CrashPoints points(options.crash);
  const auto orders = Orders::open(options.events);
  if (!orders) return fail(orders.error());
  // What the file lacks is told before what the campaign asks of it.
  if (const auto columns = orders->mapper(""); !columns) return fail(columns.error());
  const auto definition = read_campaign(options.campaign, *orders);
  if (!definition) return fail(definition.error());
  const auto mapper = orders->mapper(definition->merchant);
  if (!mapper) return fail(mapper.error());
  if (auto files = check_files(options); !files) return fail(std::move(files).error());
  if (auto checked = check_orders(*orders, *mapper, *definition, progress); !checked) {
    return fail(std::move(checked).error());
  }
  auto stores = open_stores(options, points);
  if (!stores) return fail(std::move(stores).error());
  onceward::StepRegistry registry;
  if (auto added = add_steps(registry, *stores->business); !added) return fail(std::move(added).error());
  const auto campaign = Campaign::compile(*definition, registry, options.campaign, orders->columns());
  if (!campaign) return fail(campaign.error());
  Attention attention;
  const auto work =
      report_and_finish(options, *orders, *mapper, *campaign, *stores, points, attention, progress);
  if (!work) return fail(work.error());
  if (auto written = write_ledger(*stores->business, options.ledger, points); !written) {
    return fail(std::move(written).error());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return outcome_of(*work, attention, seconds.count());
}

}  // namespace loyalty
