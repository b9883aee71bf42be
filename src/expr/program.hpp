#pragma once
#include <onceward/expr/expression.hpp>

#include "expr/ast.hpp"
#include "expr/functions.hpp"

#include <optional>
#include <string>
#include <vector>

namespace onceward::expr_detail {

enum class Code : std::uint8_t {
  constant,      ///< push constants[a]
  root,          ///< push the root name texts[a]
  member,        ///< top = top.texts[a]; with b, null stays null
  index,         ///< key = pop, top = top[key]; with b, null stays null
  call,          ///< functions[a] over the b topmost
  method,        ///< methods[a] of the value below the b topmost
  jump_if_null,  ///< to a, keeping the null: the rest of a safe call is skipped
  list,          ///< the a topmost become a list
  negate,
  logical_not,
  binary,      ///< Form a over the two topmost
  need_bool,   ///< the top must be true or false
  and_jump,    ///< false: jump to a, keeping it; true: drop it
  or_jump,     ///< true: jump to a, keeping it; false: drop it
  elvis_jump,  ///< neither null nor '': jump to a, keeping it; else drop it
  else_jump,   ///< pop; false: jump to a
  jump,        ///< to a
};

struct Instruction {
  Code code;
  std::uint8_t b = 0;
  std::uint16_t a = 0;
  std::uint32_t offset = 0;  ///< byte of the text an error of it is shown at
};

/// Most values on the evaluation stack: an inline list within nested operators.
inline constexpr std::size_t stack_size = limits::list_elements + 2 * limits::expression_depth;

/// The flat compiled form of one expression. Immutable after compile.
class Program {
 public:
  std::string text;
  std::vector<Instruction> instructions;
  std::vector<Value> constants;
  std::vector<std::string> texts;
  std::vector<std::string> paths;
};

/// Compiles a tree; constant parts are computed once, unless they fail: then they fail when they are reached.
/// Errors: unknown_name (functions, methods), limit_exceeded, invalid_argument (a wrong number of arguments).
Result<Program> compile(const Node& root, std::string_view text);

/// What a program's root names stand for: the members of a map, or a few bindings.
class Names {
 public:
  Names(const Value& names) noexcept : map_(names.map()) {}
  Names(std::span<const Binding> bindings) noexcept : bindings_(bindings) {}
  [[nodiscard]] std::optional<Operand> find(std::string_view name) const noexcept;

 private:
  const Map* map_ = nullptr;
  std::span<const Binding> bindings_{};
};

Result<Value> evaluate(const Program& program, const Names& names);
/// As evaluate, appending the text form of the result: what templates need.
Result<void> evaluate_text(const Program& program, const Names& names, std::string& out);
Result<bool> evaluate_bool(const Program& program, const Names& names);

}  // namespace onceward::expr_detail
