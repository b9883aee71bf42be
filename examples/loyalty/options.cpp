#include "options.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <set>

namespace loyalty {
namespace {

using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

Result<std::uint64_t> whole_number(std::string_view option, std::string_view text, std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > most) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} takes a whole number from 1 to {}, not \"{}\"", option, most, text));
  }
  return value;
}

Result<onceward::Duration> lease_time(std::string_view text) {
  constexpr std::int64_t most_ms = 3'600'000;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
  const std::int64_t unit_ms = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
  if (error != std::errc() || unit_ms == 0 || value < 1 || value > most_ms / unit_ms ||
      value * unit_ms < 50) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("--lease takes a time from 50ms to 60m, such as 5s, not \"{}\"", text));
  }
  return onceward::Duration(std::chrono::milliseconds(value * unit_ms));
}

struct TextOption {
  std::string_view name;
  std::string Options::*member;
};
constexpr std::array<TextOption, 5> text_options = {{{"--campaign", &Options::campaign},
                                                     {"--events", &Options::events},
                                                     {"--storage", &Options::storage},
                                                     {"--business", &Options::business},
                                                     {"--ledger", &Options::ledger}}};

Result<void> set_option(Options& options, std::string_view name, std::string_view value) {
  for (const auto& option : text_options) {
    if (option.name != name) continue;
    if (value.empty()) return fail(ErrorCode::invalid_argument, fmt::format("{} is empty", name));
    options.*option.member = value;
    return {};
  }
  if (name == "--threads" || name == "--batch") {
    const auto number = whole_number(name, value, name == "--batch" ? most_batch : most_threads);
    if (!number) return fail(number.error());
    if (name == "--batch") options.batch = static_cast<std::size_t>(*number);
    if (name == "--threads") options.threads = static_cast<unsigned>(*number);
    return {};
  }
  if (name == "--lease") {
    const auto lease = lease_time(value);
    if (!lease) return fail(lease.error());
    options.lease = *lease;
    return {};
  }
  if (name == "--crash-at") {
    const auto crash = parse_crash_at(value);
    if (!crash) return fail(crash.error());
    options.crash = *crash;
    return {};
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("there is no option \"{}\"; see loyalty --help", name));
}

Result<void> require_all(const Options& options) {
  std::string missing;
  for (const auto& option : text_options) {
    if (!(options.*option.member).empty()) continue;
    if (!missing.empty()) missing += ", ";
    missing += option.name;
  }
  if (missing.empty()) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("missing: {}; see loyalty --help", missing));
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  for (const std::string_view argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view name = arguments[i];
    std::string_view value;
    if (const auto equals = name.find('='); name.substr(0, 2) == "--" && equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return fail(ErrorCode::invalid_argument, fmt::format("{} is the last word and has no value", name));
    }
    if (!seen.insert(name).second) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} is given twice", name));
    }
    if (auto set = set_option(options, name, value); !set) return fail(std::move(set).error());
  }
  if (auto all = require_all(options); !all) return fail(std::move(all).error());
  return options;
}

std::string help_text() {
  return fmt::format(R"(Reports orders to a task centre and has the rewards issued, each exactly once.

  loyalty --campaign FILE --events FILE.csv|- --storage URL --business FILE.db|:memory: --ledger OUT.csv
          [--threads N] [--batch N] [--lease TIME] [--crash-at POINT[:N]]

  --campaign FILE   the merchant's tasks and reward pipelines, XML
  --events FILE     orders, one row each, with a header line; - reads the standard input.
                    Needed are the columns "invoice" or "id", "customer" or "user", "type", and "at"
                    (RFC 3339); every column is an attribute of the event, an integer where it is all digits
  --storage URL     where the task centre keeps its state: sqlite:PATH or memory:
  --business FILE   the database of the points and coupon services, or :memory:
  --ledger OUT.csv  what was granted in the end: user,task,cycle,stage,step,value
  --threads N       1 to {} threads report; a user's orders always go to the same one   (1)
  --batch N         orders reported together, 1 to {}   (256)
  --lease TIME      after this long the work of a run that died is taken over, such as 5s or 300ms   (5s)
  --crash-at POINT[:N]
                    for tests: dies, as by kill -9, the Nth time it comes to POINT, one of
                    {}

Running it again over the same files grants nothing more; killed at any moment and run again, it ends with the
same ledger. Exit code 0: done; 1: rewards need attention; 2: an option, file, row, campaign or store is bad.
)",
                     most_threads, most_batch, crash_point_names());
}

std::string storage_file(std::string_view url) {
  constexpr std::string_view scheme = "sqlite:";
  if (url.substr(0, scheme.size()) != scheme) return {};
  url.remove_prefix(scheme.size());
  return std::string(url.substr(0, url.find('?')));
}

}  // namespace loyalty
