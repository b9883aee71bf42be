#pragma once
#include <chrono>
#include <cstdint>
#include <string_view>

namespace loyalty {

/// A line on the standard error that is written over as work goes on; nothing at all where that is no
/// terminal. For one thread.
class Progress {
 public:
  Progress();
  ~Progress();  ///< clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows how much of a file is done: "reporting [#####     ] 52 %  5,600 events  31,000/s".
  void show(std::string_view doing, std::uint64_t done_bytes, std::uint64_t all_bytes, std::uint64_t events);
  /// Shows one line of text.
  void say(std::string_view text);

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_;
  bool shown_ = false;
  std::string_view doing_{};
  Clock::time_point started_{};
  Clock::time_point drawn_{};
};

}  // namespace loyalty
