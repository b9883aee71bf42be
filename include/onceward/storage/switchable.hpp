#pragma once
#include <onceward/storage/member.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace onceward {

/// Options of a switchable storage. Processes that share the storages may differ in all but `first`.
struct SwitchOptions {
  /// The primary of storages that were never opened together; empty: the first one named.
  std::string first{};
  Duration refresh = std::chrono::seconds(1);  ///< how often a process asks whether another one has switched
  /// How long a write waits for the new primary's clock to pass the old one's last revision.
  Duration clock_wait = std::chrono::milliseconds(100);
  Duration patience = std::chrono::seconds(5);  ///< how long a call tries while others move its partition
  std::function<void(Duration)> sleep{};        ///< waits for the clock; empty: the thread sleeps
};

/// Where a switchable storage stands. What is not moved yet is read and written all the same.
struct SwitchStatus {
  std::int64_t generation = 0;  ///< grows by one with every switch
  std::string primary;          ///< where partitions are written from now on
  std::string other;            ///< what is drained
};

/// What one step of draining did.
struct DrainReport {
  std::size_t moved = 0;  ///< records
  bool done = false;      ///< the other storage was walked to its end and holds nothing for this generation
};

/// One Storage over two, of which one is the primary: move a running service from one storage to the other,
/// and back, without a stop, a lost record or a key that looks new.
///
/// Each partition has one writable storage at any moment, written down in the partition itself, in both
/// storages. Every batch requires that; a process that has not heard of a switch is refused by the storage
/// and asks again (docs/adr/0011). The first write after a switch closes the partition in the old storage and
/// opens it in the new one; the records it names are moved, the others when they are written or drained.
/// Reads, scans and due see both. A record keeps its value and revision when it is moved; its due time and
/// expiry keep what was left of them. Revisions go on growing per key, for which the new primary's clock must
/// not be behind the old one's: a switch to a clock behind by more than `clock_wait` is refused.
///
/// Both storages are needed until the old one is drained and every process was started without it. All
/// processes must use this class: one that writes a storage directly is not held back. Neither storage may
/// lose what it acknowledged. Keys and values that begin with "~onceward/" and the partition
/// "onceward/switch" are refused with invalid_argument.
/// Errors: those of the storages, their names in the message; timeout after `patience`. A span that spread
/// over both is in_doubt where one failed after the other applied. Safe from any thread and process.
class SwitchableStorage : public Storage {
 public:
  /// Errors: invalid_argument (names, shard counts, other names than were remembered), corrupt (one storage
  /// lost what the other remembers), and those of the storages.
  static Result<std::unique_ptr<SwitchableStorage>> open(StorageMember one, StorageMember two,
                                                         SwitchOptions options = {});

  /// Makes the named storage the primary, for every process. Doing it again changes nothing, and completes
  /// one whose answer was lost. Errors: invalid_argument (no such name), wrong_state (its clock is behind),
  /// in_doubt (one of the storages knows of the switch, the other does not yet: call again).
  virtual Result<void> switch_to(std::string_view name) = 0;

  /// Moves what is left in the other storage, in a step of about `limit` records and partitions looked at
  /// (1 or more). Call until `done`; several processes may. Errors: wrong_state where the other storage
  /// cannot list its partitions (onceward/storage/partitions.hpp): name them to drain_partition then.
  virtual Result<DrainReport> drain(std::size_t limit) = 0;
  /// The same for one partition.
  virtual Result<DrainReport> drain_partition(std::string_view partition, std::size_t limit) = 0;

  /// Asks both storages.
  virtual Result<SwitchStatus> status() = 0;
};

}  // namespace onceward
