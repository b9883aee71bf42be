#pragma once
#include <onceward/expr/convert.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

// What a program that is bound to C++ types knows of them: where fields lie and what kinds they can be.
namespace onceward::expr_detail {

/// The kinds a value may have, one bit each.
using Kinds = std::uint8_t;
constexpr Kinds bit_of(Value::Kind kind) noexcept {
  return static_cast<Kinds>(1U << static_cast<unsigned>(kind));
}
inline constexpr Kinds any_kind = 0x7f;
/// Whether any of the wanted ones is among them.
constexpr bool has(Kinds kinds, Kinds wanted) noexcept { return (kinds & wanted) != 0; }
constexpr bool has(Kinds kinds, Value::Kind kind) noexcept { return has(kinds, bit_of(kind)); }

/// How a value that needs no conversion lies in memory; `other` is read through Shape::load.
enum class Layout : std::uint8_t { other, boolean, i8, i16, i32, i64, u8, u16, u32, u64, real, text, view };

struct Shape;
struct FieldShape {
  std::string_view name;
  const Shape* (*shape)();
  std::size_t (*offset)();
};

/// A type, as to_value sees it: of an optional what is inside, of a struct its fields, of what has a layout
/// that one; the others have `load`.
struct Shape {
  Kinds kinds = any_kind;
  Layout layout = Layout::other;
  /// An optional's content, or null where it is empty; its shape is `content`.
  const void* (*inside)(const void* object) = nullptr;
  const Shape* (*content)() = nullptr;  ///< of an optional, a list's elements, a map's members
  std::span<const FieldShape> fields{};
  Value (*load)(const void* object) = nullptr;
};

template <class T>
const Shape* shape_of();

/// Room of a T in which none is ever made: fields are measured in it.
template <class T>
alignas(T) inline std::byte room_of[sizeof(T)];

template <class T, std::size_t i>
std::size_t field_offset() {
  const auto& field = reflect_detail::get_field<i>(*reinterpret_cast<const T*>(room_of<T>));
  return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(std::addressof(field)) - room_of<T>);
}

template <class T, class Indexes>
struct FieldShapes;
template <class T, std::size_t... i>
struct FieldShapes<T, std::index_sequence<i...>> {
  static constexpr std::array<FieldShape, sizeof...(i)> all = {
      FieldShape{reflect_detail::field_name<T, i>(), &shape_of<reflect_detail::FieldType<T, i>>,
                 &field_offset<T, i>}...};
};

template <class T>
constexpr Layout integer_layout() noexcept {
  constexpr std::array<Layout, 4> with_sign = {Layout::i8, Layout::i16, Layout::i32, Layout::i64};
  constexpr std::array<Layout, 4> without = {Layout::u8, Layout::u16, Layout::u32, Layout::u64};
  constexpr std::size_t width = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  return std::is_signed_v<T> ? with_sign[width] : without[width];
}

/// All of a shape but `load`.
template <class T>
constexpr Shape plain_shape() {
  namespace rd = reflect_detail;
  using Kind = Value::Kind;
  Shape shape;
  const auto of = [&](Kind kind, Layout layout) {
    shape.kinds = bit_of(kind);
    shape.layout = layout;
  };
  if constexpr (rd::HasCodec<T> || std::is_same_v<T, Value>) {
    // Its kind is known when it is there.
  } else if constexpr (std::is_same_v<T, bool>) {
    of(Kind::boolean, Layout::boolean);
  } else if constexpr (std::is_integral_v<T>) {
    of(Kind::integer, integer_layout<T>());
  } else if constexpr (std::is_floating_point_v<T>) {
    of(Kind::real, std::is_same_v<T, double> ? Layout::real : Layout::other);
  } else if constexpr (std::is_enum_v<T>) {
    using Number = std::underlying_type_t<T>;
    if constexpr (std::is_same_v<Number, bool>) {
      of(Kind::boolean, Layout::boolean);
    } else {
      of(Kind::integer, integer_layout<Number>());
    }
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    of(Kind::string, std::is_same_v<T, std::string>        ? Layout::text
                     : std::is_same_v<T, std::string_view> ? Layout::view
                                                           : Layout::other);
  } else if constexpr (rd::is_optional<T>) {
    shape.inside = [](const void* object) -> const void* {
      const auto& optional = *static_cast<const T*>(object);
      return optional ? &*optional : nullptr;
    };
    shape.content = &shape_of<typename T::value_type>;
    shape.kinds = static_cast<Kinds>(plain_shape<typename T::value_type>().kinds | bit_of(Kind::null));
  } else if constexpr (rd::is_duration<T>) {
    constexpr bool plain = std::is_same_v<typename T::period, std::micro> &&
                           std::is_integral_v<typename T::rep> && sizeof(T) == sizeof(std::int64_t);
    of(Kind::integer, plain ? Layout::i64 : Layout::other);
  } else if constexpr (rd::is_time_point<T>) {
    of(Kind::integer, plain_shape<typename T::duration>().layout);
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    of(Kind::list, Layout::other);
    shape.content = &shape_of<typename T::value_type>;
  } else if constexpr (std::is_same_v<T, Map>) {
    of(Kind::map, Layout::other);
  } else if constexpr (rd::is_string_map<T>) {
    of(Kind::map, Layout::other);
    shape.content = &shape_of<typename T::mapped_type>;
  } else if constexpr (Reflected<T>) {
    of(Kind::map, Layout::other);
    shape.fields = FieldShapes<T, std::make_index_sequence<reflect_detail::field_count<T>>>::all;
  }
  return shape;
}

/// Only what is read in no other way is loaded: to_value of every struct would take long to compile.
template <class T>
constexpr Shape make_shape() {
  constexpr auto plain = plain_shape<T>();
  // Not plain.inside: GCC 12 compares no address in a constant under -fsanitize=undefined.
  constexpr bool opened = reflect_detail::is_optional<T> && !reflect_detail::HasCodec<T>;
  auto shape = plain;
  if constexpr (plain.layout == Layout::other && plain.fields.empty() && !opened)
    shape.load = [](const void* object) { return to_value(*static_cast<const T*>(object)); };
  return shape;
}

template <class T>
inline constexpr Shape shape_of_type = make_shape<T>();

/// A function, so that a type may hold a list of itself.
template <class T>
const Shape* shape_of() {
  return &shape_of_type<T>;
}

}  // namespace onceward::expr_detail
