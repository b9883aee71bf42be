#pragma once
#include "storage/decorators/switch_marker.hpp"

#include <onceward/storage/member.hpp>

#include <vector>

namespace onceward::storage_detail {

/// Where the two storages stand, as one of them remembers it. Errors: as read_state and the storage.
Result<std::optional<SwitchState>> stored_state(const std::vector<StorageMember>& members, Side side);

/// Sees that both storages remember being a pair, and makes new ones remember, with this first primary.
/// Errors: invalid_argument (of another pair), corrupt (one has lost its memory), and those of the storages.
Result<SwitchState> found_switch(const std::vector<StorageMember>& members, const std::string& first);

/// Sees that both storages know of a generation at least as late as this one.
Result<void> raise_generation(const std::vector<StorageMember>& members, const SwitchState& state);

}  // namespace onceward::storage_detail
