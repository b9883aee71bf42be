#pragma once
#include <onceward/expr/shape.hpp>

#include "expr/ast.hpp"

#include <string>
#include <string_view>

// What operators do with kinds alone, before there are values.
namespace onceward::expr_detail {

inline constexpr Kinds number_kinds = bit_of(Value::Kind::integer) | bit_of(Value::Kind::real);
/// Of what has a text form.
inline constexpr Kinds text_kinds =
    bit_of(Value::Kind::string) | bit_of(Value::Kind::integer) | bit_of(Value::Kind::boolean);

/// As a sentence needs them: "an int or a string".
[[nodiscard]] std::string names_of(Kinds kinds);
/// Whether `==` can compare any two of these kinds.
[[nodiscard]] bool can_equal(Kinds a, Kinds b) noexcept;
/// Whether an order can be between them.
[[nodiscard]] bool can_order(Kinds a, Kinds b) noexcept;
/// The kinds arithmetic gives; 0 where it never works.
[[nodiscard]] Kinds arithmetic_kinds(Form form, Kinds a, Kinds b) noexcept;
/// Of an operator between two operands, as it is written.
[[nodiscard]] std::string_view sign_of(Form form) noexcept;

}  // namespace onceward::expr_detail
