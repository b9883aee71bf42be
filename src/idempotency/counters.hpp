#pragma once
#include <onceward/idempotency/guards.hpp>

#include <atomic>
#include <mutex>

namespace onceward::guard_detail {

/// The calls of one operation, counted.
class Counters {
 public:
  void count(CallEnd end) noexcept {
    ended_[static_cast<std::size_t>(end)].fetch_add(1, std::memory_order_relaxed);
  }
  /// One that was counted turned out to have ended otherwise.
  void recount(CallEnd counted, CallEnd end) noexcept {
    count(end);
    ended_[static_cast<std::size_t>(counted)].fetch_sub(1, std::memory_order_relaxed);
  }
  [[nodiscard]] CallFigures figures() const noexcept;

 private:
  std::array<std::atomic<std::uint64_t>, call_ends> ended_{};
};

/// Those of all operations. What it hands out lives as long as it does.
class CounterBook {
 public:
  [[nodiscard]] Counters& of(std::string_view operation);
  [[nodiscard]] CallFigures figures(std::string_view operation) const;
  [[nodiscard]] std::map<std::string, CallFigures> figures() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Counters, std::less<>> counters_;
};

/// How a call ended whose work ended so and was stored with this completion.
[[nodiscard]] CallEnd end_of(const Completion& completion, CallEnd end) noexcept;
/// How a call ended that ran nothing.
[[nodiscard]] CallEnd end_of(Verdict verdict) noexcept;

}  // namespace onceward::guard_detail
