#pragma once
#include <cstddef>
#include <string_view>

namespace loyalty {

/// Where the first byte stands that is no part of well-formed UTF-8 (no surrogates, no overlong forms,
/// nothing above U+10FFFF); npos where all is well.
[[nodiscard]] std::size_t first_not_utf8(std::string_view text) noexcept;

}  // namespace loyalty
