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

MemoryShard::Probe::Probe(std::string_view text) noexcept : key(text) {
  for (std::size_t i = 0; i < sizeof head; ++i)
    head = head << 8U | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0U);
}

// Times mostly grow: the end is tried first. A time that changes keeps its node.
void MemoryShard::set_time(Times& times, const std::string& partition, const Entry& entry, Timestamp& time,
                           Times::iterator& place, Timestamp at) {
  if (time == at) return;
  if (time == never) {
    place = times.insert(times.end(), {at, &partition, &entry});
  } else if (at == never) {
    times.erase(place);
  } else {
    auto node = times.extract(place);
    node.value().at = at;
    place = times.insert(times.end(), std::move(node));
  }
  time = at;
}

void MemoryShard::stamp(const std::string& partition, const Entry& entry, const Operation& operation,
                        Revision revision, Timestamp now) {
  const auto& [due_in, expires_in] = operation.timing;
  entry.revision = revision;
  set_time(due_, partition, entry, entry.due, entry.due_at, due_in ? now + *due_in : never);
  set_time(expiry_, partition, entry, entry.expires, entry.expiry_at, expires_in ? now + *expires_in : never);
}

void MemoryShard::erase(Partitions::value_type& partition, const Entry& entry) {
  removed_ = std::max(removed_, entry.revision);
  set_time(due_, partition.first, entry, entry.due, entry.due_at, never);
  set_time(expiry_, partition.first, entry, entry.expires, entry.expiry_at, never);
  partition.second.erase(partition.second.find(Probe(entry.key())));
  if (partition.second.empty()) partitions_.erase(partitions_.find(partition.first));
}

void MemoryShard::purge(Timestamp now) {
  for (std::size_t i = 0; i < purged_per_commit && !expiry_.empty() && expiry_.begin()->at <= now; ++i) {
    const auto first = *expiry_.begin();
    erase(*partitions_.find(*first.partition), *first.entry);
  }
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
    const Entry* live = nullptr;
    if (known != partitions_.end()) {
      const auto item = met.place = known->second.lower_bound(Probe(operation.key));
      if (item != known->second.end() && item->key() == operation.key) {
        met.entry = &*item;
        answer.revision = std::max(answer.revision, item->revision + 1);
        if (item->live(now)) live = &*item;
      }
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
  auto& partition = writes ? *partitions_.try_emplace(batch.partition).first : *known;
  std::vector<const Entry*> removed;
  for (std::size_t i = 0; i < met_.size(); ++i) {
    const auto& operation = batch.operations[i];
    const auto* entry = met_[i].entry;
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
      const auto place = fresh ? partition.second.end() : met_[i].place;
      entry = &*partition.second.emplace_hint(place, Probe(operation.key), value);
    } else {
      entry->set_value(value);
    }
    if (keeps_times) {
      entry->revision = answer.revision;
    } else {
      stamp(partition.first, *entry, operation, answer.revision, now);
    }
  }
  for (const auto* entry : removed) erase(partition, *entry);
  return answer;
}

void MemoryShard::read(std::span<const RecordRef> refs, Timestamp now,
                       std::vector<std::optional<Record>>& records) const {
  const auto partition = partitions_.find(refs.front().partition);
  for (const auto& ref : refs) {
    auto& record = records.emplace_back();
    if (partition == partitions_.end()) continue;
    const auto item = partition->second.find(Probe(ref.key));
    if (item != partition->second.end() && item->live(now)) record = to_record(*item);
  }
}

void MemoryShard::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                       std::size_t limit, ScanPage& page) const {
  const auto known = partitions_.find(partition);
  if (known == partitions_.end()) return;
  const auto& keys = known->second;
  auto item = cursor < prefix ? keys.lower_bound(Probe(prefix)) : keys.upper_bound(Probe(cursor));
  if (cursor.empty() && prefix.empty()) item = keys.begin();
  for (; item != keys.end() && item->key().starts_with(prefix); ++item) {
    if (!item->live(page.now)) continue;
    if (page.records.size() == limit) {
      page.cursor = page.records.back().key;
      return;
    }
    page.records.push_back(to_record(*item));
  }
}

void MemoryShard::due(std::size_t limit, DuePage& page) const {
  std::size_t taken = 0;
  for (const auto& timed : due_) {
    if (!timed.entry->live(page.now)) continue;
    if (timed.at > page.now || taken == limit) {
      if (!page.next || timed.at < *page.next) page.next = timed.at;
      return;
    }
    page.entries.push_back({*timed.partition, to_record(*timed.entry)});
    ++taken;
  }
}

void MemoryShard::partitions(std::string_view cursor, std::vector<std::string>& names) const {
  for (const auto& [name, keys] : partitions_) {
    if (name > cursor) names.push_back(name);
  }
}

}  // namespace onceward::storage_detail
