#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/expr/value.hpp>

#if !__has_include(<boost/pfr/core.hpp>)
#error "onceward/expr/reflect.hpp needs Boost.PFR's headers: install libboost-dev (Debian, Ubuntu) or Boost 1.75 or newer"
#endif
#include <boost/pfr/core.hpp>

#include <array>
#include <chrono>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace onceward {

/// How a type of yours becomes a Value and back. Specialise it for what reflection cannot see into (private
/// members, bases, references, foreign types):
///   static Value to_value(const T&);  static Result<void> from_value(const Value&, T&);
template <class T>
struct ValueCodec;

namespace reflect_detail {

template <class T>
concept HasCodec = requires(const T& value) { ValueCodec<T>::to_value(value); };

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
inline constexpr bool is_vector = false;
template <class T, class A>
inline constexpr bool is_vector<std::vector<T, A>> = true;
template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t n>
inline constexpr bool is_array<std::array<T, n>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_string_map = false;
template <class T, class C, class A>
inline constexpr bool is_string_map<std::map<std::string, T, C, A>> = true;
template <class T>
inline constexpr bool is_duration = false;
template <class R, class P>
inline constexpr bool is_duration<std::chrono::duration<R, P>> = true;
template <class T>
inline constexpr bool is_time_point = false;
template <class C, class D>
inline constexpr bool is_time_point<std::chrono::time_point<C, D>> = true;

template <class T>
inline constexpr bool never = false;

}  // namespace reflect_detail

/// An aggregate whose fields can be read one by one: public, no bases, references, bit-fields or C arrays.
template <class T>
concept Reflected = std::is_aggregate_v<T> && std::is_class_v<T> && !reflect_detail::is_array<T> && !reflect_detail::HasCodec<T>;

/// The names of the fields, in order, at compile time.
template <Reflected T>
consteval auto field_names() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    return std::array<std::string_view, sizeof...(i)>{reflect_detail::field_name<T, i>()...};
  }(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
}

/// Calls `visit(name, field)` for each field, in order.
template <class T, class Visit>
void for_each_field(T& value, Visit&& visit) {
  [[maybe_unused]] static constexpr auto names = field_names<std::remove_const_t<T>>();
  boost::pfr::for_each_field(value, [&](auto& field, std::size_t i) { visit(names[i], field); });
}

/// A value as expressions and JSON see it: structs become maps of their fields, durations and times integers in
/// microseconds, enums integers, an unsigned integer beyond 63 bits its decimal text (a Value has no place for it).
template <class T>
[[nodiscard]] Value to_value(const T& value) {
  namespace rd = reflect_detail;
  if constexpr (rd::HasCodec<T>) {
    return ValueCodec<T>::to_value(value);
  } else if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, bool>) {
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
    Map map;
    map.reserve(value.size());
    for (const auto& [name, element] : value) map.set(name, to_value(element));
    return Value(std::move(map));
  } else if constexpr (Reflected<T>) {
    Map map;
    map.reserve(boost::pfr::tuple_size_v<T>);
    for_each_field(value, [&](std::string_view name, const auto& field) { map.set(std::string(name), to_value(field)); });
    return Value(std::move(map));
  } else {
    static_assert(rd::never<T>, "onceward cannot look into this type: make it an aggregate of fields it knows, or "
                                "specialise onceward::ValueCodec for it");
  }
}

/// The way back. Errors: wrong_kind (what stands there is of another kind), out_of_range (it does not fit),
/// unknown_name (a field is missing); the message names the field. `out` may be half filled then.
template <class T>
[[nodiscard]] Result<void> from_value(const Value& value, T& out) {
  namespace rd = reflect_detail;
  const auto mismatch = [&](std::string_view wanted) {
    return fail(ErrorCode::wrong_kind, std::string("a ").append(wanted).append(" is needed, this is ").append(to_string(value.kind())));
  };
  if constexpr (rd::HasCodec<T>) {
    return ValueCodec<T>::from_value(value, out);
  } else if constexpr (std::is_same_v<T, Value>) {
    out = value;
    return {};
  } else if constexpr (std::is_same_v<T, bool>) {
    if (value.boolean() == nullptr) return mismatch("bool");
    out = *value.boolean();
    return {};
  } else if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_unsigned_v<T>) {
      if (const auto* text = value.string()) {
        std::uint64_t number = 0;
        for (const char c : *text) {
          if (c < '0' || c > '9' || number > (std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(c - '0')) / 10) {
            return mismatch("int");
          }
          number = number * 10 + static_cast<std::uint64_t>(c - '0');
        }
        if (text->empty() || !std::in_range<T>(number)) return mismatch("int");
        out = static_cast<T>(number);
        return {};
      }
    }
    if (value.integer() == nullptr) return mismatch("int");
    if (!std::in_range<T>(*value.integer())) return fail(ErrorCode::out_of_range, "the integer does not fit the field");
    out = static_cast<T>(*value.integer());
    return {};
  } else if constexpr (std::is_floating_point_v<T>) {
    if (value.real() == nullptr) return mismatch("double");
    out = static_cast<T>(*value.real());
    return {};
  } else if constexpr (std::is_enum_v<T>) {
    std::underlying_type_t<T> number{};
    if (auto read = from_value(value, number); !read) return read;
    out = static_cast<T>(number);
    return {};
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.string() == nullptr) return mismatch("string");
    out = *value.string();
    return {};
  } else if constexpr (rd::is_optional<T>) {
    out.reset();
    return value.is_null() ? Result<void>() : from_value(value, out.emplace());
  } else if constexpr (rd::is_duration<T>) {
    if (value.integer() == nullptr) return mismatch("int");
    out = std::chrono::duration_cast<T>(Duration(*value.integer()));
    return {};
  } else if constexpr (rd::is_time_point<T>) {
    typename T::duration since{};
    if (auto read = from_value(value, since); !read) return read;
    out = T(since);
    return {};
  } else if constexpr (rd::is_vector<T> || rd::is_array<T>) {
    if (value.list() == nullptr) return mismatch("list");
    if constexpr (rd::is_vector<T>) out.resize(value.list()->size());
    if (value.list()->size() != out.size()) return fail(ErrorCode::out_of_range, "the list has another size than the array");
    for (std::size_t i = 0; i < out.size(); ++i) {
      typename T::value_type element{};
      if (auto read = from_value((*value.list())[i], element); !read) return read;
      out[i] = std::move(element);
    }
    return {};
  } else if constexpr (rd::is_string_map<T>) {
    if (value.map() == nullptr) return mismatch("map");
    out.clear();
    for (const auto& [name, element] : *value.map()) {
      if (auto read = from_value(element, out[name]); !read) return read;
    }
    return {};
  } else if constexpr (Reflected<T>) {
    if (value.map() == nullptr) return mismatch("map");
    Result<void> read;
    for_each_field(out, [&](std::string_view name, auto& field) {
      if (!read) return;
      const auto* member = value.find(name);
      read = member == nullptr ? Result<void>(fail(ErrorCode::unknown_name, "the field is missing")) : from_value(*member, field);
      if (!read) read.error().message.insert(0, std::string(name) + ": ");
    });
    return read;
  } else {
    static_assert(rd::never<T>, "onceward cannot fill this type: make it an aggregate of fields it knows, or "
                                "specialise onceward::ValueCodec for it");
  }
}

