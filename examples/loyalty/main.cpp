// The main job, end to end: orders in, rewards out, each exactly once. `loyalty --help` says how.
#include "heap.hpp"
#include "run.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace {

constexpr int needs_attention = 1;
constexpr int bad_input = 2;

int run(int count, const char* const* words) {
  const auto options = loyalty::parse_options(std::span(words, static_cast<std::size_t>(count)).subspan(1));
  if (!options) {
    fmt::print(stderr, "loyalty: {}\n", options.error().message);
    return bad_input;
  }
  if (options->help) {
    fmt::print("{}", loyalty::help_text());
    return 0;
  }
  const auto outcome = loyalty::run(*options);
  if (!outcome) {
    fmt::print(stderr, "loyalty: {}\n", outcome.error().message);
    return bad_input;
  }
  for (const auto& line : outcome->attention) fmt::print(stderr, "loyalty: needs attention: {}\n", line);
  fmt::print("{}\n", outcome->summary);
  return outcome->attention.empty() ? 0 : needs_attention;
}

}  // namespace

int main(int count, char** words) {
  loyalty::use_huge_pages();
  try {
    return run(count, words);
  } catch (const std::exception& exception) {
    fmt::print(stderr, "loyalty: {}\n", exception.what());
    return bad_input;
  }
}
