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

MemoryShard::Entry& MemoryShard::Partition::add(std::uint64_t hash, std::string_view key,
                                                std::string_view value) {
  auto& entry = records.insert(std::make_unique<Entry>(*this, hash, key, value));
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
  if (partition.records.empty()) partitions_.erase(partitions_.find(*partition.name));
}

void MemoryShard::purge(Timestamp now) {
  for (std::size_t i = 0; i < purged_per_commit && !expiry_.empty() && expiry_.first().at <= now; ++i)
    erase(*expiry_.first().item);
}

BatchAnswer MemoryShard::apply(const Batch& batch, Timestamp now) {
  purge(now);
  BatchAnswer answer;
  answer.revision = std::max(now.time_since_epoch().count(), removed_ + 1);
  const auto known = partitions_.find(batch.partition);

  met_.assign(batch.operations.size(), {});
  for (std::size_t i = 0; i < met_.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto& met = met_[i];
    met.hash = core_detail::KeyTable<Entry>::hash_of(operation.key);
    if (known != partitions_.end()) met.entry = known->second.records.find(met.hash, operation.key);
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
  const bool fresh = known == partitions_.end();
  if (!writes && fresh) return answer;
  auto& [name, partition] = fresh ? *partitions_.try_emplace(batch.partition).first : *known;
  partition.name = &name;
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
                       std::vector<std::optional<Record>>& records) const {
  const auto partition = partitions_.find(refs.front().partition);
  for (const auto& ref : refs) {
    auto& record = records.emplace_back();
    if (partition == partitions_.end()) continue;
    const auto* entry =
        partition->second.records.find(core_detail::KeyTable<Entry>::hash_of(ref.key), ref.key);
    if (entry != nullptr && entry->live(now)) record = to_record(*entry);
  }
}

void MemoryShard::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                       std::size_t limit, ScanPage& page) {
  const auto known = partitions_.find(partition);
  if (known == partitions_.end()) return;
  known->second.sort();
  const auto& keys = known->second.sorted;
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
    page.entries.push_back({*timed.item->partition.name, to_record(*timed.item)});
    ++taken;
    return true;
  });
}

void MemoryShard::partitions(std::string_view cursor, std::vector<std::string>& names) const {
  for (const auto& [name, partition] : partitions_) {
    if (name > cursor) names.push_back(name);
  }
}

}  // namespace onceward::storage_detail
