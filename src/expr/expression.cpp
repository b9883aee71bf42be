#include <onceward/expr/expression.hpp>

#include "core/utf8.hpp"
#include "expr/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward {
namespace expr_detail {

namespace {

template <class Append>
Result<std::string> render_text(const TemplateParts& parts, const Value& names, const Append& append) {
  std::string out;
  for (const auto& [before, program] : parts.placeholders) {
    out += before;
    if (auto appended = append(program, names, out); !appended) return fail(std::move(appended).error());
    if (out.size() > limits::value_bytes) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("the text grows beyond {} bytes", limits::value_bytes));
    }
  }
  out += parts.after;
  return out;
}

Result<void> check_text(std::string_view text) {
  if (text.size() > limits::expression_bytes) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format("the text has {} bytes, at most {} are allowed", text.size(), limits::expression_bytes),
        0, limits::expression_bytes);
  }
  const auto bad = core_detail::first_not_utf8(text);
  if (bad == std::string_view::npos) return {};
  return fail(ErrorCode::syntax, "this byte is no UTF-8 text", 0, bad);
}

constexpr std::string_view spaces = " \t\r\n\v\f";

bool is_word_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Whether the text ends in this word, whole.
bool ends_in_word(std::string_view text, std::string_view word) noexcept {
  if (!text.ends_with(word)) return false;
  text.remove_suffix(word.size());
  return text.empty() || !is_word_char(text.back());
}

/// What to write instead, for what people bring along from elsewhere.
std::string_view hint_at(std::string_view text, std::size_t at) noexcept {
  struct Hint {
    std::string_view begin, hint;
  };
  static constexpr std::array<Hint, 16> hints = {{
      {"@", "; beans are not in the language: give the value a name"},
      {"==", ""},
      {"=", "; there is no assignment: == compares"},
      {"->", "; members are read with '.'"},
      {"::", "; members are read with '.'"},
      {"&", "; write && and ||"},
      {"|", "; write && and ||"},
      {":", "; map literals are not in the language"},
      {"<>", "; write !="},
      {"?.", "; a member's name belongs after ?."},
      {"![", "; projections are not in the language"},
      {"?[", "; selections are not in the language"},
      {"$[", "; selections are not in the language: the last is list[list.size() - 1]"},
      {"^", "; neither powers nor selections are in the language"},
      {"matches", "; patterns are not in the language: startsWith, endsWith and contains are"},
      {"instanceof", "; types are not in the language"},
  }};
  const auto rest = text.substr(at);
  const auto before = text.substr(0, text.find_last_not_of(spaces, at - 1) + 1);
  if (at > 0 && before.size() < at && ends_in_word(before, "new"))
    return "; objects are not made here: there is no new in the language";
  if (at > 0 && before.ends_with('+') && rest.starts_with("+"))
    return "; there is no assignment: write x + 1";
  if (at > 0 && before.ends_with("--")) return "; there is no assignment: write x - 1";
  for (const auto& [begin, hint] : hints) {
    const bool whole = !is_word_char(begin.front()) || rest.size() == begin.size() ||
                       (rest.size() > begin.size() && !is_word_char(rest[begin.size()]));
    if (whole && rest.starts_with(begin)) return hint;
  }
  return "";
}

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && spaces.find(text[at]) != std::string_view::npos) ++at;
  return at;
}

/// An error of the grammar: at what stands there and not at the space before it, with what to write instead.
Unexpected refused(Error error, std::string_view text) {
  if (error.code == ErrorCode::syntax && error.offset <= text.size()) {
    error.offset = skip_space(text, error.offset);
    error.message += hint_at(text, error.offset);
  }
  return fail(std::move(error));
}

Unexpected not_ended(std::string_view text, std::size_t at) {
  if (at == text.size()) return fail(ErrorCode::syntax, "the text ends too early", 0, at);
  return fail(ErrorCode::syntax,
              fmt::format("\"{}\" was not expected here{}", text.substr(at, 1), hint_at(text, at)), 0, at);
}

}  // namespace
}  // namespace expr_detail

using expr_detail::Program;
using expr_detail::TemplateParts;

Expression::Expression(std::shared_ptr<const Program> program) noexcept : program_(std::move(program)) {}

