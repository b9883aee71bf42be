#include <onceward/core/result.hpp>

#include "support/catch.hpp"

#include <memory>
#include <string>
#include <vector>

using namespace onceward;

namespace {

using Owned = std::unique_ptr<int>;

Result<int> half(int number) {
  if (number % 2 != 0) return fail(ErrorCode::out_of_range, "odd");
  return number / 2;
}
Result<void> check(bool fine) {
  if (!fine) return fail(ErrorCode::conflict, "taken");
  return {};
}
Result<bool> is_even(int number) { return number % 2 == 0; }
Result<Owned> own(int number) {
  if (number < 0) return fail(ErrorCode::invalid_argument, "negative");
  return std::make_unique<int>(number);
}

const Error refused{ErrorCode::syntax, "no such word", 7, 12};

#if !defined(ONCEWARD_STD_EXPECTED)
// The library of GCC 12 still lacks this rule for std::expected (LWG 3836).
static_assert(!std::is_constructible_v<Result<bool>, Result<int>>, "an error is no `false`");
static_assert(!std::is_constructible_v<Result<bool>, Result<void>>);
static_assert(!std::is_constructible_v<Result<bool>, const Result<std::string>&>);
#endif
static_assert(std::is_constructible_v<Result<bool>, bool>);
static_assert(!std::is_convertible_v<int, Result<std::vector<int>>>, "5 is no list of five zeros");
static_assert(std::is_constructible_v<Result<std::vector<int>>, int>);
static_assert(std::is_convertible_v<Owned, Result<std::unique_ptr<const int>>>);
static_assert(!std::is_copy_constructible_v<Result<Owned>> && std::is_move_constructible_v<Result<Owned>>);
static_assert(std::is_copy_constructible_v<Result<void>> &&
              std::is_nothrow_move_constructible_v<Result<void>>);
static_assert(!std::is_convertible_v<Result<int>, bool> && !std::is_convertible_v<Result<void>, bool>);

}  // namespace

TEST_CASE("a result holds a value or the error that took its place, never both") {
  const auto good = half(8);
  CHECK(good.has_value());
  CHECK(static_cast<bool>(good));
  CHECK(*good == 4);
  CHECK(good.value() == 4);
  const auto bad = half(7);
  CHECK_FALSE(bad.has_value());
  CHECK_FALSE(static_cast<bool>(bad));
  CHECK(bad.error() == Error{ErrorCode::out_of_range, "odd"});
}

TEST_CASE("a result of nothing given holds the default value") {
  CHECK(Result<int>().value() == 0);
  CHECK(Result<std::string>().value().empty());
  CHECK(Result<void>().has_value());
}

TEST_CASE("fail keeps code, message, native code and offset, and passes an error on whole") {
  const Result<int> first = fail(refused.code, refused.message, refused.native_code, refused.offset);
  CHECK(first.error() == refused);
  Result<std::string> second = fail(first.error());
  CHECK(second.error() == refused);
  const Result<void> third = fail(std::move(second).error());
  CHECK(third.error() == refused);
  const Result<int> without = fail(ErrorCode::timeout, "slow");
  CHECK(without.error().native_code == 0);
  CHECK(without.error().offset == Error::no_offset);
}

TEST_CASE("value() of an error throws it") {
  const Result<int> constant = fail(refused);
  Result<int> changeable = fail(refused);
  const Result<void> nothing = fail(refused);
  const auto thrown_by = [](auto&& access) {
    try {
      access();
    } catch (const BadResultAccess& thrown) {
      return thrown.error();
    }
    return Error{ErrorCode::not_found, "nothing was thrown"};
  };
  CHECK(thrown_by([&] { (void)constant.value(); }) == refused);
  CHECK(thrown_by([&] { changeable.value() = 1; }) == refused);
  CHECK(thrown_by([&] { (void)std::move(changeable).value(); }) == refused);
  CHECK(thrown_by([&] { nothing.value(); }) == refused);
  CHECK_THROWS_AS(constant.value(), std::exception);
  CHECK_NOTHROW(Result<void>().value());
}

#if !defined(ONCEWARD_STD_EXPECTED)
TEST_CASE("the exception says what the error says") {
  CHECK_THROWS_WITH(Result<int>(fail(refused)).value(), "syntax: no such word (at byte 12)");
  CHECK_THROWS_WITH(Result<void>(fail(refused)).value(), "syntax: no such word (at byte 12)");
}
#endif

