#include "core/sha256_block.hpp"

#include "support/catch.hpp"

#include <array>
#include <random>

using namespace onceward::core_detail;

namespace {

using State = std::array<std::uint32_t, 8>;
using Block = std::array<std::uint8_t, 64>;

}  // namespace

TEST_CASE("the portable block gives the state FIPS 180 publishes for \"abc\"") {
  State state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  Block block{'a', 'b', 'c', 0x80};
  block[63] = 24;
  sha256_block_portable(state.data(), block.data());
  CHECK(state == State{0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61,
                       0xf20015ad});
}

TEST_CASE("the processor's own instructions and the portable block give the same over 1,000 random inputs") {
  const auto by_instructions = sha256_block_by_instructions();
  if (by_instructions == nullptr) {
    WARN("this processor has no SHA instructions: the portable block is the only one");
    return;
  }
  std::mt19937 random(20110101);
  for (int i = 0; i < 1000; ++i) {
    State portable{};
    for (auto& word : portable) word = static_cast<std::uint32_t>(random());
    State other = portable;
    // At every alignment: a caller's message may lie anywhere.
    std::array<std::uint8_t, 64 + 16> bytes{};
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const auto* block = bytes.data() + i % 16;
    sha256_block_portable(portable.data(), block);
    by_instructions(other.data(), block);
    REQUIRE(portable == other);
  }
}
