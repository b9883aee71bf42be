#include "expr/field.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace onceward::expr_detail {
namespace {

using Kind = Value::Kind;

Unexpected refuse(ErrorCode code, std::string message) { return fail(code, std::move(message)); }

Result<Operand> member(const Operand& from, const std::string& name, bool safe) {
  if (from.is(Kind::null)) {
    if (safe) return from;
    return refuse(ErrorCode::wrong_kind,
                  fmt::format("null has no member \"{}\"; write ?.{} where it may be null", name, name));
  }
  if (!from.is(Kind::map)) {
    const bool is_method =
        std::any_of(methods().begin(), methods().end(), [&](const Function& f) { return f.name == name; });
    return refuse(ErrorCode::unknown_name,
                  fmt::format("{} has no member \"{}\"{}", with_article(from.kind), name,
                              is_method ? fmt::format("; methods need parentheses: {}()", name) : ""));
  }
  if (const auto* found = from.map->find(name)) return Operand::of(*found);
  return refuse(ErrorCode::unknown_name, fmt::format("there is no member \"{}\"", name));
}

Result<Operand> index(const Operand& from, const Operand& key, bool safe) {
  if (from.is(Kind::null) && safe) return from;
  if (from.is(Kind::map)) {
    if (!key.is(Kind::string)) {
      return refuse(ErrorCode::wrong_kind,
                    fmt::format("a map is read by a string, not by {}", with_article(key.kind)));
    }
    const auto* found = from.map->find(key.string);
    return found == nullptr ? Operand() : Operand::of(*found);
  }
  if (!from.is(Kind::list)) {
    return refuse(ErrorCode::wrong_kind,
                  fmt::format("[] reads a list or a map, this is {}{}", with_article(from.kind),
                              from.is(Kind::string) ? "; write substring(i, i + 1)" : ""));
  }
  if (!key.is(Kind::integer)) {
    return refuse(ErrorCode::wrong_kind,
                  fmt::format("a list is read by an int, not by {}", with_article(key.kind)));
  }
  if (key.integer < 0 || key.integer >= static_cast<std::int64_t>(from.list->size())) {
    return refuse(ErrorCode::out_of_range,
                  fmt::format("element {} of a list of {}", key.integer, from.list->size()));
  }
  return Operand::of((*from.list)[static_cast<std::size_t>(key.integer)]);
}

Unexpected no_fit(std::string_view what) {
  return fail(ErrorCode::out_of_range, fmt::format("the result of {} does not fit 64 bits", what));
}

Result<Operand> integer_arithmetic(Form form, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (form) {
    case Form::add:
      if (__builtin_add_overflow(a, b, &result)) return no_fit("+");
      return Operand::of(result);
    case Form::subtract:
      if (__builtin_sub_overflow(a, b, &result)) return no_fit("-");
      return Operand::of(result);
    case Form::multiply:
      if (__builtin_mul_overflow(a, b, &result)) return no_fit("*");
      return Operand::of(result);
    default: break;
  }
  if (b == 0) return refuse(ErrorCode::out_of_range, "division by zero");
  // INT64_MIN / -1 does not fit and traps; the remainder is 0.
  if (b == -1) {
    if (form == Form::modulo) return Operand::of(std::int64_t{0});
    if (__builtin_sub_overflow(std::int64_t{0}, a, &result)) return no_fit("/");
    return Operand::of(result);
  }
  return Operand::of(form == Form::divide ? a / b : a % b);
}

Result<Operand> real_arithmetic(Form form, double a, double b) {
  double result = 0;
  switch (form) {
    case Form::add: result = a + b; break;
    case Form::subtract: result = a - b; break;
    case Form::multiply: result = a * b; break;
    case Form::divide: result = a / b; break;
    default: result = std::fmod(a, b);
  }
  if (!std::isfinite(result)) return refuse(ErrorCode::out_of_range, "the result is no finite number");
  return Operand::of(result);
}

double to_real(const Operand& operand) noexcept {
  return operand.is(Kind::integer) ? static_cast<double>(operand.integer) : operand.real;
}

Result<Operand> arithmetic(Form form, const Operand& a, const Operand& b, LateArena& arena) {
  if (a.is(Kind::integer) && b.is(Kind::integer)) return integer_arithmetic(form, a.integer, b.integer);
  if (a.is_number() && b.is_number()) return real_arithmetic(form, to_real(a), to_real(b));
  if (form == Form::add && (a.is(Kind::string) || b.is(Kind::string))) {
    std::string text;
    if (auto appended = append_text(a, text); !appended) return fail(std::move(appended).error());
    if (auto appended = append_text(b, text); !appended) return fail(std::move(appended).error());
    if (text.size() > limits::value_bytes) {
      return refuse(ErrorCode::limit_exceeded,
                    fmt::format("the text grows beyond {} bytes", limits::value_bytes));
    }
    return arena.get().text(std::move(text));
  }
  return refuse(ErrorCode::wrong_kind, fmt::format("there is no arithmetic between {} and {}",
                                                   with_article(a.kind), with_article(b.kind)));
}

Result<bool> is_in(const Operand& wanted, const Operand& where) {
  if (where.is(Kind::map)) {
    if (wanted.is(Kind::string)) return where.map->find(wanted.string) != nullptr;
    return fail(ErrorCode::wrong_kind,
                fmt::format("a map's names are strings, not {}", with_article(wanted.kind)));
  }
  if (!where.is(Kind::list)) {
    return fail(ErrorCode::wrong_kind,
                fmt::format("in needs a list or a map, this is {}", with_article(where.kind)));
  }
  for (const auto& element : *where.list) {
    auto same = equals(wanted, Operand::of(element));
    if (!same || *same) return same;
  }
  return false;
}

Result<bool> is_between(const Operand& value, const Operand& bounds) {
  if (!bounds.is(Kind::list) || bounds.list->size() != 2) {
    return fail(ErrorCode::wrong_kind, "between needs a list of two bounds, such as {1, 10}");
  }
  const auto low = compare(value, Operand::of((*bounds.list)[0]));
  if (!low) return fail(low.error());
  const auto high = compare(value, Operand::of((*bounds.list)[1]));
  if (!high) return fail(high.error());
  return *low >= 0 && *high <= 0;
}

Result<Operand> to_operand(Result<bool> result, bool inverted = false) {
  if (!result) return fail(std::move(result).error());
  return Operand::of(*result != inverted);
}

Result<Operand> binary(Form form, const Operand& a, const Operand& b, LateArena& arena) {
  switch (form) {
    case Form::equal: return to_operand(equals(a, b));
    case Form::not_equal: return to_operand(equals(a, b), true);
    case Form::in: return to_operand(is_in(a, b));
    case Form::not_in: return to_operand(is_in(a, b), true);
    case Form::between: return to_operand(is_between(a, b));
    case Form::less:
    case Form::less_equal:
    case Form::greater:
    case Form::greater_equal: {
      const auto order = compare(a, b);
      if (!order) return fail(order.error());
      if (form == Form::less) return Operand::of(*order < 0);
      if (form == Form::less_equal) return Operand::of(*order <= 0);
      return Operand::of(form == Form::greater ? *order > 0 : *order >= 0);
    }
    default: return arithmetic(form, a, b, arena);
  }
}

Result<Operand> negate(const Operand& operand) {
  if (operand.is(Kind::real)) return Operand::of(-operand.real);
  if (!operand.is(Kind::integer)) {
    return refuse(ErrorCode::wrong_kind,
                  fmt::format("- needs a number, this is {}", with_article(operand.kind)));
  }
  return integer_arithmetic(Form::subtract, 0, operand.integer);
}

Unexpected no_bool(const Operand& operand) {
  return fail(ErrorCode::wrong_kind,
              fmt::format("true or false is needed here, this is {}", with_article(operand.kind)));
}

/// One evaluation: a stack of operands that refer to the names and the program.
class Machine {
 public:
  Machine(const Program& program, const Names& names) noexcept : program_(program), names_(names) {}

