// Binding: a program is walked once with the kinds each value may have instead of values. Names become places
// in the arguments, what can never work is refused, and the commonest tests become one instruction.
#include <onceward/expr/bind.hpp>

#include "expr/kinds.hpp"
#include "expr/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace onceward {
namespace expr_detail {
namespace {

using Kind = Value::Kind;

/// What is known of a value on the stack before there is one.
struct Known {
  Kinds kinds = any_kind;
  const Shape* shape = nullptr;     ///< of a list, map or struct, where it comes from an argument
  const Value* constant = nullptr;  ///< where it is always the same
};

class Binder {
 public:
  Binder(const Program& source, const Parameters& parameters)
      : source_(source),
        parameters_(parameters),
        landings_(source.instructions.size() + 1),
        is_landing_(source.instructions.size() + 1),
        places_(source.instructions.size() + 1) {}

  Result<Program> run(bool needs_text) {
    out_.text = source_.text;
    out_.constants = source_.constants;
    out_.texts = source_.texts;
    out_.paths = source_.paths;
    out_.hosts = source_.hosts;
    const auto& code = source_.instructions;
    for (const auto& instruction : code) {
      if (jumps(instruction.code)) is_landing_[instruction.a] = true;
    }
    while (at_ < code.size()) {
      arrive();
      const auto& instruction = code[at_++];
      if (auto done = walk(instruction); !done) {
        if (done.error().offset == Error::no_offset) done.error().offset = instruction.offset;
        return fail(std::move(done).error());
      }
    }
    arrive();
    if (needs_text && !has(stack_.front().kinds, text_kinds)) {
      return fail(
          ErrorCode::wrong_kind,
          fmt::format("{} has no text form; {}", names_of(stack_.front().kinds),
                      has(stack_.front().kinds, Kind::real) ? "write fixed(x, 2)" : "write join(x, ',')"),
          0, code.back().offset);
    }
    for (auto& instruction : out_.instructions) {
      if (jumps(instruction.code)) instruction.a = static_cast<std::uint16_t>(places_[instruction.a]);
    }
    out_.tests = make_integer_tests(out_);
    return std::move(out_);
  }

 private:
  /// Joins what came by jumps with what came from above.
  void arrive() {
    places_[at_] = out_.instructions.size();
    auto& landed = landings_[at_];
    if (!landed) return;
    if (!dead_) {
      for (std::size_t i = 0; i < stack_.size(); ++i) (*landed)[i] = join(stack_[i], (*landed)[i]);
    }
    stack_ = *std::move(landed);
    dead_ = false;
  }
  static Known join(const Known& a, const Known& b) noexcept {
    return {static_cast<Kinds>(a.kinds | b.kinds), a.shape == b.shape ? a.shape : nullptr,
            a.constant == b.constant ? a.constant : nullptr};
  }
  /// A jump that may be taken from here, with the stack as it is but for the top.
  void leave(std::size_t target, std::optional<Kinds> top) {
    auto stack = stack_;
    if (top) stack.back().kinds = *top;
    auto& landed = landings_[target];
    if (landed) {
      for (std::size_t i = 0; i < stack.size(); ++i) stack[i] = join(stack[i], (*landed)[i]);
    }
    landed = std::move(stack);
  }

  void emit(const Instruction& instruction) { out_.instructions.push_back(instruction); }
  /// The instruction takes `count` values and gives one.
  void give(std::size_t count, Known known) {
    stack_.resize(stack_.size() - count);
    stack_.push_back(known);
  }

  Result<void> walk(const Instruction& i) {
    switch (i.code) {
      case Code::root: return walk_name(i);
      case Code::constant:
        emit(i);
        give(0, {bit_of(source_.constants[i.a].kind()), nullptr, &out_.constants[i.a]});
        return {};
      case Code::member: return walk_member(i);
      case Code::index: return walk_index(i);
      case Code::call: return walk_call(i, functions()[i.a], "function");
      case Code::host: return walk_host(i, *source_.hosts[i.a]);
      case Code::method: return walk_call(i, methods()[i.a], "method");
      case Code::list:
        emit(i);
        give(i.a, {bit_of(Kind::list)});
        return {};
      case Code::negate:
        emit(i);
        if (!has(stack_.back().kinds, number_kinds))
          return fail(ErrorCode::wrong_kind,
                      fmt::format("- needs a number, this is {}", names_of(stack_.back().kinds)));
        give(1, {static_cast<Kinds>(stack_.back().kinds & number_kinds)});
        return {};
      case Code::binary: return walk_binary(i, static_cast<Form>(i.a));
      default: return walk_choice(i);
    }
  }

