#pragma once
#include <onceward/expr/value.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace onceward {

namespace expr_detail {
class Program;  // the flat compiled form, shared and immutable
struct TemplateParts;
class Inside;  // what the classes below are made of, for the files that bind them
}  // namespace expr_detail

class Functions;  // an application's own, in functions.hpp

/// A name and what it stands for, without a copy: a map, else a value, else a text. All must outlive the
/// call.
struct Binding {
  std::string_view name;
  const Map* map = nullptr;
  std::string_view text{};
  const Value* value = nullptr;
};

/// A compiled expression: SpEL's useful part (docs/expressions.md has the grammar and the rules).
/// Immutable after parse and cheap to copy; any number of threads may evaluate one.
class Expression {
 public:
  /// Parses and compiles. `text` is at most limits::expression_bytes, nested at most
  /// limits::expression_depth deep.
  /// Errors: syntax, limit_exceeded, wrong_kind (where constants alone show it); each with a byte offset.
  static Result<Expression> parse(std::string_view text);
  /// The same, where it may call `functions` too; it keeps those it calls. Errors: as above.
  static Result<Expression> parse(std::string_view text, const Functions& functions);

  /// Evaluates on a map of names. A name that is not there is an error, null is a value.
  /// Errors: unknown_name, wrong_kind, out_of_range, limit_exceeded; each with the byte offset of the
  /// operator or name that failed.
  [[nodiscard]] Result<Value> evaluate(const Value& names) const;

  /// As evaluate, for an expression that must be true or false. Errors: wrong_kind for anything else.
  [[nodiscard]] Result<bool> test(const Value& names) const;

  /// The same on a handful of names that are bound for this call, for hot paths that have no map of them.
  [[nodiscard]] Result<Value> evaluate(std::span<const Binding> names) const;
  [[nodiscard]] Result<bool> test(std::span<const Binding> names) const;

  [[nodiscard]] const std::string& text() const noexcept;
  /// Every dotted path the expression reads, as written ("event.amount"), each once, in order of appearance.
  [[nodiscard]] std::span<const std::string> paths() const noexcept;
  /// True where no name is read: the value is the same on every evaluation.
  [[nodiscard]] bool is_constant() const noexcept;

 private:
  friend class expr_detail::Inside;
  explicit Expression(std::shared_ptr<const expr_detail::Program> program) noexcept;
  std::shared_ptr<const expr_detail::Program> program_;
};

/// Text with placeholders, `text#{expression}text`. Immutable after parse and cheap to copy.
class Template {
 public:
  /// Errors: as Expression::parse; offsets count from the start of the whole template.
  static Result<Template> parse(std::string_view text);
  /// The same, where placeholders may call `functions` too.
  static Result<Template> parse(std::string_view text, const Functions& functions);

  /// The text with every placeholder replaced by its value. Strings, integers and booleans have a text form;
  /// null, double, list and map have none and are an error (use fixed(), join(), `?: ''`).
  /// Errors: as Expression::evaluate; wrong_kind for a value without a text form.
  [[nodiscard]] Result<std::string> render(const Value& names) const;

  [[nodiscard]] const std::string& text() const noexcept;
  [[nodiscard]] std::span<const std::string> paths() const noexcept;

 private:
  friend class KeyTemplate;
  friend class expr_detail::Inside;
  explicit Template(std::shared_ptr<const expr_detail::TemplateParts> parts) noexcept;
  std::shared_ptr<const expr_detail::TemplateParts> parts_;
};

/// A template that makes record keys: `%`, `:` and bytes below 0x21 in placeholder values are written as
/// `%XX`, so that two different inputs never share a key. The literal text between placeholders is kept.
class KeyTemplate {
 public:
  /// Errors: as Template::parse; invalid_argument for an empty text; limit_exceeded where the literal
  /// text alone is longer than a key may be.
  static Result<KeyTemplate> parse(std::string_view text);
  /// The same, where placeholders may call `functions` too.
  static Result<KeyTemplate> parse(std::string_view text, const Functions& functions);

  /// Errors: as Template::render; invalid_argument where the key is empty or longer than limits::key_bytes.
  [[nodiscard]] Result<std::string> render(const Value& names) const;

  [[nodiscard]] const std::string& text() const noexcept { return template_.text(); }
  [[nodiscard]] std::span<const std::string> paths() const noexcept { return template_.paths(); }

 private:
  friend class expr_detail::Inside;
  explicit KeyTemplate(Template parsed) noexcept : template_(std::move(parsed)) {}
  Template template_;
};

/// Appends `value` as a KeyTemplate writes a placeholder's value.
void append_key_part(std::string& out, std::string_view value);

}  // namespace onceward
