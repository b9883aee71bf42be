#include "storage/decorators/switch_read.hpp"

#include "storage/decorators/moved_record.hpp"
#include "storage/due_page.hpp"

#include <map>

namespace onceward::storage_detail {
namespace {

Error moved_wrong() { return {ErrorCode::corrupt, "a moved record is not what this version writes"}; }

/// Records of one storage as their readers know them.
Result<void> show(const SwitchCore& core, Side side, std::vector<std::optional<Record>>& records) {
  core.lift(side).apply(records);
  for (auto& record : records) {
    if (record && !unpack_moved(*record)) return fail(core.named(side, moved_wrong()));
  }
  return {};
}

/// One partition's records while it may be under way. What is read twice in the primary and did not change,
/// with the other storage read in between, was all there at the first of these moments: a record can only
/// leave the other storage after it was copied, and a copy changes the marker.
class PartitionRead {
 public:
  PartitionRead(SwitchCore& core, std::string_view partition, std::vector<std::string_view> keys)
      : core_(core), partition_(partition), keys_(std::move(keys)) {}

  Result<ReadAnswer> run() {
    const Patience patience(core_.options().patience);
    while (!patience.spent()) {
      const auto generation = core_.generation();
      const Side top = primary_of(generation, core_.origin());
      auto there = core_.look(top, partition_, keys_);
      if (!there) return fail(std::move(there).error());
      if (core_.learns_from(there->marker, generation)) continue;
      if (there->marker.complete(top == core_.origin())) {
        core_.remember(generation, partition_, there->marker);
        return answer_of(top, *std::move(there));
      }
      const Side other = other_side(top);
      auto here = core_.look(other, partition_, keys_);
      if (!here) return fail(std::move(here).error());
      if (core_.learns_from(here->marker, generation)) continue;
      if (here->marker.complete(other == core_.origin())) return answer_of(other, *std::move(here));
      const auto again = core_.look(top, partition_, keys_);
      if (!again) return fail(again.error());
      if (again->same_as(*there)) return both(top, *std::move(there), *std::move(here));
    }
    return fail(Patience::error(partition_));
  }

 private:
  Result<ReadAnswer> answer_of(Side side, Look look) const {
    ReadAnswer answer{look.now, std::move(look.records)};
    if (auto shown = show(core_, side, answer.records); !shown) return fail(std::move(shown).error());
    core_.lift(side).apply(answer.now);
    return answer;
  }

  Result<ReadAnswer> both(Side top, Look there, Look here) const {
    auto first = answer_of(top, std::move(there));
    auto second = answer_of(other_side(top), std::move(here));
    if (!first) return first;
    if (!second) return second;
    first->now = std::min(first->now, second->now);
    for (std::size_t i = 0; i < first->records.size(); ++i) {
      if (!first->records[i]) first->records[i] = std::move(second->records[i]);
    }
    return first;
  }

  SwitchCore& core_;
  std::string_view partition_;
  std::vector<std::string_view> keys_;
};

/// The records of one storage in a page's range: up to `limit`, and whether there are more.
struct Range {
  Timestamp now{};
  std::vector<std::optional<Record>> records{};
  bool more = false;
};

Result<Range> range_of(SwitchCore& core, Side side, std::string_view partition, std::string_view prefix,
                       std::string_view cursor, std::size_t limit) {
  Range range;
  std::string from(cursor);
  do {
    // One more tells whether there are more, and one may be the marker.
    const auto ask = std::min(limits::page_records, limit - range.records.size() + 2);
    auto page = core.at(side).scan(partition, prefix, from, ask);
    if (!page) return fail(core.named(side, std::move(page).error()));
    if (range.now == Timestamp{}) range.now = page->now;
    for (auto& record : page->records) {
      if (record.key != marker_key) range.records.emplace_back(std::move(record));
    }
    from = std::move(page->cursor);
  } while (range.records.size() <= limit && !from.empty());
  range.more = range.records.size() > limit;
  if (range.more) range.records.resize(limit);
  return range;
}

/// As PartitionRead, by pages, which do not hold the marker: it is looked at before and after.
class PartitionScan {
 public:
  PartitionScan(SwitchCore& core, std::string_view partition, std::string_view prefix,
                std::string_view cursor, std::size_t limit)
      : core_(core), partition_(partition), prefix_(prefix), cursor_(cursor), limit_(limit) {}

  Result<ScanPage> run() {
    const Patience patience(core_.options().patience);
    for (bool first_try = true; first_try || !patience.spent(); first_try = false) {
      const auto generation = core_.generation();
      const Side top = primary_of(generation, core_.origin());
      auto known = first_try ? core_.known(generation, partition_) : std::nullopt;
      if (!known) {
        const auto there = core_.look(top, partition_);
        if (!there) return fail(there.error());
        if (core_.learns_from(there->marker, generation)) continue;
        known = there->marker;
      }
      const auto before = *known;
      auto first = range(top);
      if (!first) return fail(std::move(first).error());
      if (before.complete(top == core_.origin())) {
        if (auto same = unchanged(top, before); !same)
          return fail(same.error());
        else if (*same)
          return core_.remember(generation, partition_, before), page_of(top, *std::move(first));
        continue;
      }
      auto page = both(top, before, *std::move(first));
      if (!page) return fail(std::move(page).error());
      if (*page) return *std::move(*page);
    }
    return fail(Patience::error(partition_));
  }

 private:
  Result<Range> range(Side side) const { return range_of(core_, side, partition_, prefix_, cursor_, limit_); }

  Result<bool> unchanged(Side side, const Marker& before) {
    const auto after = core_.look(side, partition_);
    if (!after) return fail(after.error());
    return after->marker.revision == before.revision;
  }

