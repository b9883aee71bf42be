#pragma once
#include "expr/program.hpp"

#include <cstring>

// Reading the fields of a bound program where they lie.
namespace onceward::expr_detail {

template <class T>
T copy_of(const void* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

inline bool is_integer(Layout layout) noexcept { return layout >= Layout::i8 && layout <= Layout::u64; }

/// An integer of up to 63 bits; false where this layout holds none, or one of 64 bits that does not fit.
inline bool load_integer(Layout layout, const void* at, std::int64_t& out) noexcept {
  switch (layout) {
    case Layout::i64: out = copy_of<std::int64_t>(at); return true;
    case Layout::i32: out = copy_of<std::int32_t>(at); return true;
    case Layout::u32: out = copy_of<std::uint32_t>(at); return true;
    case Layout::i16: out = copy_of<std::int16_t>(at); return true;
    case Layout::u16: out = copy_of<std::uint16_t>(at); return true;
    case Layout::i8: out = copy_of<std::int8_t>(at); return true;
    case Layout::u8: out = copy_of<std::uint8_t>(at); return true;
    case Layout::u64: out = copy_of<std::int64_t>(at); return out >= 0;
    default: return false;
  }
}

/// A value that needs no conversion; false where it needs one, or does not fit.
inline bool load_plain(Layout layout, const void* at, Operand& out) noexcept {
  switch (layout) {
    case Layout::other: return false;
    case Layout::boolean: out = Operand::of(copy_of<bool>(at)); return true;
    case Layout::real: out = Operand::of(copy_of<double>(at)); return true;
    case Layout::text: out = Operand::of(std::string_view(*static_cast<const std::string*>(at))); return true;
    case Layout::view: out = Operand::of(*static_cast<const std::string_view*>(at)); return true;
    default: break;
  }
  std::int64_t integer = 0;
  const bool fits = load_integer(layout, at, integer);
  out = Operand::of(integer);
  return fits;
}

/// What to_value makes of an object.
[[nodiscard]] Value value_at(const Shape& shape, const void* at);

}  // namespace onceward::expr_detail
