#include "task/merchants.hpp"

#include "task/chores.hpp"
#include "task/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace onceward::task_detail {
namespace {

constexpr int most_rounds = 16;

constexpr std::string_view source_prefix = "source/";

struct Version {
  std::string what;
  std::string key;
  std::string content;
  std::string source_key{};  ///< of a task
  std::string source{};
};

/// The task alone with the pipelines it rewards with: it compiles by itself.
std::string source_of(const CampaignDefinition& campaign, const TaskDefinition& task) {
  CampaignDefinition source{campaign.merchant, campaign.timezone, {task}};
  for (const auto& pipeline : campaign.pipelines) {
    const bool used = std::any_of(task.stages.begin(), task.stages.end(), [&](const StageDefinition& stage) {
      return stage.pipeline == pipeline.id || stage.take_back == pipeline.id;
    });
    if (used) source.pipelines.push_back(pipeline);
  }
  return to_xml(source);
}

std::vector<Version> versions_of(const CompiledCampaign& campaign) {
  std::vector<Version> versions;
  for (const auto& task : campaign.tasks) {
    const auto& definition = *task.definition;
    versions.push_back({fmt::format("task \"{}\" version \"{}\"", definition.id, definition.version),
                        fmt::format("task/{}/{}", definition.id, definition.version),
                        canonical(definition, campaign.definition.timezone),
                        fmt::format("{}{}/{}", source_prefix, definition.id, definition.version),
                        source_of(campaign.definition, definition)});
  }
  for (const auto& plan : campaign.plans) {
    const auto& definition = plan.definition();
    versions.push_back({fmt::format("pipeline \"{}\" version \"{}\"", definition.id, definition.version),
                        fmt::format("pipeline/{}/{}", definition.id, definition.version), plan.sha256()});
  }
  return versions;
}

std::shared_ptr<const MerchantIndex> build(Campaigns campaigns) {
  auto index = std::make_shared<MerchantIndex>();
  index->campaigns = std::move(campaigns);
  const auto& current = *index->campaigns.back();
  for (const auto& task : current.tasks) {
    index->versions[task.definition->id].insert_or_assign(task.definition->version,
                                                          MerchantIndex::Version{&current, &task});
    index->current.insert_or_assign(task.definition->id, &task);
  }
  Campaigns used;
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

const std::map<std::string, MerchantIndex::Version, std::less<>>* MerchantIndex::versions_of(
    std::string_view task) const {
  const auto known = versions.find(task);
  return known == versions.end() ? nullptr : &known->second;
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

void Merchants::put(std::shared_ptr<const CompiledCampaign> campaign, Campaigns known) {
  const std::lock_guard lock(mutex_);
  auto& index = indices_[campaign->definition.merchant];
  auto campaigns = std::move(known);
  if (index != nullptr) campaigns.insert(campaigns.end(), index->campaigns.begin(), index->campaigns.end());
  // Put in force again it stands once: twice, each of its rules would count an event twice.
  std::erase(campaigns, campaign);
  campaigns.push_back(std::move(campaign));
  index = build(std::move(campaigns));
}

namespace {

/// What is to be written of a version; nothing where it stands as it should.
std::vector<Operation> missing_of(const Version& version, const std::optional<Record>& content,
                                  const std::optional<Record>& source) {
  std::vector<Operation> operations;
  if (!content) operations.push_back(Operation::insert(version.key, version.content));
  if (version.source_key.empty()) return operations;
  if (!source) {
    operations.push_back(Operation::insert(version.source_key, version.source));
  } else if (source->value != version.source) {
    operations.push_back(Operation::replace(version.source_key, source->revision, version.source));
  }
  return operations;
}

}  // namespace

Result<std::vector<Batch>> missing_versions(Storage& storage, const CompiledCampaign& campaign) {
  const auto partition = definitions_partition(campaign.definition.merchant);
  const auto versions = versions_of(campaign);
  std::vector<RecordRef> refs;
  for (const auto& version : versions) {
    if (version.source.size() > limits::value_bytes) {
      return fail(
          ErrorCode::limit_exceeded,
          fmt::format("{} of merchant \"{}\" has {} bytes as XML with its pipelines, at most {} are kept",
                      version.what, campaign.definition.merchant, version.source.size(),
                      limits::value_bytes));
    }
    refs.push_back({partition, version.key});
  }
  for (const auto& version : versions) {
    if (!version.source_key.empty()) refs.push_back({partition, version.source_key});
  }
  const auto stored = read_all(storage, refs);
  if (!stored) return fail(stored.error());
  std::vector<Batch> missing;
  std::size_t source = versions.size();
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const auto& record = (*stored)[i];
    if (record && record->value != versions[i].content) {
      return fail(
          ErrorCode::conflict,
          fmt::format("{} of merchant \"{}\" was published with another content; a version never changes: "
                      "give the changed one another version",
                      versions[i].what, campaign.definition.merchant));
    }
    auto operations = versions[i].source_key.empty() ? missing_of(versions[i], record, std::nullopt)
                                                     : missing_of(versions[i], record, (*stored)[source++]);
    if (!operations.empty()) missing.push_back({partition, std::move(operations)});
  }
  return missing;
}

Result<void> store_versions(Storage& storage, const CompiledCampaign& campaign) {
  for (int round = 0; round < most_rounds; ++round) {
    auto missing = missing_versions(storage, campaign);
    if (!missing) return fail(std::move(missing).error());
    if (missing->empty()) return {};
    missing->resize(std::min(missing->size(), limits::span_batches));
    // Where another publisher was faster, the next round compares with what it wrote.
    if (const auto written = storage.commit(*missing); !written) return fail(written.error());
  }
  return fail(ErrorCode::conflict,
              fmt::format("the versions of merchant \"{}\" change all the time; publish again later",
                          campaign.definition.merchant));
}

bool goes_on_as(const CompiledTask& from, const CompiledTask& to) noexcept {
  return from.measure == to.measure && from.rules.front().streak == to.rules.front().streak &&
         from.stages.size() <= to.stages.size();
}

Result<void> check_updates(const CompiledCampaign& campaign, const MerchantIndex* index,
                           const Campaigns& earlier) {
  for (const auto& to : campaign.tasks) {
    const auto& definition = *to.definition;
    if (definition.on_update != OnUpdate::migrate) continue;
    const auto refuse = [&](const CompiledTask& from) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("task \"{}\" version \"{}\" of merchant \"{}\" takes over users of version \"{}\", "
                      "which has {}; keep its stages and what it counts, or write on-update=\"pin\"",
                      definition.id, definition.version, campaign.definition.merchant,
                      from.definition->version,
                      from.stages.size() > to.stages.size() ? "more stages" : "another measure"));
    };
    const auto known = index == nullptr ? nullptr : index->versions_of(definition.id);
    if (known != nullptr) {
      for (const auto& [version, from] : *known) {
        if (version != definition.version && !goes_on_as(*from.task, to)) return refuse(*from.task);
      }
    }
    for (const auto& other : earlier) {
      const auto& from = other->tasks.front();
      if (from.definition->id == definition.id && !goes_on_as(from, to)) return refuse(from);
    }
  }
  return {};
}

