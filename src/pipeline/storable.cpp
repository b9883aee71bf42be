#include "pipeline/storable.hpp"

#include <algorithm>
#include <cmath>

namespace onceward::pipeline_detail {
namespace {

/// The length of the UTF-8 character at this byte (RFC 3629); 0 where none begins there.
std::size_t character_bytes(std::string_view text, std::size_t at) noexcept {
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

bool is_utf8(std::string_view text) noexcept { return first_not_utf8(text) == std::string_view::npos; }

bool is_storable(const Value& value, std::size_t depth_left) {
  if (const auto* text = value.string()) return is_utf8(*text);
  if (const auto* number = value.real()) return std::isfinite(*number);
  if (const auto* list = value.list()) {
    return depth_left > 0 && std::all_of(list->begin(), list->end(), [&](const Value& item) {
             return is_storable(item, depth_left - 1);
           });
  }
  if (const auto* map = value.map()) {
    return depth_left > 0 && std::all_of(map->begin(), map->end(), [&](const Map::Entry& member) {
             return is_utf8(member.first) && is_storable(member.second, depth_left - 1);
           });
  }
  return true;
}

}  // namespace

std::size_t first_not_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const auto length = character_bytes(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

bool is_storable(const Value& value) { return is_storable(value, most_stored_depth); }

std::string readable(std::string text, std::size_t most) {
  for (std::size_t at = 0; at < std::min(text.size(), most);) {
    auto length = character_bytes(text, at);
    if (length == 0) {
      text[at] = '?';
      length = 1;
    }
    if (at + length > most) most = at;
    at += length;
  }
  if (text.size() > most) text.resize(most);
  return text;
}

}  // namespace onceward::pipeline_detail
