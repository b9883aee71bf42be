#include <onceward/storage/partitions.hpp>
#include <onceward/storage/sharded.hpp>

#include "storage/decorators/lift.hpp"
#include "storage/decorators/members.hpp"
#include "storage/decorators/membership.hpp"
#include "storage/due_page.hpp"

#include <array>
#include <charconv>

namespace onceward {
namespace {

using storage_detail::after_applied;
using storage_detail::of_member;

class ShardedStorage final : public Storage, public PartitionLister {
 public:
  ShardedStorage(std::vector<StorageMember> members, std::vector<storage_detail::Lift> lifts)
      : members_(std::move(members)), lifts_(std::move(lifts)) {
    for (const auto& member : members_) hashes_.push_back(stable_hash(member.name));
  }

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    const auto parts = split(batches);
    if (!parts) return fail(parts.error());
    CommitAnswer answer{Timestamp::max(), {}};
    // Most calls go to one member: nothing is copied then.
    const auto alone = only_part(*parts);
    if (alone) return answer_of(*alone, members_[*alone].storage->commit(batches));
    answer.batches.resize(batches.size());
    bool applied = false;
    for (std::size_t member = 0; member < parts->size(); ++member) {
      const auto& part = (*parts)[member];
      if (part.empty()) continue;
      std::vector<Batch> own;
      own.reserve(part.size());
      for (const auto place : part) own.push_back(batches[place]);
      auto answered = answer_of(member, members_[member].storage->commit(own));
      if (!answered && applied) return fail(after_applied(std::move(answered).error()));
      if (!answered) return answered;
      applied = applied || storage_detail::any_applied(*answered);
      answer.now = std::min(answer.now, answered->now);
      for (std::size_t i = 0; i < part.size(); ++i) answer.batches[part[i]] = std::move(answered->batches[i]);
    }
    return answer;
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    const auto parts = split(records);
    if (!parts) return fail(parts.error());
    const auto alone = only_part(*parts);
    if (alone) return answer_of(*alone, members_[*alone].storage->read(records));
    ReadAnswer answer{Timestamp::max(), {}};
    answer.records.resize(records.size());
    for (std::size_t member = 0; member < parts->size(); ++member) {
      const auto& part = (*parts)[member];
      if (part.empty()) continue;
      std::vector<RecordRef> own;
      own.reserve(part.size());
      for (const auto place : part) own.push_back(records[place]);
      auto answered = answer_of(member, members_[member].storage->read(own));
      if (!answered) return answered;
      answer.now = std::min(answer.now, answered->now);
      for (std::size_t i = 0; i < part.size(); ++i) answer.records[part[i]] = std::move(answered->records[i]);
    }
    return answer;
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked)
      return fail(std::move(checked).error());
    if (auto checked = check_partition(partition); !checked) return fail(std::move(checked).error());
    const auto member = member_of(partition);
    return answer_of(member, members_[member].storage->scan(partition, prefix, cursor, limit));
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shard_count()); !checked)
      return fail(std::move(checked).error());
    DuePage page{Timestamp::max(), {}, {}};
    for (std::size_t member = 0; member < members_.size(); ++member) {
      auto part = answer_of(member, members_[member].storage->due(shards, limit));
      if (!part) return part;
      page.now = std::min(page.now, part->now);
      if (part->next && (!page.next || *part->next < *page.next)) page.next = part->next;
      std::move(part->entries.begin(), part->entries.end(), std::back_inserter(page.entries));
    }
    storage_detail::order_due_page(page, limit);
    return page;
  }

  /// Member after member: the cursor is "<index of the member>:<its cursor>".
  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    std::size_t member = 0;
    const auto [end, error] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), member);
    const auto digits = static_cast<std::size_t>(end - cursor.data());
    if (!cursor.empty() && (error != std::errc() || member >= members_.size() || digits == cursor.size() ||
                            cursor[digits] != ':')) {
      return fail(ErrorCode::invalid_argument, "this cursor is not of a list of partitions");
    }
    if (!cursor.empty()) cursor.remove_prefix(digits + 1);
    auto page = list_partitions(*members_[member].storage, cursor, limit);
    if (!page) return fail(of_member(members_[member].name, std::move(page).error()));
    std::erase(page->partitions, storage_detail::members_partition);
    if (page->cursor.empty()) ++member;
    if (member < members_.size()) page->cursor = fmt::format("{}:{}", member, page->cursor);
    return page;
  }

  [[nodiscard]] Shard shard_count() const noexcept override {
    return members_.front().storage->shard_count();
  }

 private:
  /// The places of each member's part, in order.
  using Parts = std::vector<std::vector<std::size_t>>;

  [[nodiscard]] std::size_t member_of(std::string_view partition) const noexcept {
    return storage_detail::rendezvous(hashes_, partition);
  }

  static Result<void> check_partition(std::string_view partition) {
    if (partition != storage_detail::members_partition) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("the partition \"{}\" is the storage's own; name another", partition));
  }

  template <class Items>
  Result<Parts> split(const Items& items) const {
    Parts parts(members_.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (auto checked = check_partition(items[i].partition); !checked)
        return fail(std::move(checked).error());
      parts[member_of(items[i].partition)].push_back(i);
    }
    return parts;
  }

  /// The member that has everything; the first one where there is nothing.
  static std::optional<std::size_t> only_part(const Parts& parts) {
    std::optional<std::size_t> only;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].empty()) continue;
      if (only) return std::nullopt;
      only = i;
    }
    return only.value_or(0);
  }

  /// The answer of a member, in the time of all; its error with its name.
  template <class Answer>
  [[nodiscard]] Result<Answer> answer_of(std::size_t member, Result<Answer> answer) const {
    if (!answer) return fail(of_member(members_[member].name, std::move(answer).error()));
    lifts_[member].apply(*answer);
    return answer;
  }

  std::vector<StorageMember> members_;  ///< in the order of their names
  std::vector<storage_detail::Lift> lifts_;
  std::vector<std::uint64_t> hashes_;  ///< of their names
};

}  // namespace

Result<std::unique_ptr<Storage>> open_sharded(std::vector<StorageMember> members) {
  if (members.empty() || members.size() > most_sharded_members) {
    return fail(ErrorCode::invalid_argument, fmt::format("a sharded storage of {} members; give it 1 to {}",
                                                         members.size(), most_sharded_members));
  }
  if (auto checked = storage_detail::check_members(members); !checked)
    return fail(std::move(checked).error());
  std::sort(members.begin(), members.end(),
            [](const StorageMember& a, const StorageMember& b) { return a.name < b.name; });
  if (auto settled = storage_detail::settle_membership(members); !settled)
    return fail(std::move(settled).error());
  auto lifts = storage_detail::measure_lifts(members);
  if (!lifts) return fail(std::move(lifts).error());
  return std::unique_ptr<Storage>(std::make_unique<ShardedStorage>(std::move(members), *std::move(lifts)));
}

}  // namespace onceward
