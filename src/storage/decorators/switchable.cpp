#include <onceward/storage/partitions.hpp>
#include <onceward/storage/switchable.hpp>

#include "storage/decorators/switch_commit.hpp"
#include "storage/decorators/switch_core.hpp"
#include "storage/decorators/switch_founding.hpp"
#include "storage/decorators/switch_read.hpp"
#include "storage/reserved.hpp"

#include <deque>

namespace onceward {
namespace {

using storage_detail::is_reserved_key;
using storage_detail::moved_mark;
using storage_detail::other_side;
using storage_detail::Patience;
using storage_detail::primary_of;
using storage_detail::Side;
using storage_detail::SwitchState;

Result<void> check_own(std::string_view partition, std::string_view key, std::string_view value = {}) {
  if (partition != storage_detail::switch_partition && !is_reserved_key(key) &&
      !value.starts_with(moved_mark))
    return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("the partition \"{}\" and what begins with \"{}\" are the storage's own",
                          storage_detail::switch_partition, storage_detail::reserved_key_prefix));
}

class Switchable final : public SwitchableStorage, public PartitionLister {
 public:
  Switchable(const std::vector<StorageMember>& members, std::vector<storage_detail::Lift> lifts,
             const SwitchState& state, const SwitchOptions& options)
      : members_(members),
        core_(members, std::move(lifts), state.origin == members[0].name ? 0 : 1, state.generation, options) {
    next_refresh_ = ticks_now() + options.refresh.count();
  }

  Result<CommitAnswer> commit(std::span<const Batch> batches) override {
    if (auto checked = check_commit(batches); !checked) return fail(std::move(checked).error());
    for (const auto& batch : batches) {
      for (const auto& operation : batch.operations) {
        if (auto checked = check_own(batch.partition, operation.key, operation.value); !checked)
          return fail(std::move(checked).error());
      }
    }
    refresh_in_turn();
    if (!batches.empty()) return storage_detail::switch_commit(core_, batches);
    auto answer = switch_read(core_, {});
    if (!answer) return fail(std::move(answer).error());
    return CommitAnswer{answer->now, {}};
  }

  Result<ReadAnswer> read(std::span<const RecordRef> records) override {
    if (auto checked = check_read(records); !checked) return fail(std::move(checked).error());
    for (const auto& record : records) {
      if (auto checked = check_own(record.partition, record.key); !checked)
        return fail(std::move(checked).error());
    }
    refresh_in_turn();
    return switch_read(core_, records);
  }

  Result<ScanPage> scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                        std::size_t limit) override {
    if (auto checked = check_scan(partition, prefix, cursor, limit); !checked)
      return fail(std::move(checked).error());
    if (auto checked = check_own(partition, {}); !checked) return fail(std::move(checked).error());
    refresh_in_turn();
    return switch_scan(core_, partition, prefix, cursor, limit);
  }

  Result<DuePage> due(std::span<const Shard> shards, std::size_t limit) override {
    if (auto checked = check_due(shards, limit, shard_count()); !checked)
      return fail(std::move(checked).error());
    refresh_in_turn();
    return switch_due(core_, shards, limit);
  }

  [[nodiscard]] Shard shard_count() const noexcept override { return core_.at(0).shard_count(); }

  /// First those of one storage, then those of the other: a partition may be in both lists.
  Result<PartitionPage> partitions(std::string_view cursor, std::size_t limit) override {
    const Side side = cursor.starts_with("1:") ? 1 : 0;
    if (!cursor.empty() && !cursor.starts_with("0:") && !cursor.starts_with("1:"))
      return fail(ErrorCode::invalid_argument, "this cursor is not of a list of partitions");
    auto page = list_partitions(core_.at(side), cursor.substr(cursor.empty() ? 0 : 2), limit);
    if (!page) return fail(core_.named(side, std::move(page).error()));
    std::erase(page->partitions, storage_detail::switch_partition);
    if (!page->cursor.empty()) {
      page->cursor = fmt::format("{}:{}", side, page->cursor);
    } else if (side == 0) {
      page->cursor = "1:";
    }
    return page;
  }

