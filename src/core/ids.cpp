#include <onceward/core/digest.hpp>
#include <onceward/core/ids.hpp>

#include <random>

namespace onceward {

std::string new_owner_id() {
  std::random_device source;
  Sha256::Bytes bytes{};
  for (std::size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(source() & 0xff);
  return to_hex(bytes, 32);
}

}  // namespace onceward
