#include "pipeline/storable.hpp"

#include "core/utf8.hpp"

#include <algorithm>
#include <cmath>

namespace onceward::pipeline_detail {
namespace {

bool is_utf8(std::string_view text) noexcept {
  return core_detail::first_not_utf8(text) == std::string_view::npos;
}

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

bool is_storable(const Value& value) { return is_storable(value, most_stored_depth); }

std::string readable(std::string text, std::size_t most) {
  for (std::size_t at = 0; at < std::min(text.size(), most);) {
    auto length = core_detail::utf8_character_bytes(text, at);
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
