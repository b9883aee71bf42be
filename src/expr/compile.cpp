#include "expr/program.hpp"

#include <boost/container/small_vector.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace onceward::expr_detail {
namespace {

class Compiler {
 public:
  Compiler(Program& program, const Functions& own) : program_(program), own_(Inside::of(own)) {}

  Result<void> compile(const Node& node) {
    if (auto done = emit_node(node); !done) return done;
    if (program_.instructions.size() > limits::expression_instructions) {
      return fail(
          ErrorCode::limit_exceeded,
          fmt::format("the expression needs more than {} instructions", limits::expression_instructions), 0,
          node.offset);
    }
    return {};
  }

  void note_paths(const Node& node) {
    const auto chain = chain_of(node);
    // From the leaf: "a.b.c" is one path, and ends where something else is done with it.
    std::string path;
    for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
      const Node& part = **link;
      if (part.form == Form::name) {
        path = part.text;
      } else if (part.form == Form::member && !path.empty()) {
        path.append(".").append(part.text);
      } else {
        note_path(std::exchange(path, {}));
        for (std::size_t i = 1; i < part.children.size(); ++i) note_paths(*part.children[i]);
      }
    }
    note_path(std::move(path));
  }

 private:
  /// The node, its first child, that one's first child, down to a leaf. Chains of operators are walked in a
  /// loop: they hang as deep as the text is long, while the limit of depth bounds the other children.
  using Chain = boost::container::small_vector<const Node*, 8>;
  static Chain chain_of(const Node& node) {
    Chain chain = {&node};
    while (!chain.back()->children.empty()) chain.push_back(chain.back()->children.front().get());
    return chain;
  }

  void note_path(std::string path) {
    if (path.empty()) return;
    if (std::find(program_.paths.begin(), program_.paths.end(), path) == program_.paths.end()) {
      program_.paths.push_back(std::move(path));
    }
  }

  void emit(Code code, const Node& node, std::size_t a = 0, std::size_t b = 0) {
    program_.instructions.push_back(
        {code, static_cast<std::uint8_t>(b), static_cast<std::uint16_t>(a), node.offset});
  }
  std::size_t emit_jump(Code code, const Node& node) {
    emit(code, node);
    return program_.instructions.size() - 1;
  }
  void land(std::size_t jump) {
    program_.instructions[jump].a = static_cast<std::uint16_t>(program_.instructions.size());
  }
  std::size_t text(const std::string& value) {
    const auto known = std::find(program_.texts.begin(), program_.texts.end(), value);
    if (known != program_.texts.end()) return static_cast<std::size_t>(known - program_.texts.begin());
    program_.texts.push_back(value);
    return program_.texts.size() - 1;
  }
  void emit_constant(const Node& node, Value value) {
    program_.constants.push_back(std::move(value));
    emit(Code::constant, node, program_.constants.size() - 1);
  }

  /// Computes what was emitted from `start` on, where it reads no name. What fails stays as it is: it may
  /// never be reached. Parts are folded from the leaves up, each once, so that compiling stays quadratic at
  /// worst.
  void fold(const Node& node, std::size_t start, std::size_t first_constant) {
    auto& code = program_.instructions;
    const auto begin = code.begin() + static_cast<std::ptrdiff_t>(start);
    if (node.form == Form::literal || code.size() > limits::expression_instructions ||
        std::any_of(begin, code.end(), [](const Instruction& i) { return i.code == Code::root; })) {
      return;
    }
    Program part;
    part.instructions.assign(begin, code.end());
    for (auto& i : part.instructions) i.a = static_cast<std::uint16_t>(jumps(i.code) ? i.a - start : i.a);
    part.constants.swap(program_.constants);
    part.texts.swap(program_.texts);
    part.hosts.swap(program_.hosts);
    auto value = evaluate(part, Value(Map()));
    part.constants.swap(program_.constants);
    part.texts.swap(program_.texts);
    part.hosts.swap(program_.hosts);
    if (!value) return;
    code.erase(begin, code.end());
    program_.constants.resize(first_constant);
    emit_constant(node, *std::move(value));
  }

