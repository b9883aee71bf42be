#pragma once
#include <onceward/storage/record.hpp>

#include <stop_token>
#include <string>
#include <string_view>

namespace onceward {

/// What a handler may know of the call it serves: a handler that takes an `Attempt&` after its arguments gets
/// one. Valid during the handler's call; for one thread at a time.
class Attempt {
 public:
  /// Which try of this key it is, from 1.
  [[nodiscard]] int number() const noexcept { return number_; }
  /// Grows with every claim of the key. Write it with your rows and refuse a smaller one than is there: an
  /// owner that was paused beyond its lease then does no harm.
  [[nodiscard]] Revision fence() const noexcept { return fence_; }
  /// The call's own key.
  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  /// A key for what this call asks of others ("charge"): 32 hexadecimal digits, equal on every attempt, on
  /// every machine, and different for every operation, key and name.
  [[nodiscard]] std::string child_key(std::string_view name) const;
  /// Says that from here on an exception, or a returned error whose code is retryable, may leave an effect
  /// behind: it is in doubt then, and before this call retryable. Policy::classify, where there is one,
  /// decides about returned errors all the same.
  void effects_started() noexcept { effects_started_ = true; }
  [[nodiscard]] bool have_effects_started() const noexcept { return effects_started_; }
  /// Stopped where the lease could not be renewed in time or another caller holds the key: what is not done
  /// yet should be left undone. Only with Policy::auto_renew. A std::stop_callback on it runs on the thread
  /// of the Guards: it may call them, and must be quick.
  [[nodiscard]] const std::stop_token& lost() const noexcept { return lost_; }

  Attempt(std::string_view operation, std::string_view key, int number, Revision fence,
          std::stop_token lost = {}) noexcept
      : operation_(operation), key_(key), number_(number), fence_(fence), lost_(std::move(lost)) {}

 private:
  std::string_view operation_, key_;
  int number_;
  Revision fence_;
  std::stop_token lost_;
  bool effects_started_ = false;
};

/// As Attempt::child_key, for the RAII form and for whoever knows operation and key.
[[nodiscard]] std::string child_key(std::string_view operation, std::string_view key, std::string_view name);

}  // namespace onceward
