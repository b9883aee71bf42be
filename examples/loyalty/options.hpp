#pragma once
#include "crash.hpp"

#include <onceward/core/clock.hpp>
#include <onceward/core/result.hpp>

#include <span>
#include <string>
#include <string_view>

namespace loyalty {

inline constexpr unsigned most_threads = 256;
inline constexpr std::size_t most_batch = 4096;

/// What the command line says.
struct Options {
  std::string campaign;
  std::string events;  ///< a path, or "-" for the standard input
  std::string storage;
  std::string business;  ///< a path, or ":memory:"
  std::string ledger;
  unsigned threads = 1;
  std::size_t batch = 256;
  onceward::Duration lease = std::chrono::seconds(5);
  CrashAt crash{};
  bool help = false;
};

/// Reads the arguments after the program's name. Where --help is among them, only `help` is set.
/// Errors: invalid_argument, naming the option and what it takes.
onceward::Result<Options> parse_options(std::span<const char* const> arguments);

/// The text of --help.
[[nodiscard]] std::string help_text();

/// The file a storage URL names ("sqlite:PATH?..."); empty where it names none.
[[nodiscard]] std::string storage_file(std::string_view url);

}  // namespace loyalty
