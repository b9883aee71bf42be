#pragma once
#include <onceward/task/event.hpp>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace loyalty {

/// Events that are reported together, and the lines they come from. Its events are written over when it is
/// used again, so that their memory is.
class EventBatch {
 public:
  /// The next event to fill in.
  onceward::Event& add(std::uint64_t line) {
    if (count_ == events_.size()) {
      events_.emplace_back();
      lines_.push_back(0);
    }
    lines_[count_] = line;
    return events_[count_++];
  }
  void clear() noexcept { count_ = 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::span<const onceward::Event> events() const noexcept {
    return std::span(events_).first(count_);
  }
  [[nodiscard]] std::uint64_t line(std::size_t i) const noexcept { return lines_[i]; }

 private:
  std::vector<onceward::Event> events_;
  std::vector<std::uint64_t> lines_;
  std::size_t count_ = 0;
};

/// Batches on their way from the reader to one worker, and empty ones on their way back. Bounded: the reader
/// waits while every batch is in use.
class BatchQueue {
 public:
  explicit BatchQueue(std::size_t batches) {
    for (std::size_t i = 0; i < batches; ++i) empty_.push_back(std::make_unique<EventBatch>());
  }

  /// An empty batch; null once the worker has given up.
  std::unique_ptr<EventBatch> take_empty();
  void give_full(std::unique_ptr<EventBatch> batch);
  /// The next batch; null once the reader has finished and none is left, or the worker has given up.
  std::unique_ptr<EventBatch> take_full();
  void give_empty(std::unique_ptr<EventBatch> batch);
  /// No more batches will be given.
  void finish();
  /// Nobody needs to wait any more.
  void give_up();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<EventBatch>> full_;
  std::vector<std::unique_ptr<EventBatch>> empty_;
  bool finished_ = false;
  bool given_up_ = false;
};

}  // namespace loyalty
