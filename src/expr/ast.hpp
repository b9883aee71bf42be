#pragma once
#include <onceward/expr/value.hpp>

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace onceward::expr_detail {

/// What a node of a parsed expression does with its children.
enum class Form : std::uint8_t {
  literal,  ///< value
  name,     ///< text: a root name
  member,   ///< children[0].text
  index,    ///< children[0][children[1]]
  call,     ///< text(children...)
  method,   ///< children[0].text(children[1]...)
  list,     ///< {children...}
  negate,
  logical_not,
  add,
  subtract,
  multiply,
  divide,
  modulo,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
  between,
  logical_and,
  logical_or,
  elvis,    ///< children[0] ?: children[1]
  ternary,  ///< children[0] ? children[1] : children[2]
};

struct Node;
/// Frees a tree without recursion: a chain of operators hangs as deep as the text is long, and the stack of
/// the caller may be small.
struct FreeTree {
  void operator()(Node* root) const noexcept;
};
using NodePtr = std::unique_ptr<Node, FreeTree>;

struct Node {
  Form form = Form::literal;
  std::uint32_t offset = 0;  ///< byte in the text where an error of this node is shown
  bool safe = false;         ///< member, index, method: null in, null out
  std::string text{};
  Value value{};
  /// Most have one or two: those lie here.
  boost::container::small_vector<NodePtr, 2> children{};
};

inline void FreeTree::operator()(Node* root) const noexcept {
  // The first child is where chains hang: each is taken off its parent before the parent is freed.
  while (root != nullptr) {
    Node* next = nullptr;
    if (!root->children.empty()) next = root->children.front().release();
    delete root;
    root = next;
  }
}

/// What a parse gave: the expression, and the byte after it.
struct Parsed {
  NodePtr root;
  std::size_t end = 0;
};

/// Parses one expression of `text` from byte `begin` on; what follows it is the caller's to judge.
/// Errors: syntax, limit_exceeded (depth), out_of_range (a literal); with the offset in `text`.
Result<Parsed> parse_expression(std::string_view text, std::size_t begin);

}  // namespace onceward::expr_detail