namespace {

Result<Campaign> compile_source(const Record& record, const StepRegistry& registry) {
  auto definition = parse_campaign_xml(record.value, record.key);
  if (!definition) return fail(std::move(definition).error());
  // Nobody takes it any more, so what came before it does not matter.
  for (auto& task : definition->tasks) task.after.clear();
  return Campaign::compile(*definition, registry, record.key);
}

}  // namespace

Result<Campaigns> earlier_versions(Storage& storage, const CompiledCampaign& campaign,
                                   const MerchantIndex* index, std::vector<UnknownVersion>& unknown) {
  Campaigns earlier;
  const auto partition = definitions_partition(campaign.definition.merchant);
  const auto known = [&](std::string_view task, std::string_view version) {
    const auto& tasks = campaign.definition.tasks;
    return (index != nullptr && index->find(task, version) != nullptr) ||
           std::any_of(tasks.begin(), tasks.end(), [&](const TaskDefinition& definition) {
             return definition.id == task && definition.version == version;
           });
  };
  for (std::string cursor;;) {
    const auto page = storage.scan(partition, source_prefix, cursor, limits::page_records);
    if (!page) return fail(page.error());
    for (const auto& record : page->records) {
      const auto name = std::string_view(record.key).substr(source_prefix.size());
      const auto slash = name.find('/');
      if (slash == std::string_view::npos || known(name.substr(0, slash), name.substr(slash + 1))) continue;
      auto compiled = compile_source(record, *campaign.registry);
      if (compiled) {
        earlier.push_back(compiled->shared());
      } else {
        unknown.push_back({std::string(name), std::move(compiled).error().message});
      }
    }
    cursor = page->cursor;
    if (cursor.empty()) return earlier;
  }
}

}  // namespace onceward::task_detail
