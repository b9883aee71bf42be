#include "storage/url.hpp"

#include <onceward/storage/mariadb.hpp>

#include <tuple>

namespace onceward::mariadb {
namespace {

using storage_detail::cut;
using storage_detail::percent_decode;
using storage_detail::refuse_url;
using storage_detail::url_number;

constexpr std::int64_t most_ms = 3'600'000;

Result<void> set_place(Options& options, std::string_view place) {
  if (!place.starts_with("//")) return refuse_url("\"//\" must follow \"mysql:\"");
  place.remove_prefix(2);
  auto credentials = storage_detail::take_credentials(place);
  if (!credentials) return fail(std::move(credentials).error());
  options.user = std::move(credentials->user);
  options.password = std::move(credentials->password);
  const auto [address, database] = cut(place, '/');
  const auto [host, port] = cut(address, ':');
  if (!host.empty()) options.host = host;
  if (!port.empty()) {
    const auto number = url_number("port", port, 1, 65535);
    if (!number) return fail(number.error());
    options.port = static_cast<int>(*number);
  }
  if (database.empty()) return refuse_url("mysql: needs a database: mysql://user:password@host/database");
  options.database = database;
  return {};
}

Result<void> set_option(Options& options, std::string_view name, std::string_view value) {
  Result<std::int64_t> number = std::int64_t{0};
  if (name == "socket") {
    auto path = percent_decode(value);
    if (!path) return fail(std::move(path).error());
    options.socket = *std::move(path);
  } else if (name == "shards") {
    number = url_number(name, value, 1, limits::most_shards);
    if (number) options.shards = static_cast<Shard>(*number);
  } else if (name == "connect_ms") {
    number = url_number(name, value, 1, most_ms);
    if (number) options.connect_timeout = std::chrono::milliseconds(*number);
  } else if (name == "timeout_ms") {
    number = url_number(name, value, 1, most_ms);
    if (number) options.timeout = std::chrono::milliseconds(*number);
  } else if (name == "readers") {
    number = url_number(name, value, 1, 256);
    if (number) options.readers = static_cast<std::size_t>(*number);
  } else {
    return refuse_url(
        "mysql: has no option \"{}\"; it knows socket, shards, connect_ms, timeout_ms and readers", name);
  }
  if (!number) return fail(number.error());
  return {};
}

}  // namespace

Result<Options> parse_url(std::string_view text) {
  const auto url = storage_detail::parse_url(text, "mysql://USER:PASSWORD@HOST/DATABASE");
  if (!url) return fail(url.error());
  if (url->scheme != "mysql" && url->scheme != "mariadb") {
    return refuse_url("the scheme \"{}\" is neither mysql nor mariadb", url->scheme);
  }
  Options options;
  if (auto set = set_place(options, url->place); !set) return fail(std::move(set).error());
  for (const auto& [name, value] : url->options) {
    if (auto set = set_option(options, name, value); !set) return fail(std::move(set).error());
  }
  return options;
}

}  // namespace onceward::mariadb
