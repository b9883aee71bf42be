#pragma once
#include <onceward/idempotency/guard_access.hpp>
#include <onceward/idempotency/guards.hpp>

#include <coroutine>

// Claims and ends that suspend a coroutine instead of blocking its thread. The keeper's thread makes the
// storage calls of all that wait in shared rounds; who waited goes on where handlers run
// (GuardsOptions::executor).
namespace onceward::guard_detail {

class ClaimJob;

/// `co_await` one: a Result<Guard>, as Guard::claim.
class AsyncClaim {
 public:
  AsyncClaim(Guards& guards, std::string_view key, std::shared_ptr<const Policy> policy, Counters* counters,
             std::string_view fingerprint, std::stop_token stop);
  AsyncClaim(const AsyncClaim&) = delete;
  AsyncClaim& operator=(const AsyncClaim&) = delete;
  ~AsyncClaim();

  bool await_ready() const noexcept { return false; }
  /// False where it is answered already.
  bool await_suspend(std::coroutine_handle<> waiting);
  Result<Guard> await_resume();

 private:
  std::unique_ptr<ClaimJob> job_;
};

/// How the work of a guard ended.
struct AsyncEnding {
  enum class Kind : std::uint8_t { done, failed, unstored, in_doubt, released } kind = Kind::done;
  std::string json{};            ///< of done
  std::optional<Error> error{};  ///< of failed, unstored and in_doubt
};

/// `co_await` one: the Completion. A posted one is answered at once.
class AsyncFinish {
 public:
  AsyncFinish(Guard& guard, AsyncEnding ending);
  AsyncFinish(const AsyncFinish&) = delete;
  AsyncFinish& operator=(const AsyncFinish&) = delete;
  ~AsyncFinish();

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting);
  Completion await_resume();

 private:
  std::shared_ptr<Claim> claim_;
  AsyncEnding ending_;
  Completion completion_{};
};

}  // namespace onceward::guard_detail
