#pragma once
#include <onceward/core/result.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The URLs of open_storage, taken apart: each backend reads its own options from this.
namespace onceward::storage_detail {

/// "scheme:rest?name=value&name=value". The texts point into the URL.
struct Url {
  std::string_view scheme;
  std::string_view place;
  std::vector<std::pair<std::string_view, std::string_view>> options;
};

/// Errors: invalid_argument (no scheme; an option without '='), naming `known_schemes`.
Result<Url> parse_url(std::string_view text, std::string_view known_schemes);

template <class... Args>
Unexpected refuse_url(fmt::format_string<Args...> text, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "storage URL: " + fmt::format(text, std::forward<Args>(args)...));
}

/// The whole number an option gives. Errors: invalid_argument, naming the option and the bounds.
Result<std::int64_t> url_number(std::string_view name, std::string_view text, std::int64_t least,
                                std::int64_t most);

/// What stands before `end`, and what after; all and nothing where it does not stand in `text`.
std::pair<std::string_view, std::string_view> cut(std::string_view text, char end) noexcept;

/// What stood before the last '@' of a place, percent-decoded; both empty where there was none.
struct Credentials {
  std::string user;
  std::string password;
};
/// Takes "user:password@" off the front of `place`. Errors: as percent_decode.
Result<Credentials> take_credentials(std::string_view& place);

/// As it was before percent-encoding. Errors: invalid_argument for a '%' without two hexadecimal digits; the
/// message does not show the text, which may be a password.
Result<std::string> percent_decode(std::string_view text);

}  // namespace onceward::storage_detail
