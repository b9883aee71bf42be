#pragma once
#include <onceward/storage/switchable.hpp>

#include "storage/decorators/lift.hpp"
#include "storage/decorators/members.hpp"
#include "storage/decorators/switch_marker.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace onceward::storage_detail {

/// The time a call may spend while others move what it is about.
class Patience {
 public:
  explicit Patience(Duration length) : until_(std::chrono::steady_clock::now() + length) {}
  [[nodiscard]] bool spent() const { return std::chrono::steady_clock::now() >= until_; }
  [[nodiscard]] static Error error(std::string_view partition) {
    return {ErrorCode::timeout,
            fmt::format("the partition \"{}\" was moved all the time; nothing was written, try again",
                        partition)};
  }

 private:
  std::chrono::steady_clock::time_point until_;
};

/// A partition's marker and some of its records in one storage, at one moment.
struct Look {
  Timestamp now{};
  Marker marker{};
  std::vector<std::optional<Record>> records{};  ///< as they are stored: is_moved() may hold

  [[nodiscard]] bool same_as(const Look& other) const {
    return marker.revision == other.marker.revision && records == other.records;
  }
};

/// The two storages and the protocol by which a partition goes from one to the other (docs/adr/0011). Every
/// step is one call of a storage that holds only if what it was decided on still stands; a step that comes
/// too late changes nothing, and its caller looks again. Safe from any thread.
class SwitchCore {
 public:
  SwitchCore(std::vector<StorageMember> members, std::vector<Lift> lifts, Side origin,
             std::int64_t generation, const SwitchOptions& options);

  [[nodiscard]] const SwitchOptions& options() const noexcept { return options_; }
  [[nodiscard]] Storage& at(Side side) const { return *members_[side].storage; }
  [[nodiscard]] const std::string& name(Side side) const { return members_[side].name; }
  [[nodiscard]] const Lift& lift(Side side) const { return lifts_[side]; }
  [[nodiscard]] Side origin() const noexcept { return origin_; }
  [[nodiscard]] std::int64_t generation() const noexcept { return generation_; }
  [[nodiscard]] Side primary() const noexcept { return primary_of(generation_, origin_); }
  [[nodiscard]] Error named(Side side, Error error) const {
    return of_member(members_[side].name, std::move(error));
  }

  /// Takes over a later generation, from wherever it was met.
  void adopt(std::int64_t generation);
  /// True where the marker tells of a later generation than the caller goes by: it is taken over, and the
  /// caller has to begin again.
  bool learns_from(const Marker& marker, std::int64_t generation);

  Result<Look> look(Side side, std::string_view partition, std::span<const std::string_view> keys = {});

  /// Closes the partition in the other storage and opens it in `top`, the primary of `generation`, where
  /// `seen` is its marker. Does a part of it, or nothing, where somebody else is at it. Errors: of the
  /// storages (nothing of the caller's happened), wrong_state as unavailable where a clock is behind.
  Result<void> open_partition(std::string_view partition, std::int64_t generation, const Marker& seen);

  static constexpr std::size_t moved_at_once = 64;
  /// Moves up to moved_at_once of the records of `keys` that are in the other storage to `top`. `there` was
  /// looked at before `here`: what was copied in between shows in the marker. Gives how many were moved; none
  /// where somebody else was at it.
  Result<std::size_t> move(Side top, std::string_view partition, std::span<const std::string_view> keys,
                           const Look& there, const Look& here);

  /// Notes that the other storage holds nothing of the partition any more.
  Result<void> mark_whole(Side top, std::string_view partition, const Marker& seen);

  /// The marker last seen in the primary of this generation, for writes to try.
  [[nodiscard]] std::optional<Marker> known(std::int64_t generation, std::string_view partition) const;
  void remember(std::int64_t generation, std::string_view partition, const Marker& marker);

 private:
  /// Writes the partition's marker over `seen`; gives the new revision, absent where another one was there.
  Result<Revision> write_marker(Side side, std::string_view partition, const Marker& seen,
                                Marker::State state, std::int64_t generation);
  /// Waits until the storage's time is later than a revision, so that what it gives from now on is larger.
  /// True where it had to wait.
  Result<bool> pass_revision(Side side, Revision revision, Timestamp now);

  std::vector<StorageMember> members_;
  std::vector<Lift> lifts_;
  Side origin_;
  SwitchOptions options_;
  std::atomic<std::int64_t> generation_;

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  mutable std::mutex mutex_;
  std::int64_t known_generation_ = 0;
  std::unordered_map<std::string, Marker, Hash, std::equal_to<>> known_;
};

/// A step that was to come before the caller's write failed: nothing of the caller's was sent.
[[nodiscard]] inline Error before_write(Error error) {
  if (error.code == ErrorCode::in_doubt) error.code = ErrorCode::unavailable;
  return error;
}

}  // namespace onceward::storage_detail
