#pragma once
#include "storage/decorators/switch_core.hpp"

// Reading what lies in two storages as if it lay in one.
namespace onceward::storage_detail {

Result<ReadAnswer> switch_read(SwitchCore& core, std::span<const RecordRef> records);
Result<ScanPage> switch_scan(SwitchCore& core, std::string_view partition, std::string_view prefix,
                             std::string_view cursor, std::size_t limit);
Result<DuePage> switch_due(SwitchCore& core, std::span<const Shard> shards, std::size_t limit);

}  // namespace onceward::storage_detail
