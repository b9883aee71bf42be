#pragma once
#include <onceward/expr/value.hpp>

#include <deque>
#include <memory>
#include <string_view>

namespace onceward::expr_detail {

/// A value during evaluation: small, copied freely, and not the owner of text, lists and maps.
struct Operand {
  Value::Kind kind = Value::Kind::null;
  union {
    bool boolean;
    std::int64_t integer;
    double real;
    const List* list;
    const Map* map;
  };
  std::string_view string{};

  Operand() noexcept : integer(0) {}
  static Operand of(bool value) noexcept {
    Operand operand;
    operand.kind = Value::Kind::boolean;
    operand.boolean = value;
    return operand;
  }
  static Operand of(std::int64_t value) noexcept {
    Operand operand;
    operand.kind = Value::Kind::integer;
    operand.integer = value;
    return operand;
  }
  static Operand of(double value) noexcept {
    Operand operand;
    operand.kind = Value::Kind::real;
    operand.real = value;
    return operand;
  }
  static Operand of(std::string_view value) noexcept {
    Operand operand;
    operand.kind = Value::Kind::string;
    operand.string = value;
    return operand;
  }
  static Operand of(const Map& value) noexcept {
    Operand operand;
    operand.kind = Value::Kind::map;
    operand.map = &value;
    return operand;
  }
  /// Refers to `value`, which must outlive the operand.
  static Operand of(const Value& value) noexcept;

  [[nodiscard]] bool is(Value::Kind wanted) const noexcept { return kind == wanted; }
  [[nodiscard]] bool is_number() const noexcept { return is(Value::Kind::integer) || is(Value::Kind::real); }
  [[nodiscard]] Value to_value() const;
};

/// What an evaluation makes and operands refer to; lives as long as the evaluation.
class Arena {
 public:
  Operand text(std::string value) {
    return Operand::of(std::string_view(texts_.emplace_back(std::move(value))));
  }
  Operand value(Value value) { return Operand::of(values_.emplace_back(std::move(value))); }
  Operand list(List value) { return Operand::of(values_.emplace_back(std::move(value))); }

 private:
  std::deque<std::string> texts_;
  std::deque<Value> values_;
};

/// The arena of evaluations that mostly need none: a deque allocates when it is made, so it is made late.
class LateArena {
 public:
  Arena& get() { return arena_ ? *arena_ : *(arena_ = std::make_unique<Arena>()); }

 private:
  std::unique_ptr<Arena> arena_;
};

/// The language's == ; errors: wrong_kind for different kinds (null equals null alone) and for maps.
Result<bool> equals(const Operand& a, const Operand& b);
/// Negative, zero or positive. Numbers are compared exactly, text by bytes. Errors: wrong_kind.
Result<int> compare(const Operand& a, const Operand& b);
/// Appends the text form. Errors: wrong_kind for what has none: null, double, list, map.
Result<void> append_text(const Operand& operand, std::string& out);

}  // namespace onceward::expr_detail
