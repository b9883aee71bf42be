#pragma once
#include <onceward/expr/value.hpp>

#if !__has_include(<boost/pfr/core.hpp>)
#error "onceward/expr/reflect.hpp needs Boost.PFR: install libboost-dev, or Boost 1.75 or newer"
#endif
#include <boost/pfr/core.hpp>

#include <array>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace onceward {

/// How a type of yours becomes a Value and back. Specialise it for foreign types, and for what has no fields
/// to list:
///   static Value to_value(const T&);  static Result<void> from_value(const Value&, T&);
template <class T>
struct ValueCodec;

namespace reflect_detail {
/// Called by lists of fields that are wrong: they are not constexpr, so that the list does not compile.
void a_field_needs_a_name();
void two_fields_have_one_name();
}  // namespace reflect_detail

/// A field of a list of your own: its name and where it is.
template <class Class, class Member>
struct Field {
  std::string_view name;
  Member Class::*member;
};

template <class Class, class Member>
[[nodiscard]] consteval auto field(std::string_view name, Member Class::*member) {
  static_assert(std::is_object_v<Member>,
                "onceward::field takes a data member: a function cannot be read and written as a field");
  if (name.empty()) reflect_detail::a_field_needs_a_name();
  return Field<Class, Member>{name, member};
}

/// The fields of a class that shows them itself, with a friend that the compiler finds by the class alone:
///   friend consteval auto onceward_fields(const Account*) {
///     return onceward::fields(onceward::field("id", &Account::id_), onceward::field("sum", &Account::sum_));
///   }
/// Members may be private, and may be of a base. A class derived from it has to list its own. An aggregate
/// with such a list is read by the list. Two fields of one name do not compile.
template <class... Class, class... Member>
[[nodiscard]] consteval auto fields(Field<Class, Member>... list) {
  const std::array<std::string_view, sizeof...(list)> names{list.name...};
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (names[i] == names[j]) reflect_detail::two_fields_have_one_name();
    }
  }
  return std::tuple(list...);
}

namespace reflect_detail {

template <class T>
concept HasCodec = requires(const T& value) {
  ValueCodec<T>::to_value(value);
};

/// Becomes a pointer to T and to nothing else: the list of a base is not taken for the list of T.
template <class T>
struct ExactPointer {
  template <class U>
  requires std::is_same_v<std::remove_const_t<U>, T>
  constexpr operator U*() const noexcept { return nullptr; }
};

template <class T>
concept Listed = std::is_class_v<T> && requires {
  onceward_fields(ExactPointer<T>());
};

template <class T>
inline constexpr auto list_of = onceward_fields(ExactPointer<T>());

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t n>
inline constexpr bool is_array<std::array<T, n>> = true;

template <class T>
concept Pointing = std::is_pointer_v<T> || requires(const T& value) {
  typename T::element_type;
  value.operator->();
};

inline constexpr std::size_t max_fields = 100;

// What an aggregate is made of is found by trying what it can be initialised with. These become anything; a
// copyable type takes the first, another the second: so neither is ambiguous for the usual wrappers.
struct AnyReference {
  template <class U>
  operator U&() const&& noexcept {
    __builtin_unreachable();
  }
  template <class U>
  operator U&() const& noexcept {
    __builtin_unreachable();
  }
};
struct AnyObject {
  template <class U>
  operator U() const&& noexcept {
    __builtin_unreachable();
  }
};
template <class T, std::size_t = 0>
using Any = std::conditional_t<std::is_copy_constructible_v<T>, AnyReference, AnyObject>;

/// Becomes a base of T, and nothing else.
template <class T>
struct AnyBase {
  template <class U>
  requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>) operator U() const noexcept {
    __builtin_unreachable();
  }
};

/// Whether T can be initialised with so many values, C arrays taking one for each element.
template <class T, std::size_t count>
inline constexpr bool takes = []<std::size_t... i>(std::index_sequence<i...>) {
  return requires { T{Any<T, i>{}...}; };
}
(std::make_index_sequence<count>());

/// The same with a base at first, then `count` values.
template <class T, std::size_t count>
inline constexpr bool takes_base = []<std::size_t... i>(std::index_sequence<i...>) {
  return requires { T{AnyBase<T>{}, Any<T, i>{}...}; };
}
(std::make_index_sequence<count>());

