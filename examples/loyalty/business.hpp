#pragma once
#include "crash.hpp"

#include <onceward/core/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace loyalty {

/// What the points service or the coupon service was asked to do, once for each token.
struct Effect {
  std::string token;
  std::string user;
  std::string task;
  std::string cycle;
  std::int64_t stage = 1;
  std::string step;
  std::string value;  ///< the points, or the coupon's code

  friend bool operator==(const Effect&, const Effect&) = default;
};

/// The stand-in for a remote downstream: a database of its own with one row per token. A second call with a
/// token has no second effect. What a call answers is on the disk. Safe from any thread.
class Business {
 public:
  /// Opens or creates a file, or ":memory:". Errors: as the storage's; the message names the file.
  static onceward::Result<std::unique_ptr<Business>> open(const std::string& path, CrashPoints& points);
  ~Business();
  Business(const Business&) = delete;
  Business& operator=(const Business&) = delete;

  /// True where the effect takes place now, false where its token had come before: nothing happens then.
  /// Errors: conflict (the token came with another content), unavailable, timeout, exhausted, corrupt.
  onceward::Result<bool> apply(const Effect& effect);
  /// As apply, for each, in one transaction. A token with another content fails alone; any other error is
  /// that of all, and none of them took place.
  std::vector<onceward::Result<bool>> apply_many(std::span<const Effect> effects);

  /// Calls `visit` for every effect, by user, task, cycle, stage and step, in bounded memory.
  /// Errors: the first one of `visit`, unavailable.
  onceward::Result<void> each_sorted(const std::function<onceward::Result<void>(const Effect&)>& visit);

 private:
  struct State;
  explicit Business(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace loyalty