TEST_CASE("value_or gives the other where there is an error") {
  CHECK(half(8).value_or(-1) == 4);
  CHECK(half(7).value_or(-1) == -1);
  const Result<std::string> text = std::string("there");
  CHECK(text.value_or("other") == "there");
  const Result<std::string> none = fail(refused);
  CHECK(none.value_or("other") == "other");
  CHECK(none.error() == refused);
}

TEST_CASE("and_then goes on with the value and stops at the first error") {
  int calls = 0;
  const auto counted = [&](int number) {
    ++calls;
    return half(number);
  };
  CHECK(half(16).and_then(counted).and_then(counted).value() == 2);
  CHECK(calls == 2);
  CHECK(half(12).and_then(counted).and_then(counted).and_then(counted).error().message == "odd");
  CHECK(calls == 4);
  CHECK(half(16).and_then([](int) { return check(false); }).error().message == "taken");
  CHECK(half(16).and_then([](int number) -> Result<std::string> { return std::to_string(number); }).value() ==
        "8");
}

TEST_CASE("transform changes the value alone, transform_error the error alone") {
  CHECK(half(8).transform([](int number) { return std::to_string(number); }).value() == "4");
  CHECK(half(7).transform([](int number) { return std::to_string(number); }).error().message == "odd");
  int seen = 0;
  CHECK(half(8).transform([&](int number) { seen = number; }).has_value());
  CHECK(seen == 4);
  const auto named = [](Error error) {
    error.message.insert(0, "half: ");
    return error;
  };
  CHECK(half(7).transform_error(named).error() == Error{ErrorCode::out_of_range, "half: odd"});
  CHECK(half(8).transform_error(named).value() == 4);
  CHECK(check(false).transform_error(named).error().message == "half: taken");
  CHECK(check(true).transform_error(named).has_value());
}

TEST_CASE("a value that can only be moved moves through") {
  auto owned = own(5);
  CHECK(**owned == 5);
  *owned = std::make_unique<int>(6);
  CHECK(*owned->get() == 6);
  const Owned taken = std::move(owned).value();
  CHECK(*taken == 6);
  CHECK(*own(7).value() == 7);
  CHECK(*own(-1).value_or(std::make_unique<int>(8)) == 8);
  const auto next = own(3).and_then([](Owned number) { return own(*number + 1); });
  CHECK(**next == 4);
  const Owned changed =
      own(3).transform([](Owned number) { return std::make_unique<int>(*number * 2); }).value();
  CHECK(*changed == 6);
}

TEST_CASE("a copy stands for itself, also where a value takes the place of an error") {
  Result<std::string> first = std::string("a");
  Result<std::string> second = first;
  *second += "b";
  CHECK(*first == "a");
  first = fail(refused);
  CHECK(*second == "ab");
  second = first;
  CHECK(second.error() == refused);
  second = std::string("c");
  CHECK(first.error() == refused);
  CHECK(*second == "c");
}

TEST_CASE("a result without a value is copied, moved and assigned like any other") {
  Result<void> first = check(false);
  Result<void> second = first;
  second.error().message = "changed";
  CHECK(first.error().message == "taken");
  second = check(true);
  CHECK(second.has_value());
  second = first;
  CHECK(second.error().message == "taken");
  auto& itself = second;
  second = itself;
  CHECK(second.error().message == "taken");
}

TEST_CASE("an error that was moved from does not look like success") {
  Result<void> nothing = check(false);
  const Result<void> taken = std::move(nothing);
  CHECK_FALSE(taken.has_value());
  CHECK_FALSE(nothing.has_value());  // NOLINT(bugprone-use-after-move): it is what is looked at
  Result<int> number = half(7);
  const Result<int> moved = std::move(number);
  CHECK_FALSE(moved.has_value());
  CHECK_FALSE(number.has_value());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("a result of a result, or of a bool, keeps its levels apart") {
  const auto no = is_even(7);
  CHECK(no.has_value());
  CHECK_FALSE(*no);
  const Result<Result<int>> inner = half(7);
  CHECK(inner.has_value());
  CHECK(inner->error().message == "odd");
}
