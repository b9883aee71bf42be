#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace onceward {

/// SHA-256 (FIPS 180-4), fed in pieces. Used for fingerprints and tokens, never for secrets.
/// One object, one thread; reset() makes it ready for the next message.
class Sha256 {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  Sha256() noexcept { reset(); }
  void reset() noexcept;
  void update(std::string_view bytes) noexcept;
  /// Feeds the length of a part and then the part, so that ("ab","c") and ("a","bc") differ.
  void update_part(std::string_view bytes) noexcept;
  /// The digest of all that was fed. The object must be reset before it is fed again.
  [[nodiscard]] Bytes finish() noexcept;

 private:
  void block(const std::uint8_t* bytes) noexcept;

  std::array<std::uint32_t, 8> state_{};
  std::array<std::uint8_t, 64> buffer_{};
  std::uint64_t length_ = 0;
};

/// The digest of `bytes` as 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// The first `digits` (at most 64) hexadecimal digits of a digest.
[[nodiscard]] std::string to_hex(const Sha256::Bytes& digest, std::size_t digits = 64);

/// A stable 64-bit hash (FNV-1a, then a finaliser): places partitions on shards. It is part of the stored
/// format, so it never changes. Not for untrusted hash tables.
[[nodiscard]] constexpr std::uint64_t stable_hash(std::string_view bytes) noexcept {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : bytes) {
    hash ^= static_cast<std::uint8_t>(c);
    hash *= 1099511628211ULL;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  return hash;
}

}  // namespace onceward
