#pragma once
#include <onceward/core/clock.hpp>

#include <optional>
#include <string_view>

namespace onceward {

/// Reads RFC 3339: "2010-12-01T08:26:00Z", also with a fraction of 1 to 9 digits (microseconds are kept) and
/// with an offset such as "+01:00" instead of Z. Empty for anything else, a day that does not exist and a
/// leap second included.
[[nodiscard]] std::optional<Timestamp> parse_timestamp(std::string_view text) noexcept;

}  // namespace onceward