  /// The result; valid as long as the machine, the names and the program.
  Result<Operand> run() {
    const Instruction* const code = program_.instructions.data();
    const std::size_t end = program_.instructions.size();
    for (std::size_t at = 0; at < end;) {
      const auto& instruction = code[at++];
      if (quick(instruction, at)) continue;
      auto next = step(instruction, at);
      if (!next) {
        auto error = std::move(next).error();
        if (error.offset == Error::no_offset) error.offset = instruction.offset;
        return fail(std::move(error));
      }
    }
    return stack()[0];
  }

 private:
  std::array<Operand, stack_size>& stack() noexcept { return slots_.operands; }
  Operand& top() noexcept { return stack()[size_ - 1]; }
  Result<void> push(const Operand& operand) {
    if (size_ == stack_size)
      return fail(ErrorCode::limit_exceeded, "the expression needs too many values at once");
    stack()[size_++] = operand;
    return {};
  }
  /// Puts a result in the place of the `count` topmost operands.
  Result<void> give(std::size_t count, Result<Operand> result) {
    if (!result) return fail(std::move(result).error());
    size_ -= count - 1;
    top() = *result;
    return {};
  }

  /// What most instructions of most programs do, without a Result. False, and nothing is changed, where
  /// something is not as usual: then step() does it, or says what is wrong.
  [[gnu::always_inline]] bool quick(const Instruction& i, std::size_t& at) noexcept {
    switch (i.code) {
      case Code::field: {
        const auto& place = program_.fields[i.a];
        if (size_ == stack_size || !load_plain(place.layout, names_.at(place), stack()[size_])) return false;
        ++size_;
        return true;
      }
      case Code::constant:
        if (size_ == stack_size) return false;
        stack()[size_++] = Operand::of(program_.constants[i.a]);
        return true;
      case Code::need_bool: return top().is(Kind::boolean);
      case Code::and_jump:
      case Code::or_jump:
        if (!top().is(Kind::boolean)) return false;
        if (top().boolean == (i.code == Code::or_jump)) {
          at = i.a;
        } else {
          --size_;
        }
        return true;
      case Code::binary: return quick_binary(static_cast<Form>(i.a));
      default: return false;
    }
  }

