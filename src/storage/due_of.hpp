#pragma once
#include <onceward/core/limits.hpp>
#include <onceward/storage/storage.hpp>

#include "storage/due_page.hpp"

#include <limits>

namespace onceward::storage_detail {

/// What is due, for a room that does only what is `mine` of it.
struct DueOf {
  DuePage page;
  bool full = false;  ///< there was more than one page of it: what cannot be done must be put off
};

/// Several rooms keep due records in one storage, and some stay due until somebody looks at them (a call in
/// doubt). So that a page full of those hides nothing, the shards are then asked one by one, until `wanted`
/// records are `mine`. Hidden stays what has a page of older ones of others in its own shard.
template <class Mine>
Result<DueOf> due_of(Storage& storage, std::size_t wanted, const Mine& mine) {
  auto oldest = storage.due({}, limits::page_records);
  if (!oldest) return fail(std::move(oldest).error());
  DueOf due{*std::move(oldest)};
  due.full = due.page.entries.size() >= limits::page_records;
  if (!due.full) return due;
  auto& entries = due.page.entries;
  const auto last = entries.back().record.due;
  auto found = static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), mine));
  for (Shard shard = 0; shard < storage.shard_count() && found < wanted; ++shard) {
    auto some = storage.due({&shard, 1}, limits::page_records);
    if (!some) return fail(std::move(some).error());
    for (auto& entry : some->entries) {
      if (entry.record.due < last || !mine(entry)) continue;
      found += entry.record.due > last ? 1U : 0U;  // else it may be on the page already
      entries.push_back(std::move(entry));
    }
  }
  order_due_page(due.page, std::numeric_limits<std::size_t>::max());
  return due;
}

}  // namespace onceward::storage_detail
