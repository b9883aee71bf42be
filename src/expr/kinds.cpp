#include "expr/kinds.hpp"

#include <array>

namespace onceward::expr_detail {

using Kind = Value::Kind;

std::string names_of(Kinds kinds) {
  std::string text;
  for (unsigned kind = 0; kind < 7; ++kind) {
    if ((kinds & (1U << kind)) == 0) continue;
    if (!text.empty()) text += " or ";
    text += with_article(static_cast<Kind>(kind));
  }
  return text;
}

bool can_equal(Kinds a, Kinds b) noexcept {
  const auto same = static_cast<Kinds>(a & b & ~bit_of(Kind::map));
  return has(static_cast<Kinds>(a | b), Kind::null) || (has(a, number_kinds) && has(b, number_kinds)) ||
         same != 0;
}

bool can_order(Kinds a, Kinds b) noexcept {
  return (has(a, number_kinds) && has(b, number_kinds)) || (has(a, Kind::string) && has(b, Kind::string));
}

Kinds arithmetic_kinds(Form form, Kinds a, Kinds b) noexcept {
  Kinds gives = 0;
  if (has(a, Kind::integer) && has(b, Kind::integer)) gives |= bit_of(Kind::integer);
  if (has(a, number_kinds) && has(b, number_kinds) && (has(a, Kind::real) || has(b, Kind::real)))
    gives |= bit_of(Kind::real);
  if (form == Form::add &&
      ((has(a, Kind::string) && has(b, text_kinds)) || (has(b, Kind::string) && has(a, text_kinds))))
    gives |= bit_of(Kind::string);
  return gives;
}

std::string_view sign_of(Form form) noexcept {
  static constexpr std::array<std::string_view, 14> signs = {
      "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "between"};
  return signs[static_cast<std::size_t>(form) - static_cast<std::size_t>(Form::add)];
}

}  // namespace onceward::expr_detail
