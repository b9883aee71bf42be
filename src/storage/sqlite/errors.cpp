#include "storage/sqlite/errors.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

namespace onceward::sqlite::detail {
namespace {

struct Meaning {
  ErrorCode code;
  std::string_view advice;
};

Meaning meaning(int code) noexcept {
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return {ErrorCode::timeout, "another process holds it; try again, or raise busy_ms"};
    case SQLITE_FULL: return {ErrorCode::exhausted, "the disk is full; free some space"};
    case SQLITE_NOMEM: return {ErrorCode::exhausted, "there is no memory left"};
    case SQLITE_TOOBIG: return {ErrorCode::invalid_argument, "a value is larger than SQLite allows"};
    case SQLITE_CORRUPT: return {ErrorCode::corrupt, "the file is damaged; restore it from a backup"};
    case SQLITE_NOTADB: return {ErrorCode::corrupt, "the file is no SQLite database; name another one"};
    case SQLITE_READONLY: return {ErrorCode::unavailable, "it is read-only; make it and its folder writable"};
    case SQLITE_CANTOPEN:
      return {ErrorCode::unavailable, "it cannot be opened; see that its folder exists and is writable"};
    default: return {ErrorCode::unavailable, "see the message of SQLite"};
  }
}

}  // namespace

Error to_error(const SQLite::Exception& exception, std::string_view doing, std::string_view file) {
  const auto [code, advice] = meaning(exception.getErrorCode());
  return {code, fmt::format("SQLite file \"{}\", {}: {} ({})", file, doing, exception.what(), advice),
          exception.getExtendedErrorCode()};
}

}  // namespace onceward::sqlite::detail
