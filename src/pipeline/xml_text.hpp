#pragma once
#include "core/utf8.hpp"

#include <algorithm>
#include <string_view>

namespace onceward::pipeline_detail {

/// The first byte that no XML document can hold, however it is written; npos where there is none.
inline std::size_t first_not_xml(std::string_view text) noexcept {
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
  return std::min(core_detail::first_not_utf8(text), control == text.end()
                                                         ? std::string_view::npos
                                                         : static_cast<std::size_t>(control - text.begin()));
}

}  // namespace onceward::pipeline_detail
