#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace onceward::storage_detail {

/// How one thread waits for others. It may be gone the moment its owner has seen `done`: who finishes it
/// touches nothing of it afterwards but its address, which the kernel may wake in vain. A condition variable
/// could only be notified under the lock, where whom it wakes has to wait again.
class Wake {
 public:
  using Address = std::uint32_t*;  ///< of one to be woken; null: nobody sleeps there

  [[nodiscard]] bool done() const noexcept { return word_.load(std::memory_order_acquire) == is_done; }
  void reset() noexcept { word_.store(quiet, std::memory_order_relaxed); }

  /// Sleeps until finished, or called since the last sleep.
  void sleep() noexcept {
    std::uint32_t expected = quiet;
    if (word_.compare_exchange_strong(expected, asleep)) {
      while (word_.load(std::memory_order_acquire) == asleep) {
        ::syscall(SYS_futex, address(), FUTEX_WAIT_PRIVATE, asleep, nullptr, nullptr, 0);
      }
    }
    expected = called;
    word_.compare_exchange_strong(expected, quiet);
  }

  /// Ends a sleep, which is not the end of the waiting. Only while nobody can finish it.
  [[nodiscard]] Address call() noexcept {
    const auto at = address();
    return word_.exchange(called, std::memory_order_acq_rel) == asleep ? at : nullptr;
  }
  [[nodiscard]] Address finish() noexcept {
    const auto at = address();
    return word_.exchange(is_done, std::memory_order_acq_rel) == asleep ? at : nullptr;
  }
  static void wake(Address at) noexcept {
    if (at != nullptr) ::syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

 private:
  static constexpr std::uint32_t quiet = 0;
  static constexpr std::uint32_t asleep = 1;
  static constexpr std::uint32_t called = 2;
  static constexpr std::uint32_t is_done = 3;
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);

  Address address() noexcept { return reinterpret_cast<Address>(&word_); }

  std::atomic<std::uint32_t> word_{quiet};
};

}  // namespace onceward::storage_detail