/// The same with braces between `before` and `after` values. A C array is all that is in its braces: then
/// fewer values have place after them.
template <class T, std::size_t before, std::size_t after>
inline constexpr bool takes_braces = []<std::size_t... i, std::size_t... j>(std::index_sequence<i...>,
                                                                            std::index_sequence<j...>) {
  return requires { T{Any<T, i>{}..., {}, Any<T, j>{}...}; }
  || requires { T{Any<T, i>{}..., {Any<T>{}}, Any<T, j>{}...}; };
}
(std::make_index_sequence<before>(), std::make_index_sequence<after>());

/// Eight braces at once: what nearly every struct takes, and far fewer things to try.
template <class T, std::size_t before, std::size_t after>
inline constexpr bool takes_8_braces = []<std::size_t... i, std::size_t... j>(std::index_sequence<i...>,
                                                                              std::index_sequence<j...>) {
  return requires { T{Any<T, i>{}..., {}, {}, {}, {}, {}, {}, {}, {}, Any<T, j>{}...}; };
}
(std::make_index_sequence<before>(), std::make_index_sequence<after>());

/// The most values that T takes, at most 128: that is too many already.
template <class T, std::size_t from = 0, std::size_t beyond = 129>
consteval std::size_t count_values() {
  if constexpr (takes<T, 0>) {  // then every smaller number is taken too
    if constexpr (beyond - from == 1) {
      return from;
    } else {
      constexpr auto middle = beyond == 129 && from < 64 ? from * 2 + 1 : from + (beyond - from) / 2;
      if constexpr (takes<T, middle>) {
        return count_values<T, middle, beyond>();
      } else {
        return count_values<T, from, middle>();
      }
    }
  } else if constexpr (from == 129) {
    return 0;
  } else if constexpr (takes<T, from> && !takes<T, from + 1>) {
    return from;
  } else {
    return count_values<T, from + 1, beyond>();
  }
}

template <class T, std::size_t at, std::size_t total>
consteval bool has_c_array() {
  if constexpr (at >= total) {
    return false;
  } else if constexpr (at + 8 <= total && takes_8_braces<T, at, (at + 8 <= total ? total - at - 8 : 0)>) {
    return has_c_array<T, at + 8, total>();
  } else if constexpr (takes_braces<T, at, total - at - 1>) {
    return has_c_array<T, at + 1, total>();
  } else {
    return []<std::size_t... after>(std::index_sequence<after...>) {
      return (takes_braces<T, at, after> || ...);
    }
    (std::make_index_sequence<total - at - 1>()) || has_c_array<T, at + 1, total>();
  }
}

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

/// The field has an address that is known before there is an object: not so a reference and a bit-field.
template <class T, std::size_t i>
concept HasAddress = requires {
  name_of_pointer<Pointer{&boost::pfr::get<i>(fake<T>.value)}>();
};

/// What keeps T from being read field by field.
enum class Obstacle { none, pointer, c_array, opaque, base, uncounted, reference, bit_field, too_many };

/// The rest of them, where the fields are counted. One bit-field hides the addresses of all fields, so does a
/// reference; a reference takes the assignment from its struct, too.
template <class T, std::size_t... i>
consteval Obstacle obstacle_of_fields(std::index_sequence<i...>) {
  using Fields = const T&;
  if constexpr ((std::is_array_v<
                     std::remove_reference_t<decltype(boost::pfr::get<i>(std::declval<Fields>()))>> ||
                 ...)) {
    return Obstacle::c_array;
  } else if constexpr ((HasAddress<T, i> && ...)) {
    return Obstacle::none;
  } else {
    return std::is_move_assignable_v<T> ? Obstacle::bit_field : Obstacle::reference;
  }
}

template <class T>
consteval Obstacle find_obstacle() {
  if constexpr (Pointing<T>) {
    return Obstacle::pointer;
  } else if constexpr (std::is_array_v<T>) {
    return Obstacle::c_array;
  } else if constexpr (Listed<T>) {
    return Obstacle::none;
  } else if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T> || is_array<T>) {
    return Obstacle::opaque;
  } else {
    constexpr auto count = count_values<T>();
    if constexpr (takes_base<T, 0> || takes_base<T, (count > 0 ? count - 1 : 0)>) {
      return Obstacle::base;
    } else if constexpr (count == 0) {
      return std::is_empty_v<T> ? Obstacle::none : Obstacle::uncounted;
    } else if constexpr (has_c_array<T, 0, count>()) {
      return Obstacle::c_array;
    } else if constexpr (count > max_fields) {
      return Obstacle::too_many;
    } else {
      return obstacle_of_fields<T>(std::make_index_sequence<count>());
    }
  }
}

