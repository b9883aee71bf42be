#pragma once
#include <onceward/expr/shape.hpp>

#include "expr/operand.hpp"

#include <span>

namespace onceward::expr_detail {

/// A pure function or a method (whose first argument is the value it is called on).
struct Function {
  std::string_view name;
  std::size_t least = 1;  ///< arguments
  std::size_t most = 1;
  Result<Operand> (*apply)(std::span<const Operand> arguments, LateArena& arena);
  /// What the first argument and the others may be, and what comes out: for checks before any value is there.
  Kinds first = any_kind;
  Kinds rest = any_kind;
  Kinds gives = any_kind;
};

/// All of them; programs name them by their place.
[[nodiscard]] std::span<const Function> functions() noexcept;
[[nodiscard]] std::span<const Function> methods() noexcept;

}  // namespace onceward::expr_detail
