#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/storage/record.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace onceward {

namespace guard_detail {
/// Time since the machine started, its sleeps included: what a deadline is kept by that no setting of a clock
/// and no suspended machine may lengthen.
[[nodiscard]] Duration since_boot() noexcept;
}  // namespace guard_detail

/// Results of guarded calls that this process saw ended, by key: the least recently used ones go first. A
/// result is compared with its payload as a whole, so no fingerprint is computed on a hit. Any thread.
template <class Content>
class ReplayCache {
 public:
  struct Kept {
    Content content;
    int attempt = 0;
    Revision fence = absent;
  };

  explicit ReplayCache(std::size_t most) : most_of_part_((most + parts - 1) / parts) {}

  /// `most` may change while calls run; what is too much goes with the next entries.
  void resize(std::size_t most) noexcept {
    most_of_part_.store((most + parts - 1) / parts, std::memory_order_relaxed);
  }

  /// Calls `use(kept)` where the key's result is here. False where it is not, or is past its time.
  /// `other_payload` is set where it is here with another payload.
  template <class Use>
  bool find(std::string_view key, std::string_view payload, bool& other_payload, const Use& use) {
    auto& part = part_of(key);
    const std::lock_guard lock(part.mutex);
    const auto found = part.by_key.find(key);
    if (found == part.by_key.end()) return false;
    const auto entry = found->second;
    if (guard_detail::since_boot() >= entry->ends) {
      part.by_key.erase(found);
      part.order.erase(entry);
      return false;
    }
    other_payload = entry->payload != payload;
    if (other_payload) return false;
    if (entry != part.order.begin()) part.order.splice(part.order.begin(), part.order, entry);
    use(entry->kept);
    return true;
  }

  /// `ends` as since_boot().
  void put(std::string_view key, std::string_view payload, Kept kept, Duration ends) {
    auto& part = part_of(key);
    const std::lock_guard lock(part.mutex);
    if (const auto found = part.by_key.find(key); found != part.by_key.end()) {
      part.order.erase(found->second);
      part.by_key.erase(found);
    }
    part.order.push_front({std::string(key), std::string(payload), std::move(kept), ends});
    part.by_key.emplace(part.order.front().key, part.order.begin());
    while (part.order.size() > most_of_part_.load(std::memory_order_relaxed)) {
      part.by_key.erase(part.order.back().key);
      part.order.pop_back();
    }
  }

  [[nodiscard]] std::size_t size() const {
    std::size_t count = 0;
    for (auto& part : parts_) {
      const std::lock_guard lock(part.mutex);
      count += part.order.size();
    }
    return count;
  }

 private:
  static constexpr std::size_t parts = 16;
  struct Entry {
    std::string key;
    std::string payload;
    Kept kept;
    Duration ends{};
  };
  struct Part {
    mutable std::mutex mutex;
    std::list<Entry> order;  ///< the one used last first
    std::unordered_map<std::string_view, typename std::list<Entry>::iterator> by_key;
  };

  Part& part_of(std::string_view key) { return parts_[(std::hash<std::string_view>()(key) >> 48) % parts]; }

  std::atomic<std::size_t> most_of_part_;
  std::array<Part, parts> parts_;
};

}  // namespace onceward