Result<Expression> Expression::parse(std::string_view text) { return parse(text, Functions()); }
Result<Expression> Expression::parse(std::string_view text, const Functions& functions) {
  if (auto checked = expr_detail::check_text(text); !checked) return fail(std::move(checked).error());
  auto parsed = expr_detail::parse_expression(text, 0);
  if (!parsed) return expr_detail::refused(std::move(parsed).error(), text);
  const auto end = expr_detail::skip_space(text, parsed->end);
  if (end != text.size()) return expr_detail::not_ended(text, end);
  auto program = expr_detail::compile(*parsed->root, functions);
  if (!program) return fail(std::move(program).error());
  program->text = text;
  program->tests = expr_detail::make_integer_tests(*program);
  return Expression(std::make_shared<const Program>(*std::move(program)));
}

Result<Value> Expression::evaluate(const Value& names) const {
  return expr_detail::evaluate(*program_, names);
}
Result<bool> Expression::test(const Value& names) const {
  return expr_detail::evaluate_bool(*program_, names);
}
Result<Value> Expression::evaluate(std::span<const Binding> names) const {
  return expr_detail::evaluate(*program_, names);
}
Result<bool> Expression::test(std::span<const Binding> names) const {
  return expr_detail::evaluate_bool(*program_, names);
}
const std::string& Expression::text() const noexcept { return program_->text; }
std::span<const std::string> Expression::paths() const noexcept { return program_->paths; }
bool Expression::is_constant() const noexcept { return program_->paths.empty(); }

Template::Template(std::shared_ptr<const TemplateParts> parts) noexcept : parts_(std::move(parts)) {}

Result<Template> Template::parse(std::string_view text) { return parse(text, Functions()); }
Result<Template> Template::parse(std::string_view text, const Functions& functions) {
  if (auto checked = expr_detail::check_text(text); !checked) return fail(std::move(checked).error());
  auto parts = std::make_shared<TemplateParts>();
  parts->text = text;
  std::size_t count = 0;
  for (auto open = text.find("#{"); open != std::string_view::npos; open = text.find("#{", open + 2)) ++count;
  parts->placeholders.reserve(count);
  std::size_t at = 0;
  for (auto open = text.find("#{"); open != std::string_view::npos; open = text.find("#{", at)) {
    auto parsed = expr_detail::parse_expression(text, open + 2);
    if (!parsed) return expr_detail::refused(std::move(parsed).error(), text);
    const auto close = expr_detail::skip_space(text, parsed->end);
    if (close == text.size() || text[close] != '}') {
      if (close == text.size())
        return fail(ErrorCode::syntax, "the placeholder is not closed by '}'", 0, open);
      return expr_detail::not_ended(text, close);
    }
    auto program = expr_detail::compile(*parsed->root, functions);
    if (!program) return fail(std::move(program).error());
    for (const auto& path : program->paths) {
      if (std::find(parts->paths.begin(), parts->paths.end(), path) == parts->paths.end())
        parts->paths.push_back(path);
    }
    parts->placeholders.push_back({std::string(text.substr(at, open - at)), *std::move(program)});
    at = close + 1;
  }
  parts->after = text.substr(at);
  return Template(std::move(parts));
}

Result<std::string> Template::render(const Value& names) const {
  return expr_detail::render_text(*parts_, names, expr_detail::evaluate_text);
}
const std::string& Template::text() const noexcept { return parts_->text; }
std::span<const std::string> Template::paths() const noexcept { return parts_->paths; }

Result<KeyTemplate> KeyTemplate::parse(std::string_view text) { return parse(text, Functions()); }
Result<KeyTemplate> KeyTemplate::parse(std::string_view text, const Functions& functions) {
  if (text.empty())
    return fail(ErrorCode::invalid_argument, "the key template is empty; write \"grant:#{user.id}\"");
  auto parsed = Template::parse(text, functions);
  if (!parsed) return fail(std::move(parsed).error());
  std::size_t literal = parsed->parts_->after.size();
  for (const auto& placeholder : parsed->parts_->placeholders) literal += placeholder.before.size();
  if (literal > limits::key_bytes) {
    return fail(ErrorCode::limit_exceeded, fmt::format("the key's fixed text has {} bytes, a key may have {}",
                                                       literal, limits::key_bytes));
  }
  return KeyTemplate(*std::move(parsed));
}

Result<std::string> KeyTemplate::render(const Value& names) const {
  std::string part;
  auto key = expr_detail::render_text(*template_.parts_, names,
                                      [&](const Program& program, const Value& values, std::string& out) {
                                        part.clear();
                                        auto appended = expr_detail::evaluate_text(program, values, part);
                                        if (appended) append_key_part(out, part);
                                        return appended;
                                      });
  if (!key) return key;
  if (auto checked = expr_detail::check_key(key->size(), text()); !checked)
    return fail(std::move(checked).error());
  return key;
}

}  // namespace onceward
