#include <onceward/core/digest.hpp>
#include <onceward/idempotency/idempotent.hpp>

namespace onceward::guard_detail {

std::string fingerprint_of(const Value& payload) {
  constexpr std::size_t digits = 32;
  Sha256 hash;
  hash.update(payload.to_json());
  return to_hex(hash.finish(), digits);
}

}  // namespace onceward::guard_detail
