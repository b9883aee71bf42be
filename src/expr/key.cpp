// Keys: how values are written into them, and bound key templates, which write them without the heap.
#include <onceward/expr/bind.hpp>

#include "expr/field.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <concepts>
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

/// One to eight bytes of text in a word, the first one lowest; the bytes behind them are 0xff, which is never
/// escaped. Nothing behind the text is read: where loads overlap they hold the same bytes.
std::uint64_t load_short(const char* at, std::size_t size) noexcept {
  if (size == word) return load<std::uint64_t>(at);
  const auto shifted = [](std::uint64_t bytes, std::size_t count) { return bytes << (8 * count); };
  const auto rest = shifted(~std::uint64_t{0}, size);
  if (size >= 4)
    return rest | load<std::uint32_t>(at) | shifted(load<std::uint32_t>(at + size - 4), size - 4);
  const auto byte = [at](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(at[i])}; };
  return rest | byte(0) | shifted(byte(size / 2), size / 2) | shifted(byte(size - 1), size - 1);
}

constexpr std::uint64_t hundred_million = 100'000'000;

/// The eight digits of a number below a hundred million, one a byte, the first one lowest: divided into
/// halves, quarters and digits, all of a step together. The factors are 2^20 / 100 and 2^10 / 10, rounded up.
std::uint64_t eight_digits(std::uint64_t number) noexcept {
  const auto halves = number / 10'000 | (number % 10'000) << 32;
  const auto upper = (halves * 10'486 >> 20) & 0x0000'007f'0000'007f;
  const auto quarters = upper | (halves - 100 * upper) << 16;
  const auto tens = (quarters * 103 >> 10) & 0x000f'000f'000f'000f;
  return tens | (quarters - 10 * tens) << 8;
}
constexpr std::uint64_t zeros = 0x3030'3030'3030'3030;

constexpr bool lowest_first = std::endian::native == std::endian::little;

/// Where a key is written next, and where it must end; a block can be written behind that. The functions
/// below give the place behind what they wrote, or null where it did not fit. By value: a place in memory
/// would be read again after each byte, as any byte written through it may be a part of it.
struct Room {
  char* at;
  char* end;
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(end - at); }
};

char* write_text(Room room, std::string_view text) noexcept {
  if (text.size() > room.size()) return nullptr;
  std::memcpy(room.at, text.data(), text.size());
  return room.at + text.size();
}
/// Text behind which `block` bytes can be read, as here they can be written.
template <std::size_t block>
char* write_literal(Room room, const char* text, std::size_t size) noexcept {
  if (size > block) return write_text(room, {text, size});
  if (size > room.size()) return nullptr;
  std::memcpy(room.at, text, block);
  return room.at + size;
}

/// The first bytes of a word, which is written whole.
char* write_word(char* at, std::uint64_t bytes, std::size_t size) noexcept {
  std::memcpy(at, &bytes, word);
  return at + size;
}
char* write_digits(char* at, std::uint64_t number) noexcept {
  const auto digits = eight_digits(number);
  // Bits before the first digit that is not 0; the last digit is always written.
  const auto leading = static_cast<std::size_t>(std::countr_zero(digits | std::uint64_t{1} << 56)) / 8;
  return write_word(at, (digits | zeros) >> (8 * leading), word - leading);
}
template <std::integral Integer>
char* write_any_integer(Room room, Integer value) noexcept {
  const auto written = std::to_chars(room.at, room.end, value);
  return written.ec == std::errc() ? written.ptr : nullptr;
}
template <std::integral Integer>
char* write_integer(Room room, Integer value) noexcept {
  if (value >= 0 && value < 10 && room.at != room.end) {
    *room.at = static_cast<char>('0' + value);
    return room.at + 1;
  }
  constexpr std::size_t longest = 20;
  const bool negative = value < 0;
  const auto size = negative ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  if (!lowest_first || room.size() < longest) return write_any_integer(room, value);
  *room.at = '-';
  char* const at = room.at + (negative ? 1 : 0);
  if (size < hundred_million) return write_digits(at, size);
  const auto upper = size / hundred_million;
  if (upper >= hundred_million) return write_any_integer(room, value);
  return write_word(write_digits(at, upper), eight_digits(size % hundred_million) | zeros, word);
}

