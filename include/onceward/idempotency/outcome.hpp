#pragma once
#include <onceward/core/result.hpp>
#include <onceward/idempotency/completion.hpp>
#include <onceward/storage/record.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace onceward {

/// Thrown for a duplicate where the policy says OnDuplicate::raise.
class DuplicateCall : public std::runtime_error {
 public:
  explicit DuplicateCall(Verdict verdict)
      : std::runtime_error("a duplicate of a guarded call: " + std::string(to_string(verdict))),
        verdict_(verdict) {}
  [[nodiscard]] Verdict verdict() const noexcept { return verdict_; }

 private:
  Verdict verdict_;
};

/// The answer of a guarded call: a verdict, and the result or the error where there is one. A plain value.
template <class T>
class Outcome {
 public:
  using Content = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  explicit Outcome(Verdict verdict) noexcept : verdict_(verdict) {}

  [[nodiscard]] Verdict verdict() const noexcept { return verdict_; }
  /// True where there is a result: of this run, or of the one replayed.
  [[nodiscard]] bool has_value() const noexcept { return content_.has_value(); }
  /// The result. Throws std::logic_error naming the verdict or the error where there is none.
  [[nodiscard]] const Content& value() const& {
    if (content_) return *content_;
    throw std::logic_error("a guarded call without a result: " + std::string(to_string(verdict_)) +
                           (error_ ? ": " + describe(*error_) : std::string()));
  }
  /// Moves the result out. Throws as value() const.
  [[nodiscard]] Content value() && {
    (void)std::as_const(*this).value();
    return *std::move(content_);
  }
  /// The handler's own error (now, or the stored final one), or what the storage said.
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  /// Which try of this key this is or was; 0 where it is not known.
  [[nodiscard]] int attempt() const noexcept { return attempt_; }
  /// Grows with every claim of the key: a downstream that keeps the largest one refuses a late writer.
  [[nodiscard]] Revision fence() const noexcept { return fence_; }
  /// When to ask again, after in_progress.
  [[nodiscard]] Duration retry_after() const noexcept { return retry_after_; }
  /// False where the handler ran but its result could not be stored in time: the claim stands until its lease
  /// ends, and a call after that runs the handler again. With Guards it is stored in the background as soon
  /// as the storage is back. False, too, where the result was posted: acknowledgement() tells the rest.
  [[nodiscard]] bool recorded() const noexcept { return recorded_; }
  /// Valid where the result was posted, or is stored in the background.
  [[nodiscard]] const Acknowledgement& acknowledgement() const noexcept { return acknowledgement_; }

  Outcome& with_value(Content content) {
    content_ = std::move(content);
    return *this;
  }
  Outcome& with_error(std::optional<Error> error) {
    error_ = std::move(error);
    return *this;
  }
  Outcome& with_claim(int attempt, Revision fence, Duration retry_after = {}) noexcept {
    attempt_ = attempt, fence_ = fence, retry_after_ = retry_after;
    return *this;
  }
  Outcome& with_recorded(bool recorded, Acknowledgement acknowledgement = {}) noexcept {
    recorded_ = recorded;
    acknowledgement_ = std::move(acknowledgement);
    return *this;
  }

 private:
  Verdict verdict_;
  bool recorded_ = true;
  int attempt_ = 0;
  Revision fence_ = absent;
  Duration retry_after_{};
  std::optional<Content> content_{};
  std::optional<Error> error_{};
  Acknowledgement acknowledgement_{};
};

}  // namespace onceward
