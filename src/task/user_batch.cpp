#include "task/work.hpp"

#include <algorithm>

// The batch that one user's events become.
namespace onceward::task_detail {
void UserWork::put(std::string key, Revision revision, std::string value, Timing timing) {
  batch_.operations.push_back(revision == absent
                                  ? Operation::insert(std::move(key), std::move(value), timing)
                                  : Operation::replace(std::move(key), revision, std::move(value), timing));
}

void UserWork::write_instances() {
  bool board_moves = false;
  for (const auto& slot : slots_) {
    if (!slot.moved) continue;
    if (slot.on_board != nowhere) board_[slot.on_board].moved = true;
    board_moves = board_moves || slot.revision == absent;
    if (!slot.on_the_board())
      put(slot.key, slot.revision, encode(*slot.instance), timing_of(*slot.instance, now_));
  }
  if (board_moves) write_board();
}

void UserWork::write_board() {
  std::size_t entries = 0;
  for (const auto& entry : board_) entries += entry.moved ? 0U : 1U;
  for (const auto& slot : slots_) entries += slot.on_the_board() ? 1U : 0U;
  auto leaving = entries > most_on_board ? entries - left_on_board : 0;
  BoardWriter board(entries - leaving);
  for (const auto& entry : board_) {
    if (entry.moved) continue;
    if (leaving == 0) {
      board.keep(entry);
    } else {
      --leaving;
      put(std::string(instance_prefix).append(entry.name), absent, encode(entry.instance()));
    }
  }
  for (const auto& slot : slots_) {
    if (!slot.on_the_board()) continue;
    if (leaving == 0) {
      board.add(name_on_board(slot.key), *slot.instance);
    } else {
      --leaving;
      put(slot.key, absent, encode(*slot.instance));
    }
  }
  put(std::string(board_key), board_revision_, board.finish());
}

void UserWork::write() {
  auto& operations = batch_.operations;
  operations = std::move(fences_);
  operations.reserve(operations.size() + event_slots_.size() + 1 + started_.todos.size() +
                     started_.runs.size());
  for (auto& slot : event_slots_) {
    if (!slot.changed) continue;
    put(std::string(slot.key), slot.revision,
        slot.encoded.empty() ? encode(*slot.record) : std::move(slot.encoded));
  }
  write_instances();
  for (const auto& counter : counters_) {
    if (counter.changed) put(counter.key, counter.revision, std::to_string(counter.count));
  }
  if (!operations.empty()) {
    for (const auto& anchored : anchors_) {
      const bool begun = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
        return slot.moved && slot.task == anchored.task;
      });
      if (begun) put(anchor_key(anchored.task), absent, encode(anchored.anchor));
    }
  }
  // Who will do it comes after the caller's COMMIT, and need not wait for a lease to end.
  const auto todo_due = options_.store_only ? Duration::zero() : options_.lease;
  for (auto& todo : started_.todos) put(todo.key, absent, encode(todo.todo), {.due_in = todo_due});
  for (auto& run : started_.runs) {
    if (options_.store_only) runner_.leave(run.run);
    operations.push_back(std::move(run.run.insert));
  }
  if (options_.store_only && !started_.lines.empty())
    operations.push_back(tell_later(partition_, started_.lines));
}

}  // namespace onceward::task_detail
