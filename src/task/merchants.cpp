#include "task/merchants.hpp"

#include "task/records.hpp"

#include <fmt/format.h>

namespace onceward::task_detail {
namespace {

constexpr int most_rounds = 16;

struct Version {
  std::string what;
  std::string key;
  std::string content;
};

std::vector<Version> versions_of(const CompiledCampaign& campaign) {
  std::vector<Version> versions;
  for (const auto& task : campaign.tasks) {
    const auto& definition = *task.definition;
    versions.push_back({fmt::format("task \"{}\" version \"{}\"", definition.id, definition.version),
                        fmt::format("task/{}/{}", definition.id, definition.version),
                        canonical(definition, campaign.definition.timezone)});
  }
  for (const auto& plan : campaign.plans) {
    const auto& definition = plan.definition();
    versions.push_back({fmt::format("pipeline \"{}\" version \"{}\"", definition.id, definition.version),
                        fmt::format("pipeline/{}/{}", definition.id, definition.version), plan.sha256()});
  }
  return versions;
}

std::shared_ptr<const MerchantIndex> build(std::vector<std::shared_ptr<const CompiledCampaign>> campaigns) {
  auto index = std::make_shared<MerchantIndex>();
  index->campaigns = std::move(campaigns);
  const auto& current = *index->campaigns.back();
  for (const auto& task : current.tasks) {
    index->versions[task.definition->id].insert_or_assign(task.definition->version,
                                                          MerchantIndex::Version{&current, &task});
    index->current.insert_or_assign(task.definition->id, &task);
  }
  std::vector<std::shared_ptr<const CompiledCampaign>> used;
  for (std::size_t i = index->campaigns.size(); i-- > 0;) {
    const auto& campaign = *index->campaigns[i];
    bool stands_for_one = &campaign == &current;
    for (const auto& task : campaign.tasks) {
      // The newest campaign that holds a version stands for it, also of a task that is in force no more: its
      // rewards can still be collected.
      const auto [known, fresh] = index->versions[task.definition->id].try_emplace(
          task.definition->version, MerchantIndex::Version{&campaign, &task});
      if (known->second.task != &task) continue;
      stands_for_one = true;
      if (index->in_force(task.definition->id) == nullptr) continue;
      for (std::size_t rule = 0; rule < task.rules.size(); ++rule) {
        index->by_event[task.definition->rules[rule].event].push_back(
            {&campaign, &task, rule, &campaign == &current});
      }
    }
    if (stands_for_one) used.insert(used.begin(), index->campaigns[i]);
  }
  index->campaigns = std::move(used);
  return index;
}

}  // namespace

const CompiledTask* MerchantIndex::find(std::string_view task, std::string_view version) const {
  return entry_of(task, version).task;
}

IndexEntry MerchantIndex::entry_of(std::string_view task, std::string_view version) const {
  const auto known = versions.find(task);
  if (known == versions.end()) return {nullptr, nullptr, 0, false};
  const auto found = known->second.find(version);
  if (found == known->second.end()) return {nullptr, nullptr, 0, false};
  return {found->second.campaign, found->second.task, 0, found->second.task == in_force(task)};
}

const CompiledTask* MerchantIndex::in_force(std::string_view task) const {
  const auto found = current.find(task);
  return found == current.end() ? nullptr : found->second;
}

std::shared_ptr<const MerchantIndex> Merchants::find(std::string_view merchant) const {
  const std::lock_guard lock(mutex_);
  const auto known = indices_.find(merchant);
  return known == indices_.end() ? nullptr : known->second;
}

void Merchants::put(std::shared_ptr<const CompiledCampaign> campaign) {
  const std::lock_guard lock(mutex_);
  auto& index = indices_[campaign->definition.merchant];
  auto campaigns =
      index == nullptr ? std::vector<std::shared_ptr<const CompiledCampaign>>() : index->campaigns;
  campaigns.push_back(std::move(campaign));
  index = build(std::move(campaigns));
}

Result<void> store_versions(Storage& storage, const CompiledCampaign& campaign) {
  const auto partition = definitions_partition(campaign.definition.merchant);
  const auto versions = versions_of(campaign);
  for (int round = 0; round < most_rounds; ++round) {
    std::vector<RecordRef> refs;
    for (const auto& version : versions) refs.push_back({partition, version.key});
    const auto stored = storage.read(refs);
    if (!stored) return fail(stored.error());
    std::vector<Batch> missing;
    for (std::size_t i = 0; i < versions.size(); ++i) {
      const auto& record = stored->records[i];
      if (!record) {
        missing.push_back({partition, {Operation::insert(versions[i].key, versions[i].content)}});
      } else if (record->value != versions[i].content) {
        return fail(
            ErrorCode::conflict,
            fmt::format("{} of merchant \"{}\" was published with another content; a version never changes: "
                        "give the changed one another version",
                        versions[i].what, campaign.definition.merchant));
      }
    }
    if (missing.empty()) return {};
    missing.resize(std::min(missing.size(), limits::span_batches));
    // Where another publisher was faster, the next round compares with what it wrote.
    if (const auto written = storage.commit(missing); !written) return fail(written.error());
  }
  return fail(ErrorCode::conflict,
              fmt::format("the versions of merchant \"{}\" change all the time; publish again later",
                          campaign.definition.merchant));
}

}  // namespace onceward::task_detail
