#pragma once
#include <onceward/core/result.hpp>

#include <SQLiteCpp/Exception.h>

#include <string_view>

namespace SQLite {
class Database;
}

namespace onceward::sqlite::detail {

/// What SQLite's error means for the caller; `doing` and `file` say where. The connection, where there is
/// one, knows why the system refused: a quota and a limit of file sizes look like a broken disk otherwise.
[[nodiscard]] Error to_error(const SQLite::Exception& exception, std::string_view doing,
                             std::string_view file, const SQLite::Database* connection);

/// Runs `work` and turns what SQLiteCpp throws into an Error.
template <class Work>
auto attempt(std::string_view doing, std::string_view file, const Work& work,
             const SQLite::Database* connection = nullptr) -> decltype(work()) {
  try {
    return work();
  } catch (const SQLite::Exception& exception) {
    return fail(to_error(exception, doing, file, connection));
  }
}

}  // namespace onceward::sqlite::detail
