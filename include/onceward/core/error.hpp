#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace onceward {

/// What went wrong, told by what the caller can do about it.
enum class ErrorCode : std::uint8_t {
  unavailable,       ///< the other side cannot be reached; nothing happened. Try again.
  timeout,           ///< it took too long; nothing happened, or repeating is harmless. Try again.
  in_doubt,          ///< a write was sent and its answer was lost. Read back before deciding.
  corrupt,           ///< stored bytes are not what this version wrote. An operator must look.
  invalid_argument,  ///< the request itself is wrong. Mend it; nothing happened.
  exhausted,         ///< a limit is reached: disk, memory, attempts, budget.
  not_found,         ///< what the request names does not exist.
  conflict,          ///< somebody else holds it, or the same key came with another content.
  wrong_state,       ///< it exists, but this move is not defined from where it stands.
  syntax,            ///< a text does not parse; see Error::offset.
  unknown_name,      ///< an expression names something that is not there.
  wrong_kind,        ///< an expression mixes kinds (text and number, null and order, ...).
  out_of_range,      ///< arithmetic overflow, an index past the end, a result that is no number.
  limit_exceeded,    ///< an input is larger or deeper than its documented bound.
};

/// How many codes there are, for tables by code.
inline constexpr std::size_t error_codes = static_cast<std::size_t>(ErrorCode::limit_exceeded) + 1;

/// The stable name of a code, as written in messages and journals ("in_doubt").
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// What a caller may do after an error.
enum class RetryAdvice : std::uint8_t {
  retry,      ///< repeat the same request, after a pause
  read_back,  ///< find out what happened first, then repeat or go on
  give_up,    ///< repeating the same request cannot help
};

/// The advice for a code. Pure; the same for every room.
[[nodiscard]] RetryAdvice retry_advice(ErrorCode code) noexcept;

/// An error as a value. `message` is one sentence for a person: what, where, what to do.
/// It never holds a secret (passwords and values of records are left out).
struct Error {
  static constexpr std::size_t no_offset = static_cast<std::size_t>(-1);

  ErrorCode code = ErrorCode::unavailable;
  std::string message;
  std::int64_t native_code = 0;    ///< the code of the library or server below, 0 where there is none
  std::size_t offset = no_offset;  ///< byte offset in the text the error speaks of, where there is one

  friend bool operator==(const Error&, const Error&) = default;
};

/// "invalid_argument: key is empty (at byte 12)": code, message and offset in one line.
[[nodiscard]] std::string describe(const Error& error);

}  // namespace onceward
