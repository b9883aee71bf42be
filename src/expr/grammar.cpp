// The grammar of the language, in Boost.Spirit X3. Actions build nodes on a stack, so that the rules carry no
// attributes; the grammar decides by the next token and never takes an action back.
#include "expr/ast.hpp"

#include <boost/spirit/home/x3.hpp>
#include <fmt/format.h>

#include <charconv>

namespace onceward::expr_detail {
namespace {

namespace x3 = boost::spirit::x3;
using Iterator = const char*;

/// Builds the tree while the grammar runs.
class Builder {
 public:
  explicit Builder(std::string_view text) : text_(text) {}

  std::size_t depth = 0;
  Iterator deepest = nullptr;  ///< where the nesting grew too deep

  [[nodiscard]] std::uint32_t offset(Iterator at) const noexcept {
    return static_cast<std::uint32_t>(at - text_.data());
  }

  void push(NodePtr node) { nodes_.push_back(std::move(node)); }
  void leaf(Form form, Iterator at, std::string text, Value value = {}) {
    push(NodePtr(new Node{form, offset(at), false, std::move(text), std::move(value), {}}));
  }
  /// Notes an operator whose operands are still to come.
  void mark(Form form, Iterator at, bool safe = false) {
    mark_.push_back({form, offset(at), safe, nodes_.size(), {}});
  }
  void mark_text(std::string text) { mark_.back().text = std::move(text); }
  /// Joins the operator marked last with `before` operands from before its mark and all after it.
  void join(std::size_t before) {
    Mark mark = std::move(mark_.back());
    mark_.pop_back();
    NodePtr node(new Node{mark.form, mark.offset, mark.safe, std::move(mark.text), {}, {}});
    const auto first = nodes_.begin() + static_cast<std::ptrdiff_t>(mark.nodes - before);
    node->children.assign(std::make_move_iterator(first), std::make_move_iterator(nodes_.end()));
    nodes_.erase(first, nodes_.end());
    push(std::move(node));
  }
  NodePtr finish() { return std::move(nodes_.back()); }

 private:
  struct Mark {
    Form form;
    std::uint32_t offset;
    bool safe;
    std::size_t nodes;
    std::string text;
  };
  std::string_view text_;
  boost::container::small_vector<NodePtr, 8> nodes_;
  boost::container::small_vector<Mark, 8> mark_;
};

struct BuilderTag;
struct Refused {
  Error error;
};

template <class Context>
Builder& builder(const Context& context) {
  return x3::get<BuilderTag>(context).get();
}

/// Space between tokens: x3::space asks the C library about every byte.
struct Space : x3::char_parser<Space> {
  using attribute_type = x3::unused_type;
  static constexpr bool has_attribute = false;
  template <class Char, class Context>
  bool test(Char c, const Context&) const noexcept {
    return c == ' ' || (c >= '\t' && c <= '\r');
  }
};
constexpr Space space{};

/// Bounds the recursion of the parser itself: hostile text ends in an error, not in a full stack.
template <class Subject>
struct Deeper : x3::unary_parser<Subject, Deeper<Subject>> {
  using base_type = x3::unary_parser<Subject, Deeper<Subject>>;
  using attribute_type = x3::unused_type;
  static constexpr bool has_attribute = false;
  constexpr explicit Deeper(const Subject& inner) : base_type(inner) {}

  template <class Context, class RContext, class Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context& context, RContext& rcontext,
             Attribute& attr) const {
    auto& build = builder(context);
    if (build.depth >= limits::expression_depth) {
      throw Refused{{ErrorCode::limit_exceeded,
                     fmt::format("the expression is nested deeper than {}", limits::expression_depth), 0,
                     build.offset(first)}};
    }
    ++build.depth;
    const bool parsed = this->subject.parse(first, last, context, rcontext, attr);
    --build.depth;
    return parsed;
  }
};
struct DeeperMaker {
  template <class Subject>
  constexpr auto operator[](const Subject& inner) const {
    return Deeper<typename x3::extension::as_parser<Subject>::value_type>(x3::as_parser(inner));
  }
};
constexpr DeeperMaker deeper{};

}  // namespace
}  // namespace onceward::expr_detail

// What was expected is told by the parser inside: by default Spirit names a decorated one by its C++ type.
namespace boost::spirit::x3 {
template <class Subject, class Action>
struct get_info<action<Subject, Action>> {
  std::string operator()(const action<Subject, Action>& parser) const { return what(parser.subject); }
};
template <class Subject>
struct get_info<onceward::expr_detail::Deeper<Subject>> {
  std::string operator()(const onceward::expr_detail::Deeper<Subject>& parser) const {
    return what(parser.subject);
  }
};
}  // namespace boost::spirit::x3