  Result<void> emit_node(const Node& node) {
    const auto chain = chain_of(node);
    // The leaf first: the error is of what is wrong first in the text.
    for (auto part = chain.rbegin(); part != chain.rend(); ++part) {
      if (auto known = check(**part); !known) return known;
    }
    // All of a chain begins where its leaf does.
    const auto start = program_.instructions.size();
    const auto first_constant = program_.constants.size();
    for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
      if (program_.instructions.size() > limits::expression_instructions) return {};
      if (auto done = emit_rest(**link); !done) return done;
      fold(**link, start, first_constant);
    }
    return {};
  }

  /// What must be refused even where it would never be reached or is constant.
  Result<void> check(const Node& node) const {
    if (node.form == Form::list && node.children.size() > limits::list_elements) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("a list of {} elements; at most {} are allowed", node.children.size(),
                              limits::list_elements),
                  0, node.offset);
    }
    if (node.form != Form::call && node.form != Form::method) return {};
    if (const auto* host = node.form == Form::call ? find_own(node.text) : nullptr) {
      return check_count(node, host->takes.size(), host->takes.size(), 0);
    }
    const auto table = node.form == Form::call ? functions() : methods();
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const Function& f) { return f.name == node.text; });
    const bool method = node.form == Form::method;
    if (found == table.end()) return unknown(node, method);
    return check_count(node, found->least, found->most, method ? 1 : 0);
  }

  /// `self` of the counts is the value a method is called on.
  static Result<void> check_count(const Node& node, std::size_t least, std::size_t most, std::size_t self) {
    const auto count = node.children.size();
    if (count >= least && count <= most) return {};
    const auto range =
        least == most ? fmt::format("{}", most - self) : fmt::format("{} to {}", least - self, most - self);
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}() takes {} argument{}, not {}", node.text, range, range == "1" ? "" : "s",
                            count - self),
                0, node.offset);
  }

  const HostFunction* find_own(std::string_view name) const {
    const auto found = std::find_if(own_.begin(), own_.end(), [&](const auto& f) { return f->name == name; });
    return found == own_.end() ? nullptr : found->get();
  }

  Result<void> unknown(const Node& node, bool method) const {
    std::string hint;
    if (node.text == "T" || node.text == "Type" || node.text == "new") {
      hint = "; types are not in the language";
    } else if (node.text == "toString") {
      hint = "; write string(x)";
    } else if (node.text.starts_with("get") && node.text != "get") {
      hint = "; getters are not in the language: name the member, such as user.id";
    } else {
      const auto others = method ? functions() : methods();
      if ((method && find_own(node.text) != nullptr) ||
          std::any_of(others.begin(), others.end(), [&](const Function& f) { return f.name == node.text; })) {
        hint = method ? fmt::format("; write {}(x)", node.text) : fmt::format("; write x.{}()", node.text);
      }
    }
    return fail(ErrorCode::unknown_name,
                fmt::format("there is no {} {}(){}", method ? "method" : "function", node.text, hint), 0,
                node.offset);
  }

  template <class Table>
  std::size_t place(const Table& table, const Node& node) {
    return static_cast<std::size_t>(
        std::find_if(table.begin(), table.end(), [&](const Function& f) { return f.name == node.text; }) -
        table.begin());
  }

  /// Emits a node whose first child has been emitted.
  Result<void> emit_rest(const Node& node) {
    switch (node.form) {
      case Form::literal: emit_constant(node, node.value); return {};
      case Form::name: emit(Code::root, node, text(node.text)); return {};
      case Form::logical_and: return emit_choice(node, Code::and_jump, true);
      case Form::logical_or: return emit_choice(node, Code::or_jump, true);
      case Form::elvis: return emit_choice(node, Code::elvis_jump, false);
      case Form::ternary: return emit_ternary(node);
      default: break;
    }
    const bool skips = node.form == Form::method && node.safe;
    const auto skip = skips ? emit_jump(Code::jump_if_null, node) : 0;
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      if (auto done = emit_node(*node.children[i]); !done) return done;
    }
    switch (node.form) {
      case Form::member: emit(Code::member, node, text(node.text), node.safe ? 1 : 0); return {};
      case Form::index: emit(Code::index, node, 0, node.safe ? 1 : 0); return {};
      case Form::call: emit_call(node); return {};
      case Form::method: emit(Code::method, node, place(methods(), node), node.children.size()); break;
      case Form::list: emit(Code::list, node, node.children.size()); return {};
      case Form::negate: emit(Code::negate, node); return {};
      case Form::logical_not: emit(Code::logical_not, node); return {};
      default: emit(Code::binary, node, static_cast<std::size_t>(node.form)); return {};
    }
    if (skips) land(skip);
    return {};
  }

  void emit_call(const Node& node) {
    const auto found =
        std::find_if(own_.begin(), own_.end(), [&](const auto& f) { return f->name == node.text; });
    if (found == own_.end()) return emit(Code::call, node, place(functions(), node), node.children.size());
    auto& hosts = program_.hosts;
    const auto known = std::find(hosts.begin(), hosts.end(), *found);
    const auto at = static_cast<std::size_t>(known - hosts.begin());
    if (known == hosts.end()) hosts.push_back(*found);
    emit(Code::host, node, at, node.children.size());
  }

  Result<void> emit_choice(const Node& node, Code code, bool boolean) {
    const auto over = emit_jump(code, node);
    if (auto done = emit_node(*node.children[1]); !done) return done;
    if (boolean) emit(Code::need_bool, node);
    land(over);
    return {};
  }

  Result<void> emit_ternary(const Node& node) {
    const auto to_else = emit_jump(Code::else_jump, node);
    if (auto done = emit_node(*node.children[1]); !done) return done;
    const auto to_end = emit_jump(Code::jump, node);
    land(to_else);
    if (auto done = emit_node(*node.children[2]); !done) return done;
    land(to_end);
    return {};
  }

  Program& program_;
  std::span<const std::shared_ptr<const HostFunction>> own_;
};

}  // namespace

Result<Program> compile(const Node& root, const Functions& own) {
  Program program;
  program.instructions.reserve(8);
  program.texts.reserve(2);
  Compiler compiler(program, own);
  if (auto done = compiler.compile(root); !done) return fail(std::move(done).error());
  compiler.note_paths(root);
  return program;
}

}  // namespace onceward::expr_detail