  Result<void> walk_choice(const Instruction& i) {
    emit(i);
    auto& top = stack_.back();
    const bool boolean = i.code == Code::logical_not || i.code == Code::need_bool ||
                         i.code == Code::and_jump || i.code == Code::or_jump || i.code == Code::else_jump;
    if (boolean && !has(top.kinds, Kind::boolean)) {
      return fail(ErrorCode::wrong_kind,
                  fmt::format("true or false is needed here, this is {}", names_of(top.kinds)));
    }
    switch (i.code) {
      case Code::logical_not:
      case Code::need_bool: top = {bit_of(Kind::boolean)}; break;
      case Code::and_jump:
      case Code::or_jump:
        leave(i.a, bit_of(Kind::boolean));
        stack_.pop_back();
        break;
      case Code::else_jump:
        stack_.pop_back();
        leave(i.a, std::nullopt);
        break;
      case Code::elvis_jump:
        leave(i.a, static_cast<Kinds>(top.kinds & ~bit_of(Kind::null)));
        stack_.pop_back();
        break;
      case Code::jump_if_null:
        if (has(top.kinds, Kind::null)) leave(i.a, bit_of(Kind::null));
        top.kinds = static_cast<Kinds>(top.kinds & ~bit_of(Kind::null));
        break;
      default: leave(i.a, std::nullopt); dead_ = true;
    }
    return {};
  }

  /// A root name and the members behind it, as far as they lie at a fixed place.
  Result<void> walk_name(const Instruction& root) {
    const auto& name = source_.texts[root.a];
    FieldPlace place;
    bool dynamic = false;
    if (!find_root(name, place, dynamic)) return fail(ErrorCode::unknown_name, no_root(name));
    const auto& code = source_.instructions;
    while (!dynamic && at_ < code.size() && code[at_].code == Code::member && !is_landing_[at_] &&
           !place.shape->fields.empty()) {
      const auto& member = code[at_];
      const auto* field = find_field(*place.shape, source_.texts[member.a]);
      if (field == nullptr) {
        return fail(ErrorCode::unknown_name, no_field(*place.shape, source_.texts[member.a]), 0,
                    member.offset);
      }
      step_into(*field, place);
      ++at_;
      places_[at_] = out_.instructions.size();
    }
    place.layout = place.shape->layout;
    out_.fields.push_back(place);
    emit({Code::field, 0, static_cast<std::uint16_t>(out_.fields.size() - 1), root.offset});
    give(0, known_of(*place.shape));
    if (dynamic) {
      emit({Code::member, 0, root.a, root.offset});
      give(1, {any_kind, place.shape->content == nullptr ? nullptr : place.shape->content()});
    }
    return {};
  }

  static const FieldShape* find_field(const Shape& shape, std::string_view name) noexcept {
    const auto found = std::find_if(shape.fields.begin(), shape.fields.end(),
                                    [&](const FieldShape& field) { return field.name == name; });
    return found == shape.fields.end() ? nullptr : &*found;
  }
  static void step_into(const FieldShape& field, FieldPlace& place) {
    place.offset += static_cast<std::uint32_t>(field.offset());
    place.shape = field.shape();
  }
  static Known known_of(const Shape& shape) noexcept { return {shape.kinds, &shape, nullptr}; }

  bool find_root(std::string_view name, FieldPlace& place, bool& dynamic) const {
    if (parameters_.shapes.size() == 1 && parameters_.names.empty()) {
      place.shape = parameters_.shapes[0];
      if (const auto* field = find_field(*place.shape, name)) {
        step_into(*field, place);
        return true;
      }
    }
    // A map, or what may be one: its members are known when it is there.
    dynamic = parameters_.names.empty() && parameters_.shapes.size() == 1 && place.shape->fields.empty() &&
              has(place.shape->kinds, Kind::map);
    if (dynamic) return true;
    for (std::size_t i = 0; i < parameters_.shapes.size(); ++i) {
      if (!reflect_detail::names_argument(name, i, parameters_.names)) continue;
      place.argument = static_cast<std::uint32_t>(i);
      place.shape = parameters_.shapes[i];
      return true;
    }
    return false;
  }

