#pragma once
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace onceward::redis::detail {

/// Writes commands in the Redis protocol (RESP), one after the other, into one text. hiredis formats a
/// command from arrays of pointers and lengths; a batch's arguments are put straight where they are sent
/// from.
class CommandWriter {
 public:
  explicit CommandWriter(std::string& out) noexcept : out_(out) {}

  /// Begins a command of this many words; as many calls of `word` or `number` must follow.
  void begin(std::size_t words) { head('*', static_cast<std::int64_t>(words)); }
  void word(std::string_view text) {
    head('$', static_cast<std::int64_t>(text.size()));
    out_.append(text).append("\r\n");
  }
  void number(std::int64_t value) {
    char digits[24];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    word({digits, static_cast<std::size_t>(end - digits)});
  }
  void command(std::initializer_list<std::string_view> words) {
    begin(words.size());
    for (const auto& text : words) word(text);
  }

 private:
  void head(char kind, std::int64_t value) {
    char digits[24];
    const char* const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out_ += kind;
    out_.append(digits, static_cast<std::size_t>(end - digits)).append("\r\n");
  }

  std::string& out_;
};

}  // namespace onceward::redis::detail
