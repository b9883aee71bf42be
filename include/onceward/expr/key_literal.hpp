#pragma once
#include <onceward/expr/convert.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace onceward {

namespace reflect_detail {

constexpr bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
constexpr bool is_word(char c) noexcept { return is_letter(c) || (c >= '0' && c <= '9'); }

/// Where a path of names ends.
enum class PathEnd : std::uint8_t {
  unknown,  ///< it names no field
  open,     ///< not known before it is there: behind an optional, a map, a list, a codec
  text,     ///< a value with a text form
  no_text,  ///< a value without one: a double, a list, a map, a struct
};

/// Follows the dotted path from a T, as far as T is reflected.
template <class T>
constexpr PathEnd end_of_path(std::string_view path) {
  if constexpr (is_optional<T>) {
    const auto inside = end_of_path<typename T::value_type>(path);
    return path.empty() || inside == PathEnd::unknown ? inside : PathEnd::open;
  } else if constexpr (HasCodec<T> || std::is_same_v<T, Value>) {
    return PathEnd::open;
  } else if constexpr (std::is_floating_point_v<T>) {
    return path.empty() ? PathEnd::no_text : PathEnd::unknown;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || is_duration<T> || is_time_point<T> ||
                       std::is_convertible_v<const T&, std::string_view>) {
    return path.empty() ? PathEnd::text : PathEnd::unknown;
  } else if constexpr (!Reflected<T>) {
    return path.empty() ? PathEnd::no_text : PathEnd::open;
  } else {
    if (path.empty()) return PathEnd::no_text;
    const auto dot = path.find('.');
    const auto first = path.substr(0, dot);
    const auto rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    auto end = PathEnd::unknown;
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (void)((field_name<T, i>() == first && (end = end_of_path<FieldType<T, i>>(rest), true)) || ...);
    }
    (std::make_index_sequence<field_count<T>>());
    return end;
  }
}

/// Whether `name` stands for the argument at `place`: by its name, or as p0, a0, p1, ...
constexpr bool names_argument(std::string_view name, std::size_t place,
                              std::span<const std::string_view> names) {
  if (place < names.size() && names[place] == name) return true;
  if (name.size() < 2 || (name[0] != 'p' && name[0] != 'a') || (name[1] == '0' && name.size() > 2))
    return false;
  std::size_t number = 0;
  for (const char c : name.substr(1)) {
    if (c < '0' || c > '9' || number > 1000) return false;
    number = number * 10 + static_cast<std::size_t>(c - '0');
  }
  return number == place;
}

/// The same from the arguments: one without a name is named by its fields first.
template <class... T>
constexpr PathEnd end_of_root(std::string_view path, std::span<const std::string_view> names) {
  auto end = PathEnd::unknown;
  if constexpr (sizeof...(T) == 1) {
    if (names.empty()) end = (end_of_path<T>(path), ...);
  }
  if (end != PathEnd::unknown) return end;
  const auto dot = path.find('.');
  const auto rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  std::size_t place = 0;
  (void)((names_argument(path.substr(0, dot), place++, names) && (end = end_of_path<T>(rest), true)) || ...);
  return end;
}

/// Words that name no field: constants as they are written, operators in any case.
constexpr bool is_word_of_language(std::string_view text) {
  for (const std::string_view constant : {"true", "false", "null"}) {
    if (text == constant) return true;
  }
  for (const std::string_view word :
       {"not", "and", "or", "in", "between", "eq", "ne", "lt", "le", "gt", "ge", "div", "mod"}) {
    bool same = text.size() == word.size();
    for (std::size_t i = 0; same && i < word.size(); ++i)
      same = text[i] == word[i] || text[i] == word[i] - 'a' + 'A';
    if (same) return true;
  }
  return false;
}

/// Called by a literal that is wrong. They are not constexpr, so that the literal does not compile, and their
/// names stand in what the compiler says.
void a_placeholder_of_this_key_names_no_field();
void a_placeholder_of_this_key_is_a_field_without_a_text_form();
void this_expression_names_no_field();

