#include "pipeline/kind_check.hpp"

#include "expr/kinds.hpp"
#include "expr/program.hpp"

#include <fmt/format.h>

#include <optional>

namespace onceward::pipeline_detail {
namespace {

using namespace expr_detail;
using Kind = Value::Kind;

struct Known {
  Kinds kinds = Type::unknown;
  const Type* type = nullptr;
};

constexpr Kinds without_null(Kinds kinds) noexcept { return static_cast<Kinds>(kinds & ~bit_of(Kind::null)); }

class Walk {
 public:
  Walk(const Program& program, const Type& names)
      : program_(program), names_(names), landings_(program.instructions.size() + 1) {}

  Result<Kinds> run() {
    const auto& code = program_.instructions;
    for (std::size_t at = 0; at < code.size(); ++at) {
      arrive(at);
      if (auto walked = step(code[at]); !walked) {
        walked.error().offset = code[at].offset;
        return fail(std::move(walked).error());
      }
    }
    arrive(code.size());
    return stack_.back().kinds;
  }

 private:
  static Known join(const Known& a, const Known& b) noexcept {
    return {static_cast<Kinds>(a.kinds | b.kinds), a.type == b.type ? a.type : nullptr};
  }
  void arrive(std::size_t at) {
    auto& landed = landings_[at];
    if (!landed) return;
    if (!dead_) {
      for (std::size_t i = 0; i < stack_.size(); ++i) (*landed)[i] = join(stack_[i], (*landed)[i]);
    }
    stack_ = *std::move(landed);
    dead_ = false;
  }
  void leave(std::size_t target, std::optional<Kinds> top) {
    auto stack = stack_;
    if (top && !stack.empty()) stack.back().kinds = *top;
    auto& landed = landings_[target];
    if (landed) {
      for (std::size_t i = 0; i < stack.size(); ++i) stack[i] = join(stack[i], (*landed)[i]);
    }
    landed = std::move(stack);
  }
  void give(std::size_t count, Known known) {
    stack_.resize(stack_.size() - count);
    stack_.push_back(known);
  }

  static Unexpected wrong(std::string message) { return fail(ErrorCode::wrong_kind, std::move(message)); }
  /// A value that may be null where none may be.
  static Unexpected maybe_null(std::string_view what) {
    return fail(ErrorCode::out_of_range,
                fmt::format("{} may be null here; write ?. and give a default with ?:", what));
  }

  Result<void> need(const Known& known, Kinds wanted, std::string_view what) {
    if (!has(without_null(known.kinds), wanted) && !has(wanted, known.kinds))
      return wrong(fmt::format("{} needs {}, this is {}", what, names_of(wanted), names_of(known.kinds)));
    if (has(known.kinds, Kind::null) && !has(wanted, Kind::null))
      return maybe_null("what " + std::string(what) + " takes");
    return {};
  }

  Result<void> step(const Instruction& i) {
    switch (i.code) {
      case Code::root: return walk_root(program_.texts[i.a]);
      case Code::constant: give(0, {bit_of(program_.constants[i.a].kind())}); return {};
      case Code::member: return walk_member(program_.texts[i.a], i.b != 0);
      case Code::index: return walk_index(i.b != 0);
      case Code::call: return walk_call(i, functions()[i.a]);
      case Code::method: return walk_call(i, methods()[i.a]);
      case Code::host: return walk_host(i, *program_.hosts[i.a]);
      case Code::list: give(i.a, {bit_of(Kind::list)}); return {};
      case Code::negate: {
        if (auto fine = need(stack_.back(), number_kinds, "-"); !fine) return fine;
        give(1, {static_cast<Kinds>(stack_.back().kinds & number_kinds)});
        return {};
      }
      case Code::binary: return walk_binary(static_cast<Form>(i.a));
      default: return walk_choice(i);
    }
  }

  Result<void> walk_choice(const Instruction& i) {
    auto& top = stack_.back();
    switch (i.code) {
      case Code::logical_not:
      case Code::need_bool:
      case Code::and_jump:
      case Code::or_jump:
      case Code::else_jump:
        if (auto fine = need(top, bit_of(Kind::boolean), "a condition"); !fine) return fine;
        break;
      default: break;
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
        leave(i.a, without_null(top.kinds));
        stack_.pop_back();
        break;
      case Code::jump_if_null:
        if (has(top.kinds, Kind::null)) leave(i.a, bit_of(Kind::null));
        top.kinds = without_null(top.kinds);
        break;
      default: leave(i.a, std::nullopt); dead_ = true;
    }
    return {};
  }

