#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace loyalty {
namespace {

constexpr auto redraw_after = std::chrono::milliseconds(100);
constexpr std::uint64_t bar_cells = 30;

void write_line(std::string_view text) {
  fmt::print(stderr, "\r{}\x1b[K", text);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) write_line("");
}

void Progress::show(std::string_view doing, std::uint64_t done_bytes, std::uint64_t all_bytes,
                    std::uint64_t events) {
  if (!terminal_) return;
  const auto now = Clock::now();
  if (doing != doing_) {
    doing_ = doing;
    started_ = now;
  } else if (now - drawn_ < redraw_after) {
    return;
  }
  drawn_ = now;
  const auto whole = std::max<std::uint64_t>(all_bytes, 1);
  const auto cells = std::min(bar_cells, done_bytes * bar_cells / whole);
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = seconds > 0 ? static_cast<double>(events) / seconds : 0;
  write_line(fmt::format("{} [{:<{}}] {:3} %  {} events  {:.0f}/s", doing,
                         std::string(static_cast<std::size_t>(cells), '#'), bar_cells,
                         std::min<std::uint64_t>(100, done_bytes * 100 / whole), events, rate));
  shown_ = true;
}

void Progress::say(std::string_view text) {
  if (!terminal_) return;
  write_line(text);
  shown_ = true;
}

}  // namespace loyalty
