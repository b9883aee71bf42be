#pragma once
#include <onceward/storage/member.hpp>

#include <vector>

namespace onceward {

/// Spreads the partitions over several storages: more servers, one Storage. Each partition has one place, by
/// rendezvous hashing of its name with the members' names. Every member remembers the names of all, and its
/// own, so that a forgotten, added, wiped or swapped member is refused and not written beside.
///
/// commit sends a span's batches to their members one after the other, batches of a partition in their order.
/// Where a member fails after another one has applied a batch, the answer is in_doubt: read back. Any other
/// error keeps its meaning, nothing was applied. A batch that lies on one member alone loses nothing by it.
/// read, scan and due are as of one storage; due needs every member. Shard s is shard s of every member; all
/// have the same count. `now` is the smallest of the members asked, so that no lease seems to have ended
/// before it has on its own storage. Where a member's clock was behind by more than 100 ms when the storage
/// was opened, its times (now, due, expires) are shown later by as much: what is left of a lease is exact,
/// time does not run back between partitions; revisions stay those of the member.
/// Errors: those of the members, their names in the message. Safe from any thread.
///
/// open: invalid_argument (no members, more than most_sharded_members, a wrong or repeated name, different
/// shard counts, other names than those remembered), corrupt (a member that lost what the others remember).
inline constexpr std::size_t most_sharded_members = 64;
Result<std::unique_ptr<Storage>> open_sharded(std::vector<StorageMember> members);

}  // namespace onceward
