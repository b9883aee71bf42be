#pragma once
#include "task/work.hpp"

#include <mutex>
#include <vector>

namespace onceward::task_detail {

/// Callers of one process that met each other at a user go on one after another for as long as this lives:
/// of many who try at once one wins, and the others would be refused time and again. Those who have met
/// nobody yet, and other processes, do not wait.
class Turn {
 public:
  explicit Turn(std::span<PendingEvent* const> events);

 private:
  std::vector<std::unique_lock<std::mutex>> held_;
};

}  // namespace onceward::task_detail
