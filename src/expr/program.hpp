#pragma once
#include <onceward/expr/bind.hpp>
#include <onceward/expr/functions.hpp>

#include "expr/ast.hpp"
#include "expr/functions.hpp"
#include "expr/integer_tests.hpp"

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
  host,          ///< hosts[a] over the b topmost
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
  // In bound programs alone:
  field,  ///< push fields[a]
};

struct Instruction {
  Code code;
  std::uint8_t b = 0;
  std::uint16_t a = 0;
  std::uint32_t offset = 0;  ///< byte of the text an error of it is shown at
};

/// Most values on the evaluation stack: an inline list within nested operators.
inline constexpr std::size_t stack_size = limits::list_elements + 2 * limits::expression_depth;

constexpr bool jumps(Code code) noexcept {
  return code == Code::jump_if_null || code == Code::and_jump || code == Code::or_jump ||
         code == Code::elvis_jump || code == Code::else_jump || code == Code::jump;
}

/// The flat compiled form of one expression. Immutable after compile and bind.
class Program {
 public:
  std::string text;  ///< of an expression; a placeholder's stands in its template
  std::vector<Instruction> instructions;
  std::vector<Value> constants;
  std::vector<std::string> texts;
  std::vector<std::string> paths;
  std::vector<std::shared_ptr<const HostFunction>> hosts;  ///< of the application's functions, those it calls
  std::vector<FieldPlace> fields{};                        ///< of a bound program
  std::optional<IntegerTests> tests{};  ///< the same, where it is nothing but tests of integers
};

/// A template taken apart: programs with the text before each, and the text after the last.
struct TemplateParts {
  struct Placeholder {
    std::string before;
    Program program;
  };
  std::string text;
  std::vector<Placeholder> placeholders;
  std::string after;
  std::vector<std::string> paths;
};

/// A key template bound to types: literal text, each piece of it before a field or a program's value.
struct BoundTemplate {
  struct Piece {
    std::size_t literal = 0;  ///< where its text begins in `literals`
    std::size_t literal_size = 0;
    FieldPlace
        field{};  ///< written as it lies; where its layout is `other`, the program of this place is run
  };
  std::string text;
  std::string literals;
  std::vector<Piece> pieces;  ///< one for each program, and the text after the last
  std::vector<Program> programs;
};

class Inside {
 public:
  static const Program& of(const Expression& expression) noexcept { return *expression.program_; }
  static const TemplateParts& of(const KeyTemplate& key) noexcept { return *key.template_.parts_; }
  static const auto& of(const Functions& functions) noexcept { return functions.all_; }
};

/// The key a template made, if it is one. Errors: invalid_argument, where it is empty or too long.
Result<void> check_key(std::size_t size, std::string_view text);

/// Compiles a tree; constant parts are computed once, unless they fail: then they fail when they are reached.
/// Errors: unknown_name (functions, methods), limit_exceeded, invalid_argument (a wrong number of arguments).
Result<Program> compile(const Node& root, const Functions& own);

/// Calls a function of the application's. Errors: wrong_kind for arguments it does not take and for a result
/// of a kind it does not give; what the function says; invalid_argument for what it throws; out_of_range,
/// limit_exceeded for results that the language cannot hold.
Result<Value> call(const HostFunction& function, std::span<const Operand> arguments);

/// What a program's root names stand for: the members of a map, or a few bindings. Of a bound program, the
/// arguments it was bound to.
class Names {
 public:
  Names(const Value& names) noexcept : map_(names.map()) {}
  Names(std::span<const Binding> bindings) noexcept : bindings_(bindings) {}
  Names(Places arguments) noexcept : arguments_(arguments) {}
  /// The map they are, if they are one.
  [[nodiscard]] const Map* map() const noexcept { return map_; }
  [[nodiscard]] const void* at(const FieldPlace& place) const noexcept {
    return static_cast<const char*>(arguments_[place.argument]) + place.offset;
  }
  [[nodiscard]] std::optional<Operand> find(std::string_view name) const noexcept;

 private:
  const Map* map_ = nullptr;
  std::span<const Binding> bindings_{};
  Places arguments_ = nullptr;
};

Result<Value> evaluate(const Program& program, const Names& names);
/// As evaluate, appending the text form of the result: what templates need.
Result<void> evaluate_text(const Program& program, const Names& names, std::string& out);
Result<bool> evaluate_bool(const Program& program, const Names& names);

}  // namespace onceward::expr_detail
