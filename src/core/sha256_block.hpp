#pragma once
#include <cstdint>

/// The two ways to put one block of 64 bytes into the eight words of a SHA-256 state. Both give the same.
namespace onceward::core_detail {

using Sha256Block = void (*)(std::uint32_t* state, const std::uint8_t* bytes) noexcept;

void sha256_block_portable(std::uint32_t* state, const std::uint8_t* bytes) noexcept;
/// The way by the processor's own instructions; null where it has none for this.
[[nodiscard]] Sha256Block sha256_block_by_instructions() noexcept;

}  // namespace onceward::core_detail