  bool quick_binary(Form form) noexcept {
    auto& a = stack()[size_ - 2];
    const auto& b = top();
    bool result = false;
    if (a.is(Kind::integer) && b.is(Kind::integer)) {
      switch (form) {
        case Form::equal: result = a.integer == b.integer; break;
        case Form::not_equal: result = a.integer != b.integer; break;
        case Form::less: result = a.integer < b.integer; break;
        case Form::less_equal: result = a.integer <= b.integer; break;
        case Form::greater: result = a.integer > b.integer; break;
        case Form::greater_equal: result = a.integer >= b.integer; break;
        default: return false;
      }
    } else if (a.is(Kind::string) && b.is(Kind::string) && (form == Form::equal || form == Form::not_equal)) {
      result = (a.string == b.string) == (form == Form::equal);
    } else if (a.is(Kind::integer) && b.is(Kind::list) && form == Form::in) {
      for (const auto& element : *b.list) {
        const auto* integer = element.integer();
        if (integer == nullptr) return false;
        if ((result = *integer == a.integer)) break;
      }
    } else {
      return false;
    }
    --size_;
    top() = Operand::of(result);
    return true;
  }

  Result<Operand> load(const FieldPlace& place) {
    const void* at = names_.at(place);
    const Shape* shape = place.shape;
    while (shape->inside != nullptr) {
      at = shape->inside(at);
      if (at == nullptr) return Operand();
      shape = shape->content();
    }
    Operand plain;
    if (load_plain(shape->layout, at, plain)) return plain;
    if (shape->layout == Layout::u64) {
      return refuse(ErrorCode::out_of_range,
                    fmt::format("{} does not fit the 64-bit integers of the language, which have a sign",
                                copy_of<std::uint64_t>(at)));
    }
    return arena_.get().value(value_at(*shape, at));
  }

