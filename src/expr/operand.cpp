#include "expr/operand.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace onceward::expr_detail {
namespace {

using Kind = Value::Kind;

/// Exact, where a conversion to double would round the integer.
int compare_mixed(std::int64_t integer, double real) noexcept {
  constexpr double beyond = 9223372036854775808.0;
  if (real >= beyond) return -1;
  if (real < -beyond) return 1;
  const double whole = std::trunc(real);
  const auto truncated = static_cast<std::int64_t>(whole);
  if (integer != truncated) return integer < truncated ? -1 : 1;
  if (real == whole) return 0;
  return real > whole ? -1 : 1;
}

int compare_numbers(const Operand& a, const Operand& b) noexcept {
  if (a.is(Kind::integer) && b.is(Kind::integer)) return a.integer < b.integer ? -1 : a.integer > b.integer;
  if (a.is(Kind::real) && b.is(Kind::real)) return a.real < b.real ? -1 : a.real > b.real;
  return a.is(Kind::integer) ? compare_mixed(a.integer, b.real) : -compare_mixed(b.integer, a.real);
}

bool is_nan(const Operand& operand) noexcept { return operand.is(Kind::real) && std::isnan(operand.real); }

/// Exact. Errors: out_of_range for a double that is no number (a struct may hold one), which equals nothing.
Result<int> order_numbers(const Operand& a, const Operand& b) {
  if (is_nan(a) || is_nan(b))
    return fail(ErrorCode::out_of_range, "a double that is no number cannot be compared");
  return compare_numbers(a, b);
}

Unexpected mixed(std::string_view what, const Operand& a, const Operand& b) {
  return fail(ErrorCode::wrong_kind,
              fmt::format("{} {} and {}", what, with_article(a.kind), with_article(b.kind)));
}

}  // namespace

Operand Operand::of(const Value& value) noexcept {
  switch (value.kind()) {
    case Kind::null: return {};
    case Kind::boolean: return of(*value.boolean());
    case Kind::integer: return of(*value.integer());
    case Kind::real: return of(*value.real());
    case Kind::string: return of(std::string_view(*value.string()));
    case Kind::list: {
      Operand operand;
      operand.kind = Kind::list;
      operand.list = value.list();
      return operand;
    }
    case Kind::map: return of(*value.map());
  }
  return {};
}

Value Operand::to_value() const {
  switch (kind) {
    case Kind::null: return {};
    case Kind::boolean: return Value(boolean);
    case Kind::integer: return Value(integer);
    case Kind::real: return Value(real);
    case Kind::string: return Value(string);
    case Kind::list: return Value(*list);
    case Kind::map: return Value(*map);
  }
  return {};
}

Result<bool> equals(const Operand& a, const Operand& b) {
  if (a.is(Kind::null) || b.is(Kind::null)) return a.kind == b.kind;
  if (a.is_number() && b.is_number())
    return order_numbers(a, b).transform([](int order) { return order == 0; });
  if (a.kind != b.kind || a.is(Kind::map)) return mixed("== cannot compare", a, b);
  if (a.is(Kind::string)) return a.string == b.string;
  if (a.is(Kind::boolean)) return a.boolean == b.boolean;
  if (a.list->size() != b.list->size()) return false;
  for (std::size_t i = 0; i < a.list->size(); ++i) {
    auto same = equals(Operand::of((*a.list)[i]), Operand::of((*b.list)[i]));
    if (!same || !*same) return same;
  }
  return true;
}

Result<int> compare(const Operand& a, const Operand& b) {
  if (a.is_number() && b.is_number()) return order_numbers(a, b);
  if (a.is(Kind::string) && b.is(Kind::string)) {
    const int order = a.string.compare(b.string);
    return order < 0 ? -1 : order > 0;
  }
  return mixed("there is no order between", a, b);
}

Result<void> append_text(const Operand& operand, std::string& out) {
  switch (operand.kind) {
    case Kind::string: out += operand.string; return {};
    case Kind::boolean: out += operand.boolean ? "true" : "false"; return {};
    case Kind::integer: {
      std::array<char, 24> digits;
      out.append(digits.data(),
                 std::to_chars(digits.data(), digits.data() + digits.size(), operand.integer).ptr);
      return {};
    }
    case Kind::null:
      return fail(ErrorCode::wrong_kind, "null has no text form; give a default, such as (x ?: '')");
    case Kind::real:
      return fail(ErrorCode::wrong_kind, "a double has no text form of its own; write fixed(x, 2)");
    default:
      return fail(ErrorCode::wrong_kind, fmt::format("{} has no text form{}", with_article(operand.kind),
                                                     operand.is(Kind::list) ? "; write join(x, ',')" : ""));
  }
}

}  // namespace onceward::expr_detail
