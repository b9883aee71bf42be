#pragma once
#include <onceward/core/result.hpp>
#include <onceward/storage/storage.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace loyalty {

/// Moments at which a test may have the process killed.
enum class CrashPoint : std::uint8_t {
  commit_before,
  commit_after,
  read_before,
  read_after,
  business_before,
  business_after,
  publish_after,
  ledger_before,
  ledger_written,
  ledger_renamed,
};

/// Where to die: the `nth` time the point is reached. No point: never.
struct CrashAt {
  std::optional<CrashPoint> point{};
  std::int64_t nth = 1;
};

/// Reads "commit.after" or "commit.after:12". Errors: invalid_argument, listing the points.
onceward::Result<CrashAt> parse_crash_at(std::string_view text);
/// "commit.before, commit.after, ..."
[[nodiscard]] std::string crash_point_names();

/// Kills the process, as `kill -9` does, when the chosen moment comes. Safe from any thread.
class CrashPoints {
 public:
  explicit CrashPoints(CrashAt at) noexcept : at_(at), left_(at.nth) {}

  void reached(CrashPoint point) noexcept {
    if (at_.point == point && left_.fetch_sub(1, std::memory_order_relaxed) == 1) die();
  }

 private:
  [[noreturn]] static void die() noexcept;

  CrashAt at_;
  std::atomic<std::int64_t> left_;
};

/// Passes every call on, with crash points around commits and reads.
class CrashingStorage final : public onceward::Storage {
 public:
  CrashingStorage(onceward::Storage& inner, CrashPoints& points) noexcept : inner_(inner), points_(points) {}

  onceward::Result<onceward::CommitAnswer> commit(std::span<const onceward::Batch> batches) override;
  onceward::Result<onceward::ReadAnswer> read(std::span<const onceward::RecordRef> records) override;
  onceward::Result<onceward::ScanPage> scan(std::string_view partition, std::string_view prefix,
                                            std::string_view cursor, std::size_t limit) override;
  onceward::Result<onceward::DuePage> due(std::span<const onceward::Shard> shards,
                                          std::size_t limit) override;
  [[nodiscard]] onceward::Shard shard_count() const noexcept override;

 private:
  onceward::Storage& inner_;
  CrashPoints& points_;
};

}  // namespace loyalty
