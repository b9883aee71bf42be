#pragma once
#include <onceward/storage/member.hpp>

#include <string_view>
#include <vector>

namespace onceward::storage_detail {

/// Where every member of a sharded storage remembers the names of all.
inline constexpr std::string_view members_partition = "onceward/sharded";
inline constexpr std::string_view members_key = "members";

/// Sees that the members are those that were remembered, and makes new ones remember. `members` come in the
/// order of their names. A set is new until every member knows it ("new"), and then it is for good
/// ("settled"): a member without a memory beside one that is settled has lost its records.
/// Errors: invalid_argument (another set, or a member under another's name), corrupt (a lost member), and
/// those of the storages.
Result<void> settle_membership(const std::vector<StorageMember>& members);

}  // namespace onceward::storage_detail