  std::string no_root(std::string_view name) const {
    if (parameters_.names.empty() && parameters_.shapes.size() == 1)
      return no_field(*parameters_.shapes[0], name);
    std::string known;
    for (std::size_t i = 0; i < parameters_.shapes.size(); ++i) {
      known +=
          fmt::format("{}{}", i > 0 ? ", " : "",
                      parameters_.names.empty() ? fmt::format("p{}", i) : std::string(parameters_.names[i]));
    }
    return fmt::format("there is no argument \"{}\"; there are {}", name, known);
  }
  static std::string no_field(const Shape& shape, std::string_view name) {
    std::string known;
    for (const auto& field : shape.fields)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", field.name);
    return fmt::format("there is no member \"{}\"{}", name, known.empty() ? "" : "; there are " + known);
  }

  Result<void> walk_member(const Instruction& i) {
    emit(i);
    const auto from = stack_.back();
    const auto& name = source_.texts[i.a];
    const bool safe = i.b != 0;
    if (!has(from.kinds, Kind::map) && !(safe && has(from.kinds, Kind::null))) {
      return fail(from.kinds == bit_of(Kind::null) ? ErrorCode::wrong_kind : ErrorCode::unknown_name,
                  fmt::format("{} has no member \"{}\"", names_of(from.kinds), name));
    }
    Known member;
    const auto* shape = content_of(from.shape);
    if (shape != nullptr && !shape->fields.empty()) {
      const auto* field = find_field(*shape, name);
      if (field == nullptr) return fail(ErrorCode::unknown_name, no_field(*shape, name));
      member = known_of(*field->shape());
    } else if (shape != nullptr && shape->kinds == bit_of(Kind::map) && shape->content != nullptr) {
      member = known_of(*shape->content());
    }
    if (safe && has(from.kinds, Kind::null)) member.kinds |= bit_of(Kind::null);
    give(1, member);
    return {};
  }
  /// What an optional holds; any other shape itself.
  static const Shape* content_of(const Shape* shape) {
    while (shape != nullptr && shape->inside != nullptr) shape = shape->content();
    return shape;
  }

  Result<void> walk_index(const Instruction& i) {
    emit(i);
    const auto from = stack_[stack_.size() - 2];
    const auto key = stack_.back();
    const bool safe = i.b != 0 && has(from.kinds, Kind::null);
    const bool by_name = has(from.kinds, Kind::map) && has(key.kinds, Kind::string);
    const bool by_place = has(from.kinds, Kind::list) && has(key.kinds, Kind::integer);
    if (!safe && !by_name && !by_place) {
      return fail(ErrorCode::wrong_kind,
                  fmt::format("[] reads a list by an int or a map by a string, this is "
                              "{} by {}",
                              names_of(from.kinds), names_of(key.kinds)));
    }
    Known element;
    const auto* shape = content_of(from.shape);
    if (shape != nullptr && shape->content != nullptr) element = known_of(*shape->content());
    if (safe || by_name) element.kinds |= bit_of(Kind::null);
    give(2, element);
    return {};
  }

  /// `takes` says what an argument may be, by its place.
  template <class Takes>
  Result<void> walk_arguments(const Instruction& i, std::string_view what, std::string_view name,
                              const Takes& takes) {
    emit(i);
    const auto first = stack_.size() - i.b;
    for (std::size_t k = 0; k < i.b; ++k) {
      if (has(stack_[first + k].kinds, takes(k))) continue;
      return fail(ErrorCode::wrong_kind, fmt::format("the {} {}() needs {} here, this is {}", what, name,
                                                     names_of(takes(k)), names_of(stack_[first + k].kinds)));
    }
    return {};
  }
  Result<void> walk_call(const Instruction& i, const Function& function, std::string_view what) {
    auto walked = walk_arguments(i, what, function.name,
                                 [&](std::size_t k) { return k == 0 ? function.first : function.rest; });
    if (walked) give(i.b, {function.gives});
    return walked;
  }
  Result<void> walk_host(const Instruction& i, const HostFunction& function) {
    auto walked =
        walk_arguments(i, "function", function.name, [&](std::size_t k) { return function.takes[k]; });
    if (walked) give(i.b, {function.gives});
    return walked;
  }

