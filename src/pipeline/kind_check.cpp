#include "pipeline/kind_check.hpp"

#include "expr/kinds.hpp"
#include "expr/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

namespace onceward::pipeline_detail {
namespace {

using namespace expr_detail;
using Kind = Value::Kind;

using Paths = std::set<std::string>;

struct Known {
  Kinds kinds = Type::unknown;
  const Type* type = nullptr;
  std::string path{};  ///< the name it was read by; empty: it was computed
  Promises says{};
  std::optional<bool> only{};  ///< it is true, or false, and nothing else
};

Paths both(const Paths& a, const Paths& b) {
  Paths all;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(all, all.end()));
  return all;
}

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
  /// After run().
  Promises says() { return std::move(stack_.back().says); }

 private:
  /// What a value says that comes by one of two ways; `facts` hold on the way of `a`.
  static Paths joined(const Paths& a, const Paths& b, bool a_never, bool b_never, const Paths& facts) {
    if (a_never) return b;
    if (!b_never) return both(a, b);
    auto all = a;
    all.insert(facts.begin(), facts.end());
    return all;
  }
  static Known join(const Known& a, const Known& b, const Paths& facts) {
    Known known{static_cast<Kinds>(a.kinds | b.kinds), a.type == b.type ? a.type : nullptr,
                a.path == b.path ? a.path : std::string()};
    const auto never = [](const Known& k, bool value) { return k.only && *k.only != value; };
    known.says.if_true = joined(a.says.if_true, b.says.if_true, never(a, true), never(b, true), facts);
    known.says.if_false = joined(a.says.if_false, b.says.if_false, never(a, false), never(b, false), facts);
    if (a.only == b.only) known.only = a.only;
    return known;
  }
  void arrive(std::size_t at) {
    auto& landed = landings_[at];
    if (!landed) return;
    if (!dead_) {
      for (std::size_t i = 0; i < stack_.size(); ++i)
        landed->stack[i] = join(stack_[i], landed->stack[i], facts_);
      landed->facts = both(landed->facts, facts_);
    }
    stack_ = std::move(landed->stack);
    facts_ = std::move(landed->facts);
    landed.reset();
    dead_ = false;
  }
  void leave(std::size_t target, std::optional<Known> top, const Paths* known = nullptr) {
    Landing here{stack_, facts_};
    if (known != nullptr) here.facts.insert(known->begin(), known->end());
    if (top && !here.stack.empty()) here.stack.back() = *std::move(top);
    auto& landed = landings_[target];
    if (landed) {
      for (std::size_t i = 0; i < here.stack.size(); ++i)
        here.stack[i] = join(here.stack[i], landed->stack[i], here.facts);
      here.facts = both(here.facts, landed->facts);
    }
    landed = std::move(here);
  }
  void learn(const Paths& paths) { facts_.insert(paths.begin(), paths.end()); }
  void give(std::size_t count, Known known) {
    stack_.resize(stack_.size() - count);
    stack_.push_back(std::move(known));
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
        top = {
            bit_of(Kind::boolean), nullptr, {}, {std::move(top.says.if_false), std::move(top.says.if_true)}};
        break;
      case Code::need_bool: top.kinds = bit_of(Kind::boolean); break;
      case Code::and_jump:
      case Code::or_jump: {
        const bool stays = i.code == Code::or_jump;  // the value that decides by itself
        auto left = top;
        left.kinds = bit_of(Kind::boolean);
        left.only = stays;
        leave(i.a, std::move(left), stays ? &top.says.if_true : &top.says.if_false);
        learn(stays ? top.says.if_false : top.says.if_true);
        stack_.pop_back();
        break;
      }
      case Code::else_jump: {
        const auto condition = std::move(top.says);
        stack_.pop_back();
        leave(i.a, std::nullopt, &condition.if_false);
        learn(condition.if_true);
        break;
      }
      case Code::elvis_jump:
        leave(i.a, Known{without_null(top.kinds), top.type});
        stack_.pop_back();
        break;
      case Code::jump_if_null:
        if (has(top.kinds, Kind::null)) leave(i.a, Known{bit_of(Kind::null)});
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
    give(0, known_at({found->second.kinds, &found->second, name}));
    return {};
  }

  [[nodiscard]] Known known_at(Known known) const {
    if (facts_.contains(known.path)) known.kinds = without_null(known.kinds);
    return known;
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
    if (!from.path.empty()) member.path = from.path + "." + name;
    give(1, known_at(std::move(member)));
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
    const auto& left = stack_[stack_.size() - 2];
    const auto& right = stack_.back();
    const auto a = left.kinds;
    const auto b = right.kinds;
    Promises says;
    Kinds gives = bit_of(Kind::boolean);
    bool works = true;
    switch (form) {
      case Form::equal:
      case Form::not_equal:
        works = can_equal(a, b);
        if (a == bit_of(Kind::null) || b == bit_of(Kind::null)) {
          const auto& compared = a == bit_of(Kind::null) ? right : left;
          auto& where = form == Form::not_equal ? says.if_true : says.if_false;
          add_with_parents(compared.path, where);
        }
        break;
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
    give(2, {gives, nullptr, {}, std::move(says)});
    return {};
  }
  /// What has a member that is not null is not null either.
  static void add_with_parents(std::string path, Paths& paths) {
    while (!path.empty()) {
      paths.insert(path);
      const auto dot = path.rfind('.');
      path.resize(dot == std::string::npos ? 0 : dot);
    }
  }

  struct Landing {
    std::vector<Known> stack;
    Paths facts;
  };
  const Program& program_;
  const Type& names_;
  std::vector<Known> stack_{};
  std::vector<std::optional<Landing>> landings_;
  Paths facts_{};      ///< paths that are not null here
  bool dead_ = false;  ///< what comes next is reached by a jump alone
};

}  // namespace

Result<Kinds> check_kinds(const Expression& expression, const Type& names) {
  return Walk(Inside::of(expression), names).run();
}

std::vector<Result<Kinds>> check_kinds(const KeyTemplate& key, const Type& names) {
  std::vector<Result<Kinds>> all;
  for (const auto& placeholder : Inside::of(key).placeholders)
    all.push_back(Walk(placeholder.program, names).run());
  return all;
}

Promises promises_of(const Expression& condition, const Type& names) {
  Walk walk(Inside::of(condition), names);
  return walk.run() ? walk.says() : Promises();
}

void narrow(Type& names, const std::set<std::string>& paths) {
  for (const auto& path : paths) {
    auto* type = &names;
    for (std::size_t at = 0; type != nullptr && at < path.size();) {
      const auto end = std::min(path.find('.', at), path.size());
      const auto member = type->members.find(std::string_view(path).substr(at, end - at));
      type = member == type->members.end() ? nullptr : &member->second;
      at = end + 1;
    }
    if (type != nullptr) type->kinds = without_null(type->kinds);
  }
}

}  // namespace onceward::pipeline_detail
