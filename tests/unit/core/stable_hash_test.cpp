#include <onceward/core/digest.hpp>

#include "support/catch.hpp"

#include <array>
#include <string>

using namespace onceward;

// Partitions lie on shards by this hash: another value would lose every record that is stored. The values are
// those of another implementation, in Python:
//   def stable_hash(b):
//       h = 0xcbf29ce484222325
//       for c in b: h = (h ^ c) * 0x100000001b3 % 2**64
//       h ^= h >> 33
//       h = h * 0xff51afd7ed558ccd % 2**64
//       return h ^ h >> 33
TEST_CASE("a partition's hash is the one that was stored, on every build") {
  STATIC_REQUIRE(stable_hash("") == 0xecba3df2c3383c52);
  CHECK(stable_hash("a") == 0xed8170de1919a24d);
  CHECK(stable_hash("shop") == 0xdde859a47eeca3d3);
  CHECK(stable_hash("gifts-uk/user/42") == 0x63c1e68fda537b99);
  CHECK(stable_hash(std::string_view("\0", 1)) == 0x9091d60726574ae6);
  CHECK(stable_hash("\xff\x80") == 0x8ab7142cfb793403);
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte.push_back(static_cast<char>(byte));
  CHECK(stable_hash(every_byte) == 0xb2920418442a1390);
}

TEST_CASE("users of one merchant spread over the shards evenly") {
  std::array<int, 64> shards{};
  for (int user = 0; user < 64'000; ++user)
    ++shards[stable_hash("gifts-uk/user/" + std::to_string(user)) % 64];
  for (const int users : shards) {
    CHECK(users > 800);
    CHECK(users < 1200);
  }
}
