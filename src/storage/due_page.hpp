#pragma once
#include <onceward/storage/storage.hpp>

#include <algorithm>
#include <tuple>

namespace onceward::storage_detail {

/// Brings a page that was gathered shard by shard into one order, oldest first, and cuts it to `limit`.
inline void order_due_page(DuePage& page, std::size_t limit) {
  std::sort(page.entries.begin(), page.entries.end(), [](const DuePage::Entry& a, const DuePage::Entry& b) {
    return std::tie(a.record.due, a.partition, a.record.key) <
           std::tie(b.record.due, b.partition, b.record.key);
  });
  // A shard that was named twice was read twice.
  const auto same = [](const DuePage::Entry& a, const DuePage::Entry& b) {
    return a.partition == b.partition && a.record.key == b.record.key;
  };
  page.entries.erase(std::unique(page.entries.begin(), page.entries.end(), same), page.entries.end());
  if (page.entries.size() > limit) {
    const auto cut = page.entries[limit].record.due;
    if (!page.next || *cut < *page.next) page.next = cut;
    page.entries.resize(limit);
  }
}

}  // namespace onceward::storage_detail
