#include "storage/redis/setup.hpp"

#include <onceward/core/ids.hpp>

#include "storage/redis/command.hpp"
#include "storage/redis/errors.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>

namespace onceward::redis::detail {
namespace {

constexpr std::int64_t format = 1;
constexpr int least_version = 7;

struct Meta {
  std::int64_t format = 0;
  std::int64_t shards = 0;
  std::string id;
  bool ready = false;
};

std::string meta_text(const Meta& meta) {
  return fmt::format("{} {} {} {}", meta.format, meta.shards, meta.id, meta.ready ? "ready" : "creating");
}

std::optional<Meta> parse_meta(std::string_view text) {
  Meta meta;
  const auto number = [&](std::int64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end == text.data() + text.size() || *end != ' ') return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
    return true;
  };
  if (!number(meta.format) || !number(meta.shards)) return std::nullopt;
  const auto space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  meta.id = text.substr(0, space);
  meta.ready = text.substr(space + 1) == "ready";
  return meta;
}

/// The answers to one command for each shard, of which none is an error.
Result<std::vector<Reply>> ask_shards(Router& router, Shard shards, std::string_view doing,
                                      const std::function<void(Shard, CommandWriter&)>& write) {
  std::vector<Request> requests(shards);
  for (Shard shard = 0; shard < shards; ++shard) {
    requests[shard].shard = shard;
    CommandWriter writer(requests[shard].command);
    write(shard, writer);
  }
  router.run(requests);
  std::vector<Reply> replies;
  for (auto& request : requests) {
    if (!request.answer) return fail(std::move(request.error));
    if (is_error(*request.answer)) return fail(to_error(text_of(*request.answer), doing));
    replies.push_back(std::move(request.answer));
  }
  return replies;
}

Result<Reply> ask_meta(Router& router, std::initializer_list<std::string_view> words) {
  auto replies = ask_shards(router, 1, "opening the storage",
                            [&](Shard, CommandWriter& writer) { writer.command(words); });
  if (!replies) return fail(std::move(replies).error());
  return std::move(replies->front());
}

/// The value of `name` in the answer of CONFIG GET; empty where the server does not say.
std::string setting(const Reply& config, std::string_view name) {
  const auto parts = elements_of(*config);
  for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
    if (text_of(*parts[i]) == name) return std::string(text_of(*parts[i + 1]));
  }
  return {};
}

std::vector<std::string> unsafe_settings(Link& link) {
  const auto where = to_string(link.address());
  std::vector<std::string> found;
  const auto get = [&](std::string_view name) -> std::optional<std::string> {
    const auto config = ask(link, {"CONFIG", "GET", name}, "reading its settings");
    if (config) return setting(*config, name);
    found.push_back(fmt::format("Redis at {}: its setting {} cannot be read ({}); see that it loses no data",
                                where, name, config.error().message));
    return std::nullopt;
  };
  if (const auto policy = get("maxmemory-policy"); policy && *policy != "noeviction") {
    found.push_back(
        fmt::format("Redis at {}: maxmemory-policy is {}: records vanish when memory is short, and what was "
                    "done looks new; set it to noeviction",
                    where, *policy));
  }
  const auto append = get("appendonly");
  const auto save = get("save");
  if (append && save && *append != "yes" && save->empty()) {
    found.push_back(fmt::format(
        "Redis at {}: persistence is off: a restart forgets everything; set appendonly yes", where));
  }
  return found;
}

/// That it is new enough, and no part of a cluster where one server is to hold all shards.
Result<void> check_kind(Link& link, Mode mode) {
  const auto info = ask(link, {"INFO", "server"}, "reading its version");
  if (!info) return fail(info.error());
  const auto text = text_of(**info);
  constexpr std::string_view label = "redis_version:";
  const auto at = text.find(label);
  int major = 0;
  if (at != std::string_view::npos) {
    const auto rest = text.substr(at + label.size());
    std::from_chars(rest.data(), rest.data() + rest.size(), major);
  }
  if (major >= least_version) {
    if (mode == Mode::cluster || text.find("redis_mode:cluster") == std::string_view::npos) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("Redis at {}: the server is part of a cluster; use a redis+cluster: URL",
                            to_string(link.address())));
  }
  return fail(ErrorCode::invalid_argument, fmt::format("Redis at {}: version {} or later is needed",
                                                       to_string(link.address()), least_version));
}

}  // namespace

