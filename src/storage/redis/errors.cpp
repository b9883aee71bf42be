#include "storage/redis/errors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace onceward::redis::detail {
namespace {

struct Meaning {
  std::string_view code;
  ErrorCode means;
  std::string_view advice;
};

constexpr std::array<Meaning, 8> meanings{{
    {"ONCEWARD_GONE", ErrorCode::corrupt,
     "they were flushed, or the server was restarted without persistence: restore a backup, or begin a new "
     "storage knowing that what was done before is forgotten"},
    {"OOM", ErrorCode::exhausted, "give the server more memory"},
    {"MISCONF", ErrorCode::exhausted, "the server cannot write to its disk; see its log"},
    {"NOAUTH", ErrorCode::invalid_argument, "give the password"},
    {"WRONGPASS", ErrorCode::invalid_argument, "give the right user and password"},
    {"NOPERM", ErrorCode::invalid_argument, "the user lacks a permission; see docs/storages.md"},
    {"WRONGTYPE", ErrorCode::corrupt, "something else uses this storage's keys; give another prefix"},
    {"CROSSSLOT", ErrorCode::invalid_argument, "the server is a cluster; use a redis+cluster: URL"},
}};

}  // namespace

Error to_error(std::string_view answer, std::string_view doing) {
  const auto code = answer.substr(0, answer.find(' '));
  const auto* meaning =
      std::find_if(meanings.begin(), meanings.end(), [&](const Meaning& m) { return m.code == code; });
  if (meaning == meanings.end()) {
    return {ErrorCode::unavailable, fmt::format("Redis, {}: {}", doing, answer)};
  }
  return {meaning->means, fmt::format("Redis, {}: {} ({})", doing, answer, meaning->advice)};
}

Error gone(std::string_view doing) {
  return to_error("ONCEWARD_GONE the data of this shard are gone", doing);
}

Error script_error(std::string_view answer, std::string_view doing) {
  auto error = to_error(answer, doing);
  const bool midway = error.code == ErrorCode::unavailable || answer.starts_with("WRONGTYPE");
  if (midway) error.code = ErrorCode::in_doubt;
  return error;
}

}  // namespace onceward::redis::detail
