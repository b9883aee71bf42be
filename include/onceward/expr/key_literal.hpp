#pragma once
#include <onceward/expr/convert.hpp>

#include <array>
#include <string_view>
#include <type_traits>
#include <utility>

namespace onceward {

namespace reflect_detail {

constexpr bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
constexpr bool is_word(char c) noexcept { return is_letter(c) || (c >= '0' && c <= '9'); }

/// Whether the dotted path names a field of T, as far as T is reflected: what lies behind an optional, a map
/// or a codec is not known before it is there.
template <class T>
constexpr bool knows_path(std::string_view path) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> ||
                std::is_convertible_v<const T&, std::string_view> || is_duration<T> || is_time_point<T>) {
    return false;
  } else if constexpr (!Reflected<T>) {
    return true;
  } else {
    const auto dot = path.find('.');
    const auto first = path.substr(0, dot);
    const auto rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return ((field_name<T, i>() == first &&
               (rest.empty() ||
                knows_path<std::remove_cvref_t<decltype(boost::pfr::get<i>(std::declval<T&>()))>>(rest))) ||
              ...);
    }
    (std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
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
    for (std::size_t i = 0; same && i < word.size(); ++i)
      same = text[i] == word[i] || text[i] == word[i] - 'a' + 'A';
    if (same) return true;
  }
  return false;
}

/// Called by a key literal in which a name is no field: it is not constexpr, so that the literal does not
/// compile.
void a_placeholder_of_this_key_names_no_field();

/// Scans the placeholders of a literal template for the paths it reads. The grammar itself stays in the
/// parser: this knows words, strings, dots and calls, which is what tells a field's name.
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
        while (at < text.size() &&
               (is_word(text[at]) || (text[at] == '.' && at + 1 < text.size() && is_letter(text[at + 1]))))
          ++at;
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
