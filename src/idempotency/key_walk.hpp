#pragma once
#include <onceward/idempotency/operator.hpp>

#include "idempotency/key_record.hpp"

// The keys of an operation, one partition after the other.
namespace onceward::guard_detail {

inline constexpr std::size_t keys_at_once = 256;

/// Errors: invalid_argument.
Result<void> check_operation(std::string_view operation);

[[nodiscard]] KeyView view_of(std::string_view operation, const Record& record, Timestamp now);

class KeyWalk {
 public:
  /// `cursor`: of an earlier walk; empty: from the start. Errors: invalid_argument.
  static Result<KeyWalk> from(std::string_view operation, std::string_view cursor);

  [[nodiscard]] bool ended() const noexcept;
  /// Where the next records come from.
  [[nodiscard]] std::string partition() const;
  /// Up to `most` (1..1000) further records of one partition, in one round trip; perhaps none.
  Result<std::vector<Record>> next(Storage& storage, std::size_t most);
  /// The storage's time of the last round trip.
  [[nodiscard]] Timestamp now() const noexcept { return now_; }
  /// Goes on from here; empty at the end.
  [[nodiscard]] std::string cursor() const;
  /// Goes on behind this record of the last round trip.
  [[nodiscard]] std::string cursor_behind(std::string_view key) const;

 private:
  explicit KeyWalk(std::string_view operation) : operation_(operation) {}

  std::string operation_;
  unsigned place_ = 0;       ///< of the partition
  std::string behind_{};     ///< the scan's cursor in it
  unsigned last_place_ = 0;  ///< where the last round trip was
  Timestamp now_{};
};

}  // namespace onceward::guard_detail
