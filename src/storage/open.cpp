#include <onceward/storage/memory.hpp>
#include <onceward/storage/open.hpp>
#if defined(ONCEWARD_WITH_MARIADB)
#include <onceward/storage/mariadb.hpp>
#endif
#if defined(ONCEWARD_WITH_REDIS)
#include <onceward/storage/redis.hpp>
#endif
#if defined(ONCEWARD_WITH_SQLITE)
#include <onceward/storage/sqlite.hpp>
#endif

#include "storage/url.hpp"

namespace onceward {
namespace {

using storage_detail::refuse_url;
using storage_detail::Url;
using storage_detail::url_number;

constexpr std::string_view known_schemes =
    "memory:"
#if defined(ONCEWARD_WITH_SQLITE)
    ", sqlite:PATH"
#endif
#if defined(ONCEWARD_WITH_REDIS)
    ", redis://HOST, redis+unix://PATH, redis+sentinel://HOST,HOST/MASTER, redis+cluster://HOST,HOST"
#endif
#if defined(ONCEWARD_WITH_MARIADB)
    ", mysql://USER:PASSWORD@HOST/DATABASE"
#endif
    ;

Result<std::unique_ptr<Storage>> open_memory_url(const Url& url) {
  if (!url.place.empty()) return refuse_url("memory: takes no path; write \"memory:\"");
  MemoryOptions options;
  for (const auto& [name, value] : url.options) {
    if (name != "shards") return refuse_url("memory: has no option \"{}\"; it knows shards", name);
    const auto shards = url_number(name, value, 1, limits::most_shards);
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
    if (value != "full" && value != "normal")
      return refuse_url("synchronous={}; it is full or normal", value);
    options.synchronous = value == "full" ? sqlite::Synchronous::full : sqlite::Synchronous::normal;
    return {};
  }
  Result<std::int64_t> parsed = std::int64_t{0};
  if (name == "shards") {
    parsed = url_number(name, value, 1, limits::most_shards);
    if (parsed) options.shards = static_cast<Shard>(*parsed);
  } else if (name == "integrity") {
    parsed = url_number(name, value, 0, 1);
    if (parsed) options.check_integrity = *parsed == 1;
  } else if (name == "cache_kib") {
    parsed = url_number(name, value, 64, most_cache_kib);
    if (parsed) options.cache_kib = *parsed;
  } else if (name == "busy_ms") {
    parsed = url_number(name, value, 0, most_busy_ms);
    if (parsed) options.busy_timeout = std::chrono::milliseconds(*parsed);
  } else {
    return refuse_url(
        "sqlite: has no option \"{}\"; it knows shards, synchronous, cache_kib, busy_ms and integrity", name);
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
  auto parts = storage_detail::parse_url(url, known_schemes);
  if (!parts) return fail(std::move(parts).error());
  if (parts->scheme == "memory") return open_memory_url(*parts);
#if defined(ONCEWARD_WITH_SQLITE)
  if (parts->scheme == "sqlite") return open_sqlite_url(*parts);
#endif
#if defined(ONCEWARD_WITH_REDIS)
  if (parts->scheme.starts_with("redis")) {
    auto options = redis::parse_url(url);
    if (!options) return fail(std::move(options).error());
    return redis::open(*std::move(options));
  }
#endif
#if defined(ONCEWARD_WITH_MARIADB)
  if (parts->scheme == "mysql" || parts->scheme == "mariadb") {
    auto options = mariadb::parse_url(url);
    if (!options) return fail(std::move(options).error());
    return mariadb::open(*std::move(options));
  }
#endif
  return refuse_url("the scheme \"{}\" is not known; known are {}", parts->scheme, known_schemes);
}

}  // namespace onceward
