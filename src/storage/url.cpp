#include "storage/url.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace onceward::storage_detail {

std::pair<std::string_view, std::string_view> cut(std::string_view text, char end) noexcept {
  const auto place = text.find(end);
  if (place == std::string_view::npos) return {text, {}};
  return {text.substr(0, place), text.substr(place + 1)};
}

Result<Url> parse_url(std::string_view text, std::string_view known_schemes) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return refuse_url("there is no scheme before a ':'; known are {}", known_schemes);
  }
  Url url{text.substr(0, colon), text.substr(colon + 1), {}};
  std::string_view rest;
  std::tie(url.place, rest) = cut(url.place, '?');
  while (!rest.empty()) {
    std::string_view option;
    std::tie(option, rest) = cut(rest, '&');
    if (option.find('=') == std::string_view::npos) {
      return refuse_url("the option \"{}\" has no '=' and value", option);
    }
    url.options.push_back(cut(option, '='));
  }
  return url;
}

Result<std::int64_t> url_number(std::string_view name, std::string_view text, std::int64_t least,
                                std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return refuse_url("{}={} is no whole number from {} to {}", name, text, least, most);
  }
  return value;
}

Result<Credentials> take_credentials(std::string_view& place) {
  const auto at = place.rfind('@');
  if (at == std::string_view::npos) return Credentials{};
  const auto [user, password] = cut(place.substr(0, at), ':');
  place.remove_prefix(at + 1);
  auto name = percent_decode(user);
  if (!name) return fail(std::move(name).error());
  auto secret = percent_decode(password);
  if (!secret) return fail(std::move(secret).error());
  return Credentials{*std::move(name), *std::move(secret)};
}

Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned byte = 0;
    const auto* const first = text.data() + i + 1;
    const auto digits = std::min<std::size_t>(2, text.size() - i - 1);
    const auto [end, error] = std::from_chars(first, first + digits, byte, 16);
    if (digits != 2 || error != std::errc() || end != first + digits) {
      return refuse_url(
          "a '%' at byte {} of a part is not followed by two hexadecimal digits; write %25 for '%'", i);
    }
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

}  // namespace onceward::storage_detail
