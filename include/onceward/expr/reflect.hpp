#pragma once
#include <onceward/expr/value.hpp>

#if !__has_include(<boost/pfr/core.hpp>)
#error "onceward/expr/reflect.hpp needs Boost.PFR: install libboost-dev, or Boost 1.75 or newer"
#endif
#include <boost/pfr/core.hpp>

#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace onceward {

/// How a type of yours becomes a Value and back. Specialise it for what reflection cannot see into (private
/// members, bases, references, foreign types):
///   static Value to_value(const T&);  static Result<void> from_value(const Value&, T&);
template <class T>
struct ValueCodec;

namespace reflect_detail {

template <class T>
concept HasCodec = requires(const T& value) {
  ValueCodec<T>::to_value(value);
};

/// An object that never exists: the address of its field, as a template argument, tells the field's name.
template <class T>
struct Fake {
  const T value;
};
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <class T>
extern const Fake<T> fake;

/// A pointer in a class: compilers before P1907R1 take no pointer to a part of an object as an argument.
template <class P>
struct Pointer {
  P pointer;
};
template <class P>
Pointer(P) -> Pointer<P>;

template <auto pointer>
consteval std::string_view name_of_pointer() noexcept {
#if defined(__clang__)
  // ... [pointer = Pointer<...>{&fake.value.NAME}] or ...{&fake<T>.value.NAME}
  constexpr std::string_view text = __PRETTY_FUNCTION__;
  constexpr auto end = text.find_last_not_of("]} )");
#else
  // ... [with auto pointer = Pointer<...>{(& fake<T>.Fake<T>::value.T::NAME)}; ...]
  constexpr std::string_view all = __PRETTY_FUNCTION__;
  constexpr auto cut = all.rfind(")}");
  constexpr std::string_view text = all.substr(0, cut == std::string_view::npos ? all.size() : cut);
  constexpr auto end = text.find_last_not_of("]} );");
#endif
  constexpr auto begin = text.find_last_of(".:&> ", end);
  return text.substr(begin + 1, end - begin);
}

template <class T, std::size_t i>
consteval std::string_view field_name() noexcept {
  return name_of_pointer<Pointer{&boost::pfr::get<i>(fake<T>.value)}>();
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t n>
inline constexpr bool is_array<std::array<T, n>> = true;

}  // namespace reflect_detail

/// An aggregate whose fields can be read one by one: public, no bases, references, bit-fields or C arrays.
template <class T>
concept Reflected = std::is_aggregate_v<T> && std::is_class_v<T> && !reflect_detail::is_array<T> &&
                    !reflect_detail::HasCodec<T>;

/// The names of the fields, in order, at compile time.
template <Reflected T>
consteval auto field_names() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    return std::array<std::string_view, sizeof...(i)>{reflect_detail::field_name<T, i>()...};
  }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
}

/// Calls `visit(name, field)` for each field, in order.
template <class T, class Visit>
void for_each_field(T& value, Visit&& visit) {
  [[maybe_unused]] static constexpr auto names = field_names<std::remove_const_t<T>>();
  boost::pfr::for_each_field(value, [&](auto& field, std::size_t i) { visit(names[i], field); });
}

}  // namespace onceward
