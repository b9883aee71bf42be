#pragma once
#include <algorithm>
#include <string>
#include <string_view>

// Text as the language sees it: UTF-8, counted in code points; case is changed for ASCII letters alone, so
// that no locale can change a key.
namespace onceward::expr_detail {

inline bool begins_code_point(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

inline std::size_t code_points(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_code_point));
}

/// The byte at which the code point of this number begins; the size where the text has no more.
inline std::size_t byte_of(std::string_view text, std::size_t code_point) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (begins_code_point(text[i]) && code_point-- == 0) return i;
  }
  return text.size();
}

inline std::string ascii_upper(std::string_view text) {
  std::string changed(text);
  for (char& c : changed) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return changed;
}
inline std::string ascii_lower(std::string_view text) {
  std::string changed(text);
  for (char& c : changed) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return changed;
}

/// Without the bytes up to 0x20 at both ends.
inline std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= 0x20) text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= 0x20) text.remove_suffix(1);
  return text;
}

}  // namespace onceward::expr_detail
