#pragma once
#include "crash.hpp"

#include <onceward/core/result.hpp>
#include <onceward/storage/storage.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace loyalty {

/// What the points service or the coupon service was asked to do, once for each token.
struct Effect {
  std::string token;
  std::string user;
  std::string task;
  std::string cycle;
  std::int64_t stage = 1;
  std::string step;
  std::string value;  ///< the points, or the coupon's code

  friend bool operator==(const Effect&, const Effect&) = default;
};

/// The stand-in for a remote downstream: a database of its own with one row per token. A second call with a
/// token has no second effect. Effects of calls close together share a transaction, which flush() makes
/// durable; FlushFirstStorage calls it before the task centre records anything. Safe from any thread.
class Business {
 public:
  /// Opens or creates a file, or ":memory:". Errors: as the storage's; the message names the file.
  static onceward::Result<std::unique_ptr<Business>> open(const std::string& path, CrashPoints& points);
  ~Business();  ///< what was not flushed is lost, as by a crash
  Business(const Business&) = delete;
  Business& operator=(const Business&) = delete;

  /// True where the effect takes place now, false where its token had come before: nothing happens then.
  /// Errors: conflict (the token came with another content), unavailable, timeout, exhausted, corrupt.
  onceward::Result<bool> apply(const Effect& effect);
  /// All of them or none. Answers how many take place now. Errors: as apply.
  onceward::Result<std::size_t> apply_many(std::span<const Effect> effects);
  /// What was applied is on the disk when this returns. After a failure nothing more is taken, since callers
  /// may believe what was lost with the transaction. Errors: unavailable, exhausted.
  onceward::Result<void> flush();

  /// Calls `visit` for every effect, by user, task, cycle, stage and step, in bounded memory.
  /// Errors: the first one of `visit`, unavailable.
  onceward::Result<void> each_sorted(const std::function<onceward::Result<void>(const Effect&)>& visit);

 private:
  struct State;
  explicit Business(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

/// Makes the downstream's answers durable before the task centre writes anything, so that no record ever says
/// "done" of an effect that a crash could still take back.
class FlushFirstStorage final : public onceward::Storage {
 public:
  FlushFirstStorage(onceward::Storage& inner, Business& business) noexcept
      : inner_(inner), business_(business) {}

  onceward::Result<onceward::CommitAnswer> commit(std::span<const onceward::Batch> batches) override;
  onceward::Result<onceward::ReadAnswer> read(std::span<const onceward::RecordRef> records) override;
  onceward::Result<onceward::ScanPage> scan(std::string_view partition, std::string_view prefix,
                                            std::string_view cursor, std::size_t limit) override;
  onceward::Result<onceward::DuePage> due(std::span<const onceward::Shard> shards,
                                          std::size_t limit) override;
  [[nodiscard]] onceward::Shard shard_count() const noexcept override;

 private:
  onceward::Storage& inner_;
  Business& business_;
};

}  // namespace loyalty
