#include <onceward/pipeline/template_source.hpp>

#include "pipeline/live_template.hpp"
#include "pipeline/template_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace onceward {

using pipeline_detail::Live;
using pipeline_detail::LiveMap;
using pipeline_detail::TemplateLoader;
using pipeline_detail::TemplateRecord;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t most_faults = 100;
constexpr std::size_t most_unknown = 1000;
constexpr Duration shortest_poll = std::chrono::milliseconds(1);

}  // namespace

class TemplateSource::State final : public PlanSource {
 public:
  State(Storage& storage, const StepRegistry& registry, PlanCatalog& catalog, TemplateSourceOptions options)
      : storage_(storage),
        registry_(registry),
        catalog_(catalog),
        options_(std::move(options)),
        partition_(pipeline_detail::templates_partition(options_.tenant)) {
    options_.poll = std::max(options_.poll, shortest_poll);
  }

  Result<void> reload();
  void poll_until(const std::stop_token& stop);
  std::optional<Plan> plan_of(std::string_view id, std::string_view version,
                              std::string_view sha256) override;
  [[nodiscard]] Result<Plan> for_key(std::string_view id, std::string_view key,
                                     std::string_view partition) const;
  [[nodiscard]] TemplateStatus status() const;
  void on_fault(std::function<void(const TemplateFault&)> callback) {
    const std::lock_guard lock(mutex_);
    callback_ = std::move(callback);
  }

  std::mutex thread_mutex;
  std::jthread thread;

 private:
  struct Seen {
    Revision revision = absent;  ///< of the record that was looked at
    std::shared_ptr<const Live> live{};
    std::vector<TemplateFault> faults{};
  };
  /// What one look found; it becomes true when it is whole.
  struct Look {
    std::map<std::string, Seen, std::less<>> seen;
    std::vector<TemplateFault> fresh_faults;
  };

  Result<void> look();
  Result<std::vector<Record>> changed(bool all);
  Result<void> take(const std::vector<Record>& records, Look& look);
  static std::vector<TemplateLoader::Name> missing(const Seen& before, const TemplateRecord& record);
  Result<Seen> next(const Seen& before, const TemplateRecord& record, TemplateLoader& loader);
  Result<std::optional<Plan>> plan_for(const Seen& before, const TemplateRecord& record,
                                       const std::string& version, TemplateLoader& loader,
                                       std::vector<TemplateFault>& faults);
  void swap(Look look, Revision notice);
  void tell(const std::vector<TemplateFault>& faults);
  [[nodiscard]] bool faulty() const;

  Storage& storage_;
  const StepRegistry& registry_;
  PlanCatalog& catalog_;
  TemplateSourceOptions options_;
  std::string partition_;

  std::mutex reload_mutex_;  ///< one look at a time; guards the three below
  std::map<std::string, Seen, std::less<>> seen_{};
  std::optional<Revision> notice_{};  ///< what the last whole look saw

  mutable std::mutex mutex_;  ///< guards all below; held for no I/O
  std::condition_variable_any wake_{};
  std::shared_ptr<const LiveMap> live_{};
  std::uint64_t swaps_ = 0;
  std::optional<Steady::time_point> last_look_{};
  std::optional<Error> storage_error_{};
  std::vector<TemplateFault> faults_{};                  ///< of what is live
  std::vector<TemplateFault> run_faults_{};              ///< of plans that runs asked for
  std::map<std::string, Steady::time_point> unknown_{};  ///< what runs asked for in vain, and when
  std::function<void(const TemplateFault&)> callback_{};
};

Result<void> TemplateSource::State::reload() {
  const std::lock_guard one_at_a_time(reload_mutex_);
  auto looked = look();
  const std::lock_guard lock(mutex_);
  if (looked) {
    last_look_ = Steady::now();
    storage_error_.reset();
  } else {
    storage_error_ = looked.error();
  }
  return looked;
}

bool TemplateSource::State::faulty() const {
  return std::any_of(seen_.begin(), seen_.end(), [](const auto& one) { return !one.second.faults.empty(); });
}

Result<void> TemplateSource::State::look() {
  // The notice first: what is written behind it is seen by the next look at the latest.
  const auto notice = read_one(storage_, partition_, pipeline_detail::notice_key);
  if (!notice) return fail(notice.error());
  const auto revision = *notice ? (*notice)->revision : absent;
  const bool all = notice_ != revision;
  if (!all && !faulty()) return {};
  auto records = changed(all);
  if (!records) return fail(std::move(records).error());
  Look found{seen_, {}};
  if (auto taken = take(*records, found); !taken) return taken;
  const auto fresh = found.fresh_faults;
  swap(std::move(found), revision);
  tell(fresh);
  return {};
}