namespace reflect_detail {

constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_word(char c) noexcept { return is_letter(c) || (c >= '0' && c <= '9'); }

/// Whether the dotted path names a field of T, as far as T is reflected: what lies behind an optional, a map or a
/// codec is not known before it is there.
template <class T>
constexpr bool knows_path(std::string_view path) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_convertible_v<const T&, std::string_view> ||
                is_duration<T> || is_time_point<T>) {
    return false;
  } else if constexpr (!Reflected<T>) {
    return true;
  } else {
    const auto dot = path.find('.');
    const auto first = path.substr(0, dot);
    const auto rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return ((field_name<T, i>() == first &&
               (rest.empty() || knows_path<std::remove_cvref_t<decltype(boost::pfr::get<i>(std::declval<T&>()))>>(rest))) ||
              ...);
    }(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
  }
}

/// Words that name no field: constants as they are written, operators in any case.
constexpr bool is_word_of_language(std::string_view text) {
  for (const std::string_view constant : {"true", "false", "null"}) {
    if (text == constant) return true;
  }
  for (const std::string_view word :
       {"not", "and", "or", "in", "between", "eq", "ne", "lt", "le", "gt", "ge", "div", "mod"}) {
    bool same = text.size() == word.size();
    for (std::size_t i = 0; same && i < word.size(); ++i) same = text[i] == word[i] || text[i] == word[i] - 'a' + 'A';
    if (same) return true;
  }
  return false;
}

/// Called by a key literal in which a name is no field: it is not constexpr, so that the literal does not compile.
void a_placeholder_of_this_key_names_no_field();

/// Scans the placeholders of a literal template for the paths it reads. The grammar itself stays in the parser:
/// this knows words, strings, dots and calls, which is what tells a field's name.
template <class T>
constexpr void check_paths(std::string_view text) {
  for (auto open = text.find("#{"); open != std::string_view::npos; open = text.find("#{", open)) {
    std::size_t at = open + 2;
    std::size_t depth = 1;
    bool after_dot = false;
    while (at < text.size() && depth > 0) {
      const char c = text[at];
      if (c == '\'' || c == '"') {
        at = text.find(c, at + 1);
        if (at == std::string_view::npos) return;
        ++at;
      } else if (is_letter(c)) {
        const auto begin = at;
        while (at < text.size() && (is_word(text[at]) || (text[at] == '.' && at + 1 < text.size() && is_letter(text[at + 1])))) ++at;
        auto path = text.substr(begin, at - begin);
        // A call's name is a function's, or the last part of a path a method's.
        const auto next = text.find_first_not_of(' ', at);
        const auto last_dot = path.rfind('.');
        if (next != std::string_view::npos && text[next] == '(' && !is_word_of_language(path)) {
          path = path.substr(0, last_dot == std::string_view::npos ? 0 : last_dot);
        }
        const bool known = after_dot || path.empty() || is_word_of_language(path) || knows_path<T>(path);
        if (!known) a_placeholder_of_this_key_names_no_field();
        after_dot = false;
      } else if (is_word(c)) {
        while (at < text.size() && (is_word(text[at]) || text[at] == '.')) ++at;
      } else {
        depth = c == '{' ? depth + 1 : c == '}' ? depth - 1 : depth;
        after_dot = c == '.' || (after_dot && c == ' ');
        ++at;
      }
    }
    open = at;
    if (open >= text.size()) return;
  }
}

}  // namespace reflect_detail

/// A literal key template for T: a placeholder that names no field of T does not compile.
template <class T>
class KeyLiteral {
 public:
  template <std::size_t n>
  consteval KeyLiteral(const char (&text)[n]) : text_(text, n - 1) {
    if constexpr (Reflected<T>) reflect_detail::check_paths<T>(text_);
  }
  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }

 private:
  std::string_view text_;
};

}  // namespace onceward
