#include "storage/memory/memory_shard.hpp"

#include "storage/counter.hpp"

#include <algorithm>

namespace onceward::storage_detail {
namespace {

constexpr std::size_t purged_per_commit = 4;

std::optional<Timestamp> time_of(Timestamp time, Timestamp never) {
  return time == never ? std::nullopt : std::optional(time);
}

}  // namespace

Record MemoryShard::to_record(const Entry& entry) {
  return {std::string(entry.key()), std::string(entry.value()), entry.revision, time_of(entry.due, never),
          time_of(entry.expires, never)};
}

MemoryShard::Entry& MemoryShard::Partition::add(std::uint64_t key_hash, std::string_view key,
                                                std::string_view value) {
  auto& entry = records.insert(std::make_unique<Entry>(*this, key_hash, key, value));
  entry.after = unsorted;
  if (unsorted != nullptr) unsorted->before = &entry;
  unsorted = &entry;
  return entry;
}

void MemoryShard::Partition::remove(Entry& entry) {
  if (entry.sorted) {
    sorted.erase(&entry);
  } else {
    (entry.before == nullptr ? unsorted : entry.before->after) = entry.after;
    if (entry.after != nullptr) entry.after->before = entry.before;
  }
  records.erase(entry);
}

void MemoryShard::Partition::sort() {
  auto place = sorted.end();  // keys are often made in their order, and the list has the latest first
  for (auto* entry = unsorted; entry != nullptr; entry = entry->after) {
    entry->sorted = true;
    place = sorted.insert(place, entry);
  }
  unsorted = nullptr;
}

void MemoryShard::stamp(Entry& entry, const Operation& operation, Revision revision, Timestamp now) {
  const auto& [due_in, expires_in] = operation.timing;
  entry.revision = revision;
  const auto note = [&](auto& heap, Timestamp& time, const std::optional<Duration>& after) {
    time = after ? now + *after : never;
    after ? heap.set(entry, time) : heap.erase(entry);
  };
  note(due_, entry.due, due_in);
  note(expiry_, entry.expires, expires_in);
}

void MemoryShard::erase(Entry& entry) {
  auto& partition = entry.partition;
  removed_ = std::max(removed_, entry.revision);
  due_.erase(entry);
  expiry_.erase(entry);
  partition.remove(entry);
  if (partition.records.empty()) partitions_.erase(partition);
}

void MemoryShard::purge(Timestamp now) {
  for (std::size_t i = 0; i < purged_per_commit && !expiry_.empty() && expiry_.first().at <= now; ++i)
    erase(*expiry_.first().item);
}

BatchAnswer MemoryShard::apply(const Batch& batch, Timestamp now) {
  purge(now);
  BatchAnswer answer;
  answer.revision = std::max(now.time_since_epoch().count(), removed_ + 1);
  const auto name_hash = core_detail::KeyTable<Partition>::hash_of(batch.partition);
  auto* known = partitions_.find(name_hash, batch.partition);

  met_.assign(batch.operations.size(), {});
  for (std::size_t i = 0; i < met_.size(); ++i) {
    met_[i].hash = core_detail::KeyTable<Entry>::hash_of(batch.operations[i].key);
    if (known != nullptr) known->records.prefetch(met_[i].hash);
  }
  for (std::size_t i = 0; i < met_.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto& met = met_[i];
    if (known != nullptr) met.entry = known->records.find(met.hash, operation.key);
    const Entry* live = nullptr;
    if (met.entry != nullptr) {
      answer.revision = std::max(answer.revision, met.entry->revision + 1);
      if (met.entry->live(now)) live = met.entry;
    }
    bool holds = false;
    if (operation.kind == Operation::Kind::insert) {
      holds = live == nullptr;
    } else if (operation.kind == Operation::Kind::add) {
      const auto current = live == nullptr ? std::optional<std::int64_t>(0) : read_counter(live->value());
      const auto sum = current ? add_to_counter(*current, operation) : std::nullopt;
      holds = sum.has_value();
      met.sum = sum.value_or(0);
    } else {
      holds = (live == nullptr ? absent : live->revision) == operation.expected;
    }
    if (!holds) {
      return {.refused = i, .found = live == nullptr ? std::nullopt : std::optional(to_record(*live))};
    }
  }

  const bool writes =
      std::any_of(batch.operations.begin(), batch.operations.end(), [](const Operation& operation) {
        return operation.kind != Operation::Kind::require && operation.kind != Operation::Kind::remove;
      });
  if (!writes && known == nullptr) return answer;
  auto& partition =
      known != nullptr ? *known : partitions_.insert(std::make_unique<Partition>(name_hash, batch.partition));
  std::vector<Entry*> removed;
  for (std::size_t i = 0; i < met_.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto* entry = met_[i].entry;
    if (operation.kind == Operation::Kind::require) continue;
    if (operation.kind == Operation::Kind::remove) {
      removed.push_back(entry);
      continue;
    }
    const bool adds = operation.kind == Operation::Kind::add;
    const auto sum = adds ? std::to_string(met_[i].sum) : std::string();
    const std::string_view value = adds ? std::string_view(sum) : operation.value;
    const bool keeps_times = adds && entry != nullptr && entry->live(now);
    if (adds) answer.counters.push_back(met_[i].sum);
    if (entry == nullptr) {
      entry = &partition.add(met_[i].hash, operation.key, value);
    } else {
      entry->set_value(value);
    }
    if (keeps_times) {
      entry->revision = answer.revision;
    } else {
      stamp(*entry, operation, answer.revision, now);
    }
  }
  for (auto* entry : removed) erase(*entry);
  return answer;
}

void MemoryShard::read(std::span<const RecordRef> refs, Timestamp now,
                       std::vector<std::optional<Record>>& records) {
  const auto* partition = find(refs.front().partition);
  if (partition == nullptr) {
    records.resize(records.size() + refs.size());
    return;
  }
  const auto& known = partition->records;
  hashes_.clear();
  for (const auto& ref : refs) {
    hashes_.push_back(core_detail::KeyTable<Entry>::hash_of(ref.key));
    known.prefetch(hashes_.back());
  }
  for (std::size_t i = 0; i < refs.size(); ++i) {
    auto& record = records.emplace_back();
    const auto* entry = known.find(hashes_[i], refs[i].key);
    if (entry != nullptr && entry->live(now)) record = to_record(*entry);
  }
}

void MemoryShard::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                       std::size_t limit, ScanPage& page) {
  auto* known = find(partition);
  if (known == nullptr) return;
  known->sort();
  const auto& keys = known->sorted;
  auto item = cursor < prefix ? keys.lower_bound(prefix) : keys.upper_bound(cursor);
  if (cursor.empty() && prefix.empty()) item = keys.begin();
  for (; item != keys.end() && (*item)->key().starts_with(prefix); ++item) {
    if (!(*item)->live(page.now)) continue;
    if (page.records.size() == limit) {
      page.cursor = page.records.back().key;
      return;
    }
    page.records.push_back(to_record(**item));
  }
}

void MemoryShard::due(std::size_t limit, DuePage& page) const {
  std::size_t taken = 0;
  due_.walk([&](const auto& timed) {
    if (!timed.item->live(page.now)) return true;
    if (timed.at > page.now || taken == limit) {
      if (!page.next || timed.at < *page.next) page.next = timed.at;
      return false;
    }
    page.entries.push_back({timed.item->partition.name, to_record(*timed.item)});
    ++taken;
    return true;
  });
}

void MemoryShard::partitions(std::string_view cursor, std::vector<std::string>& names) const {
  partitions_.each([&](const Partition& partition) {
    if (partition.name > cursor) names.push_back(partition.name);
  });
}

}  // namespace onceward::storage_detail
