#include <onceward/core/ids.hpp>

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <stdexcept>
#include <string_view>

namespace onceward {
namespace {

constexpr std::size_t id_bytes = 16;
constexpr std::size_t most_at_once = 256;  // of getentropy

std::atomic<unsigned> forks{0};

/// Random bytes, asked for sixteen ids at a time: a system call each would cost more than all else of a
/// guarded call. A child process must not go on with the bytes its parent goes on with too.
struct Entropy {
  std::array<unsigned char, most_at_once> bytes{};
  std::size_t used = most_at_once;
  unsigned forked = 0;
};

unsigned count_forks() {
  static const int noted = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  if (noted != 0) throw std::runtime_error("no memory to be told of forks");
  return forks.load(std::memory_order_relaxed);
}

}  // namespace

void new_owner_id(std::string& out) {
  static constexpr std::string_view digits = "0123456789abcdef";
  thread_local Entropy entropy;
  const unsigned forked = count_forks();
  if (entropy.used == most_at_once || entropy.forked != forked) {
    if (getentropy(entropy.bytes.data(), most_at_once) != 0)
      throw std::runtime_error("the system has no random source");
    entropy.used = 0;
    entropy.forked = forked;
  }
  out.resize(2 * id_bytes);
  for (std::size_t i = 0; i < id_bytes; ++i) {
    const unsigned byte = entropy.bytes[entropy.used + i];
    out[2 * i] = digits[byte >> 4];
    out[2 * i + 1] = digits[byte & 15];
  }
  entropy.used += id_bytes;
}

std::string new_owner_id() {
  std::string id;
  new_owner_id(id);
  return id;
}

}  // namespace onceward
