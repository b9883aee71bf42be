#pragma once
#include <cstddef>
#include <string_view>

namespace onceward::core_detail {

/// The length of the UTF-8 character at this byte (RFC 3629); 0 where none begins there.
[[nodiscard]] std::size_t utf8_character_bytes(std::string_view text, std::size_t at) noexcept;

/// The first byte at which no UTF-8 character begins; npos where all of the text is UTF-8.
[[nodiscard]] std::size_t first_not_utf8(std::string_view text) noexcept;

}  // namespace onceward::core_detail
