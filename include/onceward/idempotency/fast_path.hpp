#pragma once
#include <onceward/idempotency/guard.hpp>
#include <onceward/storage/storage.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace onceward {

struct FastPathOptions {
  /// How long a caller at work is believed there: who asks later goes to the database, and meets it there. It
  /// bounds what a caller that died, or an outcome that could not be told, costs the next one. > 0
  Duration lease = std::chrono::seconds(1);
  /// How long an outcome is kept there at most; never past its retention in the database. >= lease
  Duration retention = std::chrono::hours(24);
  /// For how long it is not asked after an error: callers then go to the database at once. > 0
  Duration rest = std::chrono::seconds(1);
};

/// A fast storage (Redis) that hybrid() asks before the database. It only saves ways: what it forgets, or
/// where it is away, costs the way to the database and nothing else. It is opened by the first call, anew
/// where its data vanished (FLUSHALL), and left alone for a while after an error. Its own timeout is what a
/// call loses when it goes away: make it short (`redis://host?timeout_ms=50`). Any thread; must outlive what
/// hybrid() made.
class FastPath {
 public:
  /// Throws std::invalid_argument for options out of their range, or no `open`.
  explicit FastPath(std::function<Result<std::unique_ptr<Storage>>()> open, FastPathOptions options = {});

  [[nodiscard]] const FastPathOptions& options() const noexcept { return options_; }
  /// The storage, opened where it is not; null where it must not be asked now.
  [[nodiscard]] std::shared_ptr<Storage> storage();
  /// Why it is not asked, or was not lately; empty where nothing ever went wrong.
  [[nodiscard]] std::optional<Error> last_error() const;
  /// Says that a call to this storage failed so.
  void failed(const std::shared_ptr<Storage>& storage, const Error& error);

 private:
  using Steady = std::chrono::steady_clock;

  const std::function<Result<std::unique_ptr<Storage>>()> open_;
  const FastPathOptions options_;
  mutable std::mutex mutex_;
  std::shared_ptr<Storage> storage_;
  bool opening_ = false;
  Steady::time_point rests_until_ = Steady::time_point::min();
  std::optional<Error> last_error_;
};

namespace guard_detail {

/// A call's dealings with a fast path: nothing where there is none.
class FastClaim {
 public:
  FastClaim() noexcept = default;
  FastClaim(FastPath& path, std::string_view key, std::shared_ptr<const Policy> policy,
            std::string_view fingerprint, std::stop_token stop);
  /// Gives the key back where nothing was told: the next call asks the database again.
  ~FastClaim();
  FastClaim(const FastClaim&) = delete;
  FastClaim& operator=(const FastClaim&) = delete;

  /// The guard that knows the outcome, or that another caller is at work; null: the database must be asked.
  [[nodiscard]] const Guard* answer() const noexcept;
  /// What the database knows for `left` longer, counted from when this was made. After COMMIT only.
  void tell_result(int attempt, Revision fence, std::string_view json, Duration left) noexcept;
  void tell_error(int attempt, Revision fence, const Error& error, Duration left) noexcept;

 private:
  struct Ended;
  void tell(const Ended& ended);

  FastPath* path_ = nullptr;
  std::chrono::steady_clock::time_point began_{};
  std::shared_ptr<Storage> storage_;
  std::optional<Guard> guard_;
};

/// The policy of claims in a fast path, of a guarded call's own.
[[nodiscard]] std::shared_ptr<const Policy> fast_policy(const Policy& policy, const FastPathOptions& options);

}  // namespace guard_detail
}  // namespace onceward