  Result<void> switch_to(std::string_view name) override;
  Result<DrainReport> drain(std::size_t limit) override;
  Result<DrainReport> drain_partition(std::string_view partition, std::size_t limit) override;

  Result<SwitchStatus> status() override {
    if (auto refreshed = refresh(); !refreshed) return fail(std::move(refreshed).error());
    const auto generation = core_.generation();
    const Side primary = primary_of(generation, core_.origin());
    return SwitchStatus{generation, core_.name(primary), core_.name(other_side(primary))};
  }

 private:
  static std::int64_t ticks_now() {
    return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

  Result<void> refresh() {
    for (const Side side : {Side{0}, Side{1}}) {
      const auto state = storage_detail::stored_state(members_, side);
      if (!state) return fail(state.error());
      if (*state) core_.adopt((*state)->generation);
    }
    return {};
  }

  /// One caller now and then asks for all. What cannot be asked is met in the partitions: this only shortens
  /// the time in which an old primary gets new partitions.
  void refresh_in_turn() {
    auto next = next_refresh_.load(std::memory_order_relaxed);
    const auto now = ticks_now();
    if (now < next || !next_refresh_.compare_exchange_strong(next, now + core_.options().refresh.count()))
      return;
    (void)refresh();
  }

  /// Fills the list of partitions to look at. False at the end of the walk.
  Result<bool> more_to_drain(std::int64_t generation);

  std::vector<StorageMember> members_;
  storage_detail::SwitchCore core_;
  std::atomic<std::int64_t> next_refresh_;

  std::mutex draining_;  ///< of what stands below: the walk over the other storage
  std::int64_t drained_generation_ = 0;
  std::deque<std::string> to_drain_;
  std::string drain_cursor_;
  bool walked_ = false;
};

Result<void> Switchable::switch_to(std::string_view name) {
  if (name != members_[0].name && name != members_[1].name) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("there is no storage \"{}\"; there are \"{}\" and \"{}\"", name, members_[0].name,
                            members_[1].name));
  }
  if (auto refreshed = refresh(); !refreshed) return refreshed;
  auto generation = core_.generation();
  const Side primary = primary_of(generation, core_.origin());
  if (core_.name(primary) != name) {
    const auto old_time = core_.at(primary).read({});
    if (!old_time) return fail(core_.named(primary, old_time.error()));
    const auto new_time = core_.at(other_side(primary)).read({});
    if (!new_time) return fail(core_.named(other_side(primary), new_time.error()));
    if (new_time->now + core_.options().clock_wait < old_time->now) {
      return fail(
          ErrorCode::wrong_state,
          fmt::format("the clock of storage \"{}\" is {} us behind that of \"{}\": revisions would not "
                      "grow; set the clock first",
                      name, Duration(old_time->now - new_time->now).count(), core_.name(primary)));
    }
    ++generation;
  }
  const SwitchState state{generation, core_.name(core_.origin()), true};
  auto raised = storage_detail::raise_generation(members_, state);
  // One of the two may know: then the switch takes place, as soon as somebody asks that one.
  if (!raised && retry_advice(raised.error().code) == RetryAdvice::retry)
    raised.error().code = ErrorCode::in_doubt;
  if (!raised) return raised;
  core_.adopt(generation);
  return {};
}