/// The records that are not what they were, or were not good; where the notice is the same, the latter alone.
Result<std::vector<Record>> TemplateSource::State::changed(bool all) {
  std::vector<Record> records;
  const auto add = [&](Record record) {
    const auto known =
        seen_.find(std::string_view(record.key).substr(pipeline_detail::template_prefix.size()));
    if (known == seen_.end() || known->second.revision != record.revision || !known->second.faults.empty())
      records.push_back(std::move(record));
  };
  std::string cursor;
  while (all) {
    auto page = storage_.scan(partition_, pipeline_detail::template_prefix, cursor, limits::page_records);
    if (!page) return fail(std::move(page).error());
    for (auto& record : page->records) add(std::move(record));
    cursor = page->cursor;
    if (cursor.empty()) return records;
  }
  std::vector<std::string> keys;
  for (const auto& [id, seen] : seen_) {
    if (!seen.faults.empty()) keys.push_back(pipeline_detail::template_key(id));
  }
  std::vector<RecordRef> refs;
  for (const auto& key : keys) refs.push_back({partition_, key});
  auto read = storage_.read(refs);
  if (!read) return fail(std::move(read).error());
  for (auto& record : read->records) {
    if (record) add(*std::move(record));
  }
  return records;
}

Result<void> TemplateSource::State::take(const std::vector<Record>& records, Look& look) {
  TemplateLoader loader(storage_, partition_, registry_, &catalog_, true);
  std::vector<TemplateLoader::Name> names;
  std::vector<std::pair<const Record*, std::optional<TemplateRecord>>> decoded;
  for (const auto& stored : records) {
    const auto id = stored.key.substr(pipeline_detail::template_prefix.size());
    auto record = pipeline_detail::decode_template(stored);
    auto& seen = look.seen[id];
    if (record) {
      for (auto& name : missing(seen, *record)) names.push_back(std::move(name));
      decoded.emplace_back(&stored, *std::move(record));
      continue;
    }
    const TemplateFault fault{id, {}, record.error()};
    if (std::find(seen.faults.begin(), seen.faults.end(), fault) == seen.faults.end())
      look.fresh_faults.push_back(fault);
    seen.faults = {fault};
    seen.revision = stored.revision;
  }
  // A row that the storage cannot read is no reason to do without the others: each is then read by itself.
  if (auto fetched = loader.fetch(names);
      !fetched && retry_advice(fetched.error().code) != RetryAdvice::give_up)
    return fetched;
  for (const auto& [stored, record] : decoded) {
    auto& seen = look.seen[record->id];
    auto found = next(seen, *record, loader);
    if (!found) return fail(std::move(found).error());
    for (const auto& fault : found->faults) {
      if (std::find(seen.faults.begin(), seen.faults.end(), fault) == seen.faults.end())
        look.fresh_faults.push_back(fault);
    }
    seen = *std::move(found);
    seen.revision = stored->revision;
  }
  return {};
}

std::vector<TemplateLoader::Name> TemplateSource::State::missing(const Seen& before,
                                                                 const TemplateRecord& record) {
  std::vector<TemplateLoader::Name> names;
  for (const auto& version : {record.active, record.canary}) {
    if (!version.empty() && !good(before.live.get(), version)) names.emplace_back(record.id, version);
  }
  return names;
}

/// Empty where the version has a fault, which is then told.
Result<std::optional<Plan>> TemplateSource::State::plan_for(const Seen& before, const TemplateRecord& record,
                                                            const std::string& version,
                                                            TemplateLoader& loader,
                                                            std::vector<TemplateFault>& faults) {
  if (version.empty()) return std::optional<Plan>();
  if (auto known = good(before.live.get(), version)) return known;
  std::vector<Diagnostic> diagnostics;
  auto plan = loader.load(record.id, version, &diagnostics);
  if (plan) return std::optional(*std::move(plan));
  // A storage that is away says nothing of a template: the whole look is done again.
  if (retry_advice(plan.error().code) != RetryAdvice::give_up) return fail(std::move(plan).error());
  faults.push_back({record.id, version, plan.error(), std::move(diagnostics)});
  return std::optional<Plan>();
}

Result<TemplateSource::State::Seen> TemplateSource::State::next(const Seen& before,
                                                                const TemplateRecord& record,
                                                                TemplateLoader& loader) {
  Seen after;
  Live live;
  auto active = plan_for(before, record, record.active, loader, after.faults);
  if (!active) return fail(std::move(active).error());
  if (!*active && !record.active.empty()) {
    if (before.live != nullptr) {
      after.live = before.live;
      return after;
    }
    std::vector<TemplateFault> of_previous;
    auto previous = plan_for(before, record, record.previous, loader, of_previous);
    if (!previous) return fail(std::move(previous).error());
    active = std::move(previous);
  }
  live.active = *std::move(active);
  auto canary = plan_for(before, record, record.canary, loader, after.faults);
  if (!canary) return fail(std::move(canary).error());
  live.canary = *std::move(canary);
  live.canary_percent = live.canary ? record.canary_percent : 0;
  if (before.live != nullptr && is_same(*before.live, live)) {
    after.live = before.live;
  } else if (live.active) {
    after.live = std::make_shared<const Live>(std::move(live));
  }
  return after;
}

