#include <onceward/core/digest.hpp>
#include <onceward/core/ids.hpp>

#include <unistd.h>

#include <stdexcept>

namespace onceward {

std::string new_owner_id() {
  Sha256::Bytes bytes{};
  constexpr std::size_t random_bytes = 16;
  if (getentropy(bytes.data(), random_bytes) != 0)
    throw std::runtime_error("the system has no random source");
  return to_hex(bytes, 2 * random_bytes);
}

}  // namespace onceward