namespace onceward::expr_detail {
namespace {

template <class Context>
Iterator begin_of(const Context& context) {
  return x3::_attr(context).begin();
}
template <class Context>
std::string text_of(const Context& context) {
  return std::string(x3::_attr(context).begin(), x3::_attr(context).end());
}

/// Actions: `mark_as` when an operator is seen, `join<n>` when its last operand is complete.
template <Form form, bool safe = false>
constexpr auto mark_as = [](auto& context) { builder(context).mark(form, begin_of(context), safe); };
template <std::size_t before>
constexpr auto join = [](auto& context) { builder(context).join(before); };
constexpr auto text_of_mark = [](auto& context) { builder(context).mark_text(text_of(context)); };

constexpr auto push_integer = [](auto& context) {
  std::string text = text_of(context);
  if (text.back() == 'l' || text.back() == 'L') text.pop_back();
  const bool hex = text.size() > 2 && (text[1] == 'x' || text[1] == 'X');
  std::int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data() + (hex ? 2 : 0), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc()) {
    throw Refused{{ErrorCode::out_of_range, fmt::format("the integer {} does not fit 64 bits", text), 0,
                   builder(context).offset(begin_of(context))}};
  }
  builder(context).leaf(Form::literal, begin_of(context), {}, Value(value));
};
constexpr auto push_real = [](auto& context) {
  const std::string text = text_of(context);
  double value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
    throw Refused{{ErrorCode::out_of_range, fmt::format("the number {} does not fit a double", text), 0,
                   builder(context).offset(begin_of(context))}};
  }
  builder(context).leaf(Form::literal, begin_of(context), {}, Value(value));
};
constexpr auto push_text = [](auto& context) {
  const std::string quoted = text_of(context);
  std::string text;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    text += quoted[i];
    if (quoted[i] == quoted.front()) ++i;  // a doubled quote is one
  }
  builder(context).leaf(Form::literal, begin_of(context), {}, Value(std::move(text)));
};
constexpr auto push_word = [](auto& context) {
  const std::string word = text_of(context);
  Value value;
  if (word == "true") value = Value(true);
  if (word == "false") value = Value(false);
  builder(context).leaf(Form::literal, begin_of(context), {}, std::move(value));
};
constexpr auto push_name = [](auto& context) {
  std::string name = text_of(context);
  if (name.front() == '#') name.erase(0, 1);
  if (name == "this" || name == "root") {
    throw Refused{{ErrorCode::syntax, fmt::format("#{} is not in the language; name the value itself", name),
                   0, builder(context).offset(begin_of(context))}};
  }
  builder(context).leaf(Form::name, begin_of(context), std::move(name));
};

const auto letter = x3::char_("A-Za-z_");
const auto word_char = x3::char_("A-Za-z0-9_");
const auto identifier = x3::lexeme[letter >> *word_char];
/// A symbol that is not the beginning of a longer one.
auto op(const char* symbol, const char* not_before) {
  return x3::raw[x3::lexeme[x3::lit(symbol) >> !x3::char_(std::string(not_before))]];
}
auto op(const char* symbol) { return x3::raw[x3::lit(symbol)]; }
/// An operator word, in any case, whole.
auto word(const char* text) { return x3::raw[x3::lexeme[x3::no_case[x3::lit(text)] >> !word_char]]; }

/// Operator words, looked for where a letter stands alone: most that follows an operand is no word.
template <class Words>
auto words(const Words& alternatives) {
  return &letter >> alternatives;
}

const x3::rule<struct Expression> expression("an expression");
const x3::rule<struct Or> disjunction("an expression");
const x3::rule<struct And> conjunction("an expression");
const x3::rule<struct Relation> relation("an operand");
const x3::rule<struct Sum> sum("an operand");
const x3::rule<struct Product> product("an operand");
const x3::rule<struct Unary> unary("an operand");
const x3::rule<struct Postfix> postfix("an operand");
const x3::rule<struct Primary> primary("an operand");
const x3::rule<struct Arguments> arguments("the arguments of a call");
const x3::rule<struct MemberName> member_name("a member's name");

const auto arguments_def = x3::lit('(') > -(deeper[expression] % ',') > x3::lit(')');
const auto member_name_def = x3::raw[identifier][text_of_mark];

const auto hex = x3::raw[x3::lexeme['0' >> x3::char_("xX") >> +x3::char_("0-9a-fA-F") >> -x3::char_("lL") >>
                                    !(word_char | '.')]];
const auto digits = +x3::char_("0-9");
const auto exponent = x3::char_("eE") >> -x3::char_("+-") >> digits;
const auto real =
    x3::raw[x3::lexeme[digits >> ((x3::lit('.') >> digits >> -exponent) | exponent) >> !(word_char | '.')]];
const auto integer =
    x3::raw[x3::lexeme[digits >> -x3::char_("lL") >> !(word_char | (x3::lit('.') >> word_char))]];
const auto quoted = x3::raw[x3::lexeme[('\'' >> *((x3::char_ - '\'') | "''") >> '\'') |
                                       ('"' >> *((x3::char_ - '"') | "\"\"") >> '"')]];
const auto constant = x3::raw[x3::lexeme[(x3::lit("true") | "false" | "null") >> !(word_char | '(')]];