Result<DrainReport> Switchable::drain_partition(std::string_view partition, std::size_t limit) {
  if (auto checked = check_scan(partition, {}, {}, 1); !checked) return fail(std::move(checked).error());
  if (auto checked = check_own(partition, {}); !checked) return fail(std::move(checked).error());
  DrainReport report;
  const Patience patience(core_.options().patience);
  while (!patience.spent()) {
    const auto generation = core_.generation();
    const Side top = primary_of(generation, core_.origin());
    const Side other = other_side(top);
    const auto seen = core_.look(top, partition);
    if (!seen) return fail(seen.error());
    if (core_.learns_from(seen->marker, generation)) continue;
    if (seen->marker.complete(top == core_.origin())) {
      report.done = true;
      return report;
    }
    if (!seen->marker.writable(top == core_.origin())) {
      if (auto opened = core_.open_partition(partition, generation, seen->marker); !opened)
        return fail(std::move(opened).error());
      continue;
    }
    if (report.moved >= limit) return report;
    const auto page = core_.at(other).scan(
        partition, {}, {}, std::min(storage_detail::SwitchCore::moved_at_once, limit - report.moved) + 1);
    if (!page) return fail(core_.named(other, page.error()));
    std::vector<std::string_view> keys;
    for (const auto& record : page->records) {
      if (record.key != storage_detail::marker_key) keys.push_back(record.key);
    }
    if (keys.empty()) {
      if (!page->cursor.empty()) continue;
      if (auto marked = core_.mark_whole(top, partition, seen->marker); !marked)
        return fail(std::move(marked).error());
      continue;
    }
    if (keys.size() > limit - report.moved) keys.resize(limit - report.moved);
    const auto there = core_.look(top, partition, keys);
    if (!there) return fail(there.error());
    const auto here = core_.look(other, partition, keys);
    if (!here) return fail(here.error());
    if (core_.learns_from(there->marker, generation) || core_.learns_from(here->marker, generation)) continue;
    if (!there->marker.writable(top == core_.origin()) ||
        here->marker.state != storage_detail::Marker::State::frozen)
      continue;
    const auto moved = core_.move(top, partition, keys, *there, *here);
    if (!moved) return fail(moved.error());
    report.moved += *moved;
  }
  return fail(Patience::error(partition));
}

Result<bool> Switchable::more_to_drain(std::int64_t generation) {
  if (drained_generation_ != generation) {
    drained_generation_ = generation;
    to_drain_.clear();
    drain_cursor_.clear();
    walked_ = false;
  }
  if (!to_drain_.empty()) return true;
  const Side other = other_side(primary_of(generation, core_.origin()));
  while (to_drain_.empty()) {
    if (walked_) {
      walked_ = false;  // the next call begins again
      return false;
    }
    auto page = list_partitions(core_.at(other), drain_cursor_, limits::page_records);
    if (!page) {
      drain_cursor_.clear();
      return fail(core_.named(other, std::move(page).error()));
    }
    std::erase(page->partitions, storage_detail::switch_partition);
    to_drain_.assign(std::make_move_iterator(page->partitions.begin()),
                     std::make_move_iterator(page->partitions.end()));
    drain_cursor_ = std::move(page->cursor);
    walked_ = drain_cursor_.empty();
  }
  return true;
}

Result<DrainReport> Switchable::drain(std::size_t limit) {
  if (limit == 0) return fail(ErrorCode::invalid_argument, "draining 0 records; ask for 1 or more");
  const std::lock_guard lock(draining_);
  if (auto refreshed = refresh(); !refreshed) return fail(std::move(refreshed).error());
  DrainReport report;
  for (std::size_t spent = 0; spent < limit; ++spent) {
    const auto more = more_to_drain(core_.generation());
    if (!more) return fail(more.error());
    if (!*more) {
      report.done = true;
      return report;
    }
    const auto part = drain_partition(to_drain_.front(), limit - spent);
    if (!part) return fail(part.error());
    report.moved += part->moved;
    spent += part->moved;
    if (part->done) to_drain_.pop_front();
  }
  return report;
}

}  // namespace

Result<std::unique_ptr<SwitchableStorage>> SwitchableStorage::open(StorageMember one, StorageMember two,
                                                                   SwitchOptions options) {
  std::vector<StorageMember> members{std::move(one), std::move(two)};
  if (auto checked = storage_detail::check_members(members); !checked)
    return fail(std::move(checked).error());
  const auto first = options.first.empty() ? members[0].name : options.first;
  if (members[1].name < members[0].name) std::swap(members[0], members[1]);
  if (first != members[0].name && first != members[1].name) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the first primary \"{}\" is neither \"{}\" nor \"{}\"", first, members[0].name,
                            members[1].name));
  }
  const auto state = storage_detail::found_switch(members, first);
  if (!state) return fail(state.error());
  auto lifts = storage_detail::measure_lifts(members);
  if (!lifts) return fail(std::move(lifts).error());
  return std::unique_ptr<SwitchableStorage>(
      std::make_unique<Switchable>(members, *std::move(lifts), *state, options));
}

}  // namespace onceward
