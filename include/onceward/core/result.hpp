#pragma once
#include <onceward/core/error.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#if defined(ONCEWARD_STD_EXPECTED) && ONCEWARD_STD_EXPECTED
#include <expected>
#else
#include <variant>
#endif

namespace onceward {

#if defined(ONCEWARD_STD_EXPECTED) && ONCEWARD_STD_EXPECTED

/// A value, or the Error that took its place. The library was built as C++23: it is std::expected.
/// The choice is made once, when the library is built, and exported with the target
/// (docs/adr/0001-result.md), so that a program and the library can never disagree about it.
template <class T>
using Result = std::expected<T, Error>;
using Unexpected = std::unexpected<Error>;
using BadResultAccess = std::bad_expected_access<Error>;

#else

/// Wraps an Error so that it converts to any Result<T>.
class Unexpected {
 public:
  explicit Unexpected(Error error) noexcept : error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const& noexcept { return error_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(error_); }

 private:
  Error error_;
};

/// Thrown by Result::value() where there is only an error: the caller asked for the exception.
class BadResultAccess : public std::exception {
 public:
  explicit BadResultAccess(Error error) : error_(std::move(error)), text_(describe(error_)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
  std::string text_;
};

template <class T>
class Result;

namespace result_detail {
template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<Result<T> > = true;

/// What makes a T. As in std::expected: a Result converts to bool, but never makes the content of a
/// Result<bool>, or an error passed on by `return other;` would become a value.
template <class T, class U>
concept MakesContent =
    std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Result<T> > &&
    !std::is_same_v<std::remove_cvref_t<U>, Unexpected> &&
    !(std::is_same_v<std::remove_cv_t<T>, bool> && is_result<std::remove_cvref_t<U> >);
}  // namespace result_detail

/// A value, or the Error that took its place; std::expected's member names.
/// operator* and operator-> need a value (undefined behaviour otherwise, as in std::expected);
/// value() throws BadResultAccess. Not thread-safe, like any value.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = Error;

  Result() requires std::is_default_constructible_v<T> : state_(std::in_place_index<0>) {}
  Result(Unexpected error) noexcept : state_(std::in_place_index<1>, std::move(error).error()) {}
  template <class U = T>
  requires result_detail::MakesContent<T, U>
  explicit(!std::is_convertible_v<U&&, T>) Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  T& value() & { return require(), **this; }
  const T& value() const& { return require(), **this; }
  T&& value() && { return require(), std::move(**this); }
  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  T value_or(U&& other) && {
    return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
  }

  Error& error() & noexcept { return *std::get_if<1>(&state_); }
  const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
  Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

  template <class F>
  auto and_then(F&& next) && -> std::invoke_result_t<F, T&&> {
    if (has_value()) return std::forward<F>(next)(std::move(**this));
    return Unexpected(std::move(error()));
  }
  template <class F>
  auto transform(F&& change) && -> Result<std::remove_cv_t<std::invoke_result_t<F, T&&> > > {
    if (!has_value()) return Unexpected(std::move(error()));
    if constexpr (std::is_void_v<std::invoke_result_t<F, T&&> >) {
      std::forward<F>(change)(std::move(**this));
      return {};
    } else {
      return std::forward<F>(change)(std::move(**this));
    }
  }
  template <class F>
  Result transform_error(F&& change) && {
    if (has_value()) return std::move(*this);
    return Unexpected(std::forward<F>(change)(std::move(error())));
  }

 private:
  void require() const {
    if (!has_value()) throw BadResultAccess(error());
  }
  std::variant<T, Error> state_;
};

/// Success without a value, or the Error that took its place.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  using error_type = Error;

  Result() noexcept = default;
  Result(Unexpected error) noexcept : error_(std::move(error).error()) {}

  [[nodiscard]] bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return has_value(); }
  void operator*() const noexcept {}
  void value() const {
    if (error_) throw BadResultAccess(*error_);
  }
  Error& error() & noexcept { return *error_; }
  const Error& error() const& noexcept { return *error_; }
  Error&& error() && noexcept { return std::move(*error_); }

  template <class F>
  Result transform_error(F&& change) && {
    if (has_value()) return {};
    return Unexpected(std::forward<F>(change)(std::move(*error_)));
  }

 private:
  std::optional<Error> error_;  // no pointer: a moved-from error must not look like success
};

#endif

namespace result_detail {
/// What a T holds once it succeeded: the content of a Result, anything else itself.
template <class T>
struct ContentOf {
  using type = T;
  static constexpr bool fallible = false;
};
template <class T>
struct ContentOf<Result<T> > {
  using type = T;
  static constexpr bool fallible = true;
};
}  // namespace result_detail

/// `return fail(ErrorCode::conflict, "...")` from any function that returns a Result.
[[nodiscard]] inline Unexpected fail(ErrorCode code, std::string message, std::int64_t native_code = 0,
                                     std::size_t offset = Error::no_offset) {
  return Unexpected(Error{code, std::move(message), native_code, offset});
}
/// Passes an error on: `if (!r) return fail(std::move(r).error())`.
[[nodiscard]] inline Unexpected fail(Error error) { return Unexpected(std::move(error)); }

}  // namespace onceward
