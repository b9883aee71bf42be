#include "batch.hpp"

#include <utility>

namespace loyalty {

std::unique_ptr<EventBatch> BatchQueue::take_empty() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return given_up_ || !empty_.empty(); });
  if (given_up_) return nullptr;
  auto batch = std::move(empty_.back());
  empty_.pop_back();
  return batch;
}

void BatchQueue::give_full(std::unique_ptr<EventBatch> batch) {
  {
    const std::lock_guard lock(mutex_);
    full_.push_back(std::move(batch));
  }
  changed_.notify_all();
}

std::unique_ptr<EventBatch> BatchQueue::take_full() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return given_up_ || finished_ || !full_.empty(); });
  if (given_up_ || full_.empty()) return nullptr;
  auto batch = std::move(full_.front());
  full_.pop_front();
  return batch;
}

void BatchQueue::give_empty(std::unique_ptr<EventBatch> batch) {
  batch->clear();
  {
    const std::lock_guard lock(mutex_);
    empty_.push_back(std::move(batch));
  }
  changed_.notify_all();
}

void BatchQueue::finish() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
}

void BatchQueue::give_up() {
  {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
  }
  changed_.notify_all();
}

}  // namespace loyalty
