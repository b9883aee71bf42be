#include "core/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace onceward::core_detail {

std::size_t utf8_character_bytes(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                             : first >= 0xe0 && first <= 0xef ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  }
  // Over-long forms, surrogates and what lies beyond U+10FFFF are told by the second byte.
  const bool refused = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
                       (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return refused ? 0 : length;
}

std::size_t first_not_utf8(std::string_view text) noexcept {
  constexpr std::uint64_t beyond_ascii = 0x8080808080808080;
  for (std::size_t at = 0; at < text.size();) {
    // Most text is ASCII: eight bytes at a time.
    std::uint64_t word = beyond_ascii;
    if (text.size() - at >= sizeof word) std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & beyond_ascii) == 0) {
      at += sizeof word;
      continue;
    }
    const auto length = utf8_character_bytes(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace onceward::core_detail
