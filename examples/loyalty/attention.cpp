#include "attention.hpp"

#include <fmt/format.h>

#include <utility>

namespace loyalty {

void Attention::note(const std::string& run_key, std::string_view state, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  const auto found = notes_.find(run_key);
  if (found != notes_.end()) {
    if (!reason.empty()) found->second = fmt::format("{}: {}", state, reason);
    return;
  }
  if (notes_.size() == most) {
    ++more_;
    return;
  }
  notes_.emplace(run_key, reason.empty() ? std::string(state) : fmt::format("{}: {}", state, reason));
}

void Attention::look_at(const onceward::Event& event, const onceward::Receipt& receipt) {
  using onceward::RunState;
  bool unsettled = false;
  for (const auto& grant : receipt.grants) {
    if (grant.out_of_stock || grant.state == RunState::succeeded) continue;
    if (grant.state == RunState::running) {
      unsettled = true;
    } else {
      const onceward::GrantKey key{event.merchant, event.user, grant.task, grant.cycle, grant.stage};
      note(onceward::to_run_key(key), to_string(grant.state), {});
    }
  }
  if (!unsettled) return;
  const std::lock_guard lock(mutex_);
  if (unsettled_.size() < most) unsettled_.push_back(event);
}

std::vector<onceward::Event> Attention::take_unsettled() {
  const std::lock_guard lock(mutex_);
  return std::exchange(unsettled_, {});
}

std::size_t Attention::count() const {
  const std::lock_guard lock(mutex_);
  return notes_.size() + more_;
}

std::vector<std::string> Attention::lines() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  for (const auto& [key, text] : notes_) lines.push_back(fmt::format("{}: {}", key, text));
  if (more_ != 0) lines.push_back(fmt::format("and {} more", more_));
  return lines;
}

}  // namespace loyalty
