#include "storage/sqlite/errors.hpp"

#include <SQLiteCpp/Database.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>

namespace onceward::sqlite::detail {
namespace {

struct Meaning {
  ErrorCode code;
  std::string_view advice;
};

constexpr Meaning full{ErrorCode::exhausted, "the disk is full; free some space, it goes on by itself"};
constexpr Meaning read_only{ErrorCode::unavailable, "it is read-only; make it and its folder writable"};

Meaning meaning(int code, int system_error) noexcept {
  if (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) {
    switch (system_error) {
      case ENOSPC: return full;
      case EDQUOT: return {ErrorCode::exhausted, "the quota is used up; free some space or raise it"};
      case EFBIG: return {ErrorCode::exhausted, "files may not grow that large here; raise the limit"};
      case EROFS: return read_only;
      default: break;
    }
  }
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return {ErrorCode::timeout, "another process holds it; try again, or raise busy_ms"};
    case SQLITE_FULL: return full;
    case SQLITE_NOMEM: return {ErrorCode::exhausted, "there is no memory left"};
    case SQLITE_TOOBIG: return {ErrorCode::invalid_argument, "a value is larger than SQLite allows"};
    case SQLITE_CORRUPT: return {ErrorCode::corrupt, "the file is damaged; restore it from a backup"};
    case SQLITE_NOTADB: return {ErrorCode::corrupt, "the file is no SQLite database; name another one"};
    case SQLITE_READONLY: return read_only;
    case SQLITE_IOERR: return {ErrorCode::unavailable, "the disk does not answer; see the system's log"};
    case SQLITE_CANTOPEN:
      return {ErrorCode::unavailable, "it cannot be opened; see that its folder exists and is writable"};
    default: return {ErrorCode::unavailable, "see the message of SQLite"};
  }
}

int last_error(sqlite3_file* file) noexcept {
  int error = 0;
  if (file != nullptr && file->pMethods != nullptr)
    (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
  return error;
}

/// Why the system refused. SQLite's own sqlite3_system_errno() says nothing of a COMMIT, so its files are
/// asked.
int system_error(sqlite3* connection) noexcept {
  const int now = errno;
  for (const int which : {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER}) {
    sqlite3_file* file = nullptr;
    (void)sqlite3_file_control(connection, "main", which, &file);
    if (const int error = last_error(file); error != 0) return error;
  }
  const int error = sqlite3_system_errno(connection);
  return error != 0 ? error : now;
}

}  // namespace

Error to_error(const SQLite::Exception& exception, std::string_view doing, std::string_view file,
               const SQLite::Database* connection) {
  int why = connection != nullptr ? system_error(connection->getHandle()) : 0;
  // SQLite tells no more of the memory that processes share than that it could not grow.
  if (exception.getExtendedErrorCode() == SQLITE_IOERR_SHMSIZE) why = ENOSPC;
  const auto [code, advice] = meaning(exception.getErrorCode() & 0xff, why);
  return {code, fmt::format("SQLite file \"{}\", {}: {} ({})", file, doing, exception.what(), advice),
          exception.getExtendedErrorCode()};
}

}  // namespace onceward::sqlite::detail
