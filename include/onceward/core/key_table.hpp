#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace onceward::core_detail {

/// Owns entries and finds them by key: open addressing with linear probing (Knuth, The Art of Computer
/// Programming 6.4, algorithms L and R), with the hashes beside the pointers, so that growing and most of a
/// search do not touch the entries. An Entry has `hash` and `key()`. Not safe between threads.
template <class Entry>
class KeyTable {
 public:
  [[nodiscard]] static std::uint64_t hash_of(std::string_view key) noexcept {
    return std::hash<std::string_view>()(key);
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

  /// Asks for the memory where a search begins: of several searches one waits for all.
  void prefetch(std::uint64_t hash) const noexcept {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & mask()]);
  }
  /// Null where there is none.
  [[nodiscard]] Entry* find(std::uint64_t hash, std::string_view key) const noexcept {
    if (slots_.empty()) return nullptr;
    for (auto place = hash & mask(); slots_[place].entry; place = (place + 1) & mask()) {
      const auto& slot = slots_[place];
      if (slot.hash == hash && slot.entry->key() == key) return slot.entry.get();
    }
    return nullptr;
  }
  /// Every entry, in no order.
  template <class Visit>
  void each(const Visit& visit) const {
    for (const auto& slot : slots_) {
      if (slot.entry) visit(*slot.entry);
    }
  }
  /// One whose key is not there.
  Entry& insert(std::unique_ptr<Entry> entry) {
    if ((count_ + 1) * 3 > slots_.size() * 2) grow();
    auto& added = *entry;
    place({added.hash, std::move(entry)});
    ++count_;
    return added;
  }
  /// One that is there.
  void erase(const Entry& entry) noexcept {
    auto hole = entry.hash & mask();
    while (slots_[hole].entry.get() != &entry) hole = (hole + 1) & mask();
    slots_[hole].entry.reset();
    --count_;
    // What stands behind it, and is found by passing it, moves up.
    for (auto next = (hole + 1) & mask(); slots_[next].entry; next = (next + 1) & mask()) {
      const auto wanted = slots_[next].hash & mask();
      if (((next - wanted) & mask()) < ((next - hole) & mask())) continue;
      slots_[hole] = std::move(slots_[next]);
      hole = next;
    }
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::unique_ptr<Entry> entry{};
  };
  static constexpr std::size_t first_size = 4;

  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }
  void place(Slot slot) noexcept {
    auto place = slot.hash & mask();
    while (slots_[place].entry) place = (place + 1) & mask();
    slots_[place] = std::move(slot);
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? first_size : slots_.size() * 2);
    std::swap(old, slots_);
    for (auto& slot : old) {
      if (slot.entry) place(std::move(slot));
    }
  }

  std::vector<Slot> slots_;  ///< a power of two of them, or none
  std::size_t count_ = 0;
};

}  // namespace onceward::core_detail
