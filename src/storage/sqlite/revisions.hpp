#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/storage/record.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace onceward::sqlite::detail {

/// Decides how far the file's `high` has to stand: no revision above it was ever given. It stands 25 ms ahead
/// of the clock, so that most transactions leave its page as it is (adr/0005). A `high` that this writer did
/// not write belongs to another one, who may have given all of it.
class Revisions {
 public:
  static constexpr Duration ahead = std::chrono::milliseconds(25);

  /// At the begin of a transaction that reads `stored`: the largest revision that may have been given.
  [[nodiscard]] Revision begin(Revision stored) noexcept {
    stored_ = stored;
    own_ = stored == written_;
    return own_ ? given_ : stored;
  }

  /// What `high` has to become in a transaction that gave revisions up to `last`; nothing: it may stay. Never
  /// further ahead of the clock than `ahead`, however often writers take turns.
  [[nodiscard]] std::optional<Revision> bound(Revision last, Timestamp now) const noexcept {
    if (own_ && last <= stored_) return std::nullopt;
    return std::max(last, (now + ahead).time_since_epoch().count());
  }

  /// The transaction is committed.
  void committed(Revision last, const std::optional<Revision>& bound) noexcept {
    given_ = last;
    written_ = bound.value_or(stored_);
  }
  /// Its end is not known: what stands in the file counts as another's.
  void failed() noexcept { written_ = absent; }

 private:
  Revision stored_ = absent;   ///< in this transaction
  Revision written_ = absent;  ///< by this writer, the last time
  Revision given_ = absent;
  bool own_ = false;
};

}  // namespace onceward::sqlite::detail
