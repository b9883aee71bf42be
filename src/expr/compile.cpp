#include "expr/program.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::expr_detail {
namespace {

class Compiler {
 public:
  explicit Compiler(Program& program) : program_(program) {}

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

  /// Whether no name is read below.
  static bool is_constant(const Node& node) {
    return node.form != Form::name && std::all_of(node.children.begin(), node.children.end(),
                                                  [](const NodePtr& child) { return is_constant(*child); });
  }

  /// "a.b.c" where the node is such a path; empty otherwise.
  static std::string path_of(const Node& node) {
    if (node.form == Form::name) return node.text;
    if (node.form != Form::member) return {};
    auto below = path_of(*node.children[0]);
    if (!below.empty()) below.append(".").append(node.text);
    return below;
  }

  void note_paths(const Node& node) {
    if (auto path = path_of(node); !path.empty()) {
      if (std::find(program_.paths.begin(), program_.paths.end(), path) == program_.paths.end()) {
        program_.paths.push_back(std::move(path));
      }
      return;
    }
    for (const auto& child : node.children) note_paths(*child);
  }

 private:
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

  /// Computes a constant part now. One that fails stays as it is: it may never be reached.
  bool fold(const Node& node) {
    if (node.form == Form::literal || !is_constant(node)) return false;
    Program part;
    Compiler compiler(part);
    if (!compiler.emit_plain(node)) return false;
    auto value = evaluate(part, std::span<const Binding>());
    if (!value) return false;
    emit_constant(node, *std::move(value));
    return true;
  }

  Result<void> emit_node(const Node& node) {
    // Checked on the way down, so that a long chain stops growing at the limit.
    if (program_.instructions.size() > limits::expression_instructions) return {};
    if (auto known = check(node); !known) return known;
    if (fold(node)) return {};
    return emit_plain(node);
  }

  /// What must be refused even where it would never be reached or is constant.
  static Result<void> check(const Node& node) {
    if (node.form == Form::list && node.children.size() > limits::list_elements) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("a list of {} elements; at most {} are allowed", node.children.size(),
                              limits::list_elements),
                  0, node.offset);
    }
    if (node.form != Form::call && node.form != Form::method) return {};
    const auto table = node.form == Form::call ? functions() : methods();
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const Function& f) { return f.name == node.text; });
    const bool method = node.form == Form::method;
    if (found == table.end()) return unknown(node, method);
    if (node.children.size() < found->least || node.children.size() > found->most) {
      const std::size_t self = method ? 1 : 0;
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}() takes {} to {} arguments, not {}", node.text, found->least - self,
                              found->most - self, node.children.size() - self),
                  0, node.offset);
    }
    return {};
  }

  static Result<void> unknown(const Node& node, bool method) {
    std::string hint;
    if (node.text == "T" || node.text == "new") {
      hint = "; types are not in the language";
    } else if (node.text == "toString") {
      hint = "; write string(x)";
    } else if (node.text.starts_with("get") && node.text != "get") {
      hint = "; getters are not in the language: name the member, such as user.id";
    } else {
      const auto others = method ? functions() : methods();
      if (std::any_of(others.begin(), others.end(), [&](const Function& f) { return f.name == node.text; })) {
        hint = method ? fmt::format("; write {}(x)", node.text) : fmt::format("; write x.{}()", node.text);
      }
    }
    return fail(ErrorCode::unknown_name,
                fmt::format("there is no {} {}(){}", method ? "method" : "function", node.text, hint), 0,
                node.offset);
  }

  Result<void> emit_children(const Node& node) {
    for (const auto& child : node.children) {
      if (auto done = emit_node(*child); !done) return done;
    }
    return {};
  }

  template <class Table>
  std::size_t place(const Table& table, const Node& node) {
    return static_cast<std::size_t>(
        std::find_if(table.begin(), table.end(), [&](const Function& f) { return f.name == node.text; }) -
        table.begin());
  }

  Result<void> emit_plain(const Node& node) {
    switch (node.form) {
      case Form::literal: emit_constant(node, node.value); return {};
      case Form::name: emit(Code::root, node, text(node.text)); return {};
      case Form::logical_and: return emit_choice(node, Code::and_jump, true);
      case Form::logical_or: return emit_choice(node, Code::or_jump, true);
      case Form::elvis: return emit_choice(node, Code::elvis_jump, false);
      case Form::ternary: return emit_ternary(node);
      case Form::method: return emit_method(node);
      default: break;
    }
    if (auto done = emit_children(node); !done) return done;
    switch (node.form) {
      case Form::member: emit(Code::member, node, text(node.text), node.safe ? 1 : 0); return {};
      case Form::index: emit(Code::index, node, 0, node.safe ? 1 : 0); return {};
      case Form::call: emit(Code::call, node, place(functions(), node), node.children.size()); return {};
      case Form::list: emit(Code::list, node, node.children.size()); return {};
      case Form::negate: emit(Code::negate, node); return {};
      case Form::logical_not: emit(Code::logical_not, node); return {};
      default: emit(Code::binary, node, static_cast<std::size_t>(node.form)); return {};
    }
  }

  Result<void> emit_method(const Node& node) {
    if (auto done = emit_node(*node.children[0]); !done) return done;
    const auto skip = node.safe ? emit_jump(Code::jump_if_null, node) : 0;
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      if (auto done = emit_node(*node.children[i]); !done) return done;
    }
    emit(Code::method, node, place(methods(), node), node.children.size());
    if (node.safe) land(skip);
    return {};
  }

  Result<void> emit_choice(const Node& node, Code code, bool boolean) {
    if (auto done = emit_node(*node.children[0]); !done) return done;
    const auto over = emit_jump(code, node);
    if (auto done = emit_node(*node.children[1]); !done) return done;
    if (boolean) emit(Code::need_bool, node);
    land(over);
    return {};
  }

  Result<void> emit_ternary(const Node& node) {
    if (auto done = emit_node(*node.children[0]); !done) return done;
    const auto to_else = emit_jump(Code::else_jump, node);
    if (auto done = emit_node(*node.children[1]); !done) return done;
    const auto to_end = emit_jump(Code::jump, node);
    land(to_else);
    if (auto done = emit_node(*node.children[2]); !done) return done;
    land(to_end);
    return {};
  }

  Program& program_;
};

}  // namespace

Result<Program> compile(const Node& root, std::string_view text) {
  Program program;
  program.text = text;
  Compiler compiler(program);
  if (auto done = compiler.compile(root); !done) return fail(std::move(done).error());
  compiler.note_paths(root);
  return program;
}

}  // namespace onceward::expr_detail
