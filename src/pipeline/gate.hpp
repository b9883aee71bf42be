#pragma once
#include <onceward/core/clock.hpp>

#include <condition_variable>
#include <cstddef>
#include <map>
#include <mutex>
#include <stop_token>

namespace onceward::pipeline_detail {

/// At most so many at once, of threads that take what they get.
class Gate {
 public:
  explicit Gate(std::size_t most) : most_(most) {}
  /// Waits for at least one, and takes up to `wanted`; none where `stop` is requested first.
  std::size_t take(std::size_t wanted, const std::stop_token& stop);
  void give_back(std::size_t count);

 private:
  std::size_t most_;
  std::mutex mutex_{};
  std::condition_variable_any free_{};
};

/// How many calls of a step are made together: as many as end soon, so that what took effect is recorded
/// soon.
class Pace {
 public:
  [[nodiscard]] std::size_t size(const void* step);
  /// It took long the last time, or was never called.
  [[nodiscard]] bool may_be_slow(const void* step);
  void took(const void* step, std::size_t calls, Duration time);

 private:
  struct Known {
    std::size_t size = 1;
    bool slow = true;
  };
  std::mutex mutex_{};
  std::map<const void*, Known> known_{};
};

}  // namespace onceward::pipeline_detail
