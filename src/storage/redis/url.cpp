#include "storage/url.hpp"

#include <onceward/storage/redis.hpp>

#include <algorithm>
#include <iterator>
#include <tuple>

namespace onceward::redis {
namespace {

using storage_detail::cut;
using storage_detail::percent_decode;
using storage_detail::refuse_url;
using storage_detail::url_number;

constexpr int default_port = 6379;
constexpr int sentinel_port = 26379;
constexpr std::int64_t most_ms = 3'600'000;
constexpr std::string_view schemes = "redis:, redis+unix:, redis+sentinel: and redis+cluster:";

/// "host", "host:port", "[::1]:port"
Result<Address> parse_address(std::string_view text, int port) {
  Address address{{}, port, {}};
  std::string_view port_text;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return refuse_url("the address \"{}\" has no closing bracket", text);
    address.host = text.substr(1, end - 1);
    port_text = text.substr(end + 1);
    if (!port_text.empty() && port_text.front() != ':') {
      return refuse_url("the address \"{}\" has something after its bracket; write [host]:port", text);
    }
    if (!port_text.empty()) port_text.remove_prefix(1);
  } else {
    std::string_view host;
    std::tie(host, port_text) = cut(text, ':');
    address.host = host;
  }
  if (address.host.empty()) address.host = "127.0.0.1";
  if (!port_text.empty()) {
    const auto number = url_number("port", port_text, 1, 65535);
    if (!number) return fail(number.error());
    address.port = static_cast<int>(*number);
  }
  return address;
}

/// "user:password@" before the addresses; a password alone is written ":password@".
Result<void> set_credentials(std::string_view& place, Options& options) {
  auto found = storage_detail::take_credentials(place);
  if (!found) return fail(std::move(found).error());
  if (!found->user.empty() && found->password.empty()) {
    return refuse_url("there is a user without a password; write user:password@ or :password@");
  }
  options.user = std::move(found->user);
  options.password = std::move(found->password);
  return {};
}

Result<void> set_database(Options& options, std::string_view text) {
  if (text.empty()) return {};
  const auto number = url_number("database", text, 0, 1'000'000);
  if (!number) return fail(number.error());
  options.database = static_cast<int>(*number);
  return {};
}

Result<void> set_addresses(Options& options, std::string_view text, int port) {
  options.addresses.clear();
  do {
    std::string_view one;
    std::tie(one, text) = cut(text, ',');
    auto address = parse_address(one, port);
    if (!address) return fail(std::move(address).error());
    options.addresses.push_back(*std::move(address));
  } while (!text.empty());
  return {};
}

Result<void> set_place(Options& options, std::string_view scheme, std::string_view place) {
  if (!place.starts_with("//")) return refuse_url("\"//\" must follow \"{}:\"", scheme);
  place.remove_prefix(2);
  if (auto set = set_credentials(place, options); !set) return set;
  if (scheme == "redis+unix") {
    if (!place.starts_with('/'))
      return refuse_url("redis+unix: takes an absolute path: redis+unix:///run/redis.sock");
    auto path = percent_decode(place);
    if (!path) return fail(std::move(path).error());
    options.addresses = {Address{{}, 0, *std::move(path)}};
    return {};
  }
  auto [hosts, path] = cut(place, '/');
  if (scheme == "redis+sentinel") {
    options.mode = Mode::sentinel;
    const auto [master, database] = cut(path, '/');
    options.master_name = master;
    if (master.empty()) {
      return refuse_url("redis+sentinel: needs the master's name: redis+sentinel://host:26379/mymaster");
    }
    if (auto set = set_database(options, database); !set) return set;
    return set_addresses(options, hosts, sentinel_port);
  }
  if (scheme == "redis+cluster") {
    options.mode = Mode::cluster;
    if (!path.empty())
      return refuse_url("a cluster has only the database 0; write nothing after the addresses");
    return set_addresses(options, hosts, default_port);
  }
  if (hosts.find(',') != std::string_view::npos) {
    return refuse_url("redis: takes one address; several belong to redis+cluster: or redis+sentinel:");
  }
  if (auto set = set_database(options, path); !set) return set;
  return set_addresses(options, hosts, default_port);
}

Result<void> set_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "prefix") {
    options.prefix = value;
    return {};
  }
  if (name == "unsafe") {
    if (value != "refuse" && value != "warn" && value != "accept") {
      return refuse_url("unsafe={}; it is refuse, warn or accept", value);
    }
    options.unsafe_server = value == "refuse" ? UnsafeServer::refuse
                            : value == "warn" ? UnsafeServer::warn
                                              : UnsafeServer::accept;
    return {};
  }
  Result<std::int64_t> number = std::int64_t{0};
  if (name == "shards") {
    number = url_number(name, value, 1, limits::most_shards);
    if (number) options.shards = static_cast<Shard>(*number);
  } else if (name == "db") {
    return set_database(options, value);
  } else if (name == "connect_ms") {
    number = url_number(name, value, 1, most_ms);
    if (number) options.connect_timeout = std::chrono::milliseconds(*number);
  } else if (name == "timeout_ms") {
    number = url_number(name, value, 1, most_ms);
    if (number) options.timeout = std::chrono::milliseconds(*number);
  } else if (name == "create") {
    number = url_number(name, value, 0, 1);
    if (number) options.create = *number == 1;
  } else {
    return refuse_url(
        "redis: has no option \"{}\"; it knows shards, prefix, db, connect_ms, timeout_ms, unsafe and create",
        name);
  }
  if (!number) return fail(number.error());
  return {};
}

}  // namespace

Result<Options> parse_url(std::string_view text) {
  const auto url = storage_detail::parse_url(text, schemes);
  if (!url) return fail(url.error());
  if (url->scheme == "rediss") {
    return refuse_url(
        "this library is built without TLS; reach the server through a TLS proxy on this machine");
  }
  constexpr std::string_view known[] = {"redis", "redis+unix", "redis+sentinel", "redis+cluster"};
  if (std::find(std::begin(known), std::end(known), url->scheme) == std::end(known)) {
    return refuse_url("the scheme \"{}\" is none of Redis'; known are {}", url->scheme, schemes);
  }
  Options options;
  if (auto set = set_place(options, url->scheme, url->place); !set) return fail(std::move(set).error());
  for (const auto& [name, value] : url->options) {
    if (auto set = set_option(options, name, value); !set) return fail(std::move(set).error());
  }
  return options;
}

}  // namespace onceward::redis
