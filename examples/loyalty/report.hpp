#pragma once
#include "attention.hpp"
#include "batch.hpp"

#include <onceward/task/task_center.hpp>

#include <cstdint>
#include <string>

namespace loyalty {

/// What became of the events.
struct Tally {
  std::uint64_t events = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t grants = 0;        ///< rewards earned now
  std::uint64_t out_of_stock = 0;  ///< stages reached now after their quota was used up

  Tally& operator+=(const Tally& other) noexcept;
};

/// Reports batches to the task centre. Where the storage has a moment of weakness the whole batch is reported
/// again after a pause: events are idempotent, and a user's events stay in order. Safe from any thread.
class BatchReporter {
 public:
  BatchReporter(onceward::TaskCenter& center, Attention& attention, std::string file)
      : center_(center), attention_(attention), file_(std::move(file)) {}

  /// Errors: the first event that is refused, with its file and line; those of the storage after the last
  /// try.
  onceward::Result<void> report(const EventBatch& batch, Tally& tally);

 private:
  onceward::TaskCenter& center_;
  Attention& attention_;
  std::string file_;
};

}  // namespace loyalty
