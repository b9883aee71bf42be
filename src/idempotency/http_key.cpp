// The Idempotency-Key header: one Structured Field String (RFC 9651, section 4.2), read byte by byte.
#include <onceward/idempotency/http.hpp>

#include <algorithm>

namespace onceward::http {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_alpha(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
constexpr bool is_printable(char c) { return c >= 0x20 && c <= 0x7E; }
constexpr bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
constexpr bool is_bare(char c) { return is_printable(c) && !is_one_of(c, " \",;\\"); }

/// A text and a place in it. Every function that reads returns false where the grammar is broken, at `at`.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[nodiscard]] bool ended() const { return at_ == text_.size(); }
  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool sees(char c) const { return !ended() && text_[at_] == c; }
  bool take(char c) {
    if (!sees(c)) return false;
    ++at_;
    return true;
  }
  template <class Which>
  std::size_t take_while(const Which& which) {
    const auto from = at_;
    while (!ended() && which(text_[at_])) ++at_;
    return at_ - from;
  }
  void spaces() {
    take_while([](char c) { return c == ' '; });
  }

  /// A quoted String. `out` gets at most `most` bytes; true in `over` where there were more.
  bool string(std::string* out, std::size_t most, bool& over) {
    if (!take('"')) return false;
    for (; !ended(); ++at_) {
      char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (c == '\\') {
        if (at_ + 1 == text_.size() || !is_one_of(text_[at_ + 1], "\"\\")) return false;
        c = text_[++at_];
      }
      if (!is_printable(c)) return false;
      if (out == nullptr) continue;
      if (out->size() == most) return over = true;
      *out += c;
    }
    return false;
  }

  /// *( ";" *SP key [ "=" bare-item ] )
  bool parameters() {
    while (take(';')) {
      spaces();
      if (ended() || !(is_lower(text_[at_]) || text_[at_] == '*')) return false;
      take_while([](char c) { return is_lower(c) || is_digit(c) || is_one_of(c, "_-.*"); });
      if (take('=') && !bare_item()) return false;
    }
    return true;
  }

 private:
  bool bare_item() {
    if (ended()) return false;
    const char first = text_[at_];
    bool over = false;
    if (first == '"') return string(nullptr, 0, over);
    if (first == '?') return ++at_, take('0') || take('1');
    if (first == ':') {
      ++at_;
      take_while([](char c) { return is_alpha(c) || is_digit(c) || is_one_of(c, "+/="); });
      return take(':');
    }
    if (first == '@') return ++at_, number(false);
    if (first == '%') return ++at_, display_string();
    if (first == '-' || is_digit(first)) return number(true);
    if (!is_alpha(first) && first != '*') return false;
    take_while([](char c) { return is_alpha(c) || is_digit(c) || is_one_of(c, "!#$%&'*+-.^_`|~:/"); });
    return true;
  }
  bool number(bool fraction) {
    take('-');
    const auto whole = take_while(is_digit);
    if (whole == 0 || whole > 15) return false;
    if (!fraction || !take('.')) return true;
    const auto rest = take_while(is_digit);
    return whole <= 12 && rest >= 1 && rest <= 3;
  }
  bool display_string() {
    constexpr std::string_view hex = "0123456789abcdef";
    if (!take('"')) return false;
    while (!ended() && is_printable(text_[at_])) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (c != '%') continue;
      if (take_while_at_most_two(hex) != 2) return false;
    }
    return false;
  }
  std::size_t take_while_at_most_two(std::string_view set) {
    std::size_t count = 0;
    for (; count < 2 && !ended() && is_one_of(text_[at_], set); ++count) ++at_;
    return count;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

KeyHeader faulty(KeyFault fault, std::size_t offset = 0) {
  return {.key = {}, .fault = fault, .offset = offset};
}

}  // namespace

std::string_view to_string(KeyFault fault) noexcept {
  switch (fault) {
    case KeyFault::missing: return "missing";
    case KeyFault::repeated: return "repeated";
    case KeyFault::empty: return "empty";
    case KeyFault::too_long: return "too_long";
    case KeyFault::unquoted: return "unquoted";
    case KeyFault::malformed: return "malformed";
  }
  return "malformed";
}

KeyHeader read_key(std::span<const std::string_view> lines, const KeyRules& rules) {
  if (lines.empty()) return faulty(KeyFault::missing);
  if (lines.size() > 1) return faulty(KeyFault::repeated);
  // HTTP takes spaces and tabs off both ends of a value; not every library does.
  auto value = lines.front();
  const auto begin = std::min(value.find_first_not_of(" \t"), value.size());
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  if (value.empty()) return faulty(KeyFault::empty);

  Reader reader(value);
  reader.take_while([](char c) { return c == ' ' || c == '\t'; });
  KeyHeader header;
  const auto most = std::min(rules.bytes_max, limits::key_bytes);
  const bool quoted = reader.sees('"');
  bool over = false;
  if (quoted) {
    if (!reader.string(&header.key, most, over)) return faulty(KeyFault::malformed, reader.at());
  } else {
    const auto bytes = reader.take_while(is_bare);
    over = bytes > most;
    if (!over) header.key = value.substr(begin, bytes);
  }
  if (over) return faulty(KeyFault::too_long);
  if (!reader.parameters()) return faulty(KeyFault::malformed, reader.at());
  reader.spaces();
  if (reader.sees(',')) return faulty(KeyFault::repeated);  // several lines that something on the way joined
  if (!reader.ended()) return faulty(KeyFault::malformed, reader.at());
  if (header.key.empty()) return faulty(KeyFault::empty);
  if (!quoted && !rules.accept_unquoted) return faulty(KeyFault::unquoted);
  return header;
}

}  // namespace onceward::http