  Result<void> step(const Instruction& i, std::size_t& at) {
    switch (i.code) {
      case Code::field: {
        const auto loaded = load(program_.fields[i.a]);
        if (!loaded) return fail(loaded.error());
        return push(*loaded);
      }
      case Code::constant: return push(Operand::of(program_.constants[i.a]));
      case Code::root: {
        const auto found = names_.find(program_.texts[i.a]);
        if (!found)
          return fail(ErrorCode::unknown_name, fmt::format("there is no \"{}\"", program_.texts[i.a]));
        return push(*found);
      }
      case Code::member: return give(1, member(top(), program_.texts[i.a], i.b != 0));
      case Code::index: return give(2, index(stack()[size_ - 2], top(), i.b != 0));
      case Code::call: return apply(functions()[i.a], i.b);
      case Code::host: return call_host(*program_.hosts[i.a], i.b);
      case Code::method: return apply(methods()[i.a], i.b);
      case Code::list: return make_list(i.a);
      case Code::negate: return give(1, negate(top()));
      case Code::binary: return give(2, binary(static_cast<Form>(i.a), stack()[size_ - 2], top(), arena_));
      case Code::jump: at = i.a; return {};
      case Code::jump_if_null:
        if (top().is(Kind::null)) at = i.a;
        return {};
      case Code::elvis_jump:
        if (top().is(Kind::null) || (top().is(Kind::string) && top().string.empty())) {
          --size_;
        } else {
          at = i.a;
        }
        return {};
      default: return boolean_step(i, at);
    }
  }

  Result<void> boolean_step(const Instruction& i, std::size_t& at) {
    if (!top().is(Kind::boolean)) return no_bool(top());
    const bool value = top().boolean;
    switch (i.code) {
      case Code::logical_not: top() = Operand::of(!value); return {};
      case Code::else_jump:
        --size_;
        if (!value) at = i.a;
        return {};
      case Code::and_jump:
      case Code::or_jump:
        if (value == (i.code == Code::or_jump)) {
          at = i.a;
        } else {
          --size_;
        }
        return {};
      default: return {};
    }
  }

  Result<void> apply(const Function& function, std::size_t count) {
    return give(count, function.apply(std::span(stack()).subspan(size_ - count, count), arena_));
  }

  Result<void> call_host(const HostFunction& function, std::size_t count) {
    auto result = call(function, std::span(stack()).subspan(size_ - count, count));
    if (!result) return fail(std::move(result).error());
    size_ -= count;
    return push(arena_.get().value(*std::move(result)));
  }

  Result<void> make_list(std::size_t count) {
    List list;
    list.reserve(count);
    for (std::size_t i = size_ - count; i < size_; ++i) list.push_back(stack()[i].to_value());
    size_ -= count;
    return push(arena_.get().list(std::move(list)));
  }

  const Program& program_;
  const Names& names_;
  /// Left as it is until a value is pushed: clearing all of it would cost more than most evaluations.
  union Slots {
    Slots() noexcept {}
    std::array<Operand, stack_size> operands;
  } slots_;
  std::size_t size_ = 0;
  LateArena arena_;
};

}  // namespace

std::optional<Operand> Names::find(std::string_view name) const noexcept {
  if (map_ != nullptr) {
    const auto* found = map_->find(name);
    return found == nullptr ? std::nullopt : std::optional(Operand::of(*found));
  }
  for (const auto& binding : bindings_) {
    if (binding.name != name) continue;
    if (binding.map != nullptr) return Operand::of(*binding.map);
    return binding.value != nullptr ? Operand::of(*binding.value) : Operand::of(binding.text);
  }
  return std::nullopt;
}

Result<Value> evaluate(const Program& program, const Names& names) {
  Machine machine(program, names);
  auto result = machine.run();
  if (!result) return fail(std::move(result).error());
  return result->to_value();
}

Result<void> evaluate_text(const Program& program, const Names& names, std::string& out) {
  Machine machine(program, names);
  auto result = machine.run();
  if (!result) return fail(std::move(result).error());
  return append_text(*result, out).transform_error([&](Error error) {
    error.offset = program.instructions.back().offset;
    return error;
  });
}

namespace {
/// Apart, so that tests alone do not pay for the room of the machine.
[[gnu::noinline]] Result<bool> run_for_bool(const Program& program, const Names& names) {
  Machine machine(program, names);
  auto result = machine.run();
  if (!result) return fail(std::move(result).error());
  if (result->is(Kind::boolean)) return result->boolean;
  auto error = no_bool(*result).error();
  error.offset = program.instructions.back().offset;
  return fail(std::move(error));
}
}  // namespace

Result<bool> evaluate_bool(const Program& program, const Names& names) {
  if (program.tests) {
    if (const auto holds = run(*program.tests, program, names)) return *holds;
  }
  return run_for_bool(program, names);
}

}  // namespace onceward::expr_detail
