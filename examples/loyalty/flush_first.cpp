#include "business.hpp"

#include <utility>

namespace loyalty {

using onceward::Result;

Result<onceward::CommitAnswer> FlushFirstStorage::commit(std::span<const onceward::Batch> batches) {
  if (auto flushed = business_.flush(); !flushed) return onceward::fail(std::move(flushed).error());
  return inner_.commit(batches);
}

Result<onceward::ReadAnswer> FlushFirstStorage::read(std::span<const onceward::RecordRef> records) {
  return inner_.read(records);
}

Result<onceward::ScanPage> FlushFirstStorage::scan(std::string_view partition, std::string_view prefix,
                                                   std::string_view cursor, std::size_t limit) {
  return inner_.scan(partition, prefix, cursor, limit);
}

Result<onceward::DuePage> FlushFirstStorage::due(std::span<const onceward::Shard> shards, std::size_t limit) {
  return inner_.due(shards, limit);
}

onceward::Shard FlushFirstStorage::shard_count() const noexcept { return inner_.shard_count(); }

}  // namespace loyalty