void TemplateSource::State::swap(Look look, Revision notice) {
  auto map = std::make_shared<LiveMap>();
  std::vector<TemplateFault> faults;
  for (const auto& [id, seen] : look.seen) {
    if (seen.live != nullptr) map->emplace(id, seen.live);
    for (const auto& fault : seen.faults) {
      if (faults.size() < most_faults) faults.push_back(fault);
    }
  }
  seen_ = std::move(look.seen);
  notice_ = notice;
  const std::lock_guard lock(mutex_);
  if (live_ == nullptr || *live_ != *map) {
    live_ = std::move(map);
    ++swaps_;
  }
  faults_ = std::move(faults);
  // What was not there may be now.
  unknown_.clear();
  run_faults_.clear();
}

void TemplateSource::State::tell(const std::vector<TemplateFault>& faults) {
  std::function<void(const TemplateFault&)> callback;
  {
    const std::lock_guard lock(mutex_);
    callback = callback_;
  }
  if (!callback) return;
  for (const auto& fault : faults) callback(fault);
}

Result<Plan> TemplateSource::State::for_key(std::string_view id, std::string_view key,
                                            std::string_view partition) const {
  std::shared_ptr<const LiveMap> map;
  {
    const std::lock_guard lock(mutex_);
    map = live_;
  }
  if (map == nullptr)
    return fail(ErrorCode::unavailable, "the templates were not read yet: call reload() first");
  const auto found = map->find(id);
  if (found == map->end())
    return fail(ErrorCode::not_found, fmt::format("no version of the template \"{}\" is live", id));
  const auto& live = *found->second;
  const bool early = live.canary && pipeline_detail::in_canary(id, partition, key, live.canary_percent);
  return early ? *live.canary : *live.active;
}

std::optional<Plan> TemplateSource::State::plan_of(std::string_view id, std::string_view version,
                                                   std::string_view sha256) {
  const auto name = fmt::format("{}/{}", id, version);
  {
    const std::lock_guard lock(mutex_);
    const auto known = live_ == nullptr ? LiveMap::const_iterator() : live_->find(id);
    if (live_ != nullptr && known != live_->end()) {
      auto plan = good(known->second.get(), version);
      if (plan && plan->sha256().starts_with(sha256)) return plan;
    }
    // Every run of a page asks; what is not there is not looked for again at once.
    const auto asked = unknown_.find(name);
    if (asked != unknown_.end() && Steady::now() - asked->second < options_.poll) return std::nullopt;
  }
  TemplateLoader loader(storage_, partition_, registry_, &catalog_, true);
  std::vector<Diagnostic> diagnostics;
  auto plan = loader.load(id, version, &diagnostics);
  if (plan && plan->sha256().starts_with(sha256)) return *std::move(plan);
  std::optional<TemplateFault> fault;
  if (!plan && plan.error().code != ErrorCode::not_found)
    fault = TemplateFault{std::string(id), std::string(version), plan.error(), std::move(diagnostics)};
  {
    const std::lock_guard lock(mutex_);
    if (unknown_.size() >= most_unknown) unknown_.clear();
    unknown_.insert_or_assign(name, Steady::now());
    if (fault && std::find(run_faults_.begin(), run_faults_.end(), *fault) != run_faults_.end())
      fault.reset();
    if (fault && run_faults_.size() < most_faults) run_faults_.push_back(*fault);
  }
  if (fault) tell({*fault});
  return std::nullopt;
}

TemplateStatus TemplateSource::State::status() const {
  const std::lock_guard lock(mutex_);
  TemplateStatus status{live_ == nullptr ? 0 : live_->size(), swaps_, {}, storage_error_, faults_};
  if (last_look_) status.age = std::chrono::duration_cast<Duration>(Steady::now() - *last_look_);
  for (const auto& fault : run_faults_) {
    const bool known = std::find(status.faults.begin(), status.faults.end(), fault) != status.faults.end();
    if (!known && status.faults.size() < most_faults) status.faults.push_back(fault);
  }
  return status;
}

void TemplateSource::State::poll_until(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    // A look that fails is told by status(); the next one is due all the same.
    (void)reload();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, options_.poll, [] { return false; });
  }
}

TemplateSource::TemplateSource(Storage& storage, const StepRegistry& registry, PlanCatalog& catalog,
                               TemplateSourceOptions options)
    : state_(std::make_shared<State>(storage, registry, catalog, std::move(options))) {
  catalog.ask(state_);
}
TemplateSource::~TemplateSource() { stop(); }

Result<void> TemplateSource::reload() { return state_->reload(); }

void TemplateSource::start() {
  const std::lock_guard lock(state_->thread_mutex);
  if (state_->thread.joinable()) return;
  state_->thread =
      std::jthread([state = state_.get()](const std::stop_token& stop) { state->poll_until(stop); });
}
void TemplateSource::stop() {
  std::jthread ended;
  const std::lock_guard lock(state_->thread_mutex);
  ended.swap(state_->thread);
}

Result<Plan> TemplateSource::for_key(std::string_view id, std::string_view key,
                                     std::string_view partition) const {
  return state_->for_key(id, key, partition);
}
TemplateStatus TemplateSource::status() const { return state_->status(); }
void TemplateSource::on_fault(std::function<void(const TemplateFault&)> callback) {
  state_->on_fault(std::move(callback));
}

}  // namespace onceward
