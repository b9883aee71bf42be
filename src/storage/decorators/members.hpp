#pragma once
#include <onceward/storage/member.hpp>

#include <onceward/core/digest.hpp>

#include <algorithm>
#include <fmt/format.h>
#include <vector>

// What the decorators of several storages share.
namespace onceward::storage_detail {

/// Errors: invalid_argument for a name that is empty, too long or not of [a-z0-9._-], or that comes twice, a
/// member without a storage, and for different shard counts.
Result<void> check_members(const std::vector<StorageMember>& members);

/// The error of a member, with its name in front.
[[nodiscard]] inline Error of_member(std::string_view name, Error error) {
  error.message = fmt::format("storage \"{}\": {}", name, error.message);
  return error;
}

/// What a span's error is once another part of the span has been applied: "nothing happened" is no longer
/// true, so that the caller must read back.
[[nodiscard]] inline Error after_applied(Error error) {
  error.message =
      fmt::format("a part of the span was applied, the rest was not: read back ({})", describe(error));
  error.code = ErrorCode::in_doubt;
  return error;
}

[[nodiscard]] inline bool any_applied(const CommitAnswer& answer) noexcept {
  return std::any_of(answer.batches.begin(), answer.batches.end(),
                     [](const BatchAnswer& batch) { return batch.applied(); });
}

/// How much a member wants a partition: the one with the largest score has it (rendezvous hashing: Thaler and
/// Ravishankar, 1998). A member more takes over its part of every other, and nothing else moves. Part of the
/// stored format.
[[nodiscard]] constexpr std::uint64_t rendezvous_score(std::uint64_t partition_hash,
                                                       std::uint64_t name_hash) noexcept {
  std::uint64_t hash = partition_hash ^ (name_hash * 0x9e3779b97f4a7c15ULL);
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  hash ^= hash >> 33;
  return hash;
}

/// The index of the name that has the partition. The hashes come in the order of the names.
[[nodiscard]] inline std::size_t rendezvous(const std::vector<std::uint64_t>& name_hashes,
                                            std::string_view partition) noexcept {
  const auto hash = stable_hash(partition);
  std::size_t best = 0;
  std::uint64_t score = 0;
  for (std::size_t i = 0; i < name_hashes.size(); ++i) {
    const auto next = rendezvous_score(hash, name_hashes[i]);
    if (i == 0 || next > score) best = i, score = next;
  }
  return best;
}

}  // namespace onceward::storage_detail
