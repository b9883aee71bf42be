#pragma once
#include <onceward/expr/shape.hpp>

#include <array>
#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace onceward {

namespace expr_detail {

class Inside;

/// Most parameters of a host's function.
inline constexpr std::size_t most_parameters = 8;

/// A host's function, its types erased. Immutable once registered.
struct HostFunction {
  std::string name;
  std::vector<Kinds> takes{};  ///< of each parameter
  Kinds gives = any_kind;
  /// Called with as many arguments as it takes, each of a kind it takes.
  std::function<Result<Value>(std::span<const Value> arguments)> call{};
};

/// What expressions may pass for a T. An int stands for a double, as in arithmetic.
template <class T>
constexpr Kinds kinds_taken() {
  const Kinds kinds = plain_shape<T>().kinds;
  return has(kinds, Value::Kind::real) ? static_cast<Kinds>(kinds | bit_of(Value::Kind::integer)) : kinds;
}

/// A parameter, made of an argument. A text that is only looked at is not copied.
template <class T>
Result<T> argument_as(const Value& argument) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    if (const auto* text = argument.string()) return std::string_view(*text);
    return fail(ErrorCode::wrong_kind,
                std::string("a string is needed, this is ").append(with_article(argument.kind())));
  } else if constexpr (reflect_detail::is_optional<T>) {
    if (argument.is_null()) return T();
    return argument_as<typename T::value_type>(argument).transform(
        [](auto&& content) { return T(std::forward<decltype(content)>(content)); });
  } else if constexpr (reflect_detail::is_vector<T>) {
    T list;
    if (argument.list() == nullptr) return fail(from_value(argument, list).error());
    list.reserve(argument.list()->size());
    for (const auto& element : *argument.list()) {
      auto read = argument_as<typename T::value_type>(element);
      if (!read) return fail(std::move(read).error());
      list.push_back(*std::move(read));
    }
    return list;
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (const auto* integer = argument.integer()) return static_cast<T>(*integer);
    }
    static_assert(std::default_initializable<T>,
                  "onceward: a parameter of a function for expressions needs a default constructor");
    T parameter{};
    if (auto read = from_value(argument, parameter); !read) return fail(std::move(read).error());
    return parameter;
  }
}

template <class Returned>
Result<Value> value_of(Returned&& returned) {
  using Plain = std::remove_cvref_t<Returned>;
  if constexpr (result_detail::ContentOf<Plain>::fallible) {
    if (!returned) return fail(std::forward<Returned>(returned).error());
    return value_of(*std::forward<Returned>(returned));
  } else if constexpr (std::is_constructible_v<Value, Returned&&>) {
    return Value(std::forward<Returned>(returned));
  } else {
    return to_value(returned);
  }
}

/// Makes the parameters one after the other and calls `function` with all of them.
template <class Returned, class... Parameter, std::size_t... i>
Result<Value> call_with(const std::function<Returned(Parameter...)>& function,
                        [[maybe_unused]] std::span<const Value> arguments, std::index_sequence<i...>) {
  [[maybe_unused]] auto parameters =
      std::make_tuple(argument_as<std::remove_cvref_t<Parameter>>(arguments[i])...);
  const Error* wrong = nullptr;
  (void)((!std::get<i>(parameters) && (wrong = &std::get<i>(parameters).error(), true)) || ...);
  if (wrong != nullptr) return fail(*wrong);
  return value_of(function(*std::move(std::get<i>(parameters))...));
}

template <class Returned, class... Parameter>
HostFunction host_function(std::string_view name, std::function<Returned(Parameter...)> function) {
  static_assert(!std::is_void_v<Returned>, "onceward: a function for expressions gives something");
  static_assert(sizeof...(Parameter) <= most_parameters,
                "onceward: a function for expressions takes up to 8 parameters");
  static_assert((!std::is_pointer_v<std::remove_cvref_t<Parameter>> && ...) &&
                    ((!std::is_lvalue_reference_v<Parameter> ||
                      std::is_const_v<std::remove_reference_t<Parameter>>)&&...),
                "onceward: a function for expressions is pure: it takes values and constant references");
  using Content = typename result_detail::ContentOf<std::remove_cvref_t<Returned>>::type;
  HostFunction host{std::string(name), {kinds_taken<std::remove_cvref_t<Parameter>>()...}};
  host.gives = plain_shape<Content>().kinds;
  host.call = [function = std::move(function)](std::span<const Value> arguments) {
    return call_with(function, arguments, std::index_sequence_for<Parameter...>{});
  };
  return host;
}

}  // namespace expr_detail

/// Functions of an application's own, which expressions call by name: `bonus(points, level) > 10`.
///
/// They must be pure: the same arguments give the same result, always, and nothing else happens. They may be
/// called when an expression is parsed (where all arguments are constants), any number of times later, and by
/// many threads at once. What they refer to must outlive every expression parsed with them; the functions
/// themselves are kept by those expressions.
///
/// A value: fill one at start-up, pass it to parse(). Copies share the functions. Reading one from many
/// threads is fine while nobody adds.
class Functions {
 public:
  /// Offers `function`, a lambda with written parameter types, a function or a std::function, as `name`.
  ///
  /// Up to 8 parameters, by value or constant reference: bool, integers, double (an int is taken as well),
  /// std::string_view (valid during the call), std::string, List, Map, Value (anything), and what from_value
  /// fills: enums, durations and times, optionals (null), vectors, structs. It returns such a value, or a
  /// Result of one; whatever it throws becomes an error of the expression.
  ///
  /// Errors: invalid_argument for a name that is no identifier of up to 64 bytes; conflict for a name that
  /// the language, or a function added before, has.
  template <class Function>
  Result<void> add(std::string_view name, Function function) {
    return add(expr_detail::host_function(name, std::function(std::move(function))));
  }

  /// In the order they were added; valid while nobody adds.
  [[nodiscard]] std::vector<std::string_view> names() const;

 private:
  friend class expr_detail::Inside;
  Result<void> add(expr_detail::HostFunction function);
  std::vector<std::shared_ptr<const expr_detail::HostFunction>> all_;
};

}  // namespace onceward
