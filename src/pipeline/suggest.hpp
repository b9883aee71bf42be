#pragma once
#include <span>
#include <string>
#include <string_view>

namespace onceward::pipeline_detail {

/// "did you mean grant-points@1?" for the known word nearest to a mistyped one; empty where none is near.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

}  // namespace onceward::pipeline_detail