  /// Nothing where the partition moved on meanwhile.
  Result<std::optional<ScanPage>> both(Side top, const Marker& before, Range first) {
    const Side other = other_side(top);
    const auto base = core_.look(other, partition_);
    if (!base) return fail(base.error());
    auto second = range(other);
    if (!second) return fail(std::move(second).error());
    if (base->marker.complete(other == core_.origin())) {
      const auto same = unchanged(other, base->marker);
      if (!same) return fail(same.error());
      if (!*same) return std::optional<ScanPage>();
      auto page = page_of(other, *std::move(second));
      if (!page) return fail(std::move(page).error());
      return std::optional(*std::move(page));
    }
    const auto again = range(top);
    if (!again) return fail(again.error());
    const auto same = unchanged(top, before);
    if (!same) return fail(same.error());
    if (!*same || again->records != first.records || again->more != first.more)
      return std::optional<ScanPage>();
    auto page = merged(top, std::move(first), *std::move(second));
    if (!page) return fail(std::move(page).error());
    return std::optional(*std::move(page));
  }

  Result<ScanPage> page_of(Side side, Range range) const {
    if (auto shown = show(core_, side, range.records); !shown) return fail(std::move(shown).error());
    core_.lift(side).apply(range.now);
    ScanPage page{range.now, {}, {}};
    for (auto& record : range.records) page.records.push_back(*std::move(record));
    if (range.more) page.cursor = page.records.back().key;
    return page;
  }

  Result<ScanPage> merged(Side top, Range first, Range second) const {
    auto page = page_of(top, std::move(first));
    if (!page) return page;
    auto base = page_of(other_side(top), std::move(second));
    if (!base) return base;
    const bool more = !page->cursor.empty() || !base->cursor.empty();
    std::map<std::string, Record> records;
    for (auto& record : page->records) records.emplace(record.key, std::move(record));
    for (auto& record : base->records) records.emplace(record.key, std::move(record));
    ScanPage both{std::min(page->now, base->now), {}, {}};
    for (auto& [key, record] : records) {
      if (both.records.size() == limit_) break;
      both.records.push_back(std::move(record));
    }
    if (more || records.size() > limit_) both.cursor = both.records.back().key;
    return both;
  }

  SwitchCore& core_;
  std::string_view partition_;
  std::string_view prefix_;
  std::string_view cursor_;
  std::size_t limit_;
};

}  // namespace

Result<ReadAnswer> switch_read(SwitchCore& core, std::span<const RecordRef> records) {
  const auto generation = core.generation();
  const Side top = primary_of(generation, core.origin());
  std::vector<RecordRef> refs;
  std::vector<std::size_t> starts;  // of runs of one partition, in `records`
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i == 0 || records[i].partition != records[i - 1].partition) {
      starts.push_back(i);
      refs.push_back({records[i].partition, marker_key});
    }
    refs.push_back(records[i]);
  }
  starts.push_back(records.size());
  auto found = core.at(top).read(refs);
  if (!found) return fail(core.named(top, std::move(found).error()));
  core.lift(top).apply(found->now);
  ReadAnswer answer{found->now, {}};
  answer.records.reserve(records.size());
  for (std::size_t run = 0; run + 1 < starts.size(); ++run) {
    const auto place = starts[run] + run;  // of the marker
    const auto count = starts[run + 1] - starts[run];
    const auto marker = read_marker(found->records[place]);
    if (!marker) return fail(core.named(top, marker.error()));
    const auto begin = found->records.begin() + static_cast<std::ptrdiff_t>(place) + 1;
    std::vector<std::optional<Record>> own(
        std::make_move_iterator(begin), std::make_move_iterator(begin + static_cast<std::ptrdiff_t>(count)));
    if (marker->complete(top == core.origin())) {
      if (auto shown = show(core, top, own); !shown) return fail(std::move(shown).error());
    } else {
      std::vector<std::string_view> keys;
      for (auto i = starts[run]; i < starts[run + 1]; ++i) keys.push_back(records[i].key);
      auto read = PartitionRead(core, records[starts[run]].partition, std::move(keys)).run();
      if (!read) return read;
      answer.now = std::min(answer.now, read->now);
      own = std::move(read->records);
    }
    std::move(own.begin(), own.end(), std::back_inserter(answer.records));
  }
  return answer;
}

Result<ScanPage> switch_scan(SwitchCore& core, std::string_view partition, std::string_view prefix,
                             std::string_view cursor, std::size_t limit) {
  return PartitionScan(core, partition, prefix, cursor, limit).run();
}

Result<DuePage> switch_due(SwitchCore& core, std::span<const Shard> shards, std::size_t limit) {
  const Side top = core.primary();
  const Side other = other_side(top);
  DuePage page{Timestamp::max(), {}, {}};
  std::map<std::pair<std::string, std::string>, Record> records;
  // The other storage twice: a record may go either way while the two are read.
  for (const Side side : {other, top, other}) {
    auto part = core.at(side).due(shards, limit);
    if (!part) return fail(core.named(side, std::move(part).error()));
    core.lift(side).apply(*part);
    page.now = std::min(page.now, part->now);
    if (part->next && (!page.next || *part->next < *page.next)) page.next = part->next;
    for (auto& entry : part->entries) {
      if (!unpack_moved(entry.record)) return fail(core.named(side, moved_wrong()));
      auto key = std::pair(std::move(entry.partition), entry.record.key);
      const auto met = records.find(key);
      if (met == records.end()) {
        records.emplace(std::move(key), std::move(entry.record));
      } else if (met->second.revision < entry.record.revision) {
        met->second = std::move(entry.record);
      }
    }
  }
  for (auto& [place, record] : records) page.entries.push_back({place.first, std::move(record)});
  order_due_page(page, limit);
  return page;
}

}  // namespace onceward::storage_detail
