#pragma once
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

// The records of the hot path are flat JSON, written and read without building a tree.
namespace onceward::task_detail {

inline void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

/// Reads what was written flat, part by part; a part that is not there leaves it where it is.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : rest_(text) {}

  bool skip(std::string_view literal) noexcept {
    if (!rest_.starts_with(literal)) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }
  /// What comes before the next quote; it lives as long as the text.
  bool id(std::string_view& out) noexcept {
    const auto end = rest_.find('"');
    if (end == std::string_view::npos) return false;
    out = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return true;
  }
  bool id(std::string& out) {
    std::string_view view;
    if (!id(view)) return false;
    out = view;
    return true;
  }
  bool integer(std::int64_t& out) noexcept {
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return true;
  }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace onceward::task_detail
