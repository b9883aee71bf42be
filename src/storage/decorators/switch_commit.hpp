#pragma once
#include "storage/decorators/switch_core.hpp"

namespace onceward::storage_detail {

/// Commits a span: what lies whole in the primary in one call, the rest batch by batch.
Result<CommitAnswer> switch_commit(SwitchCore& core, std::span<const Batch> batches);

}  // namespace onceward::storage_detail
