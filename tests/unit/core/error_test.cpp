#include <onceward/core/error.hpp>

#include "support/catch.hpp"

#include <iterator>

using namespace onceward;

namespace {

struct Row {
  ErrorCode code;
  std::string_view text;
  RetryAdvice advice;
};
// The texts stand in journals and in stored outcomes: a change here breaks what is stored.
constexpr Row rows[] = {
    {ErrorCode::unavailable, "unavailable", RetryAdvice::retry},
    {ErrorCode::timeout, "timeout", RetryAdvice::retry},
    {ErrorCode::in_doubt, "in_doubt", RetryAdvice::read_back},
    {ErrorCode::corrupt, "corrupt", RetryAdvice::give_up},
    {ErrorCode::invalid_argument, "invalid_argument", RetryAdvice::give_up},
    {ErrorCode::exhausted, "exhausted", RetryAdvice::give_up},
    {ErrorCode::not_found, "not_found", RetryAdvice::give_up},
    {ErrorCode::conflict, "conflict", RetryAdvice::give_up},
    {ErrorCode::wrong_state, "wrong_state", RetryAdvice::give_up},
    {ErrorCode::syntax, "syntax", RetryAdvice::give_up},
    {ErrorCode::unknown_name, "unknown_name", RetryAdvice::give_up},
    {ErrorCode::wrong_kind, "wrong_kind", RetryAdvice::give_up},
    {ErrorCode::out_of_range, "out_of_range", RetryAdvice::give_up},
    {ErrorCode::limit_exceeded, "limit_exceeded", RetryAdvice::give_up},
};

}  // namespace

TEST_CASE("every code has its text and its advice, and none is left out") {
  int number = 0;
  for (const auto& row : rows) {
    INFO(row.text);
    CHECK(static_cast<int>(row.code) == number++);
    CHECK(to_string(row.code) == row.text);
    CHECK(retry_advice(row.code) == row.advice);
  }
  // A code that is added stands behind the last one: then it needs a row here.
  CHECK(to_string(static_cast<ErrorCode>(number)) == "unknown");
}

TEST_CASE("a code that this version does not know is never retried") {
  for (int number = static_cast<int>(std::size(rows)); number < 256; ++number) {
    CHECK(retry_advice(static_cast<ErrorCode>(number)) == RetryAdvice::give_up);
    CHECK(to_string(static_cast<ErrorCode>(number)) == "unknown");
  }
}

TEST_CASE("an error describes itself in one line, with its offset where there is one") {
  CHECK(describe({ErrorCode::invalid_argument, "the key is empty"}) == "invalid_argument: the key is empty");
  CHECK(describe({ErrorCode::syntax, "a name is needed", 0, 12}) == "syntax: a name is needed (at byte 12)");
  CHECK(describe({ErrorCode::syntax, "a name is needed", 0, 0}) == "syntax: a name is needed (at byte 0)");
  CHECK(describe({ErrorCode::unavailable, "no answer", 111}) == "unavailable: no answer");
}

TEST_CASE("errors are equal where everything is") {
  const Error error{ErrorCode::syntax, "here", 5, 7};
  CHECK(error == Error{ErrorCode::syntax, "here", 5, 7});
  CHECK_FALSE(error == Error{ErrorCode::timeout, "here", 5, 7});
  CHECK_FALSE(error == Error{ErrorCode::syntax, "there", 5, 7});
  CHECK_FALSE(error == Error{ErrorCode::syntax, "here", 6, 7});
  CHECK_FALSE(error == Error{ErrorCode::syntax, "here", 5, 8});
}
