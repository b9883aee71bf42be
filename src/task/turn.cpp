#include "task/turn.hpp"

#include <algorithm>
#include <array>

namespace onceward::task_detail {
namespace {

/// Users share them by their hashes: two that share one wait without need, and rarely.
std::array<std::mutex, 256> turns;

}  // namespace

Turn::Turn(std::span<PendingEvent* const> events) {
  std::vector<std::size_t> places;
  for (const auto* event : events)
    places.push_back(std::hash<std::string_view>()(event->partition) % turns.size());
  // In one order, so that no two callers wait for each other.
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  for (const auto place : places) held_.emplace_back(turns[place]);
}

}  // namespace onceward::task_detail
