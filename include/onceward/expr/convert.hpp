#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/expr/reflect.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace onceward {

namespace reflect_detail {

template <class T>
inline constexpr bool is_vector = false;
template <class T, class A>
inline constexpr bool is_vector<std::vector<T, A>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
/// std::map, std::unordered_map and what is like them; by their members, so that nobody pays for their
/// headers.
template <class T>
concept is_string_map = std::is_same_v<typename T::key_type, std::string> && requires(T& map) {
  typename T::mapped_type;
  map.clear();
  map[std::string()];
};
template <class T>
inline constexpr bool is_duration = false;
template <class R, class P>
inline constexpr bool is_duration<std::chrono::duration<R, P>> = true;
template <class T>
inline constexpr bool is_time_point = false;
template <class C, class D>
inline constexpr bool is_time_point<std::chrono::time_point<C, D>> = true;

}  // namespace reflect_detail

/// A value as expressions and JSON see it: structs become maps of their fields, durations and times integers
/// in microseconds, enums integers, an unsigned integer beyond 63 bits its decimal text (a Value has no place
/// for it).
template <class T>
[[nodiscard]] Value to_value(const T& value) {
  namespace rd = reflect_detail;
  if constexpr (rd::HasCodec<T>) {
    return ValueCodec<T>::to_value(value);
  } else if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, Map> || std::is_same_v<T, bool>) {
    return Value(value);
  } else if constexpr (std::is_integral_v<T>) {
    if (std::in_range<std::int64_t>(value)) return Value(static_cast<std::int64_t>(value));
    return Value(std::to_string(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return Value(static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    return to_value(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return Value(std::string_view(value));
  } else if constexpr (rd::is_optional<T>) {
    return value ? to_value(*value) : Value();
  } else if constexpr (rd::is_duration<T>) {
    return Value(std::int64_t{std::chrono::duration_cast<Duration>(value).count()});
  } else if constexpr (rd::is_time_point<T>) {
    return to_value(value.time_since_epoch());
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    List list;
    list.reserve(value.size());
    for (const auto& element : value) list.push_back(to_value(element));
    return Value(std::move(list));
  } else if constexpr (rd::is_string_map<T>) {
    std::vector<Map::Entry> entries;
    entries.reserve(value.size());
    for (const auto& [name, element] : value) entries.emplace_back(name, to_value(element));
    return Value(Map::from_entries(std::move(entries)));
  } else if constexpr (Reflected<T>) {
    Map map;
    map.reserve(rd::field_count<T>);
    for_each_field(value, [&](std::string_view name, const auto& field) {
      map.set(std::string(name), to_value(field));
    });
    return Value(std::move(map));
  } else {
    static_assert(!rd::can_be_read<T>());  // it cannot: this says why
    return {};
  }
}

/// The way back. Errors: wrong_kind (what stands there is of another kind), out_of_range (it does not fit),
/// unknown_name (a field is missing); the message names the field. `out` may be half filled then.
template <class T>
[[nodiscard]] Result<void> from_value(const Value& value, T& out) {
  namespace rd = reflect_detail;
  static_assert(!std::is_const_v<T>,
                "onceward: a constant field cannot be filled: take the const away, or specialise "
                "onceward::ValueCodec for the struct");
  static_assert(!std::is_same_v<T, std::string_view>,
                "onceward: a string_view owns no text that could be read into it: write std::string");
  const auto mismatch = [&](std::string_view wanted) {
    return fail(ErrorCode::wrong_kind,
                std::string(wanted).append(" is needed, this is ").append(with_article(value.kind())));
  };
  if constexpr (rd::HasCodec<T>) {
    return ValueCodec<T>::from_value(value, out);
  } else if constexpr (std::is_same_v<T, Value>) {
    out = value;
    return {};
  } else if constexpr (std::is_same_v<T, bool>) {
    if (value.boolean() == nullptr) return mismatch("a bool");
    out = *value.boolean();
    return {};
  } else if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_unsigned_v<T>) {
      if (const auto* text = value.string()) {
        std::uint64_t number = 0;
        for (const char c : *text) {
          if (c < '0' || c > '9' ||
              number >
                  (std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(c - '0')) / 10) {
            return mismatch("an int");
          }
          number = number * 10 + static_cast<std::uint64_t>(c - '0');
        }
        if (text->empty() || !std::in_range<T>(number)) return mismatch("an int");
        out = static_cast<T>(number);
        return {};
      }
    }
    if (value.integer() == nullptr) return mismatch("an int");
    if (!std::in_range<T>(*value.integer()))
      return fail(ErrorCode::out_of_range, "the integer does not fit the field");
    out = static_cast<T>(*value.integer());
    return {};
  } else if constexpr (std::is_floating_point_v<T>) {
    if (value.real() == nullptr) return mismatch("a double");
    out = static_cast<T>(*value.real());
    return {};
  } else if constexpr (std::is_enum_v<T>) {
    std::underlying_type_t<T> number{};
    if (auto read = from_value(value, number); !read) return read;
    out = static_cast<T>(number);
    return {};
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.string() == nullptr) return mismatch("a string");
    out = *value.string();
    return {};
  } else if constexpr (rd::is_optional<T>) {
    out.reset();
    if (value.is_null()) return {};
    typename T::value_type content{};
    auto read = from_value(value, content);
    if (read) out = std::move(content);
    return read;
  } else if constexpr (rd::is_duration<T>) {
    if (value.integer() == nullptr) return mismatch("an int");
    out = std::chrono::duration_cast<T>(Duration(*value.integer()));
    return {};
  } else if constexpr (rd::is_time_point<T>) {
    typename T::duration since{};
    if (auto read = from_value(value, since); !read) return read;
    out = T(since);
    return {};
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    if (value.list() == nullptr) return mismatch("a list");
    if constexpr (rd::is_vector<T>) out.resize(value.list()->size());
    if (value.list()->size() != out.size())
      return fail(ErrorCode::out_of_range, "the list has another size than the array");
    for (std::size_t i = 0; i < out.size(); ++i) {
      typename T::value_type element{};
      if (auto read = from_value((*value.list())[i], element); !read) return read;
      out[i] = std::move(element);
    }
    return {};
  } else if constexpr (std::is_same_v<T, Map>) {
    if (value.map() == nullptr) return mismatch("a map");
    out = *value.map();
    return {};
  } else if constexpr (rd::is_string_map<T>) {
    if (value.map() == nullptr) return mismatch("a map");
    out.clear();
    for (const auto& [name, element] : *value.map()) {
      if (auto read = from_value(element, out[name]); !read) return read;
    }
    return {};
  } else if constexpr (Reflected<T>) {
    if (value.map() == nullptr) return mismatch("a map");
    Result<void> read;
    for_each_field(out, [&](std::string_view name, auto& field) {
      if (!read) return;
      const auto* member = value.find(name);
      read = member == nullptr ? Result<void>(fail(ErrorCode::unknown_name, "the field is missing"))
                               : from_value(*member, field);
      if (!read) read.error().message.insert(0, std::string(name) + ": ");
    });
    return read;
  } else {
    static_assert(!rd::can_be_read<T>());  // it cannot: this says why
    return {};
  }
}

}  // namespace onceward
