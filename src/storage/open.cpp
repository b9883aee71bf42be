#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>
#if defined(ONCEWARD_WITH_SQLITE)
#include <onceward/storage/sqlite.hpp>
#endif

#include <fmt/format.h>

#include <charconv>

namespace onceward {
namespace {

/// "scheme:rest?name=value&name=value", taken apart.
struct Url {
  std::string_view scheme;
  std::string_view place;
  std::vector<std::pair<std::string_view, std::string_view>> options;
};

template <class... Args>
Unexpected refuse(fmt::format_string<Args...> text, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "storage URL: " + fmt::format(text, std::forward<Args>(args)...));
}

constexpr std::string_view known_schemes =
#if defined(ONCEWARD_WITH_SQLITE)
    "memory: and sqlite:PATH";
#else
    "memory:";
#endif

Result<Url> take_apart(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return refuse("there is no scheme before a ':'; known are {}", known_schemes);
  }
  Url url{text.substr(0, colon), text.substr(colon + 1), {}};
  const auto question = url.place.find('?');
  if (question == std::string_view::npos) return url;
  std::string_view rest = url.place.substr(question + 1);
  url.place = url.place.substr(0, question);
  while (!rest.empty()) {
    const auto option = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), option.size() + 1));
    const auto equals = option.find('=');
    if (equals == std::string_view::npos) return refuse("the option \"{}\" has no '=' and value", option);
    url.options.emplace_back(option.substr(0, equals), option.substr(equals + 1));
  }
  return url;
}

Result<std::int64_t> number(std::string_view name, std::string_view text, std::int64_t least,
                            std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return refuse("{}={} is no whole number from {} to {}", name, text, least, most);
  }
  return value;
}

Result<std::unique_ptr<Storage>> open_memory_url(const Url& url) {
  if (!url.place.empty()) return refuse("memory: takes no path; write \"memory:\"");
  MemoryOptions options;
  for (const auto& [name, value] : url.options) {
    if (name != "shards") return refuse("memory: has no option \"{}\"; it knows shards", name);
    const auto shards = number(name, value, 1, limits::most_shards);
    if (!shards) return fail(shards.error());
    options.shards = static_cast<Shard>(*shards);
  }
  return open_memory(options);
}

#if defined(ONCEWARD_WITH_SQLITE)
constexpr std::int64_t most_cache_kib = std::int64_t{64} << 20;
constexpr std::int64_t most_busy_ms = 3'600'000;

Result<void> set_sqlite_option(sqlite::Options& options, std::string_view name, std::string_view value) {
  if (name == "synchronous") {
    if (value != "full" && value != "normal") return refuse("synchronous={}; it is full or normal", value);
    options.synchronous = value == "full" ? sqlite::Synchronous::full : sqlite::Synchronous::normal;
    return {};
  }
  Result<std::int64_t> parsed = std::int64_t{0};
  if (name == "shards") {
    parsed = number(name, value, 1, limits::most_shards);
    if (parsed) options.shards = static_cast<Shard>(*parsed);
  } else if (name == "cache_kib") {
    parsed = number(name, value, 64, most_cache_kib);
    if (parsed) options.cache_kib = *parsed;
  } else if (name == "busy_ms") {
    parsed = number(name, value, 0, most_busy_ms);
    if (parsed) options.busy_timeout = std::chrono::milliseconds(*parsed);
  } else {
    return refuse("sqlite: has no option \"{}\"; it knows shards, synchronous, cache_kib and busy_ms", name);
  }
  if (!parsed) return fail(parsed.error());
  return {};
}

Result<std::unique_ptr<Storage>> open_sqlite_url(const Url& url) {
  sqlite::Options options;
  for (const auto& [name, value] : url.options) {
    if (auto set = set_sqlite_option(options, name, value); !set) return fail(std::move(set).error());
  }
  return sqlite::open(std::string(url.place), options);
}
#endif

}  // namespace

Result<std::unique_ptr<Storage>> open_storage(std::string_view url) {
  auto parts = take_apart(url);
  if (!parts) return fail(std::move(parts).error());
  if (parts->scheme == "memory") return open_memory_url(*parts);
#if defined(ONCEWARD_WITH_SQLITE)
  if (parts->scheme == "sqlite") return open_sqlite_url(*parts);
#endif
  return refuse("the scheme \"{}\" is not known; known are {}", parts->scheme, known_schemes);
}

}  // namespace onceward
