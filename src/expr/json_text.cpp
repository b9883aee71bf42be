#include <onceward/expr/json_text.hpp>

#include <charconv>
#include <cmath>

namespace onceward::json_detail {
namespace {

bool is_plain_text(std::string_view text) noexcept {
  // Without a way out of the loop, which compilers turn into a few wide instructions.
  unsigned found = 0;
  for (const char c : text) {
    found |= static_cast<unsigned>(c == '"') | static_cast<unsigned>(c == '\\') |
             static_cast<unsigned>(static_cast<unsigned char>(c) < 0x20);
  }
  return found == 0;
}

}  // namespace

void append_text(std::string& out, std::string_view text) {
  static constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  if (is_plain_text(text)) {
    out.append(text);
    out += '"';
    return;
  }
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20) continue;
    out.append(text, done, i - done);
    done = i + 1;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        out += "\\u00";
        out += digits[static_cast<unsigned char>(c) >> 4];
        out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  out.append(text, done, text.size() - done);
  out += '"';
}

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

}  // namespace onceward::json_detail
