#include <onceward/core/error.hpp>

namespace onceward {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::timeout: return "timeout";
    case ErrorCode::in_doubt: return "in_doubt";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::exhausted: return "exhausted";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::conflict: return "conflict";
    case ErrorCode::wrong_state: return "wrong_state";
    case ErrorCode::syntax: return "syntax";
    case ErrorCode::unknown_name: return "unknown_name";
    case ErrorCode::wrong_kind: return "wrong_kind";
    case ErrorCode::out_of_range: return "out_of_range";
    case ErrorCode::limit_exceeded: return "limit_exceeded";
  }
  return "unknown";
}

RetryAdvice retry_advice(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::unavailable:
    case ErrorCode::timeout: return RetryAdvice::retry;
    case ErrorCode::in_doubt: return RetryAdvice::read_back;
    default: return RetryAdvice::give_up;
  }
}

std::string describe(const Error& error) {
  std::string text(to_string(error.code));
  text += ": ";
  text += error.message;
  if (error.offset != Error::no_offset) text += " (at byte " + std::to_string(error.offset) + ")";
  return text;
}

}  // namespace onceward