  Result<void> walk_binary(const Instruction& i, Form form) {
    const auto a = stack_[stack_.size() - 2];
    const auto b = stack_.back();
    Kinds gives = bit_of(Kind::boolean);
    bool works = true;
    switch (form) {
      case Form::equal:
      case Form::not_equal: works = can_equal(a.kinds, b.kinds); break;
      case Form::in:
      case Form::not_in:
        works = has(b.kinds, Kind::list) || (has(b.kinds, Kind::map) && has(a.kinds, Kind::string));
        works = works && each_element(b, [&](Kinds element) { return can_equal(a.kinds, element); });
        break;
      case Form::between:
        works = has(b.kinds, Kind::list) &&
                each_element(b, [&](Kinds element) { return can_order(a.kinds, element); });
        break;
      case Form::less:
      case Form::less_equal:
      case Form::greater:
      case Form::greater_equal: works = can_order(a.kinds, b.kinds); break;
      default: works = (gives = arithmetic_kinds(form, a.kinds, b.kinds)) != 0;
    }
    if (!works) {
      return fail(
          ErrorCode::wrong_kind,
          fmt::format(
              "{} never works between {} and {}{}", sign_of(form), names_of(a.kinds), names_of(b.kinds),
              b.constant != nullptr && b.constant->list() != nullptr ? " " + b.constant->to_json() : ""));
    }
    emit(i);
    give(2, {gives});
    return {};
  }
  /// Whether all elements of a list that is always the same pass; true of any other.
  template <class Passes>
  static bool each_element(const Known& known, const Passes& passes) {
    const auto* list = known.constant == nullptr ? nullptr : known.constant->list();
    if (list == nullptr) return true;
    return std::all_of(list->begin(), list->end(),
                       [&](const Value& element) { return passes(bit_of(element.kind())); });
  }

  const Program& source_;
  const Parameters& parameters_;
  Program out_;
  std::vector<Known> stack_;
  std::vector<std::optional<std::vector<Known>>> landings_;
  std::vector<bool> is_landing_;
  std::vector<std::size_t> places_;  ///< of each instruction of the source, in the bound program
  std::size_t at_ = 0;
  bool dead_ = false;  ///< what comes next is reached by a jump alone
};

/// The field that a program is as a whole, where it can be written as it lies; `other` where it cannot.
FieldPlace plain_field(const Program& program) noexcept {
  if (program.instructions.size() != 1 || program.instructions[0].code != Code::field) return {};
  auto place = program.fields[program.instructions[0].a];
  if (place.layout == Layout::real) place.layout = Layout::other;
  return place;
}

Result<void> check(const Parameters& parameters) {
  if (parameters.names.empty() || parameters.names.size() == parameters.shapes.size()) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("{} names are given for {} arguments",
                                                       parameters.names.size(), parameters.shapes.size()));
}

}  // namespace

Result<BoundProgram> bind(const Expression& expression, const Parameters& parameters) {
  if (auto checked = check(parameters); !checked) return fail(std::move(checked).error());
  auto bound = Binder(Inside::of(expression), parameters).run(false);
  if (!bound) return fail(std::move(bound).error());
  return std::make_shared<const Program>(*std::move(bound));
}

Result<BoundProgram> bind_expression(std::string_view text, const Functions* functions,
                                     const Parameters& parameters) {
  auto parsed = Expression::parse(text, functions == nullptr ? Functions() : *functions);
  if (!parsed) return fail(std::move(parsed).error());
  return bind(*parsed, parameters);
}

Result<BoundParts> bind_key(std::string_view text, const Functions* functions, const Parameters& parameters) {
  auto parsed = KeyTemplate::parse(text, functions == nullptr ? Functions() : *functions);
  if (!parsed) return fail(std::move(parsed).error());
  return bind(*parsed, parameters);
}

Result<BoundParts> bind(const KeyTemplate& key, const Parameters& parameters) {
  if (auto checked = check(parameters); !checked) return fail(std::move(checked).error());
  const auto& parts = Inside::of(key);
  auto bound = std::make_shared<BoundTemplate>();
  bound->text = parts.text;
  bound->programs.reserve(parts.placeholders.size());
  for (const auto& placeholder : parts.placeholders) {
    auto program = Binder(placeholder.program, parameters).run(true);
    if (!program) return fail(std::move(program).error());
    bound->programs.push_back(*std::move(program));
    bound->pieces.push_back(
        {bound->literals.size(), placeholder.before.size(), plain_field(bound->programs.back())});
    bound->literals += placeholder.before;
  }
  bound->pieces.push_back({bound->literals.size(), parts.after.size(), {}});
  bound->literals += parts.after;
  bound->literals.append(KeyBuffer::block, '\0');  // whole blocks of it are read
  return BoundParts(std::move(bound));
}

Result<Value> evaluate(const Program& program, Places arguments) {
  return evaluate(program, Names(arguments));
}
Result<bool> test(const Program& program, Places arguments) {
  return evaluate_bool(program, Names(arguments));
}

}  // namespace expr_detail
}  // namespace onceward