[[gnu::noinline]] char* write_escaped(Room room, std::string_view value) noexcept {
  const bool fits = each_part(value, [&](std::string_view part) {
    char* const next = write_text(room, part);
    if (next != nullptr) room.at = next;
    return next != nullptr;
  });
  return fits ? room.at : nullptr;
}
char* write_part(Room room, std::string_view value) noexcept {
  if (value.size() > room.size()) return nullptr;
  if (value.size() - 1 < word && lowest_first) {
    const auto bytes = load_short(value.data(), value.size());
    return any_escaped(bytes) ? write_escaped(room, value) : write_word(room.at, bytes, value.size());
  }
  if (value.size() < word) return write_escaped(room, value);
  // Word by word; the last one overlaps the one before it.
  const auto last = value.size() - word;
  for (std::size_t at = 0;; at = std::min(at + word, last)) {
    const auto bytes = load<std::uint64_t>(value.data() + at);
    if (any_escaped(bytes)) return write_escaped(room, value);
    std::memcpy(room.at + at, &bytes, word);
    if (at == last) return room.at + value.size();
  }
}

/// A value that lies in the argument as it is.
char* write_field(Layout layout, const void* at, Room room) noexcept {
  switch (layout) {
    case Layout::text: return write_part(room, *static_cast<const std::string*>(at));
    case Layout::view: return write_part(room, *static_cast<const std::string_view*>(at));
    case Layout::boolean: return write_text(room, copy_of<bool>(at) ? "true" : "false");
    case Layout::u64: return write_integer(room, copy_of<std::uint64_t>(at));
    default: break;
  }
  std::int64_t integer = 0;
  (void)load_integer(layout, at, integer);
  return write_integer(room, integer);
}

/// A placeholder that is no plain field: an optional is followed to its content, anything else is computed.
[[gnu::noinline]] Result<char*> write_value(const Program& program, Places arguments, Room room) {
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
      return write_field(shape->layout, at, room);
  }
  std::string text;
  if (auto appended = evaluate_text(program, names, text); !appended)
    return fail(std::move(appended).error());
  return write_part(room, text);
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

/// Apart, so that keys that are made do not pay for the room of errors.
[[gnu::noinline, gnu::cold]] static Result<std::string_view> refused(std::size_t size,
                                                                     const BoundTemplate& parts) {
  return fail(check_key(size, parts.text).error());
}

Result<std::string_view> render(const BoundTemplate& parts, Places arguments, KeyBuffer& out) {
  out.size_ = 0;
  Room room{out.bytes_.data(), out.bytes_.data() + limits::key_bytes};
  const Names names(arguments);
  for (std::size_t i = 0;; ++i) {
    const auto& piece = parts.pieces[i];
    room.at =
        write_literal<KeyBuffer::block>(room, parts.literals.data() + piece.literal, piece.literal_size);
    if (room.at == nullptr) return refused(limits::key_bytes + 1, parts);
    if (i == parts.programs.size()) break;
    if (piece.field.layout != Layout::other) {
      room.at = write_field(piece.field.layout, names.at(piece.field), room);
    } else {
      auto next = write_value(parts.programs[i], arguments, room);
      if (!next) return fail(std::move(next).error());
      room.at = *next;
    }
    if (room.at == nullptr) return refused(limits::key_bytes + 1, parts);
  }
  const auto size = static_cast<std::size_t>(room.at - out.bytes_.data());
  if (size == 0) return refused(size, parts);
  out.size_ = size;
  return out.view();
}

}  // namespace expr_detail
}  // namespace onceward