std::string base_of(std::string_view prefix, Shard shard) {
  return fmt::format("{}:{{{}}}", prefix, tag_of(shard));
}

Result<void> check_servers(Router& router, const Options& options) {
  const auto masters = router.topology().masters();
  if (!masters) return fail(masters.error());
  for (const auto& link : *masters) {
    if (auto kind = check_kind(*link, options.mode); !kind) return kind;
    if (options.unsafe_server == UnsafeServer::accept) continue;
    for (const auto& sentence : unsafe_settings(*link)) {
      if (options.unsafe_server == UnsafeServer::refuse) return fail(ErrorCode::invalid_argument, sentence);
      if (options.warn) {
        options.warn(sentence);
      } else {
        fmt::print(stderr, "onceward: {}\n", sentence);
      }
    }
  }
  return {};
}

Result<void> load_scripts(Router& router, Scripts& scripts) {
  const auto masters = router.topology().masters();
  if (!masters) return fail(masters.error());
  for (const auto& link : *masters) {
    for (auto* script : {&scripts.commit, &scripts.scan, &scripts.due}) {
      const auto loaded = ask(*link, {"SCRIPT", "LOAD", script->text}, "loading a script");
      if (!loaded) return fail(loaded.error());
      script->sha1 = text_of(**loaded);
    }
  }
  return {};
}

Result<Setup> ensure_storage(Router& router, const Options& options) {
  const auto meta_key = base_of(options.prefix, 0) + ":meta";
  Meta meta{format, options.shards.value_or(limits::default_shards), new_owner_id(), false};
  auto found = options.create ? ask_meta(router, {"SET", meta_key, meta_text(meta), "NX", "GET"})
                              : ask_meta(router, {"GET", meta_key});
  if (!found) return fail(std::move(found).error());
  if ((*found)->type == REDIS_REPLY_NIL && !options.create) {
    return fail(ErrorCode::not_found,
                fmt::format("Redis: there is no storage \"{}\", and none is to be created", options.prefix));
  }
  if (is_text(**found)) {
    const auto known = parse_meta(text_of(**found));
    if (!known || known->shards < 1 || known->shards > limits::most_shards) {
      return fail(
          ErrorCode::corrupt,
          fmt::format("Redis: the key \"{}\" does not say the storage's format and shards", meta_key));
    }
    if (known->format > format) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format(
              "Redis: the storage \"{}\" has format {}, this library knows up to {}; use a newer library",
              options.prefix, known->format, format));
    }
    if (options.shards && static_cast<std::int64_t>(*options.shards) != known->shards) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("Redis: the storage \"{}\" was created with {} shards, {} were asked for; the count "
                      "never changes",
                      options.prefix, known->shards, *options.shards));
    }
    meta = *known;
  }
  const auto shards = static_cast<Shard>(meta.shards);
  const auto high_of = [&](Shard shard) { return base_of(options.prefix, shard) + ":high"; };
  if (!meta.ready) {
    const auto begun = "0 0 " + meta.id;
    auto made = ask_shards(router, shards, "beginning the storage", [&](Shard shard, CommandWriter& writer) {
      writer.command({"SET", high_of(shard), begun, "NX"});
    });
    if (!made) return fail(std::move(made).error());
  }
  const auto highs =
      ask_shards(router, shards, "opening the storage", [&](Shard shard, CommandWriter& writer) {
        writer.command({"GET", high_of(shard)});
      });
  if (!highs) return fail(highs.error());
  for (Shard shard = 0; shard < shards; ++shard) {
    if (!text_of(*(*highs)[shard]).ends_with(" " + meta.id)) {
      return fail(ErrorCode::corrupt,
                  fmt::format("Redis: the data of shard {} of the storage \"{}\" are gone; restore a backup",
                              shard, options.prefix));
    }
  }
  if (!meta.ready) {
    meta.ready = true;
    if (auto marked = ask_meta(router, {"SET", meta_key, meta_text(meta)}); !marked) {
      return fail(std::move(marked).error());
    }
  }
  return Setup{shards, meta.id};
}

}  // namespace onceward::redis::detail
