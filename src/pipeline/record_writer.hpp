#pragma once
#include "pipeline/run_state.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace onceward::pipeline_detail {

/// What is kept of a text's memory for the next one.
inline constexpr std::size_t most_kept_bytes = 65'536;

/// A text that is written where there is room: a write of a run is a hundred small pieces.
class Text {
 public:
  /// So much room behind the text; what is written there belongs to it after `end_at`.
  char* room(std::size_t bytes) {
    if (size_ + bytes > bytes_.size()) bytes_.resize(std::max(bytes_.size() * 2, size_ + bytes));
    return bytes_.data() + size_;
  }
  void end_at(const char* end) noexcept { size_ = static_cast<std::size_t>(end - bytes_.data()); }
  void put(char c) {
    *room(1) = c;
    ++size_;
  }
  void put(std::string_view text) {
    std::copy(text.begin(), text.end(), room(text.size()));
    size_ += text.size();
  }
  [[nodiscard]] char last() const noexcept { return bytes_[size_ - 1]; }
  [[nodiscard]] std::string_view view() const noexcept { return std::string_view(bytes_).substr(0, size_); }
  void clear() {
    if (bytes_.size() > most_kept_bytes) bytes_ = {};
    size_ = 0;
  }

 private:
  std::string bytes_;
  std::size_t size_ = 0;
};

/// Writes JSON by hand: every write of a run passes here.
class Writer {
 public:
  explicit Writer(Text& out) : out_(out) {}
  void text(std::string_view name, std::string_view value) {
    head(name);
    quoted(value);
  }
  void number(std::string_view name, std::int64_t value) {
    head(name);
    digits(value);
  }
  void flag(std::string_view name) {
    head(name);
    out_.put("true");
  }
  void value(std::string_view name, const Value& value) {
    head(name);
    if (value.is_null()) return out_.put("null");
    if (const auto* text = value.string()) return quoted(*text);
    if (const auto* number = value.integer()) return digits(*number);
    json(value);
  }
  void instant(std::string_view name, const Instant& instant) {
    if (!instant.set()) return;
    head(name, instant.relative ? "_in" : "");
    digits(instant.us);
  }
  void head(std::string_view name, std::string_view unit = {}) {
    auto* at = out_.room(name.size() + unit.size() + 4);
    if (out_.last() != '{') *at++ = ',';
    *at++ = '"';
    at = std::copy(name.begin(), name.end(), at);
    at = std::copy(unit.begin(), unit.end(), at);
    *at++ = '"';
    *at++ = ':';
    out_.end_at(at);
  }

 private:
  static constexpr std::size_t most_digits = 20;

  void digits(std::int64_t value) {
    auto* const at = out_.room(most_digits);
    out_.end_at(std::to_chars(at, at + most_digits, value).ptr);
  }
  void quoted(std::string_view value) {
    const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
      return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\' &&
             static_cast<unsigned char>(c) < 0x7f;
    });
    if (!plain) return json(Value(value));
    auto* at = out_.room(value.size() + 2);
    *at++ = '"';
    at = std::copy(value.begin(), value.end(), at);
    *at++ = '"';
    out_.end_at(at);
  }
  void json(const Value& value) {
    thread_local std::string text;
    text.clear();
    value.append_json(text);
    out_.put(text);
    if (text.capacity() > most_kept_bytes) text = {};
  }
  Text& out_;
};

}  // namespace onceward::pipeline_detail
