#pragma once
#include <cstddef>
#include <string_view>

// Room for what a decorator keeps beside a caller's records, without taking from the caller's limits.
namespace onceward::storage_detail {

/// Begins the keys of a decorator's own records in a caller's partition. Sorts behind most keys, so that a
/// scan meets them last.
inline constexpr std::string_view reserved_key_prefix = "~onceward/";
/// Begins the value of a record that was moved and not written since.
inline constexpr std::string_view moved_mark = "~onceward/moved:";
inline constexpr std::size_t moved_mark_bytes = moved_mark.size() + 20;

[[nodiscard]] constexpr bool is_reserved_key(std::string_view key) noexcept {
  return key.starts_with(reserved_key_prefix);
}

}  // namespace onceward::storage_detail
