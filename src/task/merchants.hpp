#pragma once
#include <onceward/storage/storage.hpp>

#include "task/compiled.hpp"

#include <map>
#include <memory>
#include <mutex>

namespace onceward::task_detail {

using Campaigns = std::vector<std::shared_ptr<const CompiledCampaign>>;

/// A rule that may count an event type: of the version in force, or of an older one some instances are pinned
/// to.
struct IndexEntry {
  const CompiledCampaign* campaign;
  const CompiledTask* task;
  std::size_t rule;
  bool in_force;

  /// The task's own zone, or its campaign's.
  [[nodiscard]] const Zone& zone() const noexcept {
    return task->own_zone ? *task->own_zone : campaign->zone;
  }
};

/// What one merchant has in force: immutable, replaced whole by the next publish.
struct MerchantIndex {
  Campaigns campaigns;  ///< the last one is in force
  ByName<std::vector<IndexEntry>> by_event;
  ByName<const CompiledTask*> current;  ///< of the campaign in force
  struct Version {
    const CompiledCampaign* campaign;
    const CompiledTask* task;
  };
  ByName<std::map<std::string, Version, std::less<>>> versions;  ///< task id -> version -> task

  /// Null where no campaign put in force here had that version.
  [[nodiscard]] const CompiledTask* find(std::string_view task, std::string_view version) const;
  /// The same with its campaign, for what is done to an instance of it.
  [[nodiscard]] IndexEntry entry_of(std::string_view task, std::string_view version) const;
  /// Every version known of a task; null: none.
  [[nodiscard]] const std::map<std::string, Version, std::less<>>* versions_of(std::string_view task) const;
  /// Of the campaign in force; null where it has no such task.
  [[nodiscard]] const CompiledTask* in_force(std::string_view task) const;
  [[nodiscard]] const CompiledCampaign& campaign() const noexcept { return *campaigns.back(); }
};

/// The merchants of a task centre. Safe from any thread.
class Merchants {
 public:
  /// Null where the merchant has published nothing.
  [[nodiscard]] std::shared_ptr<const MerchantIndex> find(std::string_view merchant) const;
  /// Puts a campaign in force; tasks it no longer has stop to count, versions it replaces go on for their
  /// instances, as those that are only `known` do.
  void put(std::shared_ptr<const CompiledCampaign> campaign, Campaigns known = {});

 private:
  mutable std::mutex mutex_;
  ByName<std::shared_ptr<const MerchantIndex>> indices_;
};

/// Stores what each version of the campaign's tasks and pipelines stands for, once and for ever, and each
/// task with the pipelines it was last published with, as XML. Errors: conflict where a version is stored
/// with another content, limit_exceeded where a task's XML is no record, those of the storage.
Result<void> store_versions(Storage& storage, const CompiledCampaign& campaign);
/// What store_versions would write; its errors are told without writing.
Result<std::vector<Batch>> missing_versions(Storage& storage, const CompiledCampaign& campaign);

/// Whether instances of one version can go on with another: it counts the same and keeps the stages.
[[nodiscard]] bool goes_on_as(const CompiledTask& from, const CompiledTask& to) noexcept;
/// Errors: invalid_argument where a task migrates instances that cannot go on with it, of a version in force
/// here (`index`, null: none) or of an earlier one.
Result<void> check_updates(const CompiledCampaign& campaign, const MerchantIndex* index,
                           const Campaigns& earlier);

/// A version that was published before and cannot be known here, such as one with a step that is gone.
struct UnknownVersion {
  std::string name;  ///< "<task>/<version>"
  std::string why;
};
/// What was ever published of the campaign's merchant and is neither part of it nor of `index` (null: none):
/// each a campaign of one task, compiled against the same steps. Errors: those of the storage.
Result<Campaigns> earlier_versions(Storage& storage, const CompiledCampaign& campaign,
                                   const MerchantIndex* index, std::vector<UnknownVersion>& unknown);

}  // namespace onceward::task_detail