/// Scans one expression for the paths it reads, up to a '}' that closes it or the end: gives that place.
/// The grammar itself stays in the parser: this knows words, strings, dots and calls, which is what tells a
/// field's name. `known` says whether a path is.
template <class Known>
constexpr std::size_t scan_paths(std::string_view text, std::size_t at, const Known& known) {
  std::size_t depth = 1;
  bool after_dot = false;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '\'' || c == '"') {
      at = text.find(c, at + 1);
      if (at == std::string_view::npos) return text.size();
      ++at;
      after_dot = false;
    } else if (is_letter(c)) {
      const auto begin = at;
      while (at < text.size() &&
             (is_word(text[at]) || (text[at] == '.' && at + 1 < text.size() && is_letter(text[at + 1]))))
        ++at;
      auto path = text.substr(begin, at - begin);
      // A call's name is a function's, or the last part of a path a method's.
      const auto next = text.find_first_not_of(" \t\r\n", at);
      const auto last_dot = path.rfind('.');
      if (next != std::string_view::npos && text[next] == '(' && !is_word_of_language(path)) {
        path = path.substr(0, last_dot == std::string_view::npos ? 0 : last_dot);
      }
      known(after_dot || path.empty() || is_word_of_language(path), path);
      after_dot = false;
    } else if (is_word(c)) {
      while (at < text.size() && (is_word(text[at]) || text[at] == '.')) ++at;
      after_dot = false;
    } else {
      depth = c == '{' ? depth + 1 : c == '}' ? depth - 1 : depth;
      if (depth == 0) return at;
      after_dot = c == '.' || (after_dot && c == ' ');
      ++at;
    }
  }
  return at;
}

/// The path that a placeholder's text is as a whole; empty where it is more than a path.
constexpr std::string_view whole_path(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  if (text.empty() || !is_letter(text.front()) || is_word_of_language(text)) return {};
  for (const char c : text) {
    if (!is_word(c) && c != '.') return {};
  }
  return text;
}

template <class... T>
constexpr void check_key(std::string_view text, std::span<const std::string_view> names) {
  for (auto open = text.find("#{"); open != std::string_view::npos; open = text.find("#{", open)) {
    const auto begin = open + 2;
    open = scan_paths(text, begin, [&](bool fine, std::string_view path) {
      if (!fine && end_of_root<T...>(path, names) == PathEnd::unknown)
        a_placeholder_of_this_key_names_no_field();
    });
    const auto whole = whole_path(text.substr(begin, open - begin));
    if (!whole.empty() && end_of_root<T...>(whole, names) == PathEnd::no_text)
      a_placeholder_of_this_key_is_a_field_without_a_text_form();
  }
}

template <class... T>
constexpr void check_expression(std::string_view text, std::span<const std::string_view> names) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    at = scan_paths(text, at, [&](bool fine, std::string_view path) {
      if (!fine && end_of_root<T...>(path, names) == PathEnd::unknown) this_expression_names_no_field();
    });
  }
}

}  // namespace reflect_detail

/// Names of a handler's arguments, for templates and expressions over several: params("order", "user").
template <std::size_t n>
struct Params {
  std::array<std::string_view, n> names;
};
template <class... Name>
constexpr Params<sizeof...(Name)> params(const Name&... names) {
  return {{std::string_view(names)...}};
}

namespace reflect_detail {

struct KeyRules {
  template <class... T>
  static constexpr void check(std::string_view text, std::span<const std::string_view> names) {
    check_key<T...>(text, names);
  }
};
struct ExpressionRules {
  template <class... T>
  static constexpr void check(std::string_view text, std::span<const std::string_view> names) {
    check_expression<T...>(text, names);
  }
};

/// A literal and the names of its arguments, if any; it keeps a view of it. No class has this one as a base:
/// clang 14 crashes on constants whose constructor is consteval and whose class has a base.
template <class Rules, class... T>
class Literal {
 public:
  template <std::size_t n>
  consteval Literal(const char (&text)[n]) : text_(text, n - 1) {
    Rules::template check<T...>(text_, names());
  }
  template <std::size_t n>
  consteval Literal(const Params<sizeof...(T)>& names, const char (&text)[n])
      : text_(text, n - 1), names_(names.names), named_(true) {
    Rules::template check<T...>(text_, this->names());
  }

  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }
  /// One for each argument, or none.
  [[nodiscard]] constexpr std::span<const std::string_view> names() const noexcept {
    return std::span(names_).first(named_ ? sizeof...(T) : 0);
  }

 private:
  std::string_view text_;
  std::array<std::string_view, sizeof...(T)> names_{};
  bool named_ = false;
};

}  // namespace reflect_detail

/// A literal key template over a T, by the names of its fields, or over several arguments, by the names given
/// or by position (`p0`, `a0`). A placeholder that names no field, or is a field that has no text form, does
/// not compile.
template <class... T>
using KeyLiteral = reflect_detail::Literal<reflect_detail::KeyRules, T...>;

/// A literal expression, as KeyLiteral is a literal template.
template <class... T>
using ExpressionLiteral = reflect_detail::Literal<reflect_detail::ExpressionRules, T...>;

}  // namespace onceward
