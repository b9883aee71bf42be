#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/storage/record.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace onceward {

namespace guard_detail {
/// Time since the machine started, its sleeps included: what a deadline is kept by that no setting of a clock
/// and no suspended machine may lengthen.
[[nodiscard]] Duration since_boot() noexcept;
}  // namespace guard_detail

/// Results of guarded calls that this process saw ended, by key, with the payloads they belong to: the least
/// recently used ones go first. Any thread.
template <class Content, class Payload>
class ReplayCache {
 public:
  struct Kept {
    Content content;
    Payload payload;
    int attempt = 0;
    Revision fence = absent;
    Duration ends{};  ///< as since_boot()
  };

  explicit ReplayCache(std::size_t most) : most_of_part_((most + parts - 1) / parts) {}

  /// `most` may change while calls run; what is too much goes with the next entries.
  void resize(std::size_t most) noexcept {
    most_of_part_.store((most + parts - 1) / parts, std::memory_order_relaxed);
  }

  /// Whether `use(kept)` said so of the key's result; false where it is not here, or is past its time.
  template <class Use>
  bool find(std::string_view key, const Use& use) {
    const Name name(key);
    auto& part = parts_[name.part()];
    const std::lock_guard lock(part.mutex);
    const auto found = part.by_key.find(name);
    if (found == part.by_key.end()) return false;
    const auto entry = found->second;
    if (guard_detail::since_boot() >= entry->kept.ends) {
      part.by_key.erase(found);
      part.order.erase(entry);
      return false;
    }
    if (entry != part.order.begin()) part.order.splice(part.order.begin(), part.order, entry);
    return use(std::as_const(entry->kept));
  }

  void put(std::string_view key, Kept kept) {
    const Name name(key);
    auto& part = parts_[name.part()];
    const std::lock_guard lock(part.mutex);
    if (const auto found = part.by_key.find(name); found != part.by_key.end()) {
      const auto entry = found->second;
      part.by_key.erase(found);
      part.order.erase(entry);
    }
    part.order.push_front({std::string(key), std::move(kept)});
    part.by_key.emplace(Name(part.order.front().key, name.hash), part.order.begin());
    while (part.order.size() > most_of_part_.load(std::memory_order_relaxed)) {
      part.by_key.erase(Name(part.order.back().key));
      part.order.pop_back();
    }
  }

  [[nodiscard]] std::size_t size() const {
    std::size_t count = 0;
    for (const auto& part : parts_) {
      const std::lock_guard lock(part.mutex);
      count += part.order.size();
    }
    return count;
  }

 private:
  static constexpr std::size_t parts = 16;
  struct Name {
    explicit Name(std::string_view key) noexcept : Name(key, std::hash<std::string_view>()(key)) {}
    Name(std::string_view key, std::size_t known) noexcept : text(key), hash(known) {}
    /// Of bits that a small table does not look at.
    [[nodiscard]] std::size_t part() const noexcept { return (hash >> 48) % parts; }
    friend bool operator==(const Name& a, const Name& b) noexcept { return a.text == b.text; }
    std::string_view text;
    std::size_t hash;
  };
  struct HashOfName {
    std::size_t operator()(const Name& name) const noexcept { return name.hash; }
  };
  struct Entry {
    std::string key;
    Kept kept;
  };
  struct Part {
    mutable std::mutex mutex;
    std::list<Entry> order;  ///< the one used last first
    std::unordered_map<Name, typename std::list<Entry>::iterator, HashOfName> by_key;
  };

  std::atomic<std::size_t> most_of_part_;
  std::array<Part, parts> parts_;
};

}  // namespace onceward
