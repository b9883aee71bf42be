#pragma once
#include <onceward/storage/storage.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <string>

namespace onceward {

/// One call of a storage, as an observer hears of it.
struct StorageCall {
  enum class Kind : std::uint8_t { commit, read, scan, due };
  static constexpr std::size_t kinds = 4;

  Kind kind = Kind::commit;
  std::size_t items = 0;    ///< batches sent, records asked for; of a scan or due the records found
  std::size_t refused = 0;  ///< batches
  std::chrono::nanoseconds took{};
  std::optional<ErrorCode> error{};
};

/// Hears of every call, on the caller's thread, after it ended. Must be safe from any thread, and quick.
class StorageObserver {
 public:
  virtual ~StorageObserver() = default;
  virtual void called(const StorageCall& call) noexcept = 0;

 protected:
  StorageObserver() = default;
  StorageObserver(const StorageObserver&) = default;
  StorageObserver& operator=(const StorageObserver&) = default;
};

/// `inner`, with an observer that hears of every call. Answers and errors pass through as they are. Neither
/// may be null. Errors: invalid_argument.
Result<std::unique_ptr<Storage>> observe(std::shared_ptr<Storage> inner,
                                         std::shared_ptr<StorageObserver> observer);

/// An observer that counts. Reading it while calls go on gives figures of about the same moment.
class StorageMetrics final : public StorageObserver {
 public:
  /// Latencies by powers of two: bucket i holds calls of less than 2^i microseconds (and not of the one
  /// before); the last one all that took longer (about 8 s and more).
  static constexpr std::size_t buckets = 25;

  struct Figures {
    std::uint64_t calls = 0;
    std::uint64_t items = 0;
    std::uint64_t refused = 0;
    std::uint64_t failed = 0;
    std::array<std::uint64_t, error_codes> errors{};  ///< by ErrorCode
    std::array<std::uint64_t, buckets> latencies{};

    /// The upper bound of the bucket in which this part (0..1) of the calls ended; 0 where there were none.
    [[nodiscard]] std::chrono::microseconds quantile(double part) const noexcept;
  };

  void called(const StorageCall& call) noexcept override;
  [[nodiscard]] Figures figures(StorageCall::Kind kind) const noexcept;
  /// A table for people, a line for each kind of call: calls, items, refused, failed, p50, p99, and the
  /// errors by name.
  [[nodiscard]] std::string table() const;

 private:
  struct Counters {
    std::atomic<std::uint64_t> items = 0;
    std::atomic<std::uint64_t> refused = 0;
    std::array<std::atomic<std::uint64_t>, error_codes> errors{};
    std::array<std::atomic<std::uint64_t>, buckets> latencies{};
  };
  std::array<Counters, StorageCall::kinds> counters_;
};

}  // namespace onceward
