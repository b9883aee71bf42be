// Functions of the application's own: what may be registered, and how one is called.
#include "expr/kinds.hpp"
#include "expr/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>

namespace onceward {
namespace {

constexpr std::size_t most_name_bytes = 64;

bool is_identifier(std::string_view name) noexcept {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto word = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= most_name_bytes && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), word);
}

bool is_taken(std::string_view name) {
  const auto built_in = expr_detail::functions();
  return name == "T" || name == "new" || reflect_detail::is_word_of_language(name) ||
         std::any_of(built_in.begin(), built_in.end(), [&](const auto& f) { return f.name == name; });
}

}  // namespace

Result<void> Functions::add(expr_detail::HostFunction function) {
  const auto& name = function.name;
  if (!is_identifier(name)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a function's name is 1 to {} letters, digits and _, and begins with no digit",
                            most_name_bytes));
  }
  if (is_taken(name)) return fail(ErrorCode::conflict, fmt::format("\"{}\" belongs to the language", name));
  if (std::any_of(all_.begin(), all_.end(), [&](const auto& known) { return known->name == name; }))
    return fail(ErrorCode::conflict, fmt::format("the function {}() is there already", name));
  all_.push_back(std::make_shared<const expr_detail::HostFunction>(std::move(function)));
  return {};
}

std::vector<std::string_view> Functions::names() const {
  std::vector<std::string_view> names;
  for (const auto& function : all_) names.emplace_back(function->name);
  return names;
}

namespace expr_detail {
namespace {

Result<Value> called(const HostFunction& function, std::span<const Value> arguments) {
  // The application's own code: whatever it throws must not leave an evaluation that says it returns errors.
  std::string thrown = "it threw something that is no std::exception";
  try {
    return function.call(arguments);
  } catch (const std::exception& exception) {
    thrown = exception.what();
  } catch (...) {
  }
  return fail(ErrorCode::invalid_argument, std::move(thrown));
}

Result<void> check_result(const HostFunction& function, const Value& result) {
  if (result.string() != nullptr && result.string()->size() > limits::value_bytes)
    return fail(ErrorCode::limit_exceeded,
                fmt::format("its text has more than {} bytes", limits::value_bytes));
  if (result.real() != nullptr && !std::isfinite(*result.real()))
    return fail(ErrorCode::out_of_range, "the result is no finite number");
  if (has(function.gives, result.kind())) return {};
  if (has(function.gives, Value::Kind::integer)) {
    return fail(ErrorCode::out_of_range,
                "the result does not fit the 64-bit integers of the language, which have a sign");
  }
  return fail(ErrorCode::wrong_kind, fmt::format("{} was to come out, this is {}", names_of(function.gives),
                                                 with_article(result.kind())));
}

}  // namespace

Result<Value> call(const HostFunction& function, std::span<const Operand> arguments) {
  const auto named = [&](Error error) {
    error.message.insert(0, function.name + "(): ");
    error.offset = Error::no_offset;
    return error;
  };
  std::array<Value, most_parameters> values;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!has(function.takes[i], arguments[i].kind)) {
      return fail(ErrorCode::wrong_kind,
                  fmt::format("the function {}() needs {} here, this is {}", function.name,
                              names_of(function.takes[i]), with_article(arguments[i].kind)));
    }
    values[i] = arguments[i].to_value();
  }
  auto result = called(function, std::span(values).first(arguments.size()));
  if (!result) return std::move(result).transform_error(named);
  if (auto checked = check_result(function, *result); !checked)
    return fail(named(std::move(checked).error()));
  return result;
}

}  // namespace expr_detail
}  // namespace onceward
