#pragma once
#include <onceward/core/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <unordered_map>

namespace onceward::guard_detail {

/// Who waits in this process for a key's owner to end, so that the end itself wakes them. Who waits for an
/// owner elsewhere asks the storage now and then.
class Waiters {
 public:
  /// One caller that waits on its own thread. Signed up as long as it lives, so that no end is missed in
  /// between two looks.
  class Waiter {
   public:
    Waiter(Waiters& all, std::string_view partition, std::string_view key);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Until the owner ends, for this long at most. True where the caller was stopped.
    bool wait(Duration length, const std::stop_token& stop);

   private:
    friend class Waiters;
    Waiters& all_;
    std::uint64_t key_;
    std::condition_variable_any ended_;
    bool has_ended_ = false;
  };

  void ended(std::string_view partition, std::string_view key);
  [[nodiscard]] bool any() const noexcept { return count_.load(std::memory_order_seq_cst) != 0; }

 private:
  std::atomic<std::size_t> count_{0};
  std::mutex mutex_;
  std::unordered_multimap<std::uint64_t, Waiter*> waiting_;
};

[[nodiscard]] std::uint64_t hash_of_key(std::string_view partition, std::string_view key) noexcept;

}  // namespace onceward::guard_detail
