#pragma once
#include <onceward/expr/expression.hpp>
#include <onceward/expr/shape.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace onceward::pipeline_detail {

using expr_detail::Kinds;

/// What is known of a value before there is one.
struct Type {
  /// Of what nobody declared: anything, and not null as far as anybody knows.
  static constexpr Kinds unknown =
      static_cast<Kinds>(expr_detail::any_kind & ~expr_detail::bit_of(Value::Kind::null));

  Kinds kinds = unknown;
  std::map<std::string, Type, std::less<>> members{};
  bool closed = false;  ///< it has no other members

  [[nodiscard]] static Type of(Value::Kind kind, bool required) {
    Type type;
    type.kinds = expr_detail::bit_of(kind);
    if (!required) type.make_nullable();
    return type;
  }
  void make_nullable() noexcept { kinds |= expr_detail::bit_of(Value::Kind::null); }
  [[nodiscard]] bool nullable() const noexcept { return expr_detail::has(kinds, Value::Kind::null); }
};

/// Walks an expression with the kinds its values may have: what can never work, and what a null that may
/// occur would make fail. Gives the kinds of its result. Errors: wrong_kind, unknown_name (a member that a
/// closed type has not); out_of_range for a null that is not handled. With the byte.
Result<Kinds> check_kinds(const Expression& expression, const Type& names);
/// The same of each placeholder.
std::vector<Result<Kinds>> check_kinds(const KeyTemplate& key, const Type& names);

/// What a condition says of nulls: these paths are none where it is true, those where it is false.
struct Promises {
  std::set<std::string> if_true{};
  std::set<std::string> if_false{};
};
/// Empty where check_kinds finds a mistake.
[[nodiscard]] Promises promises_of(const Expression& condition, const Type& names);
/// The paths are no null from here on.
void narrow(Type& names, const std::set<std::string>& paths);

}  // namespace onceward::pipeline_detail