// Most operands are names: what begins like one is not tried as anything else.
const auto primary_def =
    (&x3::char_("A-Za-z_#") >>
     (constant[push_word] |
      // A name and its '(' may have space between; the text of the call is the name alone.
      (&(identifier >> '(') >> x3::raw[x3::eps][mark_as<Form::call>] > member_name > arguments[join<0>]) |
      x3::raw[x3::lexeme[-x3::char_('#') >> letter >> *word_char]][push_name])) |
    hex[push_integer] | real[push_real] | integer[push_integer] | quoted[push_text] |
    (x3::lit('(') > deeper[expression] > x3::lit(')')) |
    (op("{")[mark_as<Form::list>] > -(deeper[expression] % ',') > x3::lit('}')[join<0>]);

const auto method_or_member = [](auto form_method, auto form_member) {
  return (&(identifier >> '(') >> x3::raw[x3::eps][form_method] > member_name > arguments[join<1>]) |
         (x3::raw[x3::eps][form_member] > member_name[join<1>]);
};
const auto postfix_def =
    primary >>
    *((x3::lit('.') > method_or_member(mark_as<Form::method>, mark_as<Form::member>)) |
      (x3::lit("?.") > ((op("[")[mark_as<Form::index, true>] > deeper[expression] > x3::lit(']')[join<1>]) |
                        method_or_member(mark_as<Form::method, true>, mark_as<Form::member, true>))) |
      (op("[")[mark_as<Form::index>] > deeper[expression] > x3::lit(']')[join<1>]));

const auto unary_def = (op("-")[mark_as<Form::negate>] > deeper[unary][join<0>]) |
                       (op("!", "=")[mark_as<Form::logical_not>] > deeper[unary][join<0>]) |
                       (words(word("not")[mark_as<Form::logical_not>]) > deeper[unary][join<0>]) | postfix;

const auto product_def = unary >> *(((op("*")[mark_as<Form::multiply>]) | (op("/")[mark_as<Form::divide>]) |
                                     (op("%")[mark_as<Form::modulo>]) |
                                     words(word("div")[mark_as<Form::divide>] |
                                           word("mod")[mark_as<Form::modulo>])) > unary[join<1>]);

const auto sum_def = product >> *((op("+")[mark_as<Form::add>] | op("-", ">")[mark_as<Form::subtract>]) >
                                  product[join<1>]);

const auto relation_operator =
    op("==")[mark_as<Form::equal>] | op("!=")[mark_as<Form::not_equal>] |
    op("<=")[mark_as<Form::less_equal>] | op(">=")[mark_as<Form::greater_equal>] |
    op("<", "<>")[mark_as<Form::less>] | op(">", ">")[mark_as<Form::greater>] |
    words(word("eq")[mark_as<Form::equal>] | word("ne")[mark_as<Form::not_equal>] |
          word("le")[mark_as<Form::less_equal>] | word("ge")[mark_as<Form::greater_equal>] |
          word("lt")[mark_as<Form::less>] | word("gt")[mark_as<Form::greater>] |
          word("in")[mark_as<Form::in>] | word("between")[mark_as<Form::between>] |
          x3::raw[x3::lexeme[x3::no_case["not"] >> +space >> x3::no_case["in"] >> !word_char]]
                 [mark_as<Form::not_in>]);

const auto relation_def = sum >> -(relation_operator > sum[join<1>]);

const auto conjunction_def = relation >>
                             *((op("&&")[mark_as<Form::logical_and>] |
                                words(word("and")[mark_as<Form::logical_and>])) > relation[join<1>]);

const auto disjunction_def = conjunction >>
                             *((op("||")[mark_as<Form::logical_or>] |
                                words(word("or")[mark_as<Form::logical_or>])) > conjunction[join<1>]);

// "?." and "?:" are tokens of their own; "? :" is a ternary without its first branch.
const auto expression_def = disjunction >> -((op("?:")[mark_as<Form::elvis>] > deeper[expression][join<1>]) |
                                             (op("?", ".")[mark_as<Form::ternary>] > deeper[expression] >
                                              x3::lit(':') > deeper[expression][join<1>]));

BOOST_SPIRIT_DEFINE(expression, disjunction, conjunction, relation, sum, product, unary, postfix, primary,
                    arguments, member_name)

}  // namespace

Result<Parsed> parse_expression(std::string_view text, std::size_t begin) {
  Builder build(text);
  Iterator first = text.data() + begin;
  const Iterator last = text.data() + text.size();
  const auto parser = x3::with<BuilderTag>(std::ref(build))[expression];
  try {
    if (!x3::phrase_parse(first, last, parser, space)) {
      return fail(ErrorCode::syntax, "an expression was expected here", 0, build.offset(first));
    }
  } catch (const x3::expectation_failure<Iterator>& failure) {
    return fail(ErrorCode::syntax, fmt::format("{} was expected here", failure.which()), 0,
                build.offset(failure.where()));
  } catch (Refused& refused) {
    return fail(std::move(refused.error));
  }
  return Parsed{build.finish(), build.offset(first)};
}

}  // namespace onceward::expr_detail
