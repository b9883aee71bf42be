#include "storage/decorators/switch_core.hpp"

#include "storage/decorators/moved_record.hpp"

#include <set>
#include <thread>

namespace onceward::storage_detail {
namespace {

constexpr std::size_t most_known = 65'536;

Operation over(const Marker& seen, std::string text) {
  std::string key(marker_key);
  return seen.revision == absent ? Operation::insert(std::move(key), std::move(text))
                                 : Operation::replace(std::move(key), seen.revision, std::move(text));
}

/// What is left of a time of the storage it comes from.
std::optional<Duration> left_of(const std::optional<Timestamp>& time, Timestamp now) {
  if (!time) return std::nullopt;
  return std::max(Duration::zero(), Duration(*time - now));
}

}  // namespace

SwitchCore::SwitchCore(std::vector<StorageMember> members, std::vector<Lift> lifts, Side origin,
                       std::int64_t generation, const SwitchOptions& options)
    : members_(std::move(members)),
      lifts_(std::move(lifts)),
      origin_(origin),
      options_(options),
      generation_(generation) {}

void SwitchCore::adopt(std::int64_t generation) {
  auto known = generation_.load();
  while (known < generation && !generation_.compare_exchange_weak(known, generation)) {
  }
}

bool SwitchCore::learns_from(const Marker& marker, std::int64_t generation) {
  if (marker.generation <= generation) return false;
  adopt(marker.generation);
  return true;
}

Result<Look> SwitchCore::look(Side side, std::string_view partition, std::span<const std::string_view> keys) {
  std::vector<RecordRef> refs{{partition, marker_key}};
  refs.reserve(keys.size() + 1);
  for (const auto key : keys) refs.push_back({partition, key});
  auto answer = at(side).read(refs);
  if (!answer) return fail(named(side, std::move(answer).error()));
  auto marker = read_marker(answer->records.front());
  if (!marker) return fail(named(side, std::move(marker).error()));
  answer->records.erase(answer->records.begin());
  return Look{answer->now, *marker, std::move(answer->records)};
}

Result<Revision> SwitchCore::write_marker(Side side, std::string_view partition, const Marker& seen,
                                          Marker::State state, std::int64_t generation) {
  const auto answer =
      commit_one(at(side), {std::string(partition), {over(seen, marker_text(state, generation))}});
  if (!answer) return fail(before_write(named(side, answer.error())));
  return answer->applied() ? answer->revision : absent;
}

Result<bool> SwitchCore::pass_revision(Side side, Revision revision, Timestamp now) {
  const Patience patience(options_.clock_wait);
  for (bool waited = false;; waited = true) {
    const Duration behind(revision - now.time_since_epoch().count());
    if (behind < Duration::zero()) return waited;
    if (behind > options_.clock_wait || patience.spent()) {
      return fail(ErrorCode::unavailable,
                  fmt::format("storage \"{}\": its clock is {} us behind what was written before the switch; "
                              "nothing was written, set the clock or switch back",
                              name(side), behind.count()));
    }
    // Clocks that agree differ by microseconds: this is a wait for a moment, not for somebody.
    const auto wait = std::min<Duration>(behind + Duration(1), std::chrono::milliseconds(1));
    options_.sleep ? options_.sleep(wait) : std::this_thread::sleep_for(wait);
    const auto answer = at(side).read({});
    if (!answer) return fail(named(side, answer.error()));
    now = answer->now;
  }
}

Result<void> SwitchCore::open_partition(std::string_view partition, std::int64_t generation,
                                        const Marker& seen) {
  // Who opens for an earlier generation than the one that closed it would leave two storages writable.
  if (learns_from(seen, generation)) return {};
  const Side top = primary_of(generation, origin_);
  const Side other = other_side(top);
  const auto here = look(other, partition);
  if (!here) return fail(here.error());
  if (learns_from(here->marker, generation)) return {};
  Revision closed = here->marker.revision;
  // Closed anew by every generation: who still wants to open it here for an earlier one comes too late.
  if (here->marker.state != Marker::State::frozen || here->marker.generation != generation) {
    const auto frozen = write_marker(other, partition, here->marker, Marker::State::frozen, generation);
    if (!frozen) return fail(frozen.error());
    if (*frozen == absent) return {};
    closed = *frozen;
  }
  const auto there = at(top).read({});
  if (!there) return fail(named(top, there.error()));
  if (const auto passed = pass_revision(top, closed, there->now); !passed) return fail(passed.error());
  // A partition that is new has nothing to move. What is closed gets no more records, so that this holds.
  const auto left = at(other).scan(partition, {}, {}, 2);
  if (!left) return fail(named(other, left.error()));
  const bool nothing =
      left->cursor.empty() && std::all_of(left->records.begin(), left->records.end(),
                                          [](const Record& r) { return r.key == marker_key; });
  const auto opened =
      write_marker(top, partition, seen, nothing ? Marker::State::whole : Marker::State::open, generation);
  if (!opened) return fail(opened.error());
  return {};
}

Result<std::size_t> SwitchCore::move(Side top, std::string_view partition,
                                     std::span<const std::string_view> keys, const Look& there,
                                     const Look& here) {
  const std::string name_of_partition(partition);
  // Writing the marker anew refuses whoever looked before this copy and would copy the same once more, after
  // the record may have been written and removed.
  Batch copies{name_of_partition,
               {over(there.marker, marker_text(there.marker.state, there.marker.generation))}};
  Batch removals{name_of_partition, {Operation::require(std::string(marker_key), here.marker.revision)}};
  Revision largest = absent;
  std::set<std::string_view> taken;
  for (std::size_t i = 0; i < keys.size() && taken.size() < moved_at_once; ++i) {
    if (!here.records[i] || !taken.insert(keys[i]).second) continue;
    removals.operations.push_back(Operation::remove(std::string(keys[i]), here.records[i]->revision));
    if (there.records[i]) continue;  // copied before; the same as long as it is here too
    auto record = *here.records[i];
    const Timing timing{left_of(record.due, here.now), left_of(record.expires, here.now)};
    if (!unpack_moved(record))
      return fail(ErrorCode::corrupt, "a moved record is not what this version writes");
    largest = std::max(largest, record.revision);
    copies.operations.push_back(
        Operation::insert(record.key, moved_value(record.revision, record.value), timing));
  }
  if (removals.operations.size() == 1) return std::size_t{0};
  if (copies.operations.size() > 1) {
    const auto waited = pass_revision(top, largest, there.now);
    if (!waited) return fail(waited.error());
    if (*waited) return std::size_t{0};  // what was left of due and expiry is less now: look again
    const auto copied = commit_one(at(top), copies);
    if (!copied) return fail(before_write(named(top, copied.error())));
    if (!copied->applied()) return std::size_t{0};
  }
  const auto removed = commit_one(at(other_side(top)), removals);
  if (!removed) return fail(before_write(named(other_side(top), removed.error())));
  return removed->applied() ? removals.operations.size() - 1 : 0;
}

Result<void> SwitchCore::mark_whole(Side top, std::string_view partition, const Marker& seen) {
  const auto marked = write_marker(top, partition, seen, Marker::State::whole, seen.generation);
  if (!marked) return fail(marked.error());
  return {};
}

std::optional<Marker> SwitchCore::known(std::int64_t generation, std::string_view partition) const {
  {
    const std::lock_guard lock(mutex_);
    if (known_generation_ == generation) {
      if (const auto found = known_.find(partition); found != known_.end()) return found->second;
    }
  }
  // Most partitions of the first primary were never moved; where that is wrong the write is refused.
  return primary_of(generation, origin_) == origin_ ? std::optional(Marker{}) : std::nullopt;
}

void SwitchCore::remember(std::int64_t generation, std::string_view partition, const Marker& marker) {
  const std::lock_guard lock(mutex_);
  if (generation < known_generation_) return;
  if (generation > known_generation_ || known_.size() >= most_known) known_.clear();
  known_generation_ = generation;
  known_.insert_or_assign(std::string(partition), marker);
}

}  // namespace onceward::storage_detail
