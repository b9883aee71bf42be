#pragma once
#include <onceward/core/limits.hpp>
#include <onceward/expr/expression.hpp>
#include <onceward/expr/key_literal.hpp>
#include <onceward/expr/shape.hpp>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace onceward {

class KeyBuffer;

namespace expr_detail {

/// The arguments a program is bound to: their shapes, and their names where they have any.
struct Parameters {
  std::span<const Shape* const> shapes;
  std::span<const std::string_view> names;
};
using Places = const void* const*;

using BoundProgram = std::shared_ptr<const Program>;
struct BoundTemplate;
using BoundParts = std::shared_ptr<const BoundTemplate>;
Result<BoundProgram> bind(const Expression& expression, const Parameters& parameters);
Result<BoundParts> bind(const KeyTemplate& key, const Parameters& parameters);
Result<Value> evaluate(const Program& program, Places arguments);
Result<bool> test(const Program& program, Places arguments);
Result<std::string_view> render(const BoundTemplate& parts, Places arguments, KeyBuffer& out);

/// Parse and bind; `functions` may be null.
Result<BoundProgram> bind_expression(std::string_view text, const Functions* functions,
                                     const Parameters& parameters);
Result<BoundParts> bind_key(std::string_view text, const Functions* functions, const Parameters& parameters);

template <class... T>
inline constexpr std::array<const Shape*, sizeof...(T)> shapes_of = {&shape_of_type<T>...};

}  // namespace expr_detail

/// Where a bound key is written: room for the longest one, so that making it needs no heap. For one thread.
class KeyBuffer {
 public:
  /// The key written last; empty where there is none. Valid until the next.
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_.data(), size_}; }

  /// Short texts are read and written in blocks of this size: the last one may reach behind the key.
  static constexpr std::size_t block = 16;

 private:
  friend Result<std::string_view> expr_detail::render(const expr_detail::BoundTemplate&, expr_detail::Places,
                                                      KeyBuffer&);
  std::size_t size_ = 0;
  std::array<char, limits::key_bytes + block> bytes_;
};

/// An expression bound to C++ types: fields are read where they lie, and names and kinds were checked when it
/// was bound. One struct's fields are named directly (`amount`); several arguments by the names given or by
/// position, `p0`, `p1` (also `a0`, `a1`). Immutable, cheap to copy, any number of threads may evaluate one.
///
/// It computes what Expression computes on to_value of the arguments, with one difference: an unsigned
/// integer beyond 63 bits is an error (out_of_range) wherever it is not a whole placeholder.
template <class... T>
class BoundExpression {
  static_assert(sizeof...(T) > 0, "onceward: bind to at least one type");

 public:
  /// A literal: a name that is no field does not compile.
  /// Errors: as Expression::parse, and as bind.
  static Result<BoundExpression> parse(const ExpressionLiteral<std::type_identity_t<T>...>& text) {
    return made(
        expr_detail::bind_expression(text.text(), nullptr, {expr_detail::shapes_of<T...>, text.names()}));
  }
  /// The same, where it may call `functions` too.
  static Result<BoundExpression> parse(const ExpressionLiteral<std::type_identity_t<T>...>& text,
                                       const Functions& functions) {
    return made(
        expr_detail::bind_expression(text.text(), &functions, {expr_detail::shapes_of<T...>, text.names()}));
  }
  /// Errors: unknown_name (no such argument or field), wrong_kind (an operator or function can never take
  /// the kinds its operands can have: `name > 3` of a text), limit_exceeded; with the byte offset.
  /// invalid_argument where as many names are not given as there are arguments.
  static Result<BoundExpression> bind(const Expression& expression,
                                      std::span<const std::string_view> names = {}) {
    return made(expr_detail::bind(expression, {expr_detail::shapes_of<T...>, names}));
  }

  /// Errors: as Expression::evaluate, but for unknown names of fields: those were refused before.
  [[nodiscard]] Result<Value> evaluate(const T&... arguments) const {
    const void* const places[] = {&arguments...};
    return expr_detail::evaluate(*program_, places);
  }
  /// As evaluate, for an expression that must be true or false. Errors: also wrong_kind for anything else.
  [[nodiscard]] Result<bool> test(const T&... arguments) const {
    const void* const places[] = {&arguments...};
    return expr_detail::test(*program_, places);
  }

 private:
  static Result<BoundExpression> made(Result<expr_detail::BoundProgram> bound) {
    if (!bound) return fail(std::move(bound).error());
    return BoundExpression(*std::move(bound));
  }
  explicit BoundExpression(expr_detail::BoundProgram program) noexcept : program_(std::move(program)) {}
  expr_detail::BoundProgram program_;
};

/// A key template bound to C++ types, with the names and rules of BoundExpression and the keys of
/// KeyTemplate. Immutable, cheap to copy, any number of threads may render with one.
template <class... T>
class BoundKey {
  static_assert(sizeof...(T) > 0, "onceward: bind to at least one type");

 public:
  /// A literal: a name that is no field, and a placeholder that is a field without a text form, do not
  /// compile. Errors: as KeyTemplate::parse, and as bind.
  static Result<BoundKey> parse(const KeyLiteral<std::type_identity_t<T>...>& text) {
    return made(expr_detail::bind_key(text.text(), nullptr, {expr_detail::shapes_of<T...>, text.names()}));
  }
  /// The same, where placeholders may call `functions` too.
  static Result<BoundKey> parse(const KeyLiteral<std::type_identity_t<T>...>& text,
                                const Functions& functions) {
    return made(expr_detail::bind_key(text.text(), &functions, {expr_detail::shapes_of<T...>, text.names()}));
  }
  /// Errors: as BoundExpression::bind; wrong_kind also for a placeholder that can have no text form.
  static Result<BoundKey> bind(const KeyTemplate& key, std::span<const std::string_view> names = {}) {
    return made(expr_detail::bind(key, {expr_detail::shapes_of<T...>, names}));
  }

  /// The key, in `out` until it is written again. No heap where the placeholders are fields that are bool,
  /// integers, enums, text, or optionals of these.
  /// Errors: as KeyTemplate::render; `out` holds nothing of use then.
  [[nodiscard]] Result<std::string_view> render(KeyBuffer& out, const T&... arguments) const {
    const void* const places[] = {&arguments...};
    return expr_detail::render(*parts_, places, out);
  }
  [[nodiscard]] Result<std::string> render(const T&... arguments) const {
    KeyBuffer out;
    return render(out, arguments...).transform([](std::string_view key) { return std::string(key); });
  }

 private:
  static Result<BoundKey> made(Result<expr_detail::BoundParts> bound) {
    if (!bound) return fail(std::move(bound).error());
    return BoundKey(*std::move(bound));
  }
  explicit BoundKey(expr_detail::BoundParts parts) noexcept : parts_(std::move(parts)) {}
  expr_detail::BoundParts parts_;
};

}  // namespace onceward
