#include "storage/memory/memory_shard.hpp"

#include "storage/counter.hpp"

#include <algorithm>

namespace onceward::storage_detail {
namespace {

constexpr std::size_t purged_per_commit = 4;

std::optional<Timestamp> after(Timestamp now, const std::optional<Duration>& duration) {
  return duration ? std::optional(now + *duration) : std::nullopt;
}

}  // namespace

std::optional<Record> MemoryShard::to_record(const Keys::value_type* item) {
  if (item == nullptr) return std::nullopt;
  const auto& [key, entry] = *item;
  return Record{key, entry.value, entry.revision, entry.due, entry.expires};
}

void MemoryShard::forget_times(const std::string& partition, const Keys::value_type& item) {
  if (item.second.due) due_.erase({*item.second.due, &partition, &item.first});
  if (item.second.expires) expiry_.erase({*item.second.expires, &partition, &item.first});
}

void MemoryShard::write(Partitions::value_type& partition, Keys::iterator item, const Operation& operation,
                        std::string value, Revision revision, Timestamp now) {
  forget_times(partition.first, *item);
  item->second = {std::move(value), revision, after(now, operation.timing.due_in),
                  after(now, operation.timing.expires_in)};
  if (item->second.due) due_.insert({*item->second.due, &partition.first, &item->first});
  if (item->second.expires) expiry_.insert({*item->second.expires, &partition.first, &item->first});
}

void MemoryShard::erase(Partitions::value_type& partition, Keys::iterator item) {
  removed_ = std::max(removed_, item->second.revision);
  forget_times(partition.first, *item);
  partition.second.erase(item);
  if (partition.second.empty()) partitions_.erase(partitions_.find(partition.first));
}

void MemoryShard::purge(Timestamp now) {
  for (std::size_t i = 0; i < purged_per_commit && !expiry_.empty() && expiry_.begin()->at <= now; ++i) {
    const auto partition = partitions_.find(*expiry_.begin()->partition);
    erase(*partition, partition->second.find(*expiry_.begin()->key));
  }
}

BatchAnswer MemoryShard::apply(const Batch& batch, Timestamp now) {
  purge(now);
  BatchAnswer answer;
  answer.revision = std::max(now.time_since_epoch().count(), removed_ + 1);
  const auto known = partitions_.find(batch.partition);

  struct Step {
    Keys::iterator item;
    bool there = false;
    std::int64_t sum = 0;
  };
  std::vector<Step> steps(batch.operations.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto& step = steps[i];
    const Entry* live = nullptr;
    if (known != partitions_.end()) {
      step.item = known->second.find(operation.key);
      step.there = step.item != known->second.end();
      if (step.there) {
        answer.revision = std::max(answer.revision, step.item->second.revision + 1);
        if (step.item->second.live(now)) live = &step.item->second;
      }
    }
    bool holds = false;
    if (operation.kind == Operation::Kind::insert) {
      holds = live == nullptr;
    } else if (operation.kind == Operation::Kind::add) {
      const auto current = live == nullptr ? std::optional<std::int64_t>(0) : read_counter(live->value);
      const auto sum = current ? add_to_counter(*current, operation) : std::nullopt;
      holds = sum.has_value();
      step.sum = sum.value_or(0);
    } else {
      holds = (live == nullptr ? absent : live->revision) == operation.expected;
    }
    if (!holds) {
      return {.refused = i, .found = live == nullptr ? std::nullopt : to_record(&*step.item)};
    }
  }

  const bool writes =
      std::any_of(batch.operations.begin(), batch.operations.end(), [](const Operation& operation) {
        return operation.kind != Operation::Kind::require && operation.kind != Operation::Kind::remove;
      });
  if (!writes && known == partitions_.end()) return answer;
  auto& partition = writes ? *partitions_.try_emplace(batch.partition).first : *known;
  std::vector<Keys::iterator> removed;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& operation = batch.operations[i];
    auto& step = steps[i];
    if (operation.kind == Operation::Kind::require) continue;
    if (operation.kind == Operation::Kind::remove) {
      removed.push_back(step.item);
      continue;
    }
    const bool counts = operation.kind == Operation::Kind::add;
    const bool alive = step.there && step.item->second.live(now);
    if (!step.there) step.item = partition.second.try_emplace(operation.key).first;
    if (counts) answer.counters.push_back(step.sum);
    if (counts && alive) {
      step.item->second.value = std::to_string(step.sum);
      step.item->second.revision = answer.revision;
    } else {
      write(partition, step.item, operation, counts ? std::to_string(step.sum) : operation.value,
            answer.revision, now);
    }
  }
  for (const auto& item : removed) erase(partition, item);
  return answer;
}

std::optional<Record> MemoryShard::read(const RecordRef& ref, Timestamp now) const {
  const auto partition = partitions_.find(ref.partition);
  if (partition == partitions_.end()) return std::nullopt;
  const auto item = partition->second.find(ref.key);
  if (item == partition->second.end() || !item->second.live(now)) return std::nullopt;
  return to_record(&*item);
}

void MemoryShard::scan(std::string_view partition, std::string_view prefix, std::string_view cursor,
                       std::size_t limit, ScanPage& page) const {
  const auto known = partitions_.find(partition);
  if (known == partitions_.end()) return;
  const auto& keys = known->second;
  auto item = cursor < prefix ? keys.lower_bound(prefix) : keys.upper_bound(cursor);
  if (cursor.empty() && prefix.empty()) item = keys.begin();
  for (; item != keys.end() && item->first.starts_with(prefix); ++item) {
    if (!item->second.live(page.now)) continue;
    if (page.records.size() == limit) {
      page.cursor = page.records.back().key;
      return;
    }
    page.records.push_back(*to_record(&*item));
  }
}

void MemoryShard::due(std::size_t limit, DuePage& page) const {
  std::size_t taken = 0;
  for (const auto& timed : due_) {
    const auto& item = *partitions_.find(*timed.partition)->second.find(*timed.key);
    if (!item.second.live(page.now)) continue;
    if (timed.at > page.now || taken == limit) {
      if (!page.next || timed.at < *page.next) page.next = timed.at;
      return;
    }
    page.entries.push_back({*timed.partition, *to_record(&item)});
    ++taken;
  }
}

}  // namespace onceward::storage_detail