  Result<void> walk_root(const std::string& name) {
    const auto found = names_.members.find(name);
    if (found == names_.members.end())
      return fail(ErrorCode::unknown_name, fmt::format("there is no \"{}\"", name));
    give(0, {found->second.kinds, &found->second});
    return {};
  }

  Result<void> walk_member(const std::string& name, bool safe) {
    const auto from = stack_.back();
    if (!safe && has(from.kinds, Kind::null)) return maybe_null(fmt::format("what has \"{}\"", name));
    if (!has(from.kinds, Kind::map) && !has(from.kinds, Kind::null))
      return wrong(fmt::format("{} has no member \"{}\"", names_of(from.kinds), name));
    Known member;
    if (from.type != nullptr) {
      const auto found = from.type->members.find(name);
      if (found != from.type->members.end()) {
        member = {found->second.kinds, &found->second};
      } else if (from.type->closed) {
        return fail(ErrorCode::unknown_name, fmt::format("there is no \"{}\" in it", name));
      }
    }
    if (has(from.kinds, Kind::null)) member.kinds |= bit_of(Kind::null);
    give(1, member);
    return {};
  }

  Result<void> walk_index(bool safe) {
    const auto from = stack_[stack_.size() - 2];
    const auto key = stack_.back();
    if (!safe && has(from.kinds, Kind::null)) return maybe_null("what [] reads");
    if (has(key.kinds, Kind::null)) return maybe_null("what [] reads by");
    const bool by_name = has(from.kinds, Kind::map) && has(key.kinds, Kind::string);
    const bool by_place = has(from.kinds, Kind::list) && has(key.kinds, Kind::integer);
    if (!has(from.kinds, Kind::null) && !by_name && !by_place)
      return wrong(fmt::format("[] reads a list by an int or a map by a string, this is {} by {}",
                               names_of(from.kinds), names_of(key.kinds)));
    Known element;
    if (has(from.kinds, Kind::null)) element.kinds |= bit_of(Kind::null);
    give(2, element);
    return {};
  }

  Result<void> walk_call(const Instruction& i, const Function& function) {
    const auto first = stack_.size() - i.b;
    for (std::size_t k = 0; k < i.b; ++k) {
      auto fine = need(stack_[first + k], k == 0 ? function.first : function.rest,
                       fmt::format("{}()", function.name));
      if (!fine) return fine;
    }
    // What a function may give in principle says nothing of nulls that occur.
    give(i.b, {function.gives == any_kind ? Type::unknown : function.gives});
    return {};
  }
  Result<void> walk_host(const Instruction& i, const HostFunction& function) {
    const auto first = stack_.size() - i.b;
    for (std::size_t k = 0; k < i.b; ++k) {
      auto fine = need(stack_[first + k], function.takes[k], fmt::format("{}()", function.name));
      if (!fine) return fine;
    }
    give(i.b, {function.gives == any_kind ? Type::unknown : function.gives});
    return {};
  }

  Result<void> walk_binary(Form form) {
    const auto a = stack_[stack_.size() - 2].kinds;
    const auto b = stack_.back().kinds;
    Kinds gives = bit_of(Kind::boolean);
    bool works = true;
    switch (form) {
      case Form::equal:
      case Form::not_equal: works = can_equal(a, b); break;
      case Form::in:
      case Form::not_in:
      case Form::between:
        if (has(b, Kind::null)) return maybe_null(fmt::format("what {} looks at", sign_of(form)));
        works = has(b, static_cast<Kinds>(bit_of(Kind::list) | bit_of(Kind::map)));
        break;
      default:
        if (has(static_cast<Kinds>(a | b), Kind::null))
          return maybe_null(fmt::format("an operand of {}", sign_of(form)));
        if (form == Form::less || form == Form::less_equal || form == Form::greater ||
            form == Form::greater_equal) {
          works = can_order(a, b);
        } else {
          works = (gives = arithmetic_kinds(form, a, b)) != 0;
        }
    }
    if (!works) {
      return wrong(fmt::format("{} never works between {} and {}", sign_of(form), names_of(a), names_of(b)));
    }
    give(2, {gives});
    return {};
  }

  const Program& program_;
  const Type& names_;
  std::vector<Known> stack_{};
  std::vector<std::optional<std::vector<Known>>> landings_;
  bool dead_ = false;  ///< what comes next is reached by a jump alone
};

}  // namespace

Result<Kinds> check_kinds(const Expression& expression, const Type& names) {
  return Walk(Inside::of(expression), names).run();
}

}  // namespace onceward::pipeline_detail
