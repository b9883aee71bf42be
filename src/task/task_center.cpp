#include <onceward/task/task_center.hpp>

#include "task/reporter.hpp"

#include <algorithm>

namespace onceward {

using task_detail::look_at;
using task_detail::Merchants;
using task_detail::PendingEvent;
using task_detail::Reporter;

struct TaskCenter::State {
  Storage& storage;
  PlanCatalog& catalog;
  Runner& runner;
  TaskCenterOptions options;
  Merchants merchants{};
};

namespace {

constexpr std::size_t events_at_once = 1024;

}  // namespace

TaskCenter::TaskCenter(Storage& storage, PlanCatalog& catalog, Runner& runner, TaskCenterOptions options)
    : state_(new State{storage, catalog, runner, options}) {}

TaskCenter::~TaskCenter() = default;

Result<void> TaskCenter::publish(const Campaign& campaign) {
  auto compiled = campaign.shared();
  if (auto stored = task_detail::store_versions(state_->storage, *compiled); !stored) return stored;
  for (const auto& plan : compiled->plans) {
    if (auto added = state_->catalog.add(plan); !added) return added;
  }
  state_->merchants.put(std::move(compiled));
  return {};
}

Result<Receipt> TaskCenter::report(const Event& event) { return std::move(report_many({&event, 1}).front()); }

std::vector<Result<Receipt>> TaskCenter::report_many(std::span<const Event> events) {
  std::vector<Result<Receipt>> answers(events.size());
  for (std::size_t first = 0; first < events.size(); first += events_at_once) {
    const auto some = events.subspan(first, std::min(events_at_once, events.size() - first));
    const auto places = std::span(answers).subspan(first, some.size());
    std::vector<PendingEvent> pending;
    pending.reserve(some.size());
    std::shared_ptr<const task_detail::MerchantIndex> merchant;
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (i == 0 || some[i].merchant != some[i - 1].merchant)
        merchant = state_->merchants.find(some[i].merchant);
      auto looked = look_at(some[i], i, merchant);
      if (looked) {
        pending.push_back(*std::move(looked));
      } else {
        places[i] = fail(std::move(looked).error());
      }
    }
    Reporter(state_->storage, state_->runner, state_->options).report(std::move(pending), places);
  }
  return answers;
}

Result<std::optional<InstanceView>> TaskCenter::instance(std::string_view merchant, std::string_view user,
                                                         std::string_view task, std::string_view cycle) {
  const auto partition = task_detail::user_partition(merchant, user);
  auto record = read_one(state_->storage, partition, task_detail::instance_key(task, cycle));
  if (!record) return fail(std::move(record).error());
  if (!*record) return std::optional<InstanceView>();
  auto instance = task_detail::decode_instance(**record);
  if (!instance) return fail(std::move(instance).error());
  return std::optional(InstanceView{std::string(task), instance->version, std::string(cycle),
                                    instance->progress, instance->reached});
}

Result<WorkReport> TaskCenter::work(std::size_t limit) {
  // A page may hold runs as well, which are the runner's; a full page is asked for, so that they hide no
  // unit.
  const auto due = state_->storage.due({}, limits::page_records);
  if (!due) return fail(due.error());
  std::vector<task_detail::WaitingUnit> units;
  for (const auto& entry : due->entries) {
    if (units.size() == limit || !entry.record.key.starts_with(task_detail::unit_prefix)) continue;
    auto unit = task_detail::decode_unit(entry.record);
    if (!unit) return fail(std::move(unit).error());
    auto merchant = state_->merchants.find(unit->grant.merchant);
    units.push_back({units.size(), 0, entry.partition, entry.record.key, entry.record.revision,
                     *std::move(unit), std::move(merchant)});
  }
  Reporter reporter(state_->storage, state_->runner, state_->options);
  std::vector<task_detail::WaitingRun> runs;
  if (auto taken = reporter.take_units(units, runs, {}); !taken) return fail(std::move(taken).error());
  const auto own = runs.size();
  if (auto driven = reporter.drive(runs, {}); !driven) return fail(std::move(driven).error());
  auto report = state_->runner.work(limit);
  if (report) report->taken += own;
  return report;
}

}  // namespace onceward
