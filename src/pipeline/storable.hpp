#pragma once
#include <onceward/expr/value.hpp>

#include <string>
#include <string_view>

namespace onceward::pipeline_detail {

/// Whether a value reads back from a run's record as it was: its text is UTF-8, its doubles are finite, and
/// it is nested no deeper than most_stored_depth.
[[nodiscard]] bool is_storable(const Value& value);
inline constexpr std::size_t most_stored_depth = 48;

/// Text of any origin, made fit for a record: bytes that are no UTF-8 become '?', and it is cut to `most`
/// bytes between two characters.
[[nodiscard]] std::string readable(std::string text, std::size_t most);

}  // namespace onceward::pipeline_detail
