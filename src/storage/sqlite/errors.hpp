#pragma once
#include <onceward/core/result.hpp>

#include <SQLiteCpp/Exception.h>

#include <string_view>

namespace onceward::sqlite::detail {

/// What SQLite's error means for the caller; `doing` and `file` say where.
[[nodiscard]] Error to_error(const SQLite::Exception& exception, std::string_view doing,
                             std::string_view file);

/// Runs `work` and turns what SQLiteCpp throws into an Error.
template <class Work>
auto attempt(std::string_view doing, std::string_view file, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const SQLite::Exception& exception) {
    return fail(to_error(exception, doing, file));
  }
}

}  // namespace onceward::sqlite::detail