template <class T>
inline constexpr Obstacle obstacle = find_obstacle<T>();

/// Says what is wrong with T and what to write instead; true where nothing is.
template <class T>
consteval bool can_be_read() {
  constexpr auto o = obstacle<T>;
  static_assert(o != Obstacle::pointer,
                "onceward: a pointer is no value, it may be null or dangle: hold the value itself, or a "
                "std::optional of it");
  static_assert(o != Obstacle::c_array,
                "onceward: a C array cannot be read as a field: write std::array, or std::string for text");
  static_assert(
      o != Obstacle::opaque,
      "onceward cannot look into this type: it has private members, a constructor, a virtual function "
      "or no fields at all. List the fields in a friend onceward_fields if the class is yours, or "
      "specialise onceward::ValueCodec for it");
  static_assert(o != Obstacle::base,
                "onceward: the fields of a struct with a base class are not found: list them in a friend "
                "onceward_fields, or make the base a field");
  static_assert(
      o != Obstacle::uncounted,
      "onceward: the fields of this struct cannot be counted, one is a reference or cannot be copied: "
      "list them in a friend onceward_fields, or specialise onceward::ValueCodec for it");
  static_assert(
      o != Obstacle::reference,
      "onceward: a reference (or a constant bit-field) cannot be read as a field: hold the value itself, "
      "or specialise onceward::ValueCodec for the struct");
  static_assert(
      o != Obstacle::bit_field,
      "onceward: a bit-field cannot be read as a field, it has no address: write a whole integer or "
      "bool, or specialise onceward::ValueCodec for the struct");
  static_assert(
      o != Obstacle::too_many,
      "onceward: a struct is read up to 100 fields: put some into structs of their own, or list the "
      "fields in a friend onceward_fields");
  return o == Obstacle::none;
}

template <class T>
consteval std::size_t count_fields() {
  if constexpr (!can_be_read<T>()) {
    return 0;
  } else if constexpr (Listed<T>) {
    return std::tuple_size_v<std::remove_const_t<decltype(list_of<T>)>>;
  } else {
    return boost::pfr::tuple_size_v<T>;
  }
}

/// How many fields T has. Does not compile, with a sentence that says why, where T cannot be read.
template <class T>
inline constexpr std::size_t field_count = count_fields<T>();

/// The name of the i-th field.
template <class T, std::size_t i>
consteval std::string_view field_name() noexcept {
  if constexpr (Listed<T>) {
    return std::get<i>(list_of<T>).name;
  } else {
    return name_of_pointer<Pointer{&boost::pfr::get<i>(fake<T>.value)}>();
  }
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

/// The i-th field itself, constant where the object is.
template <std::size_t i, class T>
[[nodiscard]] constexpr auto& get_field(T& object) noexcept {
  if constexpr (Listed<std::remove_const_t<T>>) {
    return object.*(std::get<i>(list_of<std::remove_const_t<T>>).member);
  } else {
    return boost::pfr::get<i>(object);
  }
}

/// The type of the i-th field, without const.
template <class T, std::size_t i>
using FieldType = std::remove_cvref_t<decltype(get_field<i>(std::declval<T&>()))>;

}  // namespace reflect_detail

/// A class whose fields can be read one by one: it lists them in a friend onceward_fields, or is an aggregate
/// of at most 100 without bases, references, bit-fields and C arrays. A type with a ValueCodec is not looked
/// into.
template <class T>
concept Reflected = std::is_class_v<T> && !reflect_detail::HasCodec<T> &&
                    reflect_detail::obstacle<T> == reflect_detail::Obstacle::none;

/// The names of the fields, in order, at compile time.
template <class T>
consteval auto field_names() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    return std::array<std::string_view, sizeof...(i)>{reflect_detail::field_name<T, i>()...};
  }
  (std::make_index_sequence<reflect_detail::field_count<T>>());
}

/// Calls `visit(name, field)` for each field, in order.
template <class T, class Visit>
void for_each_field(T& value, Visit&& visit) {
  using Plain = std::remove_const_t<T>;
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    (static_cast<void>(visit(reflect_detail::field_name<Plain, i>(), reflect_detail::get_field<i>(value))),
     ...);
  }
  (std::make_index_sequence<reflect_detail::field_count<Plain>>());
}

}  // namespace onceward
