#pragma once
#include <onceward/core/clock.hpp>

#include <algorithm>
#include <cstddef>
#include <queue>
#include <vector>

namespace onceward::storage_detail {

/// Items by time, the earliest first. Times that grow, as of new records, go to the end at once; an item
/// knows its place (a member of it), so that its time is changed or taken away without a search.
template <class Item, std::size_t Item::*Place>
class TimeHeap {
 public:
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

  struct Timed {
    Timestamp at;
    Item* item;
  };

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] const Timed& first() const noexcept { return items_.front(); }
  /// Puts an item in, or changes its time.
  void set(Item& item, Timestamp at) {
    std::size_t place = item.*Place;
    if (place == nowhere) {
      place = items_.size();
      items_.push_back({at, &item});
    } else {
      items_[place].at = at;
    }
    settle(place);
  }
  void erase(Item& item) {
    const std::size_t place = std::exchange(item.*Place, nowhere);
    if (place == nowhere) return;
    const auto last = items_.back();
    items_.pop_back();
    if (place == items_.size()) return;
    items_[place] = last;
    settle(place);
  }
  /// Shows the items in the order of their times until `visit` answers false.
  template <class Visit>
  void walk(const Visit& visit) const {
    const auto later = [this](std::size_t a, std::size_t b) { return items_[b].at < items_[a].at; };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> next(later);
    if (!items_.empty()) next.push(0);
    while (!next.empty()) {
      const auto place = next.top();
      next.pop();
      if (!visit(items_[place])) return;
      for (auto child = 2 * place + 1; child <= 2 * place + 2 && child < items_.size(); ++child)
        next.push(child);
    }
  }

 private:
  void put(std::size_t place, const Timed& timed) noexcept {
    items_[place] = timed;
    timed.item->*Place = place;
  }
  /// Moves what stands at this place up or down to where its time belongs.
  void settle(std::size_t place) noexcept {
    const auto timed = items_[place];
    while (place > 0 && timed.at < items_[(place - 1) / 2].at) {
      put(place, items_[(place - 1) / 2]);
      place = (place - 1) / 2;
    }
    for (;;) {
      auto child = 2 * place + 1;
      if (child >= items_.size()) break;
      if (child + 1 < items_.size() && items_[child + 1].at < items_[child].at) ++child;
      if (items_[child].at >= timed.at) break;
      put(place, items_[child]);
      place = child;
    }
    put(place, timed);
  }

  std::vector<Timed> items_;
};

}  // namespace onceward::storage_detail
