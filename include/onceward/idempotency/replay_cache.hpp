#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/key_table.hpp>
#include <onceward/storage/record.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace onceward {

namespace guard_detail {
/// Time since the machine started, its sleeps included: what a deadline is kept by that no setting of a clock
/// and no suspended machine may lengthen.
[[nodiscard]] Duration since_boot() noexcept;
}  // namespace guard_detail

/// Results of guarded calls that this process saw ended, by key, with the payloads they belong to: the least
/// recently used ones go first. A large one is divided, so that threads seldom wait for each other, and what
/// goes is then the least recently used of a part. Any thread.
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

  explicit ReplayCache(std::size_t most) : most_(most) {}

  /// `most` may change while calls run; what is too much goes with the next entries.
  void resize(std::size_t most) {
    const auto before = most_.exchange(most, std::memory_order_relaxed);
    if ((before < least_divided) == (most < least_divided)) return;
    for (auto& part : parts_) {  // keys change their parts
      const std::lock_guard lock(part.mutex);
      part.shrink_to(0);
    }
  }

  /// Whether `use(kept)` said so of the key's result; false where it is not here, or is past its time.
  template <class Use>
  bool find(std::string_view key, const Use& use) {
    const auto hash = core_detail::KeyTable<Entry>::hash_of(key);
    auto& part = parts_[part_of(hash, most_.load(std::memory_order_relaxed))];
    const std::lock_guard lock(part.mutex);
    auto* const entry = part.entries.find(hash, key);
    if (entry == nullptr) return false;
    if (guard_detail::since_boot() >= entry->kept.ends) {
      part.erase(*entry);
      return false;
    }
    part.use(*entry);
    return use(std::as_const(entry->kept));
  }

  void put(std::string_view key, Kept kept) {
    const auto hash = core_detail::KeyTable<Entry>::hash_of(key);
    const auto most = most_.load(std::memory_order_relaxed);
    const auto place = part_of(hash, most);
    auto entry = std::make_unique<Entry>(Entry{std::move(kept), hash, std::string(key)});
    auto& part = parts_[place];
    const std::lock_guard lock(part.mutex);
    if (auto* const before = part.entries.find(hash, key)) part.erase(*before);
    part.add(std::move(entry));
    part.shrink_to(most < least_divided ? most : most / parts + (place < most % parts ? 1 : 0));
  }

  [[nodiscard]] std::size_t size() const {
    std::size_t count = 0;
    for (const auto& part : parts_) {
      const std::lock_guard lock(part.mutex);
      count += part.entries.size();
    }
    return count;
  }

 private:
  static constexpr std::size_t parts = 16;
  static constexpr std::size_t least_divided = 1024;  ///< below, one part has all: it goes by use exactly

  /// By bits of the hash that a small table does not look at.
  [[nodiscard]] static std::size_t part_of(std::uint64_t hash, std::size_t most) noexcept {
    return most < least_divided ? 0 : (hash >> 48) % parts;
  }

  struct Entry {
    Kept kept;
    std::uint64_t hash;
    std::string text;
    Entry* newer = nullptr;
    Entry* older = nullptr;
    [[nodiscard]] std::string_view key() const noexcept { return text; }
  };
  struct Part {
    void add(std::unique_ptr<Entry> entry) { link(entries.insert(std::move(entry))); }
    void erase(Entry& entry) noexcept {
      unlink(entry);
      entries.erase(entry);
    }
    void link(Entry& entry) noexcept {
      entry.newer = nullptr;
      entry.older = newest;
      (newest == nullptr ? oldest : newest->newer) = &entry;
      newest = &entry;
    }
    void unlink(Entry& entry) noexcept {
      (entry.newer == nullptr ? newest : entry.newer->older) = entry.older;
      (entry.older == nullptr ? oldest : entry.older->newer) = entry.newer;
    }
    void use(Entry& entry) noexcept {
      if (&entry == newest) return;
      unlink(entry);
      link(entry);
    }
    void shrink_to(std::size_t most) noexcept {
      while (entries.size() > most) erase(*oldest);
    }

    mutable std::mutex mutex;
    core_detail::KeyTable<Entry> entries;
    Entry* newest = nullptr;  ///< the one used last
    Entry* oldest = nullptr;
  };

  std::atomic<std::size_t> most_;
  std::array<Part, parts> parts_;
};

}  // namespace onceward
