// Keys: how values are written into them, and bound key templates, which write them without the heap.
#include <onceward/expr/bind.hpp>

#include "expr/field.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>

namespace onceward {
namespace {

/// Bytes a placeholder's value may not hold as they are.
constexpr std::array<bool, 256> make_escaped() {
  std::array<bool, 256> escaped{};
  for (std::size_t byte = 0; byte < 0x21; ++byte) escaped[byte] = true;
  escaped['%'] = escaped[':'] = true;
  return escaped;
}
constexpr auto escaped = make_escaped();
constexpr std::string_view hex_digits = "0123456789ABCDEF";

bool is_escaped(char c) noexcept { return escaped[static_cast<unsigned char>(c)]; }

/// Gives `append` the runs of bytes that stay as they are, and `%XX` for each byte that does not; ends where
/// `append` says false.
template <class Append>
bool each_part(std::string_view value, const Append& append) {
  for (std::size_t at = 0; at < value.size();) {
    std::size_t end = at;
    while (end < value.size() && !is_escaped(value[end])) ++end;
    if (end > at && !append(value.substr(at, end - at))) return false;
    if (end < value.size()) {
      const auto byte = static_cast<unsigned char>(value[end]);
      const std::array<char, 3> code = {'%', hex_digits[byte >> 4], hex_digits[byte & 15]};
      if (!append(std::string_view(code.data(), code.size()))) return false;
      ++end;
    }
    at = end;
  }
  return true;
}

}  // namespace

void append_key_part(std::string& out, std::string_view value) {
  (void)each_part(value, [&](std::string_view part) {
    out += part;
    return true;
  });
}

namespace expr_detail {
namespace {

constexpr std::size_t word = 8;

template <class Word>
Word load(const char* at) noexcept {
  Word value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Whether a byte of the eight must be escaped, all looked at together. (Sean Eron Anderson, "Bit Twiddling
/// Hacks": haszero and hasless.)
bool any_escaped(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t highs = 0x8080808080808080;
  const auto zero_byte = [](std::uint64_t x) { return (x - ones) & ~x & highs; };
  return (((bytes - ones * 0x21) & ~bytes & highs) | zero_byte(bytes ^ (ones * '%')) |
          zero_byte(bytes ^ (ones * ':'))) != 0;
}

/// Writes a key. Once something did not fit, all it says is that.
class Writer {
 public:
  Writer(char* begin, std::size_t size) noexcept : at_(begin), end_(begin + size) {}

  [[nodiscard]] char* at() const noexcept { return at_; }
  [[nodiscard]] std::size_t room() const noexcept { return static_cast<std::size_t>(end_ - at_); }

  bool text(std::string_view text) noexcept {
    if (text.size() > room()) return false;
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return true;
  }
  /// Text behind which `block` bytes can be read, as here they can be written.
  template <std::size_t block>
  bool short_text(const char* text, std::size_t size) noexcept {
    if (size > block) return this->text({text, size});
    if (size > room()) return false;
    std::memcpy(at_, text, block);
    at_ += size;
    return true;
  }
  bool integer(std::int64_t value) noexcept {
    if (value >= 0) return integer(static_cast<std::uint64_t>(value));
    return text("-") && integer(~static_cast<std::uint64_t>(value) + 1);
  }
  bool integer(std::uint64_t value) noexcept {
    if (value < ten_to_8) return few_digits(static_cast<std::uint32_t>(value));
    if (value < ten_to_8 * ten_to_8) {
      return few_digits(static_cast<std::uint32_t>(value / ten_to_8)) &&
             eight_digits(static_cast<std::uint32_t>(value % ten_to_8));
    }
    return few_digits(static_cast<std::uint32_t>(value / (ten_to_8 * ten_to_8))) &&
           eight_digits(static_cast<std::uint32_t>(value / ten_to_8 % ten_to_8)) &&
           eight_digits(static_cast<std::uint32_t>(value % ten_to_8));
  }
  bool part(std::string_view value) noexcept {
    if (value.size() > room()) return false;
    if (value.size() > 2 * word) return careful(value);
    // Two words that overlap, or two halves of one, are the whole of a short text.
    if (value.size() >= word) return two_words<std::uint64_t>(value);
    return value.size() >= word / 2 ? two_words<std::uint32_t>(value) : careful(value);
  }

 private:
  static constexpr std::uint64_t ten_to_8 = 100'000'000;

  /// Eight digits of a number below 10^8, the first one in the lowest byte: halves are split three times, all
  /// of a step by one multiplication. (Paul Khuong, "How to print integers really fast", 2017.)
  static std::uint64_t digits_of(std::uint32_t value) noexcept {
    const std::uint64_t halves = value / 10'000 + (std::uint64_t{value % 10'000} << 32);
    const std::uint64_t hundreds = ((halves * 10'486) >> 20) & 0x7f'0000'007f;
    const std::uint64_t pairs = hundreds + ((halves - hundreds * 100) << 16);
    const std::uint64_t tens = ((pairs * 103) >> 10) & 0x000f'000f'000f'000f;
    return tens + ((pairs - tens * 10) << 8);
  }
  /// Without leading zeros. Writes a whole word, as there is always room for behind the key.
  bool few_digits(std::uint32_t value) noexcept {
    auto digits = digits_of(value);
    const auto zeros = value == 0 ? 7U : static_cast<unsigned>(std::countr_zero(digits)) / 8;
    digits = (digits | 0x3030'3030'3030'3030) >> (8 * zeros);
    if (word - zeros > room()) return false;
    write_word(digits);
    at_ += word - zeros;
    return true;
  }
  bool eight_digits(std::uint32_t value) noexcept {
    const auto digits = digits_of(value) | 0x3030'3030'3030'3030;
    if (word > room()) return false;
    write_word(digits);
    at_ += word;
    return true;
  }
  /// The lowest byte first.
  void write_word(std::uint64_t bytes) noexcept {
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
    std::memcpy(at_, &bytes, word);
  }
  template <class Word>
  bool two_words(std::string_view value) noexcept {
    const auto first = load<Word>(value.data());
    const auto last = load<Word>(value.data() + value.size() - sizeof(Word));
    bool escapes = false;
    if constexpr (sizeof(Word) == word) {
      escapes = any_escaped(first) || any_escaped(last);
    } else {
      escapes = any_escaped(first | std::uint64_t{last} << 32);
    }
    if (escapes) return careful(value);
    std::memcpy(at_, &first, sizeof(Word));
    at_ += value.size();
    std::memcpy(at_ - sizeof(Word), &last, sizeof(Word));
    return true;
  }
  bool careful(std::string_view value) noexcept {
    return each_part(value, [this](std::string_view part) { return text(part); });
  }
  char* at_;
  char* end_;
};

/// A value that lies in the argument as it is.
bool write_field(Layout layout, const void* at, Writer& out) noexcept {
  switch (layout) {
    case Layout::text: return out.part(*static_cast<const std::string*>(at));
    case Layout::view: return out.part(*static_cast<const std::string_view*>(at));
    case Layout::boolean: return out.text(copy_of<bool>(at) ? "true" : "false");
    case Layout::u64: return out.integer(copy_of<std::uint64_t>(at));
    case Layout::i64: return out.integer(copy_of<std::int64_t>(at));
    case Layout::i32: return out.integer(std::int64_t{copy_of<std::int32_t>(at)});
    default: break;
  }
  std::int64_t integer = 0;
  (void)load_integer(layout, at, integer);
  return out.integer(integer);
}

/// A placeholder that is no plain field: an optional is followed to its content, anything else is computed.
Result<bool> write_value(const Program& program, Places arguments, Writer& out) {
  const Names names(arguments);
  if (program.instructions.size() == 1 && program.instructions[0].code == Code::field) {
    const auto& place = program.fields[program.instructions[0].a];
    const void* at = names.at(place);
    const Shape* shape = place.shape;
    while (at != nullptr && shape->inside != nullptr) {
      at = shape->inside(at);
      shape = shape->content();
    }
    if (at != nullptr && shape->layout != Layout::other && shape->layout != Layout::real)
      return write_field(shape->layout, at, out);
  }
  std::string text;
  if (auto appended = evaluate_text(program, names, text); !appended)
    return fail(std::move(appended).error());
  return out.part(text);
}

}  // namespace

Result<void> check_key(std::size_t size, std::string_view text) {
  if (size == 0) return fail(ErrorCode::invalid_argument, fmt::format("the key of \"{}\" is empty", text));
  if (size <= limits::key_bytes) return {};
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("the key of \"{}\" has more than the {} bytes that are allowed; use sha256() for long "
                  "parts",
                  text, limits::key_bytes));
}

Result<std::string_view> render(const BoundTemplate& parts, Places arguments, KeyBuffer& out) {
  out.size_ = 0;
  Writer writer(out.bytes_.data(), limits::key_bytes);
  const Names names(arguments);
  const auto too_long = [&] { return fail(check_key(limits::key_bytes + 1, parts.text).error()); };
  for (std::size_t i = 0;; ++i) {
    const auto& piece = parts.pieces[i];
    if (!writer.short_text<KeyBuffer::block>(parts.literals.data() + piece.literal, piece.literal_size))
      return too_long();
    if (i == parts.programs.size()) break;
    if (piece.field.layout != Layout::other) {
      if (!write_field(piece.field.layout, names.at(piece.field), writer)) return too_long();
      continue;
    }
    const auto written = write_value(parts.programs[i], arguments, writer);
    if (!written) return fail(written.error());
    if (!*written) return too_long();
  }
  const auto size = static_cast<std::size_t>(writer.at() - out.bytes_.data());
  if (size == 0) return fail(check_key(size, parts.text).error());
  out.size_ = size;
  return out.view();
}

}  // namespace expr_detail
}  // namespace onceward
