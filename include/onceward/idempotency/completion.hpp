#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/core/error.hpp>
#include <onceward/idempotency/verdict.hpp>

#include <memory>
#include <optional>

namespace onceward {

struct Completion;

namespace guard_detail {
struct Posted;
}

/// The answer to a posted completion, when there is one. A handle: copies speak of the same completion.
/// Safe from any thread; may outlive the Guards.
class Acknowledgement {
 public:
  Acknowledgement() noexcept = default;
  explicit Acknowledgement(std::shared_ptr<guard_detail::Posted> posted) noexcept
      : posted_(std::move(posted)) {}

  /// False where nothing was posted: the completion itself is the answer.
  [[nodiscard]] bool valid() const noexcept { return posted_ != nullptr; }
  [[nodiscard]] bool ready() const noexcept;
  /// Waits for the storage's answer, as long as it takes: Policy::record_limit where the storage is away.
  /// Throws std::logic_error where nothing was posted.
  [[nodiscard]] Completion wait() const;
  /// Waits no longer than this; empty where there is no answer yet.
  [[nodiscard]] std::optional<Completion> wait_for(Duration limit) const;

 private:
  std::shared_ptr<guard_detail::Posted> posted_;
};

/// How a completion ended.
struct Completion {
  /// executed, lease_lost, result_unavailable (it cannot be stored), in_doubt (said so by leave_in_doubt); of
  /// a guard that was not acquired, its own.
  Verdict verdict = Verdict::executed;
  /// False where it is not stored (yet): the storage stayed away for Policy::record_limit, or it was posted.
  bool recorded = true;
  std::optional<Error> error{};       ///< what kept it from being recorded; wrong_state: nothing was held
  Acknowledgement acknowledgement{};  ///< of a posted completion, or one that is repeated in the background
};

}  // namespace onceward
